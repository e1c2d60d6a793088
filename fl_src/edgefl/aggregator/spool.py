"""The models that clients send back, on disk until a round is combined: what the aggregator needs of memory does not grow with their number."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgefl.apps import Array, Weights
from edgefl.common.journal import say


class Stored(Sequence[Array]):
    """A model in a file: each array is read when it is asked for, and writable memory of the caller's own."""

    def __init__(self, file: IO[bytes], at: int, like: Sequence[Array]) -> None:
        self._file, self._form = file, []
        for array in like:
            self._form.append((at, array.dtype, array.shape))
            at += array.nbytes

    def __len__(self) -> int:
        return len(self._form)

    def __getitem__(self, index: Any) -> Any:
        """An array, or a list of those of a slice."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        at, dtype, shape = self._form[index]
        self._file.seek(at)
        return np.fromfile(self._file, dtype, math.prod(shape)).reshape(shape)

    def __iter__(self) -> Iterator[Array]:
        return (self[index] for index in range(len(self)))


class Spool:
    """Of one round. Its file has no name: it is gone when nobody holds it any more, however the process ends."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is that of the run, which has room for models; without one the system's for temporary files is taken."""
        self._folder, self._at = folder, 0
        self._file: IO[bytes] | None = None
        self._full = False

    def keep(self, weights: Weights) -> Sequence[Array]:
        """The same arrays, read from the disk as they are needed; those given themselves where the disk takes no more."""
        if self._full:
            return weights
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  # closed with its last reader
            self._file.seek(self._at)
            for array in weights:
                left: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
                while left.size:
                    left = left[self._file.write(left) :]
        except OSError as err:
            say(f"models of this round stay in memory, no room for them on the disk: {err}")
            self._full = True
            return weights
        stored = Stored(self._file, self._at, weights)
        self._at += sum(array.nbytes for array in weights)
        return stored
