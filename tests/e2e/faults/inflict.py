"""A fault of the table is injected, held and undone; and the lab is waited for until it is whole again."""

from __future__ import annotations

import time
from collections.abc import Callable

from e2e.faults.table import Fault
from e2e.faults.training import PREFIX, ROUNDS, Row, Training, console, lost, processes, recovery, unwell
from support.processes import until

# Rounds between two injections of one fault
BETWEEN = 3


def do(fault: Fault, command: str, training: Training) -> str:
    """Runs a command of a fault; gives why it failed, or nothing."""
    for name, value in (("{node}", PREFIX + fault.on), ("{state}", training.state)):
        command = command.replace(name, value)
    done = console(fault.console, command)
    return f"{fault.name}: {command} ended with {done.returncode}: {done.stderr}" if done.returncode else ""


def inflict(fault: Fault, training: Training) -> tuple[float, float]:
    """Injects a fault, holds it, and undoes it in any case; gives the times of its begin and of its end."""
    begin = time.time()
    try:
        for time_ in range(fault.times):
            if time_:
                loop, round_ = training.place()
                late = round_ + BETWEEN > ROUNDS
                training.reach(loop + late, BETWEEN if late else round_ + BETWEEN)
            problem = do(fault, fault.inject, training)
            assert not problem, problem
        if fault.hold is None:
            training.reach(training.place()[0] + 2, 0)
        else:
            time.sleep(fault.hold)
    finally:
        if fault.undo:
            until(lambda: not do(fault, fault.undo, training), f"{fault.name}: its end", pause=1)
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


def suffer(fault: Fault, training: Training, meanwhile: Callable[[], object] = lambda: None) -> Row:
    """
    A fault in the midst of a training, and what it cost, proven by the trainings in which it came and went.

    :param meanwhile: begins what else is done at that time
    """
    first = training.early()
    meanwhile()
    before = processes(fault.on, fault.program) if fault.program else set()
    begin, end = inflict(fault, training)
    whole = wait_until_whole(fault, before, end)
    # The training in which it went is judged when it is done
    last = until(training.place, "the training")[0]
    training.reach(last + 1, 0)
    lines = training.of(first, last)
    after, longest = recovery(lines, begin, end, training.usual)
    gone = lost([line for line in lines if line["time"] > begin])
    row = Row(fault.name, gone, after, longest, whole, training.prove(first, last))
    assert after <= fault.limit, f"{fault.name}: a whole round came only after {after:.1f} s"
    assert training.play.poll() is None, "the playbook that follows the training ended"
    return row
