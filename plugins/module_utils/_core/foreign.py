# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: reads files as root from a folder that somebody else writes, such as that of the aggregator's pod."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError

# Bytes of a file at most: a hundred thousand rounds of a few nodes
MOST = 1 << 26
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_file(root: Path, *names: str) -> IO[bytes]:
    """Opens the file C(root/names) for reading; below `root` no link is followed, and nothing but a file is opened (a pipe would be waited for).

    FileNotFoundError when it is not there, another OSError when `root` cannot be read, EdgeflError when it is something else than a file of MOST bytes.
    """
    path = root.joinpath(*names)
    folder = os.open(root, _FOLDER)
    try:
        for name in names[:-1]:
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        file = os.open(names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise _refused(path, "is no file in a folder of its own, but a link or something else") from error
        raise
    finally:
        os.close(folder)
    about = os.fstat(file)
    if not stat.S_ISREG(about.st_mode) or about.st_size > MOST:
        os.close(file)
        what = f"has {about.st_size / 1e6:.0f} MB, more than {MOST / 1e6:.0f} MB"
        raise _refused(path, what if stat.S_ISREG(about.st_mode) else "is no file")
    return os.fdopen(file, "rb")


def read(root: Path, *names: str) -> bytes:
    """The content of such a file, and of one that grows meanwhile its first MOST bytes."""
    with open_file(root, *names) as file:
        return file.read(MOST)


def _refused(path: Path, what: str) -> EdgeflError:
    return EdgeflError(
        f"{path} {what}, so it is not read as root: no aggregator of this collection leaves that. Look at who writes there (edgefl_state_dir),"
        " remove it, and start another run (edgefl_run=new)."
    )
