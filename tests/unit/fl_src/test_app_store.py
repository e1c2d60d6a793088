"""States of an app beside the image: what the controller packs is what a client knows, and finds."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path

import pytest

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _app, _app_archive, _sources
from edgefl.apps import AppError
from edgefl.common import app_folder, app_store

PROJECT = """
[project]
name = "means"
version = "1"
[tool.flwr.app.components]
serverapp = "means.server:app"
clientapp = "means.client:app"
"""


@pytest.fixture
def flower(tmp_path: Path) -> Path:
    folder = tmp_path / "means"
    (folder / "means/__pycache__").mkdir(parents=True)
    (folder / "means-data").mkdir()
    (folder / "means-data/few.csv").write_text("1,2")
    (folder / "pyproject.toml").write_text(PROJECT)
    for name in ("__init__", "server", "client"):
        (folder / f"means/{name}.py").write_text("app = 1")
    (folder / "means/__pycache__/server.pyc").write_bytes(b"1")
    (folder / ".git").mkdir()
    (folder / ".git/HEAD").write_text("main")
    return folder


def packed(app: str) -> dict[str, str]:
    found = _app_archive.archive(_app.app_info(app))
    assert found is not None
    return found


def test_one_of_this_package_has_the_same_identity_on_both_sides() -> None:
    assert packed("fashion_mnist")["name"] == app_folder.read("fashion_mnist").identity


def test_a_flower_app_comes_out_as_it_went_in(flower: Path, tmp_path: Path) -> None:
    archive = packed(str(flower))
    assert archive["name"] == app_folder.read(flower).identity
    assert archive == packed(str(flower))
    store = tmp_path / "store"
    store.mkdir()
    assert app_store.newest(store, "means") == "" and not app_store.holds(store, archive["name"])
    (store / f"{archive['name']}.zip").write_bytes(base64.b64decode(archive["data"]))
    assert app_store.newest(store, "means") == archive["name"] and app_store.newest(store, "mean") == ""
    assert app_store.holds(store, archive["name"]) and not app_store.holds(store, "../means")
    folder = app_store.unpacked(store, archive["name"], tmp_path / "unpacked")
    assert app_folder.read(folder).identity == archive["name"]
    (flower / "means/client.py").write_text("app = 2")
    assert packed(str(flower))["name"] != archive["name"]


def test_a_damaged_or_foreign_archive_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "means@0123456789ab.zip"
    whole = base64.b64decode(packed("fashion_mnist")["data"])
    with io.BytesIO() as outside:
        with zipfile.ZipFile(outside, "w") as opened:
            opened.writestr("../means/client.py", "")
        foreign = outside.getvalue()
    for content in (b"", b"PK", whole[:-1], whole[:100] + b"\0" * 100 + whole[200:], foreign):
        archive.write_bytes(content)
        with pytest.raises(AppError, match=r"means@0123456789ab.*ship it again"):
            app_store.unpacked(tmp_path, "means@0123456789ab", tmp_path / "inside/unpacked")
    assert not (tmp_path / "inside/means").exists()


def test_a_large_app_comes_with_its_image_alone(flower: Path) -> None:
    (flower / "weights.bin").write_bytes(bytes(_sources.LARGEST_ALONE))
    assert _app_archive.archive(_app.app_info(str(flower))) is None


def test_the_archive_is_readable_for_whoever_unpacks_it() -> None:
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(packed("fashion_mnist")["data"]))) as archive:
        assert sorted(archive.namelist()) == [
            *(f"fashion_mnist/fashion_mnist/{name}.py" for name in ("__init__", "app", "data", "model")),
            "fashion_mnist/pyproject.toml",
        ]
