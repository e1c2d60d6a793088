"""Each fault of the table, one after the other, on a lab that trains all the while."""

from __future__ import annotations

import pytest

from e2e.faults.inflict import suffer
from e2e.faults.table import FAULTS, Fault
from e2e.faults.training import Row, Training, hole

# Seconds without a figure of CPU and memory: a restart of the cloud node, and the two intervals that metrics-server takes for its first figures
HOLE = 150


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=fault.name, marks=[] if fault.always else pytest.mark.long) for fault in FAULTS]
)
def test_fault(trainings: Training, rows: list[Row], fault: Fault) -> None:
    rows.append(suffer(fault, trainings))


def test_nothing_is_missing_in_the_whole_run(trainings: Training) -> None:
    """Neither between the faults nor in the telemetry, whatever became of the program that records it."""
    trainings.prove(1, trainings.place()[0] - 1)
    seconds, at = hole(trainings)
    assert seconds <= HOLE, f"no figure of CPU and memory for {seconds:.0f} s, at {at:.0f}"
