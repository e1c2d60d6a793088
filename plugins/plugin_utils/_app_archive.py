# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: an app as it lies beside the image on the edges: one archive, named after what is in it as the clients name it."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._app import OWN_SOURCES, Files
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._sources import LARGEST_ALONE


def archive(app: Mapping[str, Any], sources: str = "") -> dict[str, str] | None:
    """C(name), that of the app and the hash of its files, C(data), a zip in Base64, and C(digest) of that; None for an app that comes with its image alone.

    Raises EdgeflError for what can't be read.

    :param app: C(edgefl_app_info)
    :param sources: folder that images are built from; the collection's own when empty
    """
    if app["built_in"]:
        files = _own(Path(sources or OWN_SOURCES) / "edgefl/apps" / app["name"])
    else:
        given = Files(Path(app["path"]))
        files = {name: given.read(name) for name in given}
    kept = {
        path: files[str(path)] for path in map(PurePosixPath, files) if not any(part[0] == "." for part in path.parts)
    }
    if sum(map(len, kept.values())) > LARGEST_ALONE:
        return None
    packed, found = io.BytesIO(), hashlib.sha256()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in sorted(kept.items()):
            found.update(f"{name}\0{len(content)}\0".encode() + content)
            # Always the same time, so that the same files are the same archive
            written.writestr(zipfile.ZipInfo(f"{app['name']}/{name}"), content, zipfile.ZIP_DEFLATED)
    return {
        "name": f"{app['name']}@{found.hexdigest()[:12]}",
        "digest": hashlib.sha256(packed.getvalue()).hexdigest(),
        "data": base64.b64encode(packed.getvalue()).decode(),
    }


def identity(app: Mapping[str, Any], sources: str = "") -> str:
    """Name and hash of an app as C(archive) has it; empty for one that comes with its image alone."""
    return (archive(app, sources) or {"name": ""})["name"]


def _own(folder: Path) -> dict[str, bytes]:
    """The files of an app of the images' own sources, as the build takes them."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and "__pycache__" not in name.parts and path.suffix != ".pyc":
            try:
                found[name.as_posix()] = path.read_bytes()
            except OSError as error:
                raise EdgeflError(f"{path} can't be read on the controller: {error.strerror}.") from error
    return found
