"""Data sets in the idx format, read without copying them into memory; `train` and `test` are those of four files, as MNIST and its like have them.

The format (described with the MNIST data set, LeCun et al.): two zero bytes, a type byte (0x08: unsigned byte), the
number of dimensions, then each dimension as a big-endian 32-bit number, then the values in C order.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgefl.apps import BEGAN, AppError, Slice

UINT8 = 0x08


class DataError(AppError):
    """A data file is missing or is not what it should be; the text says what to do."""


def folder() -> Path:
    """Where the data files are: $EDGEFL_DATA_DIR, or the place they have in the images."""
    return BEGAN / os.environ.get("EDGEFL_DATA_DIR", "/opt/edgefl/data")


def training_folder() -> Path:
    """Where the training's files are: $EDGEFL_TRAINING_DIR, this node's own folder, or beside the others."""
    own = os.environ.get("EDGEFL_TRAINING_DIR")
    return BEGAN / own if own else folder()


def train(start: int, stop: int | None) -> Slice:
    """Training samples and their classes, from this node's own folder if it has one."""
    return _samples("train", training_folder(), start, stop)


def test(start: int, stop: int | None) -> Slice:
    """Test samples and their classes."""
    return _samples("t10k", folder(), start, stop)


def _samples(part: str, where: Path, start: int, stop: int | None) -> Slice:
    return read(f"{part}-images-idx3-ubyte", where)[start:stop], read(f"{part}-labels-idx1-ubyte", where)[start:stop]


def read(name: str, where: Path | None = None) -> npt.NDArray[np.uint8]:
    """The idx file `name`, in the folder `where` or the usual one, as a read-only memory-mapped array of unsigned bytes; pages are read when they are used.

    Raises DataError when the file is missing, compressed, of another type, or shorter or longer than its header says.
    """
    path = (where or folder()) / name
    try:
        with path.open("rb") as file:
            head = file.read(4)
            zeros, kind, dims = struct.unpack(">HBB", head) if len(head) == 4 else (1, 0, 0)
            if zeros or kind != UINT8 or not dims:
                raise DataError(f"{path} is no uncompressed idx file of bytes; unpack it (gunzip) or replace it")
            shape = struct.unpack(f">{dims}I", file.read(4 * dims))
            offset = file.tell()
            size = file.seek(0, os.SEEK_END) - offset
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist; put it there, or name another folder with the idx files (EDGEFL_DATA_DIR; for a node's own, --data_dir)"
        ) from None
    except (OSError, struct.error) as err:
        raise DataError(f"{path} can't be read ({err}); replace it") from err
    expected = int(np.prod(shape, dtype=np.int64))
    if size != expected:
        raise DataError(f"{path} has {size} bytes of data, its header says {expected}; replace it")
    return np.memmap(path, np.uint8, "r", offset=offset, shape=shape)
