"""A clock that is wrong, or is set, while a training runs: processes with a clock of their own (support/clock.c), which the test sets."""

from __future__ import annotations

import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.certificates import Wanted
from faults.test_peers import in_round, with_all
from support.certificates import issued
from support.helpers import ROOT, bring
from support.processes import Federation, Program, until

HOUR = 3600


class Clock:
    """Of those processes that are given its `environment`."""

    def __init__(self, folder: Path) -> None:
        bring("gcc", "gcc", "libc6-dev")
        library, self._file = folder / "clock.so", folder / "clock"
        source = ROOT / "tests/support/clock.c"
        subprocess.run(["gcc", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source], check=True)
        self._file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "CLOCK": str(self._file)}

    def set(self, seconds: int) -> None:
        """So many seconds from the right time, at once."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("l", seconds))


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def clock_of(program: Program) -> float:
    """How many hours the clock is off by which a program writes its log: up to 12."""
    hour, minute, second = program.err.read_text().splitlines()[-1][:8].split(":")
    now = time.localtime()
    seconds = HOUR * (int(hour) - now.tm_hour) + 60 * (int(minute) - now.tm_min) + int(second) - now.tm_sec
    return (seconds / HOUR + 12) % 24 - 12


def off(line: dict[str, Any]) -> float:
    """Hours that the clock of who wrote a line is off."""
    return (float(line["time"]) - time.time()) / HOUR


@pytest.mark.parametrize("hours", [-1, 1])
def test_an_edge_whose_clock_is_an_hour_off(federation: Federation, clock: Clock, tmp_path: Path, hours: int) -> None:
    """With certificates as the role makes them, a moment old, it joins over TLS and has its part in each round."""
    names = {"server": "IP:127.0.0.1", "edge1": "DNS:edge1", "edge2": "DNS:edge2"}
    keys = issued(tmp_path / "keys", [Wanted(name, (own,), server=name == "server") for name, own in names.items()])
    clock.set(hours * HOUR)
    aggregator = federation.aggregator("--rounds=5", f"--tls_dir={keys['server']}")
    edge1 = federation.light_client("edge1", 0, 500, f"--tls_dir={keys['edge1']}", fit=0, **clock.environment)
    federation.light_client("edge2", 500, 1_500, f"--tls_dir={keys['edge2']}")
    federation.event(aggregator, "done")
    assert abs(clock_of(edge1) - hours) < 0.1
    rounds = [line for line in aggregator.lines() if line["event"] == "round"]
    assert [(len(line["clients"]), line["lost"]) for line in rounds] == [(2, [])] * 5
    assert all(0 <= one["seconds"] < 60 for line in rounds for one in line["clients"])


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_aggregators_clock_is_set(federation: Federation, clock: Clock, hours: int) -> None:
    """In the middle of a round; and once more while it is down: it goes on where it was."""
    options = ("--rounds=12", f"--state_dir={federation.folder / 'state'}")
    aggregator = federation.aggregator(*options, **clock.environment)
    federation.pair(fit=0.3)
    in_round(federation, 2)
    clock.set(hours * HOUR)
    until(lambda: abs(off(aggregator.lines()[-1]) - hours) < 0.1, "a line of the new time")
    line = with_all(aggregator, aggregator.lines()[-1]["round"])
    aggregator.kill()
    clock.set(-hours * HOUR)
    again = federation.aggregator(*options, **clock.environment)
    federation.event(again, "done")
    before, rounds = aggregator.lines(), [entry for entry in again.lines() if entry["event"] == "round"]
    assert again.lines()[: len(before)] == before and line in before
    assert [entry["round"] for entry in rounds] == list(range(1, 13))
    assert all(0 < entry["seconds"] < 60 and len(entry["clients"]) == 2 for entry in rounds)
