# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the versions of a model on an edge: C(versions/NAME), each whole or not there, and the links C(current) and C(served)."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from pathlib import Path
from typing import Dict

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError

CURRENT, SERVED, VERSIONS, INCOMING, MARKER = "current", "served", "versions", ".incoming", ".edgefl"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_PATH = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._+=@,-]*/)*[A-Za-z0-9_][A-Za-z0-9._+=@,-]*")
_BLOCK = 1 << 20

Sums = Dict[str, str]
"""Path of a file in a version -> its SHA-256."""


class Store:
    """The folder `root`, which is ours alone. Raises EdgeflError when it holds what somebody else put there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if root.is_dir() and os.listdir(root) and not (root / MARKER).exists():
            raise EdgeflError(
                f"{root} is there already, and holds what this collection did not make: it stays as it is. Let edgefl_model_dir name a folder that is empty"
                " or does not exist yet."
            )

    def names(self) -> list[str]:
        """The versions there are, the one that was current last at the end."""
        folder = self.root / VERSIONS
        found = (
            [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)] if folder.is_dir() else []
        )
        return [entry.name for entry in sorted(found, key=lambda entry: (entry.stat().st_mtime_ns, entry.name))]

    def current(self, link: str = CURRENT) -> str:
        """The version that a link leads to; empty when there is none."""
        try:
            return os.path.basename(os.readlink(self.root / link))
        except OSError:
            return ""

    def lacking(self, version: str, files: Sums) -> list[str]:
        """Paths that are missing in the version, or have another content. Raises EdgeflError for names that lead elsewhere."""
        self._folder(version)
        if wrong := [path for path in files if not _PATH.fullmatch(path)]:
            raise EdgeflError(f"{wrong[0]!r} is no path of a file of a model.")
        return [path for path, checksum in files.items() if sha256(self._folder(version) / path) != checksum]

    def held(self) -> dict[str, Path]:
        """A file with each checksum that there is in any version."""
        return {sha256(path): path for name in self.names() for path in self._folder(name).rglob("*") if path.is_file()}

    def stage(self, version: str, files: Sums, given: Sums) -> None:
        """Makes the version of files that were `given` (path in the version -> where it is), and of those in other versions; whole, or not at all.

        Raises EdgeflError when a file is missing or not the one with its checksum.
        """
        incoming = self.root / INCOMING
        self.root.mkdir(parents=True, exist_ok=True, mode=0o755)
        (self.root / MARKER).write_text(
            "Made by edgefl.kubeedge, which removes this folder when its training is purged.\n"
        )
        shutil.rmtree(incoming, ignore_errors=True)
        held = self.held()
        for path, checksum in files.items():
            target = incoming / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if path in given:
                shutil.copyfile(given[path], target)
            elif checksum in held:
                # Of a version that is never written again
                os.link(held[checksum], target)
            _sync(target)
            if sha256(target) != checksum:
                raise EdgeflError(f"{path} of {version} did not come whole: deploy it again.")
            target.chmod(0o644)
        for folder in [incoming, *(path for path in incoming.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)
        target = self._folder(version)
        target.parent.mkdir(exist_ok=True, mode=0o755)
        damaged = self.root / f"{INCOMING}.damaged"
        shutil.rmtree(damaged, ignore_errors=True)
        if target.exists():
            target.rename(damaged)
        incoming.rename(target)
        _touch(target)
        shutil.rmtree(damaged, ignore_errors=True)
        _sync(target.parent)

    def switch(self, version: str, link: str = CURRENT) -> None:
        """Lets a link lead to the version, in one step. Raises EdgeflError when it is not there."""
        target = self._folder(version)
        if not target.is_dir():
            there = ", ".join(self.names()) or "none"
            raise EdgeflError(
                f"There is no version {version} in {self.root}: there are {there} (edgefl_model_version)."
            )
        _touch(target)
        temporary = self.root / f".{link}.new"
        if temporary.is_symlink():
            temporary.unlink()
        temporary.symlink_to(f"{VERSIONS}/{version}")
        os.replace(temporary, self.root / link)
        _sync(self.root)

    def beyond(self, keep: int, version: str, served: str = "") -> list[str]:
        """Versions that go when `keep` are kept, `version` among them as the newest; the one that is `served` stays beside them."""
        others = [name for name in self.names() if name not in (version, served)]
        return others[: max(0, len(others) - max(0, keep - 1))]

    def remove(self, names: list[str]) -> None:
        """Removes these versions."""
        for name in names:
            shutil.rmtree(self._folder(name))

    def _folder(self, version: str) -> Path:
        if not _NAME.fullmatch(version):
            raise EdgeflError(f"{version!r} is no name of a version of a model (edgefl_model_version).")
        return self.root / VERSIONS / version


def sha256(path: Path) -> str:
    """Checksum of a file; empty when there is none."""
    total = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(_BLOCK), b""):
                total.update(block)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""
    return total.hexdigest()


def _touch(folder: Path) -> None:
    """Notes the time, finer than the file system's own clock ticks: versions are in its order."""
    now = time.time_ns()
    os.utime(folder, ns=(now, now))


def _sync(path: Path) -> None:
    """Sees that a file, or the names in a folder, survive a power cut; nothing for what is not there."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
