# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: an archive that is read once, and sent to any number of nodes, each at its own pace; and the limit that they share."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.agent import encode

# Where what was read waits for the slower nodes, in a file without a name: not in memory, as /tmp may be
FOLDER = "/var/tmp"
# Chunks that are compressed at the same time: one processor is left for reading and sending
WORKERS = 2


@dataclass(frozen=True)
class Chunk:
    """One chunk as it goes over the wire: its place in the file, and its SHA-256."""

    index: int
    offset: int
    length: int
    digest: bytes


class ChunkedArchive:
    """An archive of about `size` bytes, cut into chunks of `chunk` bytes, each compressed by itself, in a file without a name.

    `key` names its content: a node goes on with an archive of the same key where an earlier transfer ended.
    """

    def __init__(self, key: str, pieces: Iterator[bytes], codec: str, chunk: int, size: int) -> None:
        self.key = key
        self.codec = codec
        self.chunk = chunk
        self.size = size
        self.chunks: list[Chunk] = []
        self.complete = False
        self.error: BaseException | None = None
        self._change = threading.Condition()
        self._file = tempfile.TemporaryFile(dir=FOLDER)  # noqa: SIM115 - lives as long as the archive
        self._closed = False
        self._thread = threading.Thread(target=self._fill, args=(pieces,), daemon=True)
        self._thread.start()

    def get(self, index: int) -> Chunk | None:
        """Chunk `index`, as soon as it is there; None when the archive has no so many. Raises what went wrong in reading."""
        with self._change:
            self._change.wait_for(lambda: index < len(self.chunks) or self.complete or self.error)
            if index < len(self.chunks):
                return self.chunks[index]
            if self.error:
                raise self.error
            return None

    def read(self, chunk: Chunk, piece: int) -> Iterator[bytes]:
        """What of the chunk goes over the wire, in pieces of `piece` bytes."""
        for begin in range(0, chunk.length, piece):
            yield os.pread(self._file.fileno(), min(piece, chunk.length - begin), chunk.offset + begin)

    def close(self) -> None:
        """Ends the reading, and gives the room back."""
        self._closed = True
        self._thread.join()
        self._file.close()

    def _fill(self, pieces: Iterator[bytes]) -> None:
        try:
            with ThreadPoolExecutor(WORKERS) as pool:
                waiting: deque[Future[bytes]] = deque()
                for raw in self._cut(pieces):
                    waiting.append(pool.submit(encode, self.codec, raw))
                    while len(waiting) > WORKERS:
                        self._add(waiting.popleft().result())
                while waiting:
                    self._add(waiting.popleft().result())
            with self._change:
                self.complete = True
                self._change.notify_all()
        except BaseException as error:
            with self._change:
                self.error = error
                self._change.notify_all()

    def _cut(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        parts: list[bytes] = []
        size = 0
        for piece in pieces:
            if self._closed:
                return
            parts.append(piece)
            size += len(piece)
            if size >= self.chunk:
                whole = b"".join(parts)
                while len(whole) >= self.chunk:
                    yield whole[: self.chunk]
                    whole = whole[self.chunk :]
                parts, size = [whole], len(whole)
        if size:
            yield b"".join(parts)

    def _add(self, data: bytes) -> None:
        offset = self.chunks[-1].offset + self.chunks[-1].length if self.chunks else 0
        self._file.write(data)
        self._file.flush()
        with self._change:
            self.chunks.append(Chunk(len(self.chunks), offset, len(data), hashlib.sha256(data).digest()))
            self._change.notify_all()


class Limit:
    """So many bytes a second for all who ask (0: no limit)."""

    def __init__(
        self, rate: int, clock: Callable[[], float] = time.monotonic, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.rate = rate
        self.clock = clock
        self.pause = pause
        self._free = 0.0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Returns when so many bytes may go."""
        if not self.rate:
            return
        with self._lock:
            now = self.clock()
            begin = max(now, self._free)
            self._free = begin + size / self.rate
        if begin > now:
            self.pause(begin - now)
