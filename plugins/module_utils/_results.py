# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the files of a run on the controller, written so that each is whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils import _report, _training
from ansible_collections.edgefl.kubeedge.plugins.module_utils._errors import EdgeflError

LATEST = "latest"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def files(
    events: list[dict[str, Any]], run: str, logs: dict[str, str], manifests: dict[str, str], sha256: str
) -> dict[str, bytes]:
    """What is to be written: path below the run's folder -> content. The last, summary.json, tells that the others are there.

    Raises EdgeflError when the events are not those with the checksum `sha256` (empty: not asked), or a name is not that of a file.
    """
    lines = _training.dump(events)
    if sha256 and hashlib.sha256(lines).hexdigest() != sha256:
        raise EdgeflError(
            "The events are not those that the aggregator wrote (their checksum differs): give them as training_results returned them."
        )
    found = {}
    for folder, texts in (("logs", logs), ("manifests", manifests)):
        for name, text in texts.items():
            if not _FILE_NAME.fullmatch(name):
                raise EdgeflError(f"{name!r} in {folder} is no name of a file: use letters, digits, `.`, `_` and `-`.")
            found[f"{folder}/{name}"] = str(text).encode()
    found[_training.FILE] = lines
    found["rounds.csv"] = _training.table(events).encode()
    found["report.html"] = _report.page(events, run).encode()
    found["summary.json"] = (json.dumps(_training.summary(events, run), indent=2, allow_nan=False) + "\n").encode()
    return found


def differing(folder: Path, wanted: dict[str, bytes]) -> list[str]:
    """The files that are missing, or have another content."""
    return [name for name, data in wanted.items() if not _same(folder / name, data)]


def _same(path: Path, data: bytes) -> bool:
    try:
        return not path.is_symlink() and path.stat().st_size == len(data) and path.read_bytes() == data
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _error(path, error) from error


def write(folder: Path, wanted: dict[str, bytes], names: list[str]) -> None:
    """Writes these files, each by way of a temporary one next to it, and reads them back."""
    for name in names:
        path, data = folder / name, wanted[name]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, data)
            size, checksum = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise _error(path, error) from error
        if size != len(data) or checksum != hashlib.sha256(data).hexdigest():
            raise EdgeflError(
                f"{path} does not hold what was written to it ({size} of {len(data)} bytes): check the disk."
            )


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def link_differs(dest: Path, run: str) -> bool:
    """Whether `latest` has to be made to point to this run. Raises EdgeflError when something else than a link has that name."""
    link = dest / LATEST
    if link.is_symlink():
        return os.readlink(link) != run
    if link.exists():
        raise EdgeflError(f"{link} is not a link: rename it, it is to point to the results of the newest run.")
    return True


def link(dest: Path, run: str) -> None:
    """Makes `latest` point to the run, in one step."""
    temporary = dest / f".{LATEST}.{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(run)
        os.replace(temporary, dest / LATEST)
    except OSError as error:
        raise _error(dest / LATEST, error) from error


def _error(path: Path, error: OSError) -> EdgeflError:
    return EdgeflError(
        f"{path} can't be written ({error.strerror}): make room or give rights there, or set edgefl_results_dir to another folder."
    )
