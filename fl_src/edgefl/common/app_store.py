"""Apps beside the image: a folder of the node with an archive for each state of an app that came after the image, NAME@HASH.zip.

HASH is that of the files in it, as AppFolder's identity has it: what a client has loaded says what it is, whatever an archive is called.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from edgefl.apps import AppError

ENDING = ".zip"


def newest(store: Path, name: str) -> str:
    """Identity of the state of the app `name` that came last; empty when there is none."""
    found = [(path.stat().st_mtime_ns, path.name) for path in store.glob(f"{name}@*{ENDING}")]
    return max(found)[1].removesuffix(ENDING) if found else ""


def holds(store: Path, identity: str) -> bool:
    """Whether this state of an app is there."""
    return "/" not in identity and (store / f"{identity}{ENDING}").is_file()


def unpacked(store: Path, identity: str) -> Path:
    """A new folder with the folder of the app in it. Raises AppError when the archive can't be read."""
    path, folder = store / f"{identity}{ENDING}", Path(tempfile.mkdtemp(prefix=f"{identity}-"))
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    except (OSError, zipfile.BadZipFile) as err:
        raise AppError(f"app {identity}: {path} can't be unpacked: {err}; ship it again") from err
    return folder
