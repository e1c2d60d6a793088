"""States of an app that come after the image: clients with the framework loaded go on with the one that the aggregator has, which takes run after run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import SOURCE, Federation, Program, until
from support.store import put

NAME = "fashion_mnist"
LOADED = "the framework is loaded"


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    made = Federation(tmp_path)
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def edited(tmp_path: Path, number: int, old: str, new: str) -> Path:
    """Sources whose app has another line."""
    sources = tmp_path / f"sources{number}"
    shutil.copytree(SOURCE, sources, ignore=shutil.ignore_patterns("__pycache__"))
    model = sources / "edgefl/apps" / NAME / NAME / "model.py"
    text, changed = re.subn(old, new, model.read_text(), count=1)
    assert changed
    model.write_text(text)
    return sources


def client(federation: Federation, node: str, store: Path, light: bool = False) -> Program:
    """A client of 500 samples that keeps the framework loaded; a light one trains without it."""
    start = 500 if node == "edge2" else 0
    begin = federation.light_client if light else federation.client
    return begin(node, start, start + 500, f"--apps_dir={store}")


def aggregator(federation: Federation, run: str, sources: Path, rounds: int = 2) -> Program:
    """One with the app of these sources, for two clients."""
    return federation.aggregator(f"--run={run}", f"--rounds={rounds}", "--min_num_clients=2", PYTHONPATH=str(sources))


def trains(federation: Federation, run: str, sources: Path) -> Program:
    """As above, until it is done."""
    program = aggregator(federation, run, sources)
    federation.event(program, "done")
    return program


def test_an_edit_is_trained_by_clients_that_have_the_framework(
    federation: Federation, tmp_path: Path, store: Path
) -> None:
    """One that starts anew gets the same; what the aggregator has decides; and where that is not on the node nothing is trained."""
    clients = [client(federation, node, store) for node in ("edge1", "edge2")]
    first = aggregator(federation, "first", SOURCE, rounds=1000)
    federation.event(first, "round", 2)
    sources = edited(tmp_path, 1, r"Dropout\([0-9.]+\)", "Dropout(0.31)")
    identity = put(store, NAME, sources)
    time.sleep(0.5)
    assert not any(one.told(f"app {identity} came") for one in clients), "while they work for an aggregator"
    assert not any(line["event"] == "done" for line in first.lines())
    first.end()
    for one in clients:
        until(lambda: one.told(f"app {identity} came"), "the new app")  # noqa: B023
    second = trains(federation, "second", sources)
    start = federation.event(second, "start")
    assert start["settings"]["identity"] == identity
    losses = [federation.event(one, "round", 2)["loss"] for one in (first, second)]
    assert losses[0] != losses[1]
    assert all(one.times(LOADED) == 1 for one in clients)
    second.end()
    clients[0].kill()
    clients[0] = client(federation, "edge1", store)
    again = trains(federation, "again", sources)
    assert not clients[0].told("the aggregator has app")
    again.end()
    back = trains(federation, "back", SOURCE)
    assert all(one.told(f"the aggregator has app {NAME}@") for one in clients)
    back.end()
    absent = aggregator(federation, "absent", edited(tmp_path, 2, r"Dropout\([0-9.]+\)", "Dropout(0.41)"))
    until(lambda: absent.told("refused: edge1/") and absent.told("refused: edge2/"), "both are held")
    assert not federation.rounds(absent) and all(one.lives and one.times(LOADED) == 1 for one in clients)


def test_one_aggregator_takes_one_run_after_the_other(federation: Federation, tmp_path: Path, store: Path) -> None:
    """As a file says; what is made for another pod is passed over, and who begins anew takes the run that is there."""
    file = tmp_path / "run.json"

    def write(run: str, *arguments: str, made_for: str = "this") -> None:
        given = [f"--run={run}", "--rounds=1", "--min_num_clients=2", *arguments]
        new = tmp_path / "new"
        new.write_text(json.dumps({"made_for": made_for, "arguments": given}))
        new.replace(file)

    def begin() -> Program:
        pod = [f"--run_file={file}", "--made_for=this", f"--apps_dir={store}", f"--state_dir={tmp_path / 'state'}"]
        return federation.aggregator(*pod)

    def done(program: Program, run: str) -> None:
        until(
            lambda: [line for line in program.lines() if (line["event"], line["run"]) == ("done", run)],
            f"run {run} is done",
        )

    waiting = "waiting for a run that is made for this pod"
    program = begin()
    until(lambda: program.told(waiting), "it waits")
    for text in ("{", "[]", '{"made_for": "this"}'):
        file.write_text(text)
        time.sleep(0.2)
    write("others", made_for="another")
    clients = [client(federation, node, store, light=True) for node in ("edge1", "edge2")]
    write("first")
    done(program, "first")
    identity = put(store, NAME, edited(tmp_path, 1, r"Dropout\([0-9.]+\)", "Dropout(0.31)"))
    # The first run is over: they load it, and are with the aggregator of that run until the next begins
    until(
        lambda: [one.times("joined the aggregator") for one in clients] == [2, 2], "they wait with it for the next run"
    )
    write("second", f"--app_identity={identity}")
    done(program, "second")
    starts = [line for line in program.lines() if line["event"] == "start"]
    assert [line["run"] for line in starts] == ["first", "second"]
    assert starts[0]["settings"]["identity"] != starts[1]["settings"]["identity"] == identity
    write("third", made_for="another")
    time.sleep(0.5)
    assert federation.status()["run"] == "second" and program.times("another run is wanted") == 1
    assert all(one.lives and one.times(LOADED) == 1 for one in clients)
    program.kill()
    until(lambda: not federation.ready(), "its run ends with it", 5)
    program = begin()
    until(lambda: program.told(waiting), "it waits")
    write("second", f"--app_identity={identity}")
    until(federation.ready, "it begins")
    (run,) = (
        (Path("/proc") / str(program.process.pid) / "task" / str(program.process.pid) / "children").read_text().split()
    )
    os.kill(int(run), signal.SIGKILL)
    assert program.process.wait(10) == 128 + signal.SIGKILL, "as the kubelet sees who is ended by the kernel"
    assert program.told(f"process {run} was ended by signal 9")
    write("third", made_for="another")
    program = begin()
    until(lambda: program.told(waiting), "it waits")
    write("second", f"--app_identity={identity}")
    done(program, "second")
    assert program.told("run second is complete")
    write("absent", f"--app_identity={NAME}@0123456789ab")
    until(lambda: not program.lives, "it ends")
    assert program.process.returncode == 1 and program.told("ship it again")
