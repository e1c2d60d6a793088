"""Each fault of the table, one after the other, on a lab that trains all the while."""

from __future__ import annotations

import time

import pytest

from e2e.faults.conftest import Row
from e2e.faults.table import FAULTS, Fault
from e2e.faults.training import PREFIX, ROUNDS, Training, console, lost, processes, recovery, unwell
from support.processes import until

pytestmark = pytest.mark.long
# Rounds between two injections of one fault
BETWEEN = 3


def inflict(fault: Fault, training: Training) -> tuple[float, float]:
    """Injects a fault, holds it and undoes it; gives the times of its begin and of its end."""
    names = {"node": PREFIX + fault.on, "state": training.state}

    def do(command: str) -> None:
        for name, value in names.items():
            command = command.replace("{" + name + "}", value)
        done = console(fault.console, command)
        assert done.returncode == 0, f"{fault.name}: {command}: {done.stderr}"

    begin = time.time()
    try:
        for time_ in range(fault.times):
            if time_:
                loop, round_ = training.place()
                training.reach(loop, round_ + BETWEEN) if round_ + BETWEEN <= ROUNDS else training.reach(
                    loop + 1, BETWEEN
                )
            do(fault.inject)
        if fault.hold is None:
            training.reach(training.place()[0] + 2, 0)
        else:
            time.sleep(fault.hold)
    finally:
        if fault.undo:
            do(fault.undo)
    return begin, time.time()


def missing(fault: Fault, before: set[str], since: float) -> list[str]:
    """What is not there again: parts of the cluster, and the program that was killed."""
    gone = fault.program and not processes(fault.on, fault.program) - before
    return [*unwell(since), *([f"no new process of {fault.program}"] if gone else [])]


def wait_until_whole(fault: Fault, before: set[str], since: float) -> float:
    """Waits until the lab is whole again; gives the seconds since a time."""
    found: list[str] = []

    def whole() -> bool:
        found[:] = missing(fault, before, since)
        return not found

    try:
        until(whole, "the lab", fault.limit, pause=1)
    except AssertionError:
        raise AssertionError(f"{fault.name}: after {fault.limit:g} s still {'; '.join(found)}") from None
    return time.time() - since


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(trainings: Training, rows: list[Row], fault: Fault) -> None:
    first = trainings.early()
    before = processes(fault.on, fault.program) if fault.program else set()
    begin, end = inflict(fault, trainings)
    whole = wait_until_whole(fault, before, end)
    # The training in which it came, and the one in which it went, are judged when they are done
    last = until(lambda: trainings.place(), "the training")[0]
    trainings.reach(last + 1, 0)
    lines = trainings.of(first, last)
    after, longest = recovery(lines, begin, end, trainings.usual)
    rows.append(
        Row(
            fault.name,
            lost([line for line in lines if line["time"] > begin]),
            after,
            whole,
            longest,
            trainings.prove(first, last),
        )
    )
    assert after <= fault.limit, f"{fault.name}: a whole round came only after {after:.1f} s"
    assert trainings.play.poll() is None, "the playbook that follows the training ended"
