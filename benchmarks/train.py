"""Five rounds of Fashion-MNIST on two clients, slices of 10 000 and 20 000 samples, batches of 32, one pass a round.

In turn, as often as --repeats says, as real processes on loopback:
  tutorial  Flower server and NumPyClients around Keras' fit and evaluate (tutorial.py)
  ours      edgefl.aggregator and two times edgefl.client; repeat n begins with seed n
  floor     the same steps in one process, a thread for each slice, without Flower (floor.py)
and the last two with the convolutional app. Needs Flower, TensorFlow and the data: `make bench-train` has them.
"""

from __future__ import annotations

import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.memory import Sampler, users
from benchmarks.table import Bench
from support.processes import Federation, Program, until

SLICES = {"edge1": (0, 10_000), "edge2": (10_000, 30_000)}
CNN = "fashion_mnist_cnn"
LONGEST = 300.0
"""Seconds after which a training is given up."""
AS_INSTALLED = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONOPTIMIZE": ""}
AS_IN_IMAGES = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONOPTIMIZE": "2", "MALLOC_ARENA_MAX": "2"}
"""Packages are bytecode without docstrings there; see also ENV in the Dockerfile."""


class Measured:
    """A training: the seconds from its launch to the first round, of all rounds and of each; accuracy; peaks of memory."""

    def __init__(
        self, launched: float, begins: list[float], ends: list[float], accuracy: float, sampler: Sampler, first: Program
    ) -> None:
        self.startup = begins[0] - launched
        self.seconds = ends[-1] - begins[0]
        self.rounds = [end - begin for begin, end in zip(begins, ends)]
        self.accuracy = accuracy
        aggregator = first.process.pid
        self.aggregator_pss, self.aggregator_rss = sampler.pss.pop(aggregator), sampler.rss.pop(aggregator)
        self.client_pss, self.client_rss = (max(peaks.values(), default=0) for peaks in (sampler.pss, sampler.rss))


def start(federation: Federation, name: str, module: str, *arguments: str, **environment: str) -> Program:
    """A program that Federation has no method for."""
    program = Program(federation.folder, name, module, *arguments, **environment)
    federation.programs.append(program)
    return program


def lines(program: Program, event: str, count: int, seconds: float = LONGEST) -> list[dict[str, Any]]:
    """The first `count` lines of `event` that the program prints; raises AssertionError when it ends before."""

    def found() -> list[dict[str, Any]]:
        lives = program.lives
        wanted = [row for row in program.lines() if row["event"] == event][:count]
        assert lives or len(wanted) == count, program.err.read_text()
        return wanted if len(wanted) == count else []

    result: list[dict[str, Any]] = until(found, f"{count} lines of {event} from {program.name}", seconds)
    return result


def tutorial(federation: Federation, rounds: int) -> Measured:
    address = f"--server_address=127.0.0.1:{federation.port}"
    launched = time.time()
    server = start(federation, "server", "benchmarks.tutorial", "server", address, f"--rounds={rounds}", **AS_INSTALLED)
    lines(server, "evaluated", 1)  # the port opens next; clients that come before give up at once
    time.sleep(0.5)
    clients = [
        start(
            federation,
            node,
            "benchmarks.tutorial",
            "client",
            address,
            f"--partition={first}",
            f"--clients={end}",
            **AS_INSTALLED,
        )
        for node, (first, end) in SLICES.items()
    ]
    with Sampler(one.process.pid for one in (server, *clients)) as sampler:
        ends = lines(server, "end", rounds)
    begins, evaluated = lines(server, "begin", rounds), lines(server, "evaluated", rounds + 1)
    return Measured(
        launched,
        [one["time"] for one in begins],
        [one["time"] for one in ends],
        evaluated[-1]["accuracy"],
        sampler,
        server,
    )


def ours(federation: Federation, rounds: int, seed: int = 1, app: str = "fashion_mnist") -> Measured:
    launched = time.time()
    aggregator = federation.aggregator(
        f"--rounds={rounds}", "--min_nodes=2", f"--seed={seed}", f"--app={app}", **AS_IN_IMAGES
    )
    clients = [
        federation.client(node, first, end, f"--app={app}", **AS_IN_IMAGES) for node, (first, end) in SLICES.items()
    ]
    with Sampler(one.process.pid for one in (aggregator, *clients)) as sampler:
        made = lines(aggregator, "round", rounds)
    begins = [one["time"] - one["seconds"] for one in made]
    return Measured(launched, begins, [one["time"] for one in made], made[-1]["accuracy"], sampler, aggregator)


def floor(federation: Federation, rounds: int, seed: int = 1, app: str = "fashion_mnist") -> Measured:
    launched = time.time()
    slices = [f"--slice={first}:{end}" for first, end in SLICES.values()]
    program = start(
        federation,
        "floor",
        "benchmarks.floor",
        f"--rounds={rounds}",
        f"--app={app}",
        f"--seed={seed}",
        *slices,
        **AS_IN_IMAGES,
    )
    with Sampler([program.process.pid]) as sampler:
        made = lines(program, "round", rounds)
    begins = [one["time"] - one["seconds"] for one in made]
    return Measured(launched, begins, [one["time"] for one in made], made[-1]["accuracy"], sampler, program)


def measure(way: Callable[..., Measured], *arguments: Any, **more: Any) -> Measured:
    with tempfile.TemporaryDirectory() as folder, closing(Federation(Path(folder))) as federation:
        return way(federation, *arguments, **more)


def main() -> None:
    bench = Bench("Training", __doc__)
    bench.parser.add_argument("--repeats", type=int, default=3, help="trainings of each way (default: 3)")
    bench.parser.add_argument("--rounds", type=int, default=5, help="of a training (default: 5)")
    options = bench.options()
    rounds = options.rounds
    others = users(Path(sysconfig.get_path("platlib"), "tensorflow/libtensorflow_cc.so.2"))
    if others:
        print(
            f"{others} other processes use TensorFlow: what they share with ours makes PSS smaller and the machine slower"
        )
    for way in (tutorial, ours, floor):  # once before: files in memory, bytecode written
        measure(way, 1)
    accuracies = []
    for seed in range(1, options.repeats + 1):
        for name, one in (
            ("tutorial", measure(tutorial, rounds)),
            ("ours", measure(ours, rounds, seed=seed)),
            ("floor", measure(floor, rounds, seed=seed)),
        ):
            bench.add(f"{rounds} rounds", name, "s", one.seconds)
            bench.add("first round", name, "s", one.rounds[0])
            bench.add("a later round", name, "s", sum(one.rounds[1:]) / max(1, rounds - 1))
            bench.add("start to first round", name, "s", one.startup)
            bench.add(f"accuracy after {rounds} rounds", name, "", one.accuracy)
            if name != "floor":
                bench.add("client, peak PSS", name, "MB", one.client_pss / 1e6)
                bench.add("client, peak RSS", name, "MB", one.client_rss / 1e6)
                bench.add("aggregator, peak PSS", name, "MB", one.aggregator_pss / 1e6)
                bench.add("aggregator, peak RSS", name, "MB", one.aggregator_rss / 1e6)
            if name == "ours":
                accuracies.append(one.accuracy)
        for name, way in (("ours", ours), ("floor", floor)):
            one = measure(way, rounds, seed=seed, app=CNN)
            bench.add(f"{CNN}: {rounds} rounds", name, "s", one.seconds)
            bench.add(f"{CNN}: accuracy", name, "", one.accuracy)
            if name == "ours":
                bench.add(f"{CNN}: client, peak PSS", name, "MB", one.client_pss / 1e6)
                bench.add(f"{CNN}: client, peak RSS", name, "MB", one.client_rss / 1e6)
        print(f"repeat {seed} of {options.repeats} is done", flush=True)
    work = f"{rounds} rounds"
    bench.goal("ours / floor", bench.ratio(work, "ours", "floor"), at_most=1.5)
    bench.goal("tutorial / ours", bench.ratio(work, "tutorial", "ours"), at_least=5)
    bench.goal("ours", bench.median(work, "ours"), at_most=1.3, unit="s")
    bench.goal("client, peak PSS", bench.median("client, peak PSS", "ours"), at_most=320, unit="MB")
    bench.goal("aggregator, peak PSS", bench.median("aggregator, peak PSS", "ours"), at_most=110, unit="MB")
    bench.goal("lowest accuracy", min(accuracies), at_least=0.85)
    bench.ratio(f"{CNN}: {rounds} rounds", "ours", "floor")
    bench.finish()


if __name__ == "__main__":
    main()
