"""Faults for which a training must be deployed anew, before or after: each has one of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2e.faults.inflict import suffer
from e2e.faults.table import EDGE_FULL, EXPIRE, FOREIGN, LARGE_EDGE, SMALL, SMALL_EDGE, STATE_FULL, Fault
from e2e.faults.training import ROUNDS, Row, Training, console, lost, pauses, recovery
from support.processes import until
from support.running_lab import Lab

pytestmark = pytest.mark.long


@pytest.fixture
def small_volume() -> Iterator[str]:
    """A folder for states on the cloud node that has 20 MB."""
    root("cloud", f"mkdir -p {SMALL} && mount -t tmpfs -o size=20m,uid=10001,gid=10001,mode=755 edgefl-test {SMALL}")
    yield SMALL
    console("cloud", f"umount --lazy {SMALL}; rmdir {SMALL}")


@pytest.fixture
def small_edge() -> Iterator[None]:
    """Edgecore on edge2 has 64 MB."""
    root("edge2", SMALL_EDGE)
    yield
    root("edge2", LARGE_EDGE)


def root(host: str, command: str) -> None:
    """Runs a command at a node's console, which is to work."""
    done = console(host, command)
    assert done.returncode == 0, f"{host}: {done.stderr}"


def test_full_state_volume(lab: Lab, rows: list[Row], small_volume: str, tmp_path: Path) -> None:
    training_with(STATE_FULL, lab, rows, tmp_path, edgefl_state_dir=small_volume)


@pytest.mark.usefixtures("small_edge")
def test_full_disk_of_an_edge(lab: Lab, rows: list[Row], tmp_path: Path) -> None:
    """Edgecore can't keep what it is told of its pods."""
    training_with(EDGE_FULL, lab, rows, tmp_path)


def training_with(fault: Fault, lab: Lab, rows: list[Row], folder: Path, **variables: Any) -> None:
    """A training of its own that suffers a fault."""
    lab.other_training.set()
    training = Training.begin("full", folder, **variables)
    try:
        training.measure_undisturbed(1)
        rows.append(suffer(fault, training))
    finally:
        training.end()


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("certificates expired", EXPIRE, "expired"),
        ("certificates of another authority", FOREIGN, "signature failure"),
    ],
    ids=lambda value: str(value).partition("\n")[0],
)
def test_bad_certificates(lab: Lab, rows: list[Row], tmp_path: Path, name: str, change: str, told: str) -> None:
    """Nobody comes in with them; the same command again makes new ones, and the run goes on."""
    lab.other_training.set()
    training = Training.begin("certificates", tmp_path, loops=3)
    try:
        training.measure_undisturbed(1)
        training.early()
    finally:
        training.end()
    begin = time.time()
    root("cloud", change)
    # One of the pods may just go, which is an error of the whole command
    logs = "kubectl --kubeconfig=/etc/kubernetes/admin.conf logs --namespace=edgefl --selector=app=federated-learning-client 2>&1 || true"
    until(lambda: told in lab.ssh("cloud", logs), "the clients' logs", pause=1)
    before = training.lines(1)
    end = time.time()
    again = replace(training, log=tmp_path / "again.log")
    assert again.wait() == 0, again.log.read_text()
    assert before[0]["event"] == "round", "the training was over before its certificates"
    lines = again.of(1, 3)
    after, longest = recovery(lines, begin, end, again.usual)
    gone = lost([line for line in lines if line["time"] > begin])
    rows.append(Row(f"{name}; end: site.yml is run again", gone, after, longest, after, again.prove(1, 3)))


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
