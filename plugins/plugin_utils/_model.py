# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the model of a run on the controller, in C(results/RUN/model)."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.model import (
    ABOUT,
    ARRAYS,
    EXAMPLE,
    KERAS,
    SAFETENSORS,
)

FOLDER = "model"
_PATH = re.compile(
    r"model\.npz|model\.keras|model\.safetensors|example\.json|work/(?:[A-Za-z0-9_][A-Za-z0-9._+=@,-]*/)*[A-Za-z0-9_][A-Za-z0-9._+=@,-]*"
)
_BLOCK = 1 << 20


def read_about(folder: Path) -> dict[str, Any]:
    """What C(model.json) in the folder says; empty when there is none, or it is damaged."""
    try:
        found = json.loads((folder / ABOUT).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def dump(about: Mapping[str, Any]) -> bytes:
    """The content of C(model.json)."""
    return (json.dumps(about, indent=1, allow_nan=False) + "\n").encode()


def sha256(path: Path) -> str:
    """Checksum of a file; empty when there is none."""
    try:
        if path.is_symlink() or not path.is_file():
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EdgeflError(f"{path} can't be read ({error.strerror}): give rights to it.") from error


def lacking(folder: Path, files: Iterable[Mapping[str, Any]]) -> list[str]:
    """Paths of the files that are not in the folder, or differ. Raises EdgeflError for a path that leads elsewhere."""
    found = []
    for file in files:
        path = str(file["path"])
        if not _PATH.fullmatch(path):
            raise EdgeflError(f"{path!r} is no path of a file of a model.")
        if sha256(folder / path) != file["sha256"]:
            found.append(path)
    return found


def made(folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """What was made before of the same arrays, and is still there: C(keras), C(example), C(image); empty when it is to be made."""
    before = read_about(folder)
    if "image" not in before or before.get("sha256") != about.get("sha256"):
        return {}
    for name in ("keras", "example"):
        file = before.get(name)
        if file and sha256(folder / (KERAS if name == "keras" else EXAMPLE)) != file.get("sha256"):
            return {}
    return {name: before[name] for name in ("keras", "example", "image") if name in before}


def unpack(archive: Path, folder: Path, sums: Mapping[str, str]) -> None:
    """Takes the files with these checksums out of a tar, each whole or not at all. Raises EdgeflError when one is missing or another."""
    left = dict(sums)
    try:
        with tarfile.open(archive) as packed:
            for member in packed:
                wanted = left.pop(member.name, None)
                source = packed.extractfile(member) if member.isreg() else None
                if wanted is None or source is None:
                    raise EdgeflError(f"The cloud node sent {member.name!r}, which nobody asked for.")
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                total = hashlib.sha256()
                handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
                try:
                    with os.fdopen(handle, "wb") as file:
                        for block in iter(lambda: source.read(_BLOCK), b""):  # noqa: B023 - used before the next turn
                            total.update(block)
                            file.write(block)
                        file.flush()
                        os.fsync(file.fileno())
                    if total.hexdigest() != wanted:
                        raise EdgeflError(
                            f"{member.name} changed while it was fetched: is the run still at work? Fetch it again."
                        )
                    os.chmod(temporary, 0o644)
                    os.replace(temporary, path)
                except BaseException:
                    os.unlink(temporary)
                    raise
    except (OSError, tarfile.TarError) as error:
        raise EdgeflError(
            f"The model can't be written to {folder} ({error}): make room or give rights there, or set edgefl_results_dir to another folder."
        ) from error
    if left:
        raise EdgeflError(f"The cloud node did not send {', '.join(sorted(left))}: fetch it again.")


def outdated(folder: Path, files: Iterable[str]) -> list[str]:
    """Files that were fetched or made before, and are none of the model any more."""
    before = read_about(folder)
    known = {ARRAYS, SAFETENSORS, KERAS, EXAMPLE, *map(str, before.get("work", []))}
    return sorted(path for path in known - set(files) if _PATH.fullmatch(path) and (folder / path).is_file())


def deployable(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What model.json in the folder says, and the checksums of all files of the model. Raises EdgeflError when one is missing or damaged."""
    about = read_about(folder)
    if not about.get("sha256") or not about.get("run"):
        raise EdgeflError(
            f"There is no model in {folder}: fetch it first (fetch_model.yml, with edgefl_run for one that is not the last)."
        )
    wanted = {ARRAYS: about["sha256"]}
    for name, key in ((SAFETENSORS, "safetensors"), (KERAS, "keras"), (EXAMPLE, "example")):
        if about.get(key):
            wanted[name] = about[key].get("sha256")
    if damaged := [name for name, checksum in wanted.items() if sha256(folder / name) != checksum]:
        raise EdgeflError(f"{folder / damaged[0]} is missing or damaged: fetch the model again (fetch_model.yml).")
    files = {ABOUT: sha256(folder / ABOUT), **wanted}
    for path in about.get("work", []):
        if not _PATH.fullmatch(str(path)) or not sha256(folder / path):
            raise EdgeflError(f"{folder / str(path)} is missing: fetch the model again (fetch_model.yml).")
        files[path] = sha256(folder / path)
    return about, files


def version(about: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """The name of the version that these files are."""
    total = hashlib.sha256("".join(f"{path} {files[path]}\n" for path in sorted(files)).encode())
    return f"{about['run']}-{total.hexdigest()[:8]}"


def words(folder: Path, about: Mapping[str, Any], files: Iterable[str]) -> list[str]:
    """How to load what is there, for people."""
    lines = [f"{how}  # {what}" for how, what in loads(about, str(folder))]
    written = sorted(path for path in files if path.startswith("work/"))
    if written:
        lines.append(f"Written by the app: {', '.join(written[:10])}{' ...' if len(written) > 10 else ''} in {folder}")
    return lines or [f"The app kept no model in {folder}"]


def loads(about: Mapping[str, Any], folder: str) -> list[tuple[str, str]]:
    """Lines of Python that load the model, and what each gives."""
    found = []
    if about.get("keras"):
        found.append((f'keras.models.load_model("{folder}/{KERAS}")', "a Keras model"))
    if about.get("safetensors"):
        what = "PyTorch's state_dict: model.load_state_dict takes it"
        if all(array["name"].isdigit() for array in about.get("arrays", [])):
            what = "tensors by their numbers, in the order of the model's state_dict"
        found.append((f'safetensors.torch.load_file("{folder}/{SAFETENSORS}")', what))
    if about.get("arrays"):
        count = len(about["arrays"])
        found.append(
            (f'numpy.load("{folder}/{ARRAYS}")', f"{count} array{'s' * (count != 1)}, by name as {ABOUT} lists them")
        )
    return found
