"""Each fault of the table, one after the other, on a lab that trains all the while."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.faults.inflict import suffer
from e2e.faults.table import EXPIRE, FAULTS, SMALL, STATE_FULL, Fault
from e2e.faults.training import ROUNDS, Row, Training, console, hole, lost, pauses, recovery
from support.processes import until
from support.running_lab import Lab

pytestmark = pytest.mark.long
# Seconds without a figure of CPU and memory: a restart of the cloud node, and the two intervals that metrics-server takes for its first figures
HOLE = 150


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(trainings: Training, rows: list[Row], fault: Fault) -> None:
    rows.append(suffer(fault, trainings))


def test_nothing_is_missing_in_the_whole_run(trainings: Training) -> None:
    """Neither between the faults nor in the telemetry, whatever became of the program that records it."""
    trainings.prove(1, trainings.place()[0] - 1)
    seconds, at = hole(trainings)
    assert seconds <= HOLE, f"no figure of CPU and memory for {seconds:.0f} s, at {at:.0f}"


@pytest.fixture
def small_volume() -> Iterator[str]:
    """A folder for states on the cloud node that has 20 MB."""
    assert console("cloud", f"mkdir -p {SMALL} && mount -t tmpfs -o size=20m edgefl-test {SMALL}").returncode == 0
    yield SMALL
    console("cloud", f"umount --lazy {SMALL}; rmdir {SMALL}")


def test_full_state_volume(lab: Lab, rows: list[Row], small_volume: str, tmp_path: Path) -> None:
    lab.other_training.set()
    training = Training.begin("full", tmp_path, edgefl_state_dir=small_volume)
    try:
        training.measure_undisturbed(1)
        rows.append(suffer(STATE_FULL, training))
    finally:
        training.end()


def test_expired_certificates(lab: Lab, rows: list[Row], tmp_path: Path) -> None:
    """Nobody comes in with them; the same command again makes new ones, and the run goes on."""
    lab.other_training.set()
    training = Training.begin("expired", tmp_path, loops=3)
    try:
        training.measure_undisturbed(1)
        training.early()
    finally:
        training.end()
    begin = time.time()
    done = console("cloud", EXPIRE)
    assert done.returncode == 0, done.stderr
    until(
        lambda: "expired" in lab.kubectl("logs", "--namespace=edgefl", "--selector=app=federated-learning-client"),
        "the clients' logs",
        pause=1,
    )
    before = training.lines(1)
    end = time.time()
    again = replace(training, log=tmp_path / "again.log")
    assert again.wait() == 0, again.log.read_text()
    assert before[0]["event"] == "round", "the training was over before its certificates"
    lines = again.of(1, 3)
    after, longest = recovery(lines, begin, end, again.usual)
    gone = lost([line for line in lines if line["time"] > begin])
    rows.append(Row("certificates expired; end: site.yml is run again", gone, after, longest, after, again.prove(1, 3)))


# What the playbook that is killed has shown by then: a play of site.yml, or a task of its last one
PHASES = ("3/7", "4/7", "5/7", "Train on the edges", "Apply the manifests", f"round    5/{ROUNDS}")


@pytest.mark.parametrize("shown", PHASES)
def test_controller_killed_and_run_again(lab: Lab, rows: list[Row], tmp_path: Path, shown: str) -> None:
    """With kill -9, in that phase; the same command again brings the same run to its end, with no hand at the lock."""
    lab.other_training.set()
    killed = Training.begin(f"killed-{PHASES.index(shown)}", tmp_path, loops=1, tags="all")
    killed.kill_when(shown)
    end = time.time()
    again = replace(killed, log=tmp_path / "again.log")
    assert again.wait() == 0, again.log.read_text()
    lines = again.of(1, 1)
    again.prove(1, 1, compare=False)
    after = max(0.0, lines[0]["time"] - end)
    name = f"controller killed when it showed {shown!r}; end: site.yml is run again"
    rows.append(Row(name, lost(lines), after, max(pauses(lines)), time.time() - end, f"{len(lines)} rounds, each once"))
