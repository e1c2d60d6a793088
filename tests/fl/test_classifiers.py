"""The apps of this package as Flower apps, with and without this project around them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fl.test_flower_apps import rounds, started, state

from support.processes import PYTHON, ROOT, SOURCE, Federation, until

APP = SOURCE / "edgefl/apps/fashion_mnist"
CNN = SOURCE / "edgefl/apps/fashion_mnist_cnn"
SAMPLES = 3_000
"""Of each of two nodes: partitions 0 and 1 of 20."""


def plain(folder: Path, app: Path, *config: str) -> dict[str, list[Any]]:
    """What `flwr build` makes of the app, on two nodes of Flower alone; what support.plain_flower prints."""
    more = {"PYTHONPATH": f"{SOURCE}:{ROOT / 'tests'}", "FLWR_HOME": f"{folder}/home", "FLWR_DISABLE_UPDATE_CHECK": "1"}

    def called(*words: str | Path) -> str:
        said = subprocess.run(
            words, env=os.environ | more, cwd=folder, check=False, capture_output=True, text=True, timeout=300
        )
        assert said.returncode == 0, said.stdout + said.stderr
        return said.stdout

    # Flower's own names have no underscore
    copy = shutil.copytree(app, folder / app.name.replace("_", "-"), ignore=shutil.ignore_patterns("__pycache__"))
    called(Path(PYTHON).with_name("flwr"), "build", "--app", copy)
    (fab,) = folder.glob("*.fab")
    shutil.unpack_archive(fab, folder / "unpacked", "zip")
    said = called(PYTHON, "-m", "support.plain_flower", folder / "unpacked", "2", "20", *config)
    found: dict[str, list[Any]] = json.loads(said.splitlines()[-1])
    return found


def ours(federation: Federation, *arguments: str) -> list[dict[str, float]]:
    """The same two nodes and the coordinator; its lines."""
    aggregator = federation.aggregator("--rounds=3", "--min_nodes=2", *arguments)
    clients = [
        federation.client(f"edge{number}", number * SAMPLES, (number + 1) * SAMPLES, *arguments) for number in (0, 1)
    ]
    federation.event(aggregator, "done")
    for client in clients:  # else the first round would wait for it
        assert client.err.read_text().index("TensorFlow is ready") < client.err.read_text().index("joined the")
    return [entry for entry in aggregator.lines() if entry["event"] in ("start", "round")]


def test_flower_alone_trains_as_the_coordinator_does(federation: Federation, tmp_path: Path) -> None:
    """The same model to begin with, and as good a one in the end: samples come in another order."""
    theirs = plain(tmp_path, APP, "num-server-rounds=3")
    assert theirs["examples"] == [SAMPLES, SAMPLES]
    lines = ours(federation)
    assert lines[0]["accuracy"] == pytest.approx(theirs["rounds"][0]["accuracy"], abs=1e-6)
    assert lines[0]["loss"] == pytest.approx(theirs["rounds"][0]["loss"], abs=1e-5)
    assert (
        lines[3]["accuracy"] == pytest.approx(theirs["rounds"][3]["accuracy"], abs=0.02) and lines[3]["accuracy"] > 0.75
    )
    with np.load(tmp_path / "final_model.npz") as model:
        assert [array.shape for array in model.values()] == [(784, 128), (128,), (128, 10), (10,)]


@pytest.mark.long
def test_the_clients_evaluate_on_flower_alone_too(federation: Federation, tmp_path: Path) -> None:
    """The first model is a node's."""
    theirs = plain(tmp_path, CNN, "num-server-rounds=3")
    lines = ours(federation, "--app=fashion_mnist_cnn")
    assert lines[3]["accuracy"] == pytest.approx(theirs["rounds"][-1]["accuracy"], abs=0.05)


def test_one_that_is_no_classifier_has_its_own_server(federation: Federation, tmp_path: Path) -> None:
    """Without the declaration its ServerApp is called; the pods of a node divide its samples."""
    app = shutil.copytree(APP, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    pyproject = app / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('classifier = "fashion_mnist"\n', ""))
    aggregator = started(federation, app, "--app_config=num-server-rounds=2 min-nodes=3", "--min_num_clients=3")
    for number in (0, 0, 1):
        part = f"--node_config=partition-id={number} num-partitions=20"
        federation.light_client(f"edge{number}", 0, 1, f"--app={app}", part)
    federation.event(aggregator, "done")
    made = rounds(aggregator)
    assert [sorted(one["examples"] for one in line["clients"]) for line in made] == [[SAMPLES // 2] * 2 + [SAMPLES]] * 2
    assert made[1]["accuracy"] > made[0]["accuracy"] > 0.3
    assert (state(federation) / "work/final_model.npz").exists()


def test_a_classifier_that_lies_elsewhere(federation: Federation, tmp_path: Path) -> None:
    """By its path it is trained as by its name: the samples of a node divided, its own names in the lines."""
    app = shutil.copytree(APP, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("__pycache__"))
    aggregator = started(federation, app, "--rounds=1", "--min_num_clients=3", "--min_nodes=2")
    for node in ("edge1", "edge1", "edge2"):
        start = SAMPLES if node == "edge2" else 0
        federation.light_client(node, start, start + SAMPLES, f"--app={app}")
    federation.event(aggregator, "done")
    (made,) = rounds(aggregator)
    assert [(one["start"], one["stop"]) for one in made["clients"]] == [(0, 1500), (1500, 3000), (3000, 6000)]
    start = aggregator.lines()[0]["settings"]
    assert start["app"] == "fashion_mnist" and start["identity"].startswith("fashion_mnist@")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one processor there is one thread anyway")
def test_libraries_have_no_more_threads_than_allowed(federation: Federation, tmp_path: Path) -> None:
    """NumPy makes its threads when it is imported: by then the process has to know how many."""
    app = shutil.copytree(ROOT / "tests/fl/flower_apps/means", tmp_path / "means")
    with (app / "means/client_app.py").open("a") as file:
        file.write(
            "\nimport os, threading\nprint('native threads:', len(os.listdir('/proc/self/task')) - threading.active_count())\n"
        )
    for number, (threads, native) in enumerate({"--threads=1": "0", "--threads=2": "1"}.items()):
        client = federation.app_client(f"edge{number}", app, threads)
        until(lambda: client.told("is ready"), "the app")  # noqa: B023
        assert f"native threads: {native}\n" in client.out.read_text()
