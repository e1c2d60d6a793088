# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: reads files as root from a folder that somebody else writes, such as that of the aggregator's pod."""

from __future__ import annotations

import errno
import itertools
import os
import re
import stat
from pathlib import Path
from typing import IO

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError

# Bytes of a file at most: a hundred thousand rounds of a few nodes
MOST = 1 << 26
# Of a folder whose files are listed
MOST_FILES, DEEPEST = 1000, 8
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=@,-]{0,199}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_file(root: Path, *names: str, most: int = MOST) -> IO[bytes]:
    """Opens the file C(root/names) for reading; below `root` no link is followed, and nothing but a file is opened (a pipe would be waited for).

    FileNotFoundError when it is not there, another OSError when `root` cannot be read, EdgeflError when it is something else than a file of `most` bytes.
    """
    path = root.joinpath(*names)
    folder = _open_folder(root, *names[:-1])
    try:
        file = os.open(names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        _refuse_link(path, error)
        raise
    finally:
        os.close(folder)
    about = os.fstat(file)
    if not stat.S_ISREG(about.st_mode) or about.st_size > most:
        os.close(file)
        what = f"has {about.st_size / 1e6:.0f} MB, more than {most / 1e6:.0f} MB"
        raise _refused(path, what if stat.S_ISREG(about.st_mode) else "is no file")
    return os.fdopen(file, "rb")


def _open_folder(root: Path, *names: str) -> int:
    """A handle of the folder C(root/names), no link being followed below `root`; raises what L(open_file) raises."""
    folder = os.open(root, _FOLDER)
    for place, name in enumerate(names, 1):
        try:
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
        except OSError as error:
            _refuse_link(root.joinpath(*names[:place]), error)
            raise
        finally:
            os.close(folder)
        folder = inner
    return folder


def files(root: Path, *names: str) -> tuple[dict[str, int], list[str]]:
    """What is in the folder C(root/names) and below: the sizes of its files by their path in it, and paths that are left out.

    Left out are links and whatever else is no file, names that are more than letters, digits and C(._+=@,-) or begin with a dot, what is deeper than
    DEEPEST folders, and files beyond the first MOST_FILES. OSError when the folder is not there or cannot be read.
    """
    sizes: dict[str, int] = {}
    left_out: list[str] = []

    def enter(folder: int, before: str, depth: int) -> None:
        try:
            with os.scandir(folder) as entries:
                found = sorted(itertools.islice(entries, MOST_FILES + 1), key=lambda entry: entry.name)
            for entry in found:
                if entry.name == "__pycache__":
                    continue
                path = before + entry.name
                about = os.lstat(entry.name, dir_fd=folder)
                good = _NAME.fullmatch(entry.name) and len(sizes) < MOST_FILES
                if good and stat.S_ISDIR(about.st_mode) and depth < DEEPEST:
                    enter(os.open(entry.name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder), f"{path}/", depth + 1)
                elif good and stat.S_ISREG(about.st_mode):
                    sizes[path] = about.st_size
                elif len(left_out) < MOST_FILES:
                    left_out.append(path)
        finally:
            os.close(folder)

    enter(_open_folder(root, *names), "", 1)
    return sizes, left_out


def read(root: Path, *names: str) -> bytes:
    """The content of such a file, and of one that grows meanwhile its first MOST bytes."""
    with open_file(root, *names) as file:
        return file.read(MOST)


def _refuse_link(path: Path, error: OSError) -> None:
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
        raise _refused(path, "is no file in a folder of its own, but a link or something else") from error


def _refused(path: Path, what: str) -> EdgeflError:
    return EdgeflError(
        f"{path} {what}, so it is not read as root: no aggregator of this collection leaves that. Look at who writes there (edgefl_state_dir),"
        " remove it, and start another run (edgefl_run=new)."
    )
