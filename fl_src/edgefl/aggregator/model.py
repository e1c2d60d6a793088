"""The model that came out of a training, in files that anything can read: model.npz, and model.json with names, shapes and types.

Of an app with PyTorch also model.safetensors: 8 bytes with the length of a header, the header in JSON (name -> dtype, shape, place among the data), the data.
https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgefl.common.journal import patiently, write_atomically

FOLDER, ARRAYS, ABOUT, SAFETENSORS = "model", "model.npz", "model.json", "model.safetensors"
_TYPES = {
    "bool": "BOOL", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip


def keep_best(
    folder: Path,
    arrays: Mapping[str, Any],
    *,
    loop: int,
    accuracy: float | None,
    for_pytorch: bool = False,
    **about: Any,
) -> bool:
    """Save the model with which a loop ended, unless that of another loop has a better accuracy; gives whether it was saved.

    Without accuracies the last one stays. Raises what `save` raises.
    """
    kept = _about(folder)
    better = accuracy is None or kept.get("accuracy") is None or accuracy > kept["accuracy"]
    if kept and kept["loop"] != loop and not better:
        return False
    save(folder, arrays, for_pytorch=for_pytorch, loop=loop, accuracy=accuracy, **about)
    return True


def save(folder: Path, arrays: Mapping[str, Any], *, for_pytorch: bool = False, **about: Any) -> Path:
    """Write folder/model/model.npz, an array for each of `arrays` by its name, and model.json beside it; gives the .npz.

    `for_pytorch`: model.safetensors, too, where it has types for all arrays.

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
    tensors = safetensors(plain) if for_pytorch else None
    if tensors is not None:
        found["safetensors"] = {"file": SAFETENSORS, "sha256": hashlib.sha256(tensors).hexdigest()}
        patiently(lambda: write_atomically(target / SAFETENSORS, tensors), str(target / SAFETENSORS))
    else:
        (target / SAFETENSORS).unlink(missing_ok=True)
    text = json.dumps(found, indent=1) + "\n"
    patiently(lambda: write_atomically(target / ARRAYS, data), str(target / ARRAYS))
    patiently(lambda: write_atomically(target / ABOUT, text.encode()), str(target / ABOUT))
    return target / ARRAYS


def safetensors(arrays: Mapping[str, Any]) -> bytes | None:
    """The arrays as a .safetensors file; None where one has a type that the format does not have, or no array is there.

    The data are in the order of the arrays, but wide types come first, so that each begins at a multiple of its size.
    """
    if not arrays or "__metadata__" in arrays or any(array.dtype.name not in _TYPES for array in arrays.values()):
        return None
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = []
    end = 0
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].itemsize):
        data.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": _TYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((struct.pack("<Q", len(text)), text, *data))


def _about(folder: Path) -> dict[str, Any]:
    """What is said of the model that is there; empty when there is none, or a kill came between its two files."""
    try:
        found: dict[str, Any] = json.loads((folder / FOLDER / ABOUT).read_bytes())
        whole = hashlib.sha256((folder / FOLDER / ARRAYS).read_bytes()).hexdigest() == found["sha256"]
        return found if whole and "loop" in found else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
