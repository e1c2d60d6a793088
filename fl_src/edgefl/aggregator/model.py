"""The model that came out of a training, in files that anything can read: model.npz, and model.json with names, shapes and types."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgefl.common.journal import patiently, write_atomically

FOLDER, ARRAYS, ABOUT = "model", "model.npz", "model.json"


def keep_best(folder: Path, arrays: Mapping[str, Any], *, loop: int, accuracy: float | None, **about: Any) -> bool:
    """Save the model with which a loop ended, unless that of another loop has a better accuracy; gives whether it was saved.

    Without accuracies the last one stays. Raises what `save` raises.
    """
    kept = _about(folder)
    better = accuracy is None or kept.get("accuracy") is None or accuracy > kept["accuracy"]
    if kept and kept["loop"] != loop and not better:
        return False
    save(folder, arrays, loop=loop, accuracy=accuracy, **about)
    return True


def save(folder: Path, arrays: Mapping[str, Any], **about: Any) -> Path:
    """Write folder/model/model.npz, an array for each of `arrays` by its name, and model.json beside it; gives the .npz.

    numpy.load opens it: `numpy.load("model.npz")["NAME"]`. Names may be any text but "file", which numpy.savez takes for itself.
    Raises ValueError for what are no arrays of numbers.
    """
    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    plain = {name if name != "file" else "file_": np.asarray(array) for name, array in arrays.items()}
    if any(array.dtype.hasobject for array in plain.values()):
        raise ValueError("the model holds objects that are no arrays of numbers: it is not kept as .npz")
    buffer = io.BytesIO()
    np.savez(buffer, **plain)  # type: ignore[arg-type]
    data = buffer.getvalue()
    shapes = [{"name": name, "shape": list(array.shape), "dtype": str(array.dtype)} for name, array in plain.items()]
    found = about | {"file": ARRAYS, "sha256": hashlib.sha256(data).hexdigest(), "arrays": shapes}
    text = json.dumps(found, indent=1) + "\n"
    patiently(lambda: write_atomically(target / ARRAYS, data), str(target / ARRAYS))
    patiently(lambda: write_atomically(target / ABOUT, text.encode()), str(target / ABOUT))
    return target / ARRAYS


def _about(folder: Path) -> dict[str, Any]:
    """What is said of the model that is there; empty when there is none, or a kill came between its two files."""
    try:
        found: dict[str, Any] = json.loads((folder / FOLDER / ABOUT).read_bytes())
        whole = hashlib.sha256((folder / FOLDER / ARRAYS).read_bytes()).hexdigest() == found["sha256"]
        return found if whole and "loop" in found else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
