"""Real aggregator and client processes on loopback."""

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

SOURCE = Path(__file__).resolve().parents[2] / "fl_src"
# Flower and TensorFlow have an environment of their own: their versions are the images', not the test tools'
PYTHON = os.environ.get("EDGEFL_PYTHON", sys.executable)
STUBBORN = 60.0
"""Seconds after which something that should happen is given up."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def until(happened: Callable[[], Any], what: str, seconds: float = STUBBORN) -> Any:
    """Poll until `happened()` is true; gives its value. Fails the test when it takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = happened()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds:g} s")


class Program:
    """One process of ours; what it prints goes to files."""

    def __init__(self, folder: Path, name: str, module: str, *arguments: str, **environment: str) -> None:
        self.name, self.out, self.err = name, folder / f"{name}.out", folder / f"{name}.err"
        variables = {key: value for key, value in os.environ.items() if key not in ("POD_NAME", "NODE_NAME")}
        variables |= {"PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"} | environment
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [PYTHON, "-m", module, *arguments], stdout=out, stderr=err, env=variables, cwd=folder
            )

    def told(self, text: str) -> bool:
        return text in self.err.read_text()

    def end(self, number: int = signal.SIGTERM, seconds: float = 10) -> float:
        """Send a signal and wait; gives the seconds it took."""
        begin = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(seconds)
        return time.monotonic() - begin

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(10)


class Federation:
    """An aggregator and any number of clients; all are killed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.status_port = folder, free_port(), free_port()
        self.programs: list[Program] = []

    def aggregator(self, *arguments: str, **environment: str) -> Program:
        number = sum(one.name.startswith("aggregator") for one in self.programs)
        addresses = (f"--server_address=127.0.0.1:{self.port}", f"--status_address=127.0.0.1:{self.status_port}")
        return self._add(
            Program(self.folder, f"aggregator{number}", "edgefl.aggregator", *addresses, *arguments, **environment)
        )

    def client(self, node: str, start: int, stop: int, *arguments: str, pod: str = "", **environment: str) -> Program:
        name = pod or f"{node}-{len(self.programs)}"
        slice_ = (f"--partition={start}", f"--clients={stop}", f"--node={node}")
        return self._add(
            Program(
                self.folder,
                name,
                "edgefl.client",
                f"--server_address=127.0.0.1:{self.port}",
                *slice_,
                *arguments,
                POD_NAME=name,
                **environment,
            )
        )

    def _add(self, program: Program) -> Program:
        self.programs.append(program)
        return program

    def lines(self, program: Program) -> list[dict[str, Any]]:
        """What an aggregator printed so far; a line that is being written is left out."""
        return [json.loads(row) for row in program.out.read_text().split("\n")[:-1]]

    def event(
        self, program: Program, event: str, round_: int | None = None, seconds: float = STUBBORN
    ) -> dict[str, Any]:
        """Wait for a line."""

        def found() -> dict[str, Any] | None:
            for entry in self.lines(program):
                if entry["event"] == event and round_ in (None, entry["round"]):
                    return entry
            assert program.process.poll() is None or event == "failed", program.err.read_text()
            return None

        line: dict[str, Any] = until(found, f"{event} {round_ or ''}", seconds)
        return line

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/status", timeout=5) as answer:
            document: dict[str, Any] = json.load(answer)
            return document

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def close(self) -> None:
        for program in self.programs:
            program.kill()
