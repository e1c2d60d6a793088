"""Exceptions: in a client, in the strategy, in an app that is broken."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from faults.conftest import Recovered
from faults.test_peers import BACK, JOINED, since, with_all
from support.processes import DATA, SOURCE, Federation, until

LABELS = "train-labels-idx1-ubyte"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder of its own, to be damaged: EDGEFL_DATA_DIR of a client."""
    folder = tmp_path / "data"
    folder.mkdir()
    for path in DATA.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def damage(folder: Path) -> None:
    (folder / LABELS).unlink()
    (folder / LABELS).write_bytes(b"")


def repair(folder: Path) -> None:
    (folder / LABELS).unlink()
    (folder / LABELS).symlink_to(DATA / LABELS)


def test_an_exception_in_fit(federation: Federation, data: Path, recovered: Recovered) -> None:
    """One client can't read its data: it says so and lives on, the others train, and it is back when the data is."""
    aggregator = federation.aggregator("--rounds=1000", "--min_round_samples=0.3")
    broken = federation.light_client("edge1", 0, 500, fit=0.5, EDGEFL_DATA_DIR=str(data))
    federation.light_client("edge2", 500, 1_500, fit=0.5)
    joined = with_all(aggregator, 0)["round"]
    damage(data)
    line = federation.event(aggregator, "round", joined + 2)
    assert [one["node"] for one in line["clients"]] == ["edge2"]
    assert line["lost"][0]["node"] == "edge1" and line["lost"][0]["reason"].startswith("DataError: ")
    assert broken.told("Traceback")
    repair(data)
    begin = time.monotonic()
    with_all(aggregator, joined + 2)
    recovered("exception in fit: its cause is gone -> a round with the client is done", since(begin), BACK)


def test_an_exception_in_fit_of_all(federation: Federation, data: Path, recovered: Recovered) -> None:
    """The run ends with the reason; the clients live, and serve the next aggregator."""
    clients = [
        federation.light_client(node, start, stop, EDGEFL_DATA_DIR=str(data))
        for node, start, stop in (("edge1", 0, 2_000), ("edge2", 2_000, 4_000))
    ]
    until(lambda: all(one.told("is ready") for one in clients), "the clients")
    damage(data)
    aggregator = federation.aggregator("--rounds=1")
    failed = federation.event(aggregator, "failed")
    assert "DataError" in failed["reason"] and "replace it" in failed["reason"]
    assert aggregator.process.wait(5) == 1
    assert all(one.lives for one in clients)
    repair(data)
    again = federation.aggregator("--rounds=1")
    until(federation.ready, "ready")
    begin = time.monotonic()
    until(lambda: len(federation.status()["nodes"]) == 2, "the clients")
    recovered("exception in fit of all: the new aggregator's port is open -> all have joined", since(begin), BACK)
    federation.event(again, "done")


def test_an_exception_in_the_strategy(federation: Federation, recovered: Recovered) -> None:
    """The aggregator ends with the reason; a corrected one goes on with the round that failed."""
    options = (f"--state_dir={federation.folder / 'state'}", "--rounds=3", "--strategy=FedAvgM")
    broken = federation.aggregator(*options, module="faults.failing_strategy")
    clients = federation.pair()
    failed = federation.event(broken, "failed")
    assert broken.process.wait(5) == 1
    assert failed["reason"] == "RuntimeError: no idea how to combine these" and failed["round"] == 2
    assert broken.told("Traceback") and all(one.lives for one in clients)
    again = federation.aggregator(*options)
    until(federation.ready, "ready")
    begin = time.monotonic()
    until(lambda: again.told(JOINED, 2), "the clients")
    recovered(
        "exception in the strategy: the corrected aggregator's port is open -> all have joined", since(begin), BACK
    )
    federation.event(again, "done")
    assert [(entry["event"], entry["round"]) for entry in again.lines()] == [
        ("start", 0), ("round", 1), ("round", 2), ("round", 3), ("done", 3)
    ]  # fmt: skip


def test_weights_that_are_not_finite(federation: Federation) -> None:
    """A step size beyond all reason: the run ends before the ruined model is kept."""
    state = federation.folder / "state"
    options = ("--strategy=FedAdam", "--strategy_options=eta=1e39", f"--state_dir={state}")
    aggregator = federation.aggregator(*options)
    federation.pair()
    assert "FedAdam made weights that are not finite" in federation.event(aggregator, "failed")["reason"]
    assert aggregator.process.wait(5) == 1
    assert list((state / "default").glob("*.npz")) == []


BROKEN = {
    "a syntax error": ("model.py", "def build():\n    return (\n", "model.py line 2: SyntaxError"),
    "an import of what is not there": (
        "model.py",
        "import nosuch\n",
        "model.py line 1: there is no module nosuch: add it",
    ),
    "no build": ("model.py", "def make():\n    pass\n", "defines no function build(); add it"),
    "an exception in build": (
        "model.py",
        "def build():\n    raise ValueError('no')\n",
        "model.py line 2: ValueError: no",
    ),
    "no data": (
        "data.py",
        "def train(a, b):\n    open('nowhere')\n\n\ntest = train\n",
        "data.py line 2: FileNotFoundError",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_app(federation: Federation, what: str) -> None:
    """The client says which line is wrong and ends; the aggregator too, if the flaw is in what it uses."""
    file, text, reason = BROKEN[what]
    source = federation.folder / "source"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    app = source / "edgefl" / "apps" / "broken"
    shutil.copytree(source / "edgefl" / "apps" / "fashion_mnist", app)
    (app / "fashion_mnist").rename(app / "broken")
    pyproject = app / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("fashion_mnist", "broken"))
    (app / "broken" / file).write_text(text)
    options = {"PYTHONPATH": str(source)}
    client = federation.client("edge1", 0, 1_000, "--app=broken", **options)
    aggregator = federation.aggregator("--app=broken", **options)
    assert client.process.wait(30) == os.EX_DATAERR
    assert client.told(reason), client.err.read_text()
    if what == "an exception in build":  # the aggregator does not build the model
        until(federation.ready, "ready")
    else:
        assert aggregator.process.wait(30) == 1
        assert aggregator.told(reason), aggregator.err.read_text()


def test_a_slice_beyond_the_data(federation: Federation) -> None:
    client = federation.client("edge1", 0, 70_000)
    assert client.process.wait(60) == os.EX_DATAERR
    assert client.told("--clients=70000 is beyond the 60000 samples of app fashion_mnist")


def test_a_taken_port(federation: Federation) -> None:
    first = federation.aggregator()
    until(federation.ready, "ready")
    federation.status_port += 1
    second = federation.aggregator()
    assert second.process.wait(20) == 1
    assert "already in use" in federation.event(second, "failed")["reason"]
    assert first.lives


def test_a_message_that_is_too_large(federation: Federation) -> None:
    """It is refused by its announced length: the aggregator's memory stays, and the run goes on."""
    aggregator = federation.aggregator("--rounds=1")
    until(federation.ready, "ready")
    before = peak_memory(aggregator.process.pid)
    probe = federation.program("probe", "faults.large_message", f"{federation.host}:{federation.port}")
    probe.process.wait(60)
    assert probe.out.read_text().startswith("RESOURCE_EXHAUSTED"), probe.out.read_text() + probe.err.read_text()
    assert peak_memory(aggregator.process.pid) - before < 50e6
    federation.pair()
    federation.event(aggregator, "done")


def peak_memory(pid: int) -> float:
    """Bytes, VmHWM of proc(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
