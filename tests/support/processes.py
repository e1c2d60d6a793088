"""Real aggregator and client processes, for tests/fl and tests/faults."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "fl_src"
# Flower and TensorFlow have an environment of their own: their versions are the images', not the test tools'
PYTHON = os.environ.get("EDGEFL_PYTHON", sys.executable)
DATA = Path(os.environ.get("EDGEFL_DATA_DIR", "/opt/edgefl/data"))
TOLD_TO_END = 128 + signal.SIGTERM
"""Exit code of a program of ours that ends for SIGTERM."""
STUBBORN = 120.0
"""Seconds after which something that should happen is given up."""


_GIVEN: set[int] = set()


def free_port() -> int:
    """A port that nobody uses, never the same twice: the kernel may name one again when nobody has opened it yet."""
    while True:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


def until(happened: Callable[[], Any], what: str, seconds: float = STUBBORN, pause: float = 0.02) -> Any:
    """Poll every `pause` seconds until `happened()` is true; gives its value. Fails the test when it takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = happened()
        if value:
            return value
        time.sleep(pause)
    raise AssertionError(f"{what}: not within {seconds:g} s")


def measured(variables: dict[str, str]) -> dict[str, str]:
    """The environment of a program of ours, in which it is measured where the tests are, although Flower's has no coverage of its own."""
    if "COVERAGE_PROCESS_CONFIG" not in os.environ:
        return variables
    import coverage  # of the tests alone: benchmarks run where it is not installed

    return variables | {
        "COVERAGE_PROCESS_CONFIG": os.environ["COVERAGE_PROCESS_CONFIG"],
        "EDGEFL_COVERAGE": str(Path(coverage.__file__).parents[1]),
        "PYTHONPATH": f"{variables['PYTHONPATH']}:{ROOT / 'tests/support/coverage'}",
    }


class Program:
    """One process of ours; what it prints goes to files. With `netns` it lives in that network namespace."""

    def __init__(
        self, folder: Path, name: str, module: str, *arguments: str, netns: str = "", **environment: str
    ) -> None:
        self.name, self.out, self.err = name, folder / f"{name}.out", folder / f"{name}.err"
        self._lines: list[dict[str, Any]] = []
        self._read = 0
        variables = {key: value for key, value in os.environ.items() if key not in ("POD_NAME", "NODE_NAME")}
        path = ":".join(filter(None, (f"{SOURCE}:{ROOT}:{ROOT / 'tests'}", variables.get("PYTHONPATH"))))
        variables = measured(variables | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"} | environment)
        inside = ["ip", "netns", "exec", netns] if netns else []  # it replaces itself with the program: one process
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [*inside, PYTHON, "-m", module, *arguments], stdout=out, stderr=err, env=variables, cwd=folder
            )

    def lines(self) -> list[dict[str, Any]]:
        """What it printed so far, as JSON; a line that is being written is left out. Each is read once, since a thousand clients make a long one."""
        with self.out.open("rb") as file:
            file.seek(self._read)
            whole = b"".join(line for line in file if line.endswith(b"\n"))
        self._read += len(whole)
        self._lines += map(json.loads, whole.splitlines())
        return list(self._lines)

    def times(self, text: str) -> int:
        """How often it said so."""
        return self.err.read_text().count(text)

    def told(self, text: str, times: int = 1) -> bool:
        return self.times(text) >= times

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def end(self, number: int = signal.SIGTERM, seconds: float = 10) -> float:
        """Send a signal and wait; gives the seconds it took."""
        begin = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(seconds)
        return time.monotonic() - begin

    def kill(self) -> None:
        if self.lives:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(10)


class Federation:
    """An aggregator and any number of clients, on `host`; all are killed at the end."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.folder, self.host, self.port, self.status_port = folder, host, free_port(), free_port()
        self.programs: list[Program] = []

    def aggregator(self, *arguments: str, module: str = "edgefl.aggregator", **more: str) -> Program:
        """The program of the aggregator's image."""
        number = sum(one.name.startswith("aggregator") for one in self.programs)
        addresses = (f"--server_address={self.host}:{self.port}", f"--status_address={self.host}:{self.status_port}")
        return self._add(Program(self.folder, f"aggregator{number}", module, *addresses, *arguments, **more))

    def region(self, name: str, *arguments: str, host: str = "", **more: str) -> tuple[Federation, Program]:
        """An aggregator that is one client of this one's, for clients of its own on `host`; it is closed with this."""
        (self.folder / name).mkdir(exist_ok=True)
        inside = Federation(self.folder / name, host or self.host)
        inside.programs = self.programs
        return inside, inside.aggregator(f"--upstream={name}@{self.host}:{self.port}", *arguments, **more)

    def client(
        self,
        node: str,
        start: int,
        stop: int,
        *arguments: str,
        pod: str = "",
        module: str = "edgefl.client",
        **more: str,
    ) -> Program:
        """The program of the client's image."""
        name = pod or f"{node}-{len(self.programs)}"
        own = (
            f"--server_address={self.host}:{self.port}",
            f"--partition={start}",
            f"--clients={stop}",
            f"--node={node}",
        )
        return self._add(Program(self.folder, name, module, *own, *arguments, POD_NAME=name, **more))

    def app_client(self, node: str, app: Path, *arguments: str, pod: str = "", **more: str) -> Program:
        """The client's program with a Flower app of its own."""
        name = pod or f"{node}-{len(self.programs)}"
        own = (f"--server_address={self.host}:{self.port}", f"--app={app}", f"--node={node}")
        return self._add(Program(self.folder, name, "edgefl.client", *own, *arguments, POD_NAME=name, **more))

    def app_pair(self, app: Path, *arguments: str, **more: str) -> list[Program]:
        """Clients of a Flower app on edge1 (partition 0 of 2) and edge2."""
        parts = (f"--node_config=partition-id={number} num-partitions=2" for number in (0, 1))
        return [self.app_client(f"edge{n}", app, part, *arguments, **more) for n, part in enumerate(parts, 1)]

    def light_client(self, node: str, start: int, stop: int, *arguments: str, fit: float = 0, **more: str) -> Program:
        """The same program without TensorFlow, for what has nothing to do with it; a pass takes `fit` seconds more."""
        return self.client(
            node, start, stop, *arguments, module="support.light_client", LIGHT_CLIENT_FIT=str(fit), **more
        )

    def pair(self, *arguments: str, fit: float = 0) -> list[Program]:
        """Light clients on edge1 (a third of the samples) and on edge2."""
        return [
            self.light_client("edge1", 0, 500, *arguments, fit=fit),
            self.light_client("edge2", 500, 1_500, *arguments, fit=fit),
        ]

    def program(self, name: str, module: str, *arguments: str) -> Program:
        """Any other program."""
        return self._add(Program(self.folder, name, module, *arguments))

    def _add(self, program: Program) -> Program:
        self.programs.append(program)
        return program

    def rounds(self, program: Program) -> list[tuple[int, int]]:
        """Loop and number of the rounds that an aggregator printed, in order."""
        return [(entry["loop"], entry["round"]) for entry in program.lines() if entry["event"] == "round"]

    def event(
        self, program: Program, event: str, round_: int | None = None, seconds: float = STUBBORN
    ) -> dict[str, Any]:
        """Wait for a line."""

        def found() -> dict[str, Any] | None:
            ended = not program.lives
            for entry in program.lines():
                if entry["event"] == event and round_ in (None, entry["round"]):
                    return entry
            assert not ended, program.err.read_text()
            return None

        line: dict[str, Any] = until(found, f"{event} {round_ or ''}", seconds)
        return line

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{self.host}:{self.status_port}/status", timeout=5) as answer:
            document: dict[str, Any] = json.load(answer)
            return document

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.status_port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def close(self) -> None:
        """End all that still lives: as a pod is ended, so that coverage is kept, and by force what does not obey."""
        living = [program for program in self.programs if program.lives]
        for program in living:
            program.process.send_signal(signal.SIGCONT)
            program.process.terminate()
        for program in living:
            try:
                program.process.wait(5)
            except subprocess.TimeoutExpired:
                program.kill()
