# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the model of a run on the cloud node: which files there are of it, and those that are asked for, in one archive.

The aggregator's folder is written by an app's code: it is read as L(foreign) reads, and what it holds is taken for data alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core import foreign
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable, shown
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import events
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.run_name import check_run
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.build import LONGEST_TRIAL, TRIAL

# The aggregator's folders: what the strategy ended with, and where the app runs
MODEL, WORK = "model", "work"
ARRAYS, ABOUT, KERAS, EXAMPLE, MADE = "model.npz", "model.json", "model.keras", "example.json", "about.json"
SAFETENSORS = "model.safetensors"
_BLOCK = 1 << 20
# Bytes of a run's first line, of which an argument is made
_LONGEST_LINE = 1 << 16


def find_run(state_dir: Path, run: str) -> str:
    """The run of this name, or, where that is empty, the one that wrote last. Raises EdgeflError that names the runs there are."""
    try:
        with os.scandir(state_dir) as entries:
            folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        folders = []
    except OSError as error:
        raise EdgeflError(
            f"{state_dir} can't be read ({error.strerror}): run this on the cloud node with become, and check edgefl_state_dir."
        ) from error
    times = {}
    for name in folders:
        try:
            times[name] = os.lstat(os.path.join(str(state_dir), name, events.FILE)).st_mtime
        except OSError:
            continue
    there = sorted(times, key=lambda name: (times[name], name))
    if not there:
        raise EdgeflError(
            f"There is no run in {state_dir}: train first (site.yml), or let edgefl_state_dir name the folder of the runs."
        )
    if run and check_run(run) not in there:
        names = ", ".join(printable(name, 100) for name in there[-20:])
        raise EdgeflError(f"There is no run {run} in {state_dir}: there are {names} (edgefl_run).")
    return run or there[-1]


def listed(state_dir: Path, run: str, most: int) -> dict[str, Any]:
    """C(about): what model.json says; C(files): path, size and sha256 of each file; C(left_out): what is not among them, and why.

    Files of the folder in which the app ran have C(work/) before their path. All files together have at most `most` bytes.
    """
    about, left_out = _about(state_dir, run)
    arrays = [ARRAYS, *([SAFETENSORS] if "safetensors" in about else [])] if about else []
    # Name -> where it is below the state folder
    places = {name: [run, MODEL, name] for name in arrays}
    sizes: dict[str, int] = {}
    for name in arrays:
        size = _size(state_dir, *places[name])
        if size is None:
            left_out.append(f"{name} is not there")
        else:
            sizes[name] = size
    written, odd = _written(state_dir, run)
    for path, size in written.items():
        places[f"{WORK}/{path}"] = [run, WORK, *path.split("/")]
        sizes[f"{WORK}/{path}"] = size
    taken, too_much = _that_fit(sizes, most)
    if SAFETENSORS not in taken:
        about.pop("safetensors", None)
    files = [_entry(name, state_dir, *places[name]) for name in taken]
    return {"about": about, "files": files, "left_out": [*left_out, *odd, *too_much]}


def _about(state_dir: Path, run: str) -> tuple[dict[str, Any], list[str]]:
    """What model.json says, empty when there is none; and what is wrong with it."""
    try:
        return _clean(shown(json.loads(foreign.read(state_dir, run, MODEL, ABOUT)))), []
    except FileNotFoundError:
        return {}, []
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        return {}, [f"{ABOUT} is damaged ({type(error).__name__}: {printable(str(error), 100)})"]


def _written(state_dir: Path, run: str) -> tuple[dict[str, int], list[str]]:
    """Files of the folder in which the app ran, with their sizes; and what is no file that is taken."""
    try:
        sizes, odd = foreign.files(state_dir, run, WORK)
    except FileNotFoundError:
        return {}, []
    told = [f"{WORK}/{printable(path, 200)} is a link, or has a name that is not taken" for path in odd[:20]]
    if len(odd) > 20:
        told.append(f"{len(odd) - 20} more such names in {WORK}/")
    return sizes, told


def _that_fit(sizes: Mapping[str, int], most: int) -> tuple[list[str], list[str]]:
    """Names of files that have at most `most` bytes together, those that come first before others; and what is said of those that do not fit."""
    taken, told, room = [], [], most
    for name, size in sizes.items():
        if size > room:
            told.append(f"{name} has {_mb(size)}, and all files together more than {_mb(most)} (results_model_mb)")
        else:
            taken.append(name)
            room -= size
    return taken, told


def _clean(given: Any) -> dict[str, Any]:
    """What the aggregator writes of a model, and nothing else. Raises ValueError, LookupError or TypeError for what it never writes."""
    arrays = [
        {"name": str(each["name"]), "shape": [int(size) for size in each["shape"]], "dtype": str(each["dtype"])}
        for each in given["arrays"]
    ]
    accuracy = given["accuracy"]
    tensors = given.get("safetensors")
    told = {"safetensors": {"file": SAFETENSORS, "sha256": str(tensors["sha256"])}} if tensors else {}
    return {
        "app": str(given["app"]),
        "run": str(given["run"]),
        "loop": int(given["loop"]),
        "round": int(given["round"]),
        "accuracy": None if accuracy is None else float(accuracy),
        "file": ARRAYS,
        "sha256": str(given["sha256"]),
        "arrays": arrays,
        **told,
    }


def _mb(size: int) -> str:
    return f"{size / 1e6:.3g} MB"


def _size(root: Path, *names: str) -> int | None:
    try:
        with foreign.open_file(root, *names, most=1 << 50) as file:
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return None


def _entry(path: str, root: Path, *names: str) -> dict[str, Any]:
    total, size = hashlib.sha256(), 0
    with foreign.open_file(root, *names, most=1 << 50) as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            total.update(block)
            size += len(block)
    return {"path": path, "size": size, "sha256": total.hexdigest()}


def pack(target: IO[bytes], state_dir: Path, run: str, paths: list[str], made: dict[str, bytes]) -> None:
    """Writes a tar of these files, as L(listed) names them, and of what was `made`, to `target`."""
    with tarfile.open(fileobj=target, mode="w") as archive:
        for path in paths:
            names = [MODEL, path] if path in (ARRAYS, SAFETENSORS) else path.split("/")
            with foreign.open_file(state_dir, run, *names, most=1 << 50) as file:
                about = tarfile.TarInfo(path)
                about.size = os.fstat(file.fileno()).st_size
                archive.addfile(about, file)
        for name, data in made.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))


def export(state_dir: Path, run: str, image: str, app: str, most: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the client's image makes of the arrays: what is told of it (C(keras), C(example)), and files by their names.

    Raises EdgeflError with the reason when it makes nothing of them.
    """
    words = [app]
    if config := _config(state_dir, run):
        words.append(json.dumps(config))
    with foreign.open_file(state_dir, run, MODEL, ARRAYS, most=1 << 50) as arrays:
        data = _run(image, words, arrays, most)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            total = sum(each.file_size for each in archive.infolist())
            if not {MADE} <= names <= {MADE, KERAS} or total > most:
                raise ValueError("it holds other files")
            files = {name: archive.read(name) for name in names}
        about = shown(json.loads(files.pop(MADE)))
        if not isinstance(about, dict):
            raise ValueError("it tells nothing")
    except (ValueError, RecursionError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise EdgeflError(
            f"what {image} makes of the model can't be read ({printable(str(error), 100)}): build the images again"
        ) from error
    return _told(about, files)


def _config(state_dir: Path, run: str) -> dict[str, Any]:
    """The configuration of the app in this run, which its first line tells; empty where it tells none."""
    try:
        with foreign.open_file(state_dir, run, events.FILE, most=1 << 50) as file:
            return _mapping(json.loads(file.readline(_LONGEST_LINE))["settings"]["config"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}


def _told(about: dict[str, Any], files: dict[str, bytes]) -> tuple[dict[str, Any], dict[str, bytes]]:
    told = {}
    if KERAS in files:
        told["keras"] = {
            "file": KERAS,
            "sha256": hashlib.sha256(files[KERAS]).hexdigest(),
            **_mapping(about.get("keras")),
        }
    example = _mapping(about.get("example"))
    if example:
        files[EXAMPLE] = (json.dumps(example.get("request")) + "\n").encode()
        told["example"] = {
            "request": EXAMPLE,
            "sha256": hashlib.sha256(files[EXAMPLE]).hexdigest(),
            "outputs": example.get("outputs"),
        }
    return told, files


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _run(image: str, words: list[str], arrays: IO[bytes], most: int) -> bytes:
    """What the program writes, at most `most` bytes. In a container without a network, as the app is tried."""
    limited = [
        "--entrypoint=timeout",
        image,
        "--signal=KILL",
        str(LONGEST_TRIAL),
        "python3",
        "-m",
        "edgefl.serve.export",
        *words,
    ]
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                ["docker", "run", "--interactive", *TRIAL, *limited], stdin=arrays, stdout=subprocess.PIPE, stderr=said
            )
        except OSError as error:
            raise EdgeflError(f"docker does not start ({error.strerror})") from error
        with process:
            # Whatever happens to the container, nobody waits longer
            alarm = threading.Timer(LONGEST_TRIAL + 20, process.kill)
            alarm.start()
            try:
                data = process.stdout.read(most + 1) if process.stdout else b""
            finally:
                alarm.cancel()
            if len(data) > most:
                process.kill()
                raise EdgeflError(f"it has more than {_mb(most)} (results_model_mb)")
            code = process.wait()
        said.seek(max(0, said.seek(0, os.SEEK_END) - 4096))
        last = [line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    if code:
        raise EdgeflError(printable(last[-1] if last else f"it ended with {code}"))
    return data
