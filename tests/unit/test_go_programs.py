"""Programs from Go modules: the key covers what goes in, and a cached program is used only when it is whole."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._lab.go_programs import (
    SUMS,
    GoError,
    Recipe,
    _sha256,
    build,
    rebuild_reason,
    remove_older,
)
from support.processes import until


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A module of our own with one program, so that nothing is fetched."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "go.mod").write_text("module edgefl.example/hello\n\ngo 1.20\n")
    (source / "go.sum").write_text("")
    return Recipe("hello", source, {"hello": "edgefl.example/hello"}, go="go", go_version="go1.26.4")


def cached(folder: Path, name: str = "hello") -> Path:
    folder.mkdir(parents=True)
    (folder / name).write_bytes(b"program")
    (folder / SUMS).write_text(json.dumps({name: _sha256(folder / name)}))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"go_version": "go1.26.5"},
        {"ldflags": "-X a.b=1"},
        {"tags": "netgo"},
        {"cgo": True},
        {"programs": {"other": "edgefl.example/hello"}},
    ],
)
def test_key_changes_with_each_input(recipe: Recipe, change: dict[str, Any]) -> None:
    assert replace(recipe, **change).key() != recipe.key()


@pytest.mark.parametrize("name", ["go.mod", "go.sum"])
def test_key_changes_with_each_file(recipe: Recipe, name: str) -> None:
    before = recipe.key()
    (recipe.source / name).write_text("// another\n")
    assert recipe.key() != before


def test_key_is_the_same_for_another_checkout(recipe: Recipe, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(recipe.source, copy)
    assert replace(recipe, source=copy).key() == recipe.key()


def test_missing_source_says_which_file(recipe: Recipe) -> None:
    (recipe.source / "go.sum").unlink()
    with pytest.raises(GoError, match=r"go\.sum can't be read"):
        recipe.key()


def test_whole_folder_is_used(tmp_path: Path) -> None:
    assert rebuild_reason(cached(tmp_path / "hello-1"), {"hello": ""}) == ""


def test_damage_is_noticed(tmp_path: Path) -> None:
    folder = cached(tmp_path / "hello-1")
    assert rebuild_reason(tmp_path / "none", {"hello": ""}) == "not built yet"
    (folder / "hello").write_bytes(b"progrbm")
    assert rebuild_reason(folder, {"hello": ""}) == "hello is damaged"
    (folder / "hello").unlink()
    assert rebuild_reason(folder, {"hello": ""}) == "hello is missing"
    assert rebuild_reason(cached(tmp_path / "hello-2"), {"hello": "", "more": ""}) == "more is missing"
    (folder / SUMS).write_text("{")
    assert rebuild_reason(folder, {"hello": ""}) == f"{SUMS} is damaged"


def test_older_builds_of_the_same_set_go(tmp_path: Path) -> None:
    new = cached(tmp_path / "hello-2")
    cached(tmp_path / "hello-1")
    cached(tmp_path / "other-1")
    (tmp_path / "hello").symlink_to(new)
    assert remove_older(new) == ["hello-1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hello", "hello-2", "other-1"]


def test_failing_build_leaves_what_was_there_and_shows_why(recipe: Recipe, tmp_path: Path) -> None:
    folder = cached(tmp_path / "hello-1")
    tool = tmp_path / "go"
    tool.write_text("#!/bin/sh\necho 'hello.go:1: syntax error'\nexit 1\n")
    tool.chmod(0o755)
    with pytest.raises(GoError, match="syntax error"):
        build(
            replace(recipe, go=str(tool), programs={**recipe.programs, "more": "edgefl.example/more"}),
            folder,
            tmp_path / "log",
        )
    assert rebuild_reason(folder, recipe.programs) == ""
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".hello")] == []


def test_build_renames_to_the_wanted_name(recipe: Recipe, tmp_path: Path) -> None:
    """A tool that does what `go build -o FOLDER/ PACKAGES` does: files named after the packages' last elements."""
    tool = tmp_path / "go"
    tool.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho x >"$2/server"; echo pkg\n')
    tool.chmod(0o755)
    wanted = replace(recipe, go=str(tool), programs={"etcd": "go.etcd.io/etcd/server/v3"})
    build(wanted, tmp_path / "hello-1", tmp_path / "log")
    assert rebuild_reason(tmp_path / "hello-1", wanted.programs) == ""
    assert (tmp_path / "log").read_text() == "pkg\n"


def slow_tool(tmp_path: Path, seconds: float) -> str:
    """A `go` that takes its time, notes how it gives way, and makes what is asked for."""
    tool = tmp_path / "go"
    tool.write_text(
        f"#!/bin/sh\nexec 9>{tmp_path}/alive; flock 9; sleep {seconds} 9>&-\n"
        f"echo begun at $(nice) $(cut -d ' ' -f 3 /proc/self/autogroup) >>{tmp_path}/begun\n"
        'while [ "$1" != -o ]; do shift; done\necho x >"$2/hello"\n'
    )
    tool.chmod(0o755)
    return str(tool)


def test_compilation_ends_with_the_process_that_it_is_for(recipe: Recipe, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1"]) as parent:
        # Reaped at once: a dead child that nobody waited for is still in /proc
        threading.Thread(target=parent.wait, daemon=True).start()
        begin = time.monotonic()
        with pytest.raises(GoError, match=f"process {parent.pid}, which wanted the programs, has ended"):
            build(replace(recipe, go=slow_tool(tmp_path, 60)), tmp_path / "hello-1", tmp_path / "log", parent.pid)
        assert time.monotonic() - begin < 5
    assert rebuild_reason(tmp_path / "hello-1", recipe.programs) == "not built yet"
    with (tmp_path / "alive").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("nice", [0, 3])
def test_compilation_ends_with_a_module_that_is_killed(recipe: Recipe, tmp_path: Path, nice: int) -> None:
    slow = replace(recipe, go=slow_tool(tmp_path, 60), nice=nice)
    program = (
        f"import pathlib\nfrom {build.__module__} import Recipe, build\nPosixPath = pathlib.PosixPath\n"
        f"build({slow!r}, {tmp_path / 'hello-1'!r}, {tmp_path / 'log'!r})"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ) as module:
        until((tmp_path / "alive").exists, "the compilation", 20)
        time.sleep(0.3)
        module.kill()
    with (tmp_path / "alive").open() as file:
        until(lambda: free(file), "the end of the compilation", 5)


def free(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_second_call_waits_and_takes_what_the_first_made(recipe: Recipe, tmp_path: Path) -> None:
    slow = replace(recipe, go=slow_tool(tmp_path, 1), nice=3)
    autogroup = "3" if Path("/proc/self/autogroup").exists() else ""
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(build, slow, tmp_path / "hello-1", tmp_path / f"log{number}") for number in range(2)]
        for call in calls:
            call.result()
    assert rebuild_reason(tmp_path / "hello-1", recipe.programs) == ""
    assert (tmp_path / "begun").read_text() == f"begun at {os.nice(0) + 3} {autogroup}\n"
