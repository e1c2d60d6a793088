"""What is on the disk: whatever moment the aggregator is killed at, damaged, or full."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgefl.aggregator.checkpoint import Store
from faults.conftest import Recovered
from faults.test_peers import BACK, JOINED, in_round, since
from support.processes import Federation, Program, until

ROUNDS = 2


def events(folder: Path) -> list[tuple[str, int]]:
    lines = [json.loads(row) for row in (folder / "rounds.jsonl").read_text().splitlines()]
    return [(entry["event"], entry["round"]) for entry in lines]


def whole(folder: Path) -> None:
    """Go on with the run of `folder`: each round is there once, and the model went through each once."""
    from faults import checkpoints

    weights = checkpoints.run(folder, ROUNDS)
    assert events(folder) == [("start", 0), *(("round", number) for number in range(1, ROUNDS + 1)), ("done", ROUNDS)]
    assert (weights[0] == ROUNDS).all()


def forked(folder: Path, step: int = 0, after: float = 0) -> bool:
    """Do the run in a child that dies before the `step`-th line of the writing code, or `after` seconds: whether it died."""
    from faults import checkpoints

    child = os.fork()
    if child == 0:
        try:
            if step:
                checkpoints.kill_at(step)
            checkpoints.run(folder, ROUNDS)
        finally:
            os._exit(0)
    if after:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where the machine has such: fsync waits for no disk there, and what a killed process wrote is the kernel's on either."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None) as folder:
        yield Path(folder)


def test_killed_before_each_line_that_writes(memory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each line of code of the start, two rounds with their checkpoints, and the end."""
    step = 1
    while True:
        folder = memory / str(step)
        folder.mkdir()
        died = forked(folder, step=step)
        whole(folder)
        shutil.rmtree(folder)
        if not died:
            break
        step += 1
    assert step > 100, "the writing code was not traced"


def test_killed_at_any_time(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Inside the writes, too: a hundred times at random."""
    rng, died = random.Random(4), 0
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        died += forked(folder, after=rng.uniform(0.001, 0.03))
        whole(folder)
    assert died > 20


def test_a_damaged_checkpoint(federation: Federation, recovered: Recovered) -> None:
    options = ("--rounds=5", f"--state_dir={federation.folder / 'state'}")
    aggregator = federation.aggregator(*options)
    federation.pair(fit=0.4)
    in_round(federation, 4)
    aggregator.end(signal.SIGKILL)
    newest, before = Store(federation.folder / "state" / "default").files()
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    again = federation.aggregator(*options)
    until(federation.ready, "ready")
    begin = time.monotonic()
    until(lambda: again.told(JOINED, 2), "the clients")
    recovered("newest checkpoint damaged: port open -> all have joined", since(begin), BACK)
    assert again.told(f"checkpoint {newest.name} is damaged") and again.told("goes on after round 2 of loop 1")
    assert before.name == "model-0001-00002.npz"
    federation.event(again, "done")
    assert federation.rounds(again) == [(1, number) for number in range(1, 6)]
    assert events(newest.parent) == [("start", 0), *(("round", number) for number in range(1, 6)), ("done", 5)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB; two checkpoints of 0.4 MB are kept."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root: run the tests as root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "edgefl-test", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free; gives the file to remove."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return path


def test_a_full_disk(small_disk: Path, federation: Federation, recovered: Recovered) -> None:
    """The round waits for room and is kept; meanwhile all live, and the status is told."""
    aggregator = federation.aggregator("--rounds=1000", f"--state_dir={small_disk}")
    clients = federation.pair(fit=0.2)
    federation.event(aggregator, "round", 2)
    filler = fill(small_disk)
    until(lambda: aggregator.told("no space to write"), "the message")
    before = len(federation.rounds(aggregator))
    time.sleep(2)
    assert federation.status()["state"] == "training" and len(federation.status()["nodes"]) == 2
    assert len(federation.rounds(aggregator)) == before
    filler.unlink()
    begin = time.monotonic()
    federation.event(aggregator, "round", before + 1)
    recovered("full disk: room is made -> the round is kept", since(begin), BACK)
    federation.event(aggregator, "round", before + 2)
    assert all(one.lives for one in clients)
    assert aggregator.end() <= 2
    printed = [json.loads(row) for row in aggregator.out.read_text().splitlines()]
    assert events(small_disk / "default") == [(entry["event"], entry["round"]) for entry in printed]
    assert [round_ for event, round_ in events(small_disk / "default") if event == "round"] == list(
        range(1, len(printed))
    )


def test_a_full_disk_at_the_start(small_disk: Path, federation: Federation, recovered: Recovered) -> None:
    filler = fill(small_disk)
    aggregator = federation.aggregator("--rounds=1", f"--state_dir={small_disk}")
    federation.pair()
    until(lambda: aggregator.told("no space to write"), "the message")
    filler.unlink()
    begin = time.monotonic()
    federation.event(aggregator, "start")
    recovered("disk full at the start: room is made -> the run has begun", since(begin), BACK)
    federation.event(aggregator, "done")


def joined(program: Program) -> int:
    return program.err.read_text().count("joined the aggregator")


def test_loops(federation: Federation) -> None:
    """Two trainings on the same connections; a kill in the second one goes on there; then there is no more work."""
    options = ("--rounds=3", "--loops=3", f"--state_dir={federation.folder / 'state'}")
    aggregator = federation.aggregator(*options)
    clients = federation.pair(fit=0.2)
    until(lambda: (2, 1) in federation.rounds(aggregator), "the second loop")
    assert [joined(one) for one in clients] == [1, 1]
    aggregator.end(signal.SIGKILL)
    again = federation.aggregator(*options)
    done = federation.event(again, "done")
    assert federation.rounds(again) == [(loop, round_) for loop in (1, 2, 3) for round_ in (1, 2, 3)]
    assert (done["loop"], done["round"], done["rounds"]) == (3, 3, 9)
    assert [joined(one) for one in clients] == [2, 2]
    first, *_others, last = (entry for entry in again.lines() if entry["round"] == 1)
    assert abs(first["accuracy"] - last["accuracy"]) < 0.15  # each loop begins with a new model

    late = federation.light_client("edge3", 1_500, 2_000)
    until(lambda: "edge3" in federation.status()["nodes"], "a client that comes late")
    time.sleep(1)
    assert federation.ready() and federation.status()["state"] == "done"
    assert again.lines()[-1] == done and late.lives
