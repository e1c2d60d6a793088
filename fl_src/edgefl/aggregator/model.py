"""The model that came out of a training, in files that anything can read: model.npz, and model.json with names, shapes and types."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgefl.common.journal import patiently, write_atomically

FOLDER, ARRAYS, ABOUT = "model", "model.npz", "model.json"


def save(folder: Path, arrays: Mapping[str, Any], **about: Any) -> Path:
    """Write folder/model/model.npz, an array for each of `arrays` by its name, and model.json beside it; gives the .npz.

    numpy.load opens it: `numpy.load("model.npz")["NAME"]`. Names may be any text but "file", which numpy.savez takes for itself.
    """
    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    plain = {name: np.asarray(array) for name, array in arrays.items()}
    if any(array.dtype.hasobject for array in plain.values()):
        raise ValueError("the model holds objects that are no arrays of numbers: it is not kept as .npz")
    buffer = io.BytesIO()
    np.savez(buffer, **{name if name != "file" else "file_": array for name, array in plain.items()})  # type: ignore[arg-type]
    shapes = [{"name": name, "shape": list(array.shape), "dtype": str(array.dtype)} for name, array in plain.items()]
    text = json.dumps(about | {"file": ARRAYS, "arrays": shapes}, indent=1) + "\n"
    patiently(lambda: write_atomically(target / ARRAYS, buffer.getvalue()), str(target / ARRAYS))
    patiently(lambda: write_atomically(target / ABOUT, text.encode()), str(target / ABOUT))
    return target / ARRAYS
