"""Versions of a model on an edge, and the predictions that an endpoint is to make."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.endpoint import Endpoint, difference
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.versions import SERVED, Store
from ansible_collections.edgefl.kubeedge.plugins.modules import model_version


def digest(data: str) -> str:
    return hashlib.sha256(data.encode()).hexdigest()


def staged(store: Store, tmp_path: Path, version: str, **files: str) -> list[str]:
    """Puts a version there, as the action plugin does: only files that no version has are given. Gives those."""
    sums = {name.replace("__", "/"): digest(data) for name, data in files.items()}
    lacking = store.lacking(version, sums)
    missing = [path for path in lacking if sums[path] not in store.held()]
    given = {}
    for path in missing:
        source = tmp_path / "sent"
        source.mkdir(exist_ok=True)
        (source / digest(path)).write_text(files[path.replace("/", "__")])
        given[path] = str(source / digest(path))
    if lacking:
        store.stage(version, sums, given)
    return missing


def test_versions_come_and_go(tmp_path: Path) -> None:
    root = tmp_path / "models"
    store = Store(root)
    assert (store.names(), store.current()) == ([], "")
    assert staged(store, tmp_path, "a-1", model="one", work__x="x") == ["model", "work/x"]
    store.switch("a-1")
    assert store.current() == "a-1" and (root / "current/work/x").read_text() == "x"
    assert (root / "current/model").stat().st_mode & 0o777 == 0o644
    # Only what changed is sent; a file of the version before is taken from there
    assert staged(store, tmp_path, "b-2", model="two", work__x="x") == ["model"]
    assert (root / "versions/b-2/work/x").stat().st_ino == (root / "versions/a-1/work/x").stat().st_ino
    assert store.current() == "a-1", "it is not current before it is asked for"
    store.switch("b-2")
    assert staged(store, tmp_path, "b-2", model="two", work__x="x") == []
    assert staged(store, tmp_path, "c-3", model="three") == ["model"]
    assert (
        store.beyond(2, "c-3") == ["a-1"] and store.beyond(1, "c-3") == ["a-1", "b-2"] and store.beyond(5, "c-3") == []
    )
    store.switch("c-3")
    store.remove(store.beyond(2, "c-3"))
    assert store.names() == ["b-2", "c-3"]
    store.switch("b-2")
    assert store.current() == "b-2" and store.names() == ["c-3", "b-2"], (
        "the one that was current last is the last to go"
    )
    with pytest.raises(EdgeflError, match=r"no version a-1 in .*: there are c-3, b-2 \(edgefl_model_version\)"):
        store.switch("a-1")
    assert Store(root).current() == "b-2"


def test_the_version_that_is_served_stays(tmp_path: Path) -> None:
    """Whatever becomes current without an endpoint."""
    store = Store(tmp_path / "models")

    def made(version: str, served: bool = False) -> tuple[bool, list[str]]:
        staged(store, tmp_path, version, model=version)
        options = {"path": str(store.root), "version": version, "served": served, "keep": 1}
        module: Any = SimpleNamespace(
            params={"activate": True, "files": None, "given": None, **options}, check_mode=False
        )
        found = model_version.work(module)
        return found["changed"], found["removed"]

    assert made("a-1", served=True) == (True, []) and made("a-1", served=True) == (False, [])
    assert made("b-2") == (True, []) and made("c-3") == (True, ["b-2"])
    assert (store.current(), store.current(SERVED), store.names()) == ("c-3", "a-1", ["a-1", "c-3"])
    # Now an endpoint predicts with the current one
    assert made("c-3", served=True) == (True, [])
    assert made("d-4", served=True) == (True, ["a-1", "c-3"]) and store.names() == ["d-4"]


def test_half_a_model_is_never_a_version(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    sums = {"model": digest("one"), "work/x": digest("x")}
    source = tmp_path / "half"
    source.write_text("on")
    for given in ({"model": str(source)}, {}):
        with pytest.raises(EdgeflError, match="did not come whole"):
            store.stage("a-1", sums, given)
    assert store.names() == []
    staged(store, tmp_path, "a-1", model="one")
    (tmp_path / "models/versions/a-1/model").write_text("damaged")
    assert staged(store, tmp_path, "a-1", model="one") == ["model"]
    assert (tmp_path / "models/versions/a-1/model").read_text() == "one"
    assert not [path for path in (tmp_path / "models").iterdir() if path.name.startswith(".incoming")]


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("x")
    with pytest.raises(EdgeflError, match="Let edgefl_model_dir name a folder that is empty"):
        Store(tmp_path)


@pytest.mark.parametrize("version", ["", "..", "a/b", ".hidden", "x" * 121])
def test_names_that_lead_elsewhere(tmp_path: Path, version: str) -> None:
    with pytest.raises(EdgeflError, match="is no name of a version"):
        Store(tmp_path).switch(version)


def test_paths_that_lead_elsewhere(tmp_path: Path) -> None:
    for path in ("../x", "/etc/passwd", "a/../b", "a//b", ""):
        with pytest.raises(EdgeflError, match="is no path of a file"):
            Store(tmp_path).lacking("a", {path: digest("x")})


def test_a_link_that_was_put_there_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    staged(store, tmp_path, "a-1", model="one")
    os.symlink("/etc", str(tmp_path / "models/.current.new"))
    store.switch("a-1")
    assert store.current() == "a-1"


# -- predictions -------------------------------------------------------------------------------------------------------

READY: tuple[int, Any] = (200, {"ready": True})
OUTPUT: dict[str, Any] = {"name": "output", "shape": [1, 2], "datatype": "FP32", "data": [0.25, None]}
ASKED = {"inputs": [1]}


def endpoint(*answers: tuple[int, Any], request: Any = None) -> Any:
    left = list(answers)
    return Endpoint(
        lambda *_: left.pop(0), "m", "a-1", ASKED if request is None else request, [OUTPUT], 0.001
    ).predicts()


def test_an_endpoint_that_predicts() -> None:
    served = (200, {"versions": ["a-1"]})
    near = {**OUTPUT, "data": [0.2505, None]}
    found = endpoint(READY, served, (200, {"outputs": [near]}))
    assert (found.state, found.value) == ("done", [near])
    assert endpoint(READY, served, request={}).state == "done"


@pytest.mark.parametrize(
    ("answers", "state", "reason"),
    [
        ([(0, "nothing answers (refused)")], "pending", "nothing answers"),
        ([(503, {"ready": False, "error": "the model is being loaded"})], "pending", "being loaded"),
        ([READY, (200, {"versions": ["b-2"]})], "pending", "it has version ['b-2'], not a-1"),
        ([READY, (404, {"error": "other"})], "pending", "other"),
        ([READY, (200, {"versions": ["a-1"]}), (500, {"error": "no\nlayer"})], "failed", "does not predict: no\ufffdlayer"),
        ([READY, (200, {"versions": ["a-1"]}), (200, {"outputs": []})], "failed", "of another form"),
        ([READY, (200, {"versions": ["a-1"]}), (200, {"outputs": [{**OUTPUT, "data": [0.3, None]}]})], "failed", "predicts 0.3 as number 0"),
    ],
)  # fmt: skip
def test_an_endpoint_that_does_not(answers: list[tuple[int, Any]], state: str, reason: str) -> None:
    found = endpoint(*answers)
    assert found.state == state and reason in found.reason


@pytest.mark.parametrize(
    "found",
    [
        None, [], [None], [{**OUTPUT, "data": "x"}], [{**OUTPUT, "data": ["a", "b"]}], [{**OUTPUT, "data": [float("nan"), None]}],
        [{**OUTPUT, "shape": [2, 1]}], [{**OUTPUT, "data": [0.25]}], [{**OUTPUT, "data": [None, None]}], [{**OUTPUT, "data": [0.25, 1]}],
    ],
)  # fmt: skip
def test_outputs_that_differ(found: Any) -> None:
    assert difference(found, [OUTPUT], 0.001)


def test_outputs_that_are_alike() -> None:
    assert difference([OUTPUT], [OUTPUT], 0) == ""
