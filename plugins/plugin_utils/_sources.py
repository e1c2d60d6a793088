# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the folder on the controller that images are built from: its digest, and Docker's build context."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError

# The file of certificates beside the Dockerfile, which is made for each build
CERTIFICATES = "ca.crt"
# Bytes of an app that may lie beside the image that runs it
LARGEST_ALONE = 4_000_000
# Where an app is in the build context, one of this package or from elsewhere
_APPS = ("edgefl/apps", "flower/app")


class Sources:
    """The folder that images are built from, on the controller: a Dockerfile and what it copies.

    `more` are files of the build context that come from elsewhere, as bytes or by their path; `unnamed` are such files that make no other
    image, so the digest does not depend on them: where packages come from, say.
    """

    def __init__(
        self,
        folder: str,
        more: Mapping[str, bytes | Path] | None = None,
        unnamed: Mapping[str, bytes | Path] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self._more, self._unnamed = dict(more or {}), dict(unnamed or {})
        if not (self.folder / "Dockerfile").is_file():
            raise EdgeflError(
                f"{folder} (edgefl_source) has no Dockerfile on the controller: name the folder that holds one, with the targets aggregator and client."
            )

    def digest(self, without: str = "") -> str:
        """SHA-256, as hex digits, over name, content and executable bit of each file, but those of the app `without`, if that is small enough to lie beside
        the image.
        """
        left_out = self._of_app(without) if without else {}
        if sum(left_out.values()) > LARGEST_ALONE:
            left_out = {}
        total = hashlib.sha256()
        for path in self._files():
            if path.relative_to(self.folder).as_posix() in left_out:
                continue
            if path.is_symlink():
                content = f"-> {os.readlink(path)}"
            else:
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            entry = [str(path.relative_to(self.folder)), content, bool(path.lstat().st_mode & stat.S_IXUSR)]
            total.update(json.dumps(entry).encode() + b"\n")
        for name, given in sorted(self._more.items()):
            if name in left_out:
                continue
            entry = [name, hashlib.sha256(_content(given)).hexdigest(), "more"]
            total.update(json.dumps(entry).encode() + b"\n")
        return total.hexdigest()

    def size(self) -> int:
        """Bytes of all files."""
        more = [*self._more.values(), *self._unnamed.values()]
        return sum(path.lstat().st_size for path in self._files()) + sum(
            len(given) if isinstance(given, bytes) else given.stat().st_size for given in more
        )

    def _of_app(self, app: str) -> dict[str, int]:
        """Names of an app's files in the build context, with their bytes."""
        found = {path.relative_to(self.folder).as_posix(): path.lstat().st_size for path in self._files()}
        found |= {name: len(_content(given)) for name, given in self._more.items()}
        folders = tuple(f"{folder}/{app}/" for folder in _APPS)
        return {name: size for name, size in found.items() if name.startswith(folders)}

    def pack(self, to: IO[bytes], certificates: bytes) -> None:
        """Writes Docker's build context, a tar archive, with the certificates that the build must trust."""
        # Docker takes an archive that begins with an extended header for a Dockerfile
        with tarfile.open(fileobj=to, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for path in self._files():
                archive.add(path, str(path.relative_to(self.folder)), recursive=False, filter=_anonymous)
            for name, given in sorted({**self._more, **self._unnamed, CERTIFICATES: certificates}.items()):
                content = _content(given)
                about = tarfile.TarInfo(name)
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))

    def _files(self) -> Iterator[Path]:
        for folder, names, files in os.walk(self.folder):
            names[:] = sorted(name for name in names if name != "__pycache__")
            links = [name for name in names if Path(folder, name).is_symlink()]
            for name in sorted(files + links):
                path = Path(folder, name)
                # What locks are made from makes no image, and the published collection hasn't it
                if not name.endswith((".pyc", ".in")) and path != self.folder / CERTIFICATES:
                    yield path


def _content(given: bytes | Path) -> bytes:
    return given if isinstance(given, bytes) else given.read_bytes()


def _anonymous(about: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without owner, and with the rights that pods need, whoever installed the folder, with whatever umask: else the build's cache would not know it."""
    if not about.issym():
        about.mode = 0o755 if about.mode & stat.S_IXUSR else 0o644
    about.uid = about.gid = 0
    about.uname = about.gname = ""
    return about
