"""One Flower app, unmodified, on this project's link and on Flower's own engine of the same version: two clients on loopback.

In turn, as often as --repeats says:
  ours       edgefl.aggregator and two times edgefl.client, each with --app=flower_app
  superlink  flower-superlink, two times flower-supernode, and flwr run flower_app
The app (flower_app) trains, one after the other or those that --learner names:
  numpy       next to nothing, so that the engines are what is measured
  sklearn     a logistic regression of scikit-learn, which is installed beside for that
  tensorflow  a dense net in Keras: an app whose own work is most of a round
It notes when each round ends.
A start is from the launch of all processes to the beginning of the first round. Memory is the peak of the PSS of a side's processes
together, CPU their processor time. Needs Flower and the app's packages: `make bench-flower` has them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import contextlib
import itertools

from benchmarks.memory import family, processes, pss
from benchmarks.table import Bench
from support.processes import PYTHON, ROOT, Federation, free_port, until

APP = Path(__file__).with_name("flower_app")
SKLEARN = (
    "scikit-learn==1.9.1",
    "scipy==1.17.1",
    "joblib==1.6.0",
    "cloudpickle==3.1.3",
    "narwhals==2.29.0",
    "threadpoolctl==3.8.0",
)
GOALS = {"numpy": 20, "sklearn": 10, "tensorflow": 1}
"""How many times as fast a round is to be, by what is trained: never slower."""
SIZES = {"numpy": 100_000, "sklearn": 20_000, "tensorflow": 10_000}
"""Numbers in the model, or samples of a client."""
WORKS = (
    "start",
    "a round",
    "server, peak PSS",
    "clients, peak PSS",
    "server, processor time",
    "clients, processor time",
)
LONGEST = 900.0
"""Seconds after which a training is given up."""


@dataclass
class Measured:
    startup: float
    rounds: list[float]
    memory: dict[str, int]
    cpu: dict[str, float]


class Trees:
    """Peaks of the memory, and the processor time, of processes with all that they start, by the name of a side."""

    def __init__(self, sides: Mapping[str, Iterable[int]]) -> None:
        self._sides = {name: set(pids) for name, pids in sides.items()}
        self.memory = dict.fromkeys(self._sides, 0)
        self._cpu: dict[str, dict[int, float]] = {name: {} for name in self._sides}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def cpu(self) -> dict[str, float]:
        """Seconds, those of processes that have ended included (as they were last seen)."""
        return {name: sum(found.values()) for name, found in self._cpu.items()}

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            there = processes()
            seconds = {
                pid: (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") for pid, fields in there.items()
            }
            for name, roots in self._sides.items():
                found = family(roots, there)
                self.memory[name] = max(self.memory[name], sum(map(pss, found)))
                self._cpu[name] |= {pid: seconds[pid] for pid in found if pid in seconds}

    def __enter__(self) -> Trees:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def times(path: Path, rounds: int) -> list[float]:
    """What the app noted: when it began, and when each round ended."""

    def noted() -> list[float]:
        rows = path.read_text().split("\n")[:-1] if path.exists() else []
        return [float(row) for row in rows] if len(rows) > rounds else []

    found: list[float] = until(noted, f"{rounds} rounds", LONGEST)
    return found


@dataclass
class Training:
    """What the app is told."""

    learner: str
    rounds: int
    size: int

    def config(self, times: Path) -> str:
        return f"num-server-rounds={self.rounds} learner='{self.learner}' size={self.size} times='{times}'"


def measured(launched: float, noted: list[float], trees: Trees) -> Measured:
    lasting = [end - begin for begin, end in itertools.pairwise(noted)]
    return Measured(noted[0] - launched, lasting, trees.memory, trees.cpu)


def ours(federation: Federation, training: Training) -> Measured:
    path, launched = federation.folder / "times", time.time()
    state = f"--state_dir={federation.folder / 'state'}"
    aggregator = federation.aggregator(f"--app={APP}", state, f"--app_config={training.config(path)}")
    clients = federation.app_pair(APP)
    sides = {"server": [aggregator.process.pid], "clients": [one.process.pid for one in clients]}
    with Trees(sides) as trees:
        noted = times(path, training.rounds)
        federation.event(aggregator, "done")
    return measured(launched, noted, trees)


def superlink(federation: Federation, training: Training) -> Measured:
    folder, path = federation.folder, federation.folder / "times"
    app, home, port = folder / "app", folder / "home", free_port()
    shutil.copytree(APP, app, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "LICENSE", app)  # a FAB must have one
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    )
    programs = Path(PYTHON).parent
    off = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
    environment = os.environ | off | {"FLWR_HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}"}
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> int:
        with (folder / f"{name}-{len(started)}.log").open("w") as log:
            process = subprocess.Popen(
                [programs / name, *arguments],
                env=environment,
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(process)
        return process.pid

    launched = time.time()
    try:
        bound = ("--insecure", "--host", "127.0.0.1", "--port")
        server = start("flower-superlink", *bound, str(port), "--disable-runtime-dependency-installation")
        nodes = []
        for number in (0, 1):
            own = f"partition-id={number} num-partitions=2"
            more = ("--superlink", f"127.0.0.1:{port}", "--node-config", own)
            nodes.append(start("flower-supernode", *bound, str(free_port()), *more))
        with Trees({"server": [server], "clients": nodes}) as trees:
            run = [
                str(programs / "flwr"),
                "run",
                str(app),
                "here",
                "--format",
                "json",
                "-c",
                training.config(path),
            ]

            def accepted() -> bool:
                """Not while the port is not open; the exit code is 0 then, too."""
                said = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
                return '"success": true' in said.stdout

            until(accepted, "flwr run")
            noted = times(path, training.rounds)
        return measured(launched, noted, trees)
    finally:
        # They end what they have started when they are told to; the rest is killed
        for process in started:
            process.terminate()
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


WAYS: dict[str, Callable[[Federation, Training], Measured]] = {"ours": ours, "superlink": superlink}


def main() -> None:
    bench = Bench("A Flower app", __doc__)
    bench.parser.add_argument("--repeats", type=int, default=3, help="trainings of each (default: 3)")
    bench.parser.add_argument("--rounds", type=int, default=3, help="of a training (default: 3)")
    bench.parser.add_argument(
        "--learner", choices=GOALS, nargs="+", default=list(GOALS), help="what is trained (default: each)"
    )
    bench.parser.add_argument(
        "--size", type=int, help=f"numbers in the model, or samples of a client (default: {SIZES})"
    )
    options = bench.options()
    for learner in options.learner:
        with learns(learner):
            measure(bench, options, Training(learner, options.rounds, options.size or SIZES[learner]))
    bench.finish()


@contextlib.contextmanager
def learns(learner: str) -> Iterator[None]:
    """With the packages of this learner."""
    before = os.environ.get("PYTHONPATH", "")
    with tempfile.TemporaryDirectory() as folder:
        if learner == "sklearn":
            # NumPy is there already
            install = [PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={folder}", *SKLEARN]
            subprocess.run(install, check=True)
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, before)))
        yield
    os.environ["PYTHONPATH"] = before


def measure(bench: Bench, options: argparse.Namespace, training: Training) -> None:
    learner = training.learner
    for repeat in range(options.repeats):
        for name, way in WAYS.items():
            with tempfile.TemporaryDirectory() as folder, closing(Federation(Path(folder))) as federation:
                one = way(federation, training)
            bench.add(f"{learner}: start", name, "s", one.startup)
            bench.add(f"{learner}: a round", name, "s", sum(one.rounds) / len(one.rounds))
            for side in ("server", "clients"):
                bench.add(f"{learner}: {side}, peak PSS", name, "MB", one.memory[side] / 1e6)
                bench.add(f"{learner}: {side}, processor time", name, "s", one.cpu[side])
        print(f"{learner}: repeat {repeat + 1} of {options.repeats} is done", flush=True)
    ratios = {work: bench.ratio(f"{learner}: {work}", "superlink", "ours") for work in WORKS}
    bench.goal(f"{learner}: a round, superlink / ours", ratios["a round"], at_least=GOALS[learner])
    bench.goal(f"{learner}: server's memory, superlink / ours", ratios["server, peak PSS"], at_least=2)


if __name__ == "__main__":
    main()
