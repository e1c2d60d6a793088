"""What the fault tests on the lab take for proof, and for recovered."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from e2e.faults import table
from e2e.faults.training import lost, recovery, trained_once

ALONE = (table.STATE_FULL, table.EDGE_FULL, table.DYING_EDGE, table.TAKEN_OVER)
COMMANDS = [
    *(command for fault in (*table.FAULTS, *ALONE) for command in (fault.inject, fault.undo) if command),
    table.SMALL_EDGE,
    table.LARGE_EDGE,
    table.TAKE_OVER,
    table.EXPIRE,
    table.FOREIGN,
]
SLICES = {"edge1": (0, 100), "edge2": (100, 300)}


def part(node: str, start: int, stop: int) -> dict[str, Any]:
    return {"node": node, "start": start, "stop": stop, "examples": stop - start}


def line(*parts: dict[str, Any], missing: tuple[str, ...] = (), at: float = 0) -> dict[str, Any]:
    return {"time": at, "clients": list(parts), "lost": [{"node": node} for node in missing]}


def test_each_sample_once() -> None:
    assert trained_once(line(part("edge1", 0, 100), part("edge2", 200, 300), part("edge2", 100, 200)), SLICES) == 300
    assert trained_once(line(part("edge1", 0, 100), part("edge2", 100, 200), missing=("edge2",)), SLICES) == 200


@pytest.mark.parametrize(
    ("parts", "missing", "told"),
    [
        ([part("edge1", 0, 100), part("edge2", 100, 250), part("edge2", 200, 300)], (), "edge2 trained samples twice"),
        ([part("edge1", 0, 100), part("edge1", 0, 100), part("edge2", 100, 300)], (), "edge1 trained samples twice"),
        ([part("edge1", 0, 100), part("edge2", 100, 200)], (), "edge2 lacks samples"),
        ([part("edge2", 100, 300)], ("edge2",), "edge1 lacks samples"),
    ],
)
def test_else_it_fails(parts: list[dict[str, Any]], missing: tuple[str, ...], told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        trained_once(line(*parts, missing=missing), SLICES)


@pytest.mark.parametrize(
    ("times", "lost_at", "seconds"),
    [
        # It went on all the while
        ([9, 10, 11, 12, 13], None, (0, 1)),
        # Stood still from 10 to 20
        ([9, 10, 20, 21], None, (9.5, 10)),
        # A part lost in the round that ended at 12
        ([9, 10, 11, 12, 13], 12, (2.5, 1)),
        # Long after the fault nothing is its work
        ([9, 10, 11, 12, 13, 14, 15, 16, 30], None, (0, 14)),
    ],
)
def test_seconds_to_recover(times: list[float], lost_at: float | None, seconds: tuple[float, float]) -> None:
    lines = [line(at=at, missing=("edge1",) if at == lost_at else ()) for at in times]
    assert recovery(lines, 9.5, 10.5, 3) == seconds


def test_what_was_lost_in_words() -> None:
    assert lost([line(), line()]) == "nothing"
    assert lost([line(missing=("edge1",)), {**line(missing=("edge1", "edge2")), "repeated": 1}]) == (
        "2 parts of edge1, 1 part of edge2, 1 round begun again"
    )


def test_commands_can_be_read() -> None:
    """By the shell of a node; and by its Python what they give to that."""
    for command in COMMANDS:
        subprocess.run(["sh", "-n", "-c", command], check=True)
        for program in re.findall(r"python[3 ][^\n]*<<'END'\n(.*?)\nEND$", command, re.DOTALL | re.MULTILINE):
            compile(program, command, "exec")
