"""Where the bodies of answers are while they come and until they are read: a few in memory, the others on the disk.

So what the link needs of memory grows neither with the number of clients that answer at the same time nor with the size of the model, and a slow client
holds up nobody: each chunk goes to its place as it comes.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from typing import IO

from edgefl.common.journal import say

IN_MEMORY = 8 * 1024 * 1024
"""Bytes of all bodies that are held in memory; one that would go beyond it comes to the disk."""


class Body:
    """A body of `size` bytes, in memory or (`at`) in the file. Its room is free when nobody has it any more."""

    def __init__(self, store: Bodies, size: int, at: int | None) -> None:
        self._store, self._size, self._at = store, size, at
        self._chunks: list[bytes] = []
        self._got = 0

    def add(self, chunk: bytes) -> None:
        """The next chunk; together they are no more than `size`. Where the disk takes no more, what comes stays in memory."""
        if self._at is None or self._chunks or not self._store.write(chunk, self._at + self._got):
            self._chunks.append(chunk)
        else:
            self._got += len(chunk)

    def read(self) -> bytes:
        """The whole; can be read once."""
        chunks, self._chunks = self._chunks, []
        if self._at is not None:
            chunks.insert(0, self._store.read(self._got, self._at))
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def __del__(self) -> None:
        self._store.release(self._size, self._at)


class Bodies:
    """All that are held at a time. Their file, in `folder`, has no name: it is gone with the process, however that ends."""

    def __init__(self, folder: Path | None, in_memory: int = IN_MEMORY) -> None:
        self._folder, self._in_memory = folder, in_memory
        self._lock = threading.RLock()  # Python may collect a body wherever it is
        self._file: IO[bytes] | None = None
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        self._full = False
        self._end = 0
        self.held = self.stored = 0
        """Bytes in memory and on the disk."""

    def new(self, size: int) -> Body:
        """For a message that is announced with `size` bytes."""
        with self._lock:
            if self.held + size > self._in_memory and self._opened():
                at = self._free[size].pop() if self._free[size] else self._end
                self._end = max(self._end, at + size)
                self.stored += size
                return Body(self, size, at)
            self.held += size
        return Body(self, size, None)

    def _opened(self) -> bool:
        if self._file is None and not self._full:
            try:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  # for as long as this
            except OSError as err:
                self._refuse(err)
        return not self._full

    def _refuse(self, err: OSError) -> None:
        if not self._full:
            say(f"answers stay in memory from now on, no room for them on the disk: {err}")
        self._full = True

    def write(self, chunk: bytes, at: int) -> bool:
        """Gives whether the disk took it."""
        assert self._file
        left = memoryview(chunk)
        try:
            while left:
                done = os.pwrite(self._file.fileno(), left, at)
                left, at = left[done:], at + done
        except OSError as err:
            self._refuse(err)
            return False
        return True

    def read(self, size: int, at: int) -> bytes:
        """What is there. Raises OSError when the disk does not give it back."""
        assert self._file
        return os.pread(self._file.fileno(), size, at)

    def release(self, size: int, at: int | None) -> None:
        """Nobody has the body any more. The file is empty again when it was the last."""
        with self._lock:
            if at is None:
                self.held -= size
                return
            self.stored -= size
            self._free[size].append(at)
            if not self.stored and self._file:
                self._free.clear()
                self._end = 0
                os.ftruncate(self._file.fileno(), 0)
