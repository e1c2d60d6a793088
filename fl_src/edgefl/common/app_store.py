"""Apps beside the image: a folder of the node with an archive for each state of an app that came after the image, NAME@HASH.zip.

HASH is that of the files in it, as AppFolder's identity has it: what a client has loaded says what it is, whatever an archive is called.
"""

from __future__ import annotations

import glob
from pathlib import Path

from edgefl.apps import AppError
from edgefl.common import app_folder

ENDING = ".zip"


def newest(store: Path, name: str) -> str:
    """Identity of the state of the app `name` that came last; empty when there is none."""
    found = []
    for path in store.glob(f"{glob.escape(name)}@*{ENDING}"):
        try:
            found.append((path.stat().st_mtime_ns, path.name))
        except FileNotFoundError:  # it was an old one, and is gone
            continue
    return max(found)[1].removesuffix(ENDING) if found else ""


def holds(store: Path, identity: str) -> bool:
    """Whether this state of an app is there."""
    return "/" not in identity and (store / f"{identity}{ENDING}").is_file()


def unpacked(store: Path, identity: str, folder: Path) -> Path:
    """The folder of the app, from now on in `folder`. Raises AppError when the archive can't be read."""
    try:
        app_folder.unpack(store / f"{identity}{ENDING}", folder)
    except AppError as err:
        raise AppError(f"{err}; ship it again") from err
    return folder / identity.partition("@")[0]
