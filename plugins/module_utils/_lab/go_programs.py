# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: programs compiled from published Go modules, kept in a folder that is named after all that goes into them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import Outcome, done, pending, wait

SUMS = "sums.json"
# Seconds between two looks at a compilation
PAUSE = 0.5
# Bytes that are read at once
PIECE = 1 << 20
# Most seconds to wait for another compilation
LONGEST = 7200
# The linker leaves the debugger's data out (-s -w), so the compiler need not make them; and not to inline (-l) spares it work
COMPILER = "all=-dwarf=false -l"
# GOGC: the compiler's own garbage collector, memory for time. CGO_CFLAGS: nothing that C is used for here needs more
ENVIRONMENT = {"GOGC": "400", "CGO_CFLAGS": "-O1"}


class GoError(EdgeflError):
    """A build that can't be done; the message says what to change."""


@dataclass(frozen=True)
class Recipe:
    """What is compiled and how.

    source: folder with go.mod and go.sum; programs: file name -> package path; go: path of the `go` command;
    nice: how much the compilation gives way to other processes (nice(1)).
    """

    name: str
    source: Path
    programs: dict[str, str]
    go: str
    go_version: str
    ldflags: str = ""
    tags: str = ""
    cgo: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    nice: int = 0

    def key(self) -> str:
        """16 hex digits that change with everything that changes the programs."""
        parts = {
            "go": self.go_version,
            "programs": self.programs,
            "flags": [self.ldflags, self.tags, self.cgo, COMPILER, ENVIRONMENT],
            "files": {name: _sha256(self.source / name) for name in ("go.mod", "go.sum")},
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    try:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
        return digest.hexdigest()
    except OSError as error:
        raise GoError(
            f"{path} can't be read ({error.strerror}): it is part of what is compiled, bring it back"
        ) from error


def rebuild_reason(folder: Path, programs: dict[str, str]) -> str:
    """Why the folder's programs can't be used as they are; empty when they can."""
    try:
        sums = json.loads((folder / SUMS).read_text())
    except FileNotFoundError:
        return "not built yet"
    except ValueError:
        return f"{SUMS} is damaged"
    for name in programs:
        if name not in sums or not (folder / name).is_file():
            return f"{name} is missing"
        if _sha256(folder / name) != sums[name]:
            return f"{name} is damaged"
    return ""


@contextmanager
def _alone(lock: Path, parent: int) -> Iterator[None]:
    """One compilation of the same modules at a time: a second one would compile the same libraries beside it."""
    with lock.open("w") as file:

        def mine() -> Outcome:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _see_that_it_is_wanted(parent)
                return pending(f"it holds {lock}; end it, or see why it takes so long")
            return done()

        wait(mine, LONGEST, PAUSE, "another compilation of the same modules")
        yield


def _see_that_it_is_wanted(parent: int) -> None:
    if parent and not Path(f"/proc/{parent}").exists():
        raise GoError(f"process {parent}, which wanted the programs, has ended: the compilation ends too")


def _give_way(leader: int, nice: int) -> None:
    """Linux with autogroups shares the processor between sessions first: nice(1) counts within one only (sched(7))."""
    with suppress(OSError):  # Not every kernel has them, and nothing but speed is lost
        Path(f"/proc/{leader}/autogroup").write_text(str(nice))


def _go(recipe: Recipe, arguments: list[str], lines: t.IO[str], parent: int) -> int:
    """Runs the `go` command until it or `parent` ends; returns its exit code."""
    environment = {**os.environ, **ENVIRONMENT, **recipe.environment, "CGO_ENABLED": str(int(recipe.cgo))}
    with subprocess.Popen(  # pylint: disable=ansible-bad-function
        # It ends with this process, however that ends
        ["setpriv", "--pdeathsig", "TERM", "nice", "-n", str(recipe.nice), recipe.go, *arguments],
        cwd=recipe.source,
        env=environment,
        stdout=lines,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=recipe.nice > 0,
    ) as go:
        if recipe.nice:
            _give_way(go.pid, recipe.nice)
        try:
            while True:
                try:
                    return go.wait(PAUSE)
                except subprocess.TimeoutExpired:
                    _see_that_it_is_wanted(parent)
        finally:
            go.terminate()


def bring(recipe: Recipe, programs: Path, progress: Path, parent: int, check_mode: bool) -> dict[str, t.Any]:
    """Sees to it that the recipe's programs are in a folder of `programs`; returns the module's results."""
    folder = programs / f"{recipe.name}-{recipe.key()}"
    reason = rebuild_reason(folder, recipe.programs)
    removed: list[str] = []
    if reason and not check_mode:
        build(recipe, folder, progress, parent)
        removed = remove_older(folder)
    return {"changed": bool(reason), "path": str(folder), "reason": reason, "removed": removed}


def build(recipe: Recipe, folder: Path, progress: Path, parent: int = 0) -> None:
    """Compile into `folder` (made anew in one step at the end); each finished package is a line of `progress`.

    Waits for another compilation from the same `go.mod`, and has nothing to do when that made the same programs. A build that was broken off
    goes on where it was: finished packages are in Go's own cache. It is broken off when the process `parent` ends (0: not watched).
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    progress.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.parent / f".{recipe.source.name}.lock", parent):
        if rebuild_reason(folder, recipe.programs):
            _build(recipe, folder, progress, parent)


def _build(recipe: Recipe, folder: Path, progress: Path, parent: int) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{recipe.name}.") as temporary:
        out = Path(temporary, "out")
        out.mkdir()
        arguments = [
            "build",
            "-v",
            "-trimpath",
            "-buildvcs=false",
            f"-gcflags={COMPILER}",
            "-tags",
            recipe.tags,
            "-ldflags",
            recipe.ldflags,
            "-o",
            f"{out}/",
            *recipe.programs.values(),
        ]
        with progress.open("w") as lines:
            code = _go(recipe, arguments, lines, parent)
        if code != 0:
            tail = "\n".join(progress.read_text().splitlines()[-15:])
            raise GoError(
                f"go build of {recipe.name} failed with {code}; what it said is in {progress}, at the end:\n{tail}"
            )
        for name, package in recipe.programs.items():
            made = out / _binary_name(package)
            if made.name != name:
                made.rename(out / name)
        sums = {name: _sha256(out / name) for name in recipe.programs}
        (out / SUMS).write_text(json.dumps(sums, indent=2, sort_keys=True))
        shutil.rmtree(folder, ignore_errors=True)
        out.chmod(0o755)
        out.rename(folder)


def _binary_name(package: str) -> str:
    """Go's rule: the last element of the package path, without a version suffix (`go help build`)."""
    *rest, last = package.split("/")
    return rest[-1] if rest and last[:1] == "v" and last[1:].isdigit() else last


def remove_older(folder: Path) -> list[str]:
    """Remove what the same recipe made before under another key; returns the names."""
    prefix = folder.name.rpartition("-")[0] + "-"
    older = [
        path
        for path in folder.parent.iterdir()
        if path.name.startswith(prefix) and path != folder and not path.is_symlink()
    ]
    for path in older:
        shutil.rmtree(path)
    return sorted(path.name for path in older)
