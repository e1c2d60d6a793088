"""Where the bodies of answers are while they come and until they are read: a few in memory, the others on the disk.

So what the link needs of memory grows neither with the number of clients that answer at the same time nor with the size of the model. An answer waits for
room in memory as long as others give some back, since the disk costs the processor twice as much; where memory is held by slow clients, what comes goes to
the disk, and nobody is held up.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from collections import defaultdict, deque
from pathlib import Path
from typing import IO

from edgefl.common.journal import say

IN_MEMORY = 8 * 1024 * 1024
"""Bytes of all bodies that are held in memory; one that would go beyond it comes to the disk."""
STANDSTILL, LONGEST_WAIT = 0.5, 5.0
"""Seconds that an answer waits for room in memory: as long as some is taken or given back that often, and in all."""
AT_ONCE, AT_A_TIME = 64, 8
"""Answers that come at once; and beyond these, how many are let in at a look for which the loop had time."""
POLL, ON_TIME, LEAST_EVERY = 0.01, 0.001, 0.1
"""Seconds between two looks; how late they are, on average, where the loop has time; and after which one is let in anyway."""


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
        self._moved = 0.0
        self.held = self.stored = 0
        """Bytes in memory and on the disk."""

    @property
    def still(self) -> float:
        """Seconds in which no memory was taken or given back."""
        return time.monotonic() - self._moved

    def full(self, size: int) -> bool:
        """Whether memory has no room for so many bytes now, and will have."""
        return size <= self._in_memory < self.held + size

    def new(self, size: int) -> Body:
        """For a message that is announced with `size` bytes."""
        with self._lock:
            if self.held + size > self._in_memory and self._opened():
                at = self._free[size].pop() if self._free[size] else self._end
                self._end = max(self._end, at + size)
                self.stored += size
                return Body(self, size, at)
            self.held += size
            self._moved = time.monotonic()
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
                self._moved = time.monotonic()
                return
            self.stored -= size
            self._free[size].append(at)
            if not self.stored and self._file:
                self._free.clear()
                self._end = 0
                os.ftruncate(self._file.fileno(), 0)


class Queue:
    """Answers that wait until they may come, first come, first served; in the loop that makes it.

    What comes takes memory until it is there, also of gRPC's, and more of it for each that comes at the same time. So there are no more of them than the
    loop has time for: where it is idle, the network is what is slow, and more are let in. Not those of quick clients, whose chunks are large: when these are
    slow, they share our processors, or something is wrong.
    """

    def __init__(self, bodies: Bodies) -> None:
        self._bodies, self._loop = bodies, asyncio.get_running_loop()
        self._waiting: deque[tuple[asyncio.Future[Body], int, bool, float]] = deque()
        self._looks, self._late, self._least = False, 0.0, 0.0
        self._coming: dict[Body, tuple[float, bool]] = {}

    @property
    def coming(self) -> int:
        """Answers that have been let in and of which something came a while ago at most. One that has come to a stop takes no more memory, and no place.

        Where the loop has no time, and where a client is quick, a stop is a longer one.
        """
        now, halt = time.monotonic(), STANDSTILL if self._late < ON_TIME else LONGEST_WAIT
        return sum(now - at < (LONGEST_WAIT if quick else halt) for at, quick in self._coming.values())

    async def place(self, size: int, quick: bool) -> Body:
        """For a message that is announced with `size` bytes; `came` is to be called with each part of it, and `whole` when no more comes."""
        if size and (self._waiting or self._bodies.full(size) or len(self._coming) >= AT_ONCE):
            turn: asyncio.Future[Body] = self._loop.create_future()
            self._waiting.append((turn, size, quick, time.monotonic()))
            if not self._looks:
                self._looks = True
                self._loop.call_later(POLL, self._look, self._loop.time() + POLL)
            body = await turn
        else:
            body = self._bodies.new(size)
        self._coming[body] = time.monotonic(), quick
        return body

    def came(self, body: Body) -> None:
        """Some of it is there."""
        self._coming[body] = time.monotonic(), self._coming[body][1]

    def whole(self, body: Body) -> None:
        """It is there, or its connection is gone."""
        del self._coming[body]

    def _look(self, due: float) -> None:
        """Let in who may come now; again and again while there is somebody."""
        self._late += (self._loop.time() - due - self._late) / 10
        self._least = min(1.0, self._least + POLL / LEAST_EVERY)
        free, more = AT_ONCE - self.coming, AT_A_TIME if self._late < ON_TIME else 0
        while self._waiting:
            turn, size, quick, since = self._waiting[0]
            if not turn.done():  # else its connection is gone
                patient = self._bodies.still < STANDSTILL and time.monotonic() - since < LONGEST_WAIT
                if patient and self._bodies.full(size):
                    break
                if free > 0:
                    free -= 1
                elif more and not quick:
                    more -= 1
                elif self._least >= 1:
                    self._least -= 1
                else:
                    break
                turn.set_result(self._bodies.new(size))
            self._waiting.popleft()
        self._looks = bool(self._waiting)
        if self._looks:
            self._loop.call_later(POLL, self._look, self._loop.time() + POLL)
