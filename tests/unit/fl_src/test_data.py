"""idx files, the dense net's NumPy half, CPU limits and the loading of apps."""

from __future__ import annotations

import re
import struct
import tomllib
from pathlib import Path

import numpy as np
import pytest

from edgefl.apps import AppError
from edgefl.apps.fashion_mnist.fashion_mnist import data as fashion_mnist
from edgefl.apps.fashion_mnist.fashion_mnist import model
from edgefl.client import limits
from edgefl.common import app_folder, idx


def write(path: Path, array: np.ndarray, **wrong: int) -> None:
    head = struct.pack(">HBB", 0, wrong.get("kind", 8), array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(head + array.tobytes()[: len(array.tobytes()) - wrong.get("cut", 0)])


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEFL_DATA_DIR", str(tmp_path))
    return tmp_path


def test_an_idx_file_is_mapped_not_copied(data: Path) -> None:
    array = np.random.default_rng(1).integers(0, 255, (5, 4, 3), np.uint8)
    write(data / "x", array)
    read = idx.read("x")
    assert isinstance(read, np.memmap) and not read.flags.writeable
    assert np.array_equal(read, array)


@pytest.mark.parametrize("damage", [{"kind": 13}, {"cut": 1}])
def test_a_damaged_idx_file_is_refused(data: Path, damage: dict[str, int]) -> None:
    write(data / "x", np.zeros((5, 2), np.uint8), **damage)
    with pytest.raises(idx.DataError, match="replace it"):
        idx.read("x")


def test_a_missing_or_compressed_file_says_what_to_do(data: Path) -> None:
    with pytest.raises(idx.DataError, match="EDGEFL_DATA_DIR"):
        idx.read("x")
    (data / "x").write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(idx.DataError, match="gunzip"):
        idx.read("x")


def test_training_files_of_a_nodes_own(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for folder, value in ((data, 1), (own, 2)):
        write(folder / "train-images-idx3-ubyte", np.full((3, 2, 2), value, np.uint8))
        write(folder / "train-labels-idx1-ubyte", np.full(3, value, np.uint8))
    assert fashion_mnist.train(0, 1)[1].tolist() == [1]
    monkeypatch.setenv("EDGEFL_TRAINING_DIR", str(own))
    images, labels = fashion_mnist.train(0, None)
    assert images.max() == 2 and labels.tolist() == [2, 2, 2]


def test_initial_weights_depend_on_the_seed_only() -> None:
    one, same, other = (model.initial_weights(seed) for seed in (1, 1, 2))
    assert [array.shape for array in one] == [(784, 128), (128,), (128, 10), (10,)]
    assert all(np.array_equal(a, b) for a, b in zip(one, same))
    assert not np.array_equal(one[0], other[0])


def test_evaluation_by_numpy() -> None:
    """A net that looks at one pixel: bright means class 1, dark class 0, with a logit of 10."""
    kernel1, kernel2 = np.zeros((784, 128), np.float32), np.zeros((128, 10), np.float32)
    kernel1[0, 0], kernel2[0, 1] = 1, 20
    bias2 = np.full(10, -100, np.float32)
    bias2[:2] = 10, 0
    images = np.zeros((4100, 28, 28), np.uint8)
    images[::2, 0, 0] = 255
    labels = np.zeros(4100, np.uint8)
    labels[::2] = 1
    loss, accuracy = model.evaluate([kernel1, np.zeros(128, np.float32), kernel2, bias2], images, labels)
    assert accuracy == 1 and loss == pytest.approx(np.log1p(np.exp(-10)), rel=1e-2)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_cpu_limits_of_both_cgroup_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], limit: float | None
) -> None:
    monkeypatch.setattr("edgefl.client.limits.os.sched_getaffinity", lambda _: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert limits.cpu_limit(str(tmp_path)) == (8 if limit is None else limit)


def test_threads_fit_into_the_limit() -> None:
    assert [limits.threads(limit, 0) for limit in (0.5, 1, 1.9, 4)] == [1, 1, 1, 4]
    assert [limits.threads(limit, 2) for limit in (0.5, 1, 1.9, 4)] == [1, 1, 1, 2]


def test_the_usage_of_this_process() -> None:
    figures = limits.Usage().figures()
    assert figures["peak_rss_bytes"] > 10_000_000 and figures["seconds"] >= 0


def test_the_apps_load_without_tensorflow_and_flower() -> None:
    for name in app_folder.names():
        app = app_folder.read(name)
        assert app.is_classifier and app.shards and app.name == name
        project = tomllib.loads((app.folder / app_folder.FILE).read_text())["project"]
        assert re.fullmatch("[A-Za-z][A-Za-z0-9-]{0,31}", project["name"])  # as `flwr run` has it
        assert app.classifier().train.__name__ == "train" and callable(app.classifier().build)
    assert {"fashion_mnist", "fashion_mnist_cnn"} <= set(app_folder.names())


def broken(folder: Path, files: dict[str, str]) -> app_folder.AppFolder:
    """A classifier of these files; its package is called so once."""
    package = f"broken{abs(hash(str(folder)))}"
    (folder / package).mkdir()
    pyproject = (app_folder.OWN / "fashion_mnist" / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(pyproject.replace("fashion_mnist", package))
    for name, content in files.items():
        (folder / package / name).write_text(content)
    return app_folder.read(folder)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"model.py": "def build(:\n", "data.py": ""}, r"model.py line 1: SyntaxError"),
        (
            {"model.py": "def build(): ...\n", "data.py": "\n\nimport nothing_like_this\n"},
            r"data.py line 3: there is no module nothing_like_this: add it",
        ),
        (
            {"model.py": "def build(): ...\n", "data.py": "def train(a, b): ...\n"},
            r"data.py defines no function test\(\)",
        ),
        (
            {"model.py": "", "data.py": "def train(a, b): ...\ntest = train\n"},
            r"model.py defines no function build\(\)",
        ),
        ({"model.py": ""}, r'names classifier = "broken\d+", but there is no module broken\d+\.data in'),
    ],
)
def test_a_broken_app_names_the_line(tmp_path: Path, files: dict[str, str], text: str) -> None:
    with pytest.raises(AppError, match=text):
        broken(tmp_path, files).classifier()


def test_what_an_app_raises_names_the_line_too(tmp_path: Path) -> None:
    app = broken(
        tmp_path,
        {"model.py": "def build(): ...\n", "data.py": "def train(a, b):\n    return 1 / 0\n\n\ntest = train\n"},
    ).classifier()
    with pytest.raises(AppError, match=r"data\.py line 2: ZeroDivisionError"):
        app.sizes("train")
