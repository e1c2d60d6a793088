"""Every reply that the app got, on disk: after a kill the app's main() runs again, and gets them again until they end.

A file of records, each with a CRC-32; a torn one at the end is what a kill left, and is dropped. A reply is found by the key of the message
that it answers, which is a hash of that message: who gets it, its type, its content. Where the app sends another message than before, its
replies are not those of before either, and it goes on live.

A kill loses nothing that the kernel has. Against a power cut the file is synced before the line of a round is written: what a line tells of can be
had again. Replies of more than MOST bytes are given up, which is said: the volume is others', too.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from edgefl.common.journal import patiently, say
from edgefl.link.hub import Reply

NAME = "replies.bin"
MOST = 4 << 30
"""Bytes of all replies of a run. Beyond it they are not kept any more, and a restart begins anew."""
_SIZES = struct.Struct(">4sIIQI")
_MARK = b"EFR1"


class Replies:
    """The replies of one run, in the order in which the app got them. With `folder` None nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / NAME if folder else None
        self._known: dict[str, tuple[int, dict[str, Any], int, int, int]] = {}
        self._nodes: dict[int, list[int]] = {}
        self._calls = self._last_call = 0
        self._ids: list[int] = []
        self._end = 0
        if self.path and self.path.exists():
            self._scan()
        self.replayed = len(self._known)
        """Replies that were there from the beginning."""

    def _scan(self) -> None:
        assert self.path
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            while True:
                begin = file.tell()
                sizes = file.read(_SIZES.size)
                if len(sizes) < _SIZES.size:
                    break
                mark, about_size, head_size, body_size, check = _SIZES.unpack(sizes)
                if mark != _MARK or begin + _SIZES.size + about_size + head_size + body_size > size:
                    break
                text = file.read(about_size)
                found = zlib.crc32(text)
                for part in (head_size, body_size):
                    found = zlib.crc32(file.read(part), found)
                if found != check:
                    break
                about = json.loads(text)
                self._last_call = max(self._last_call, about.get("call", 0))
                if "nodes" in about:
                    self._nodes[about["call"]] = about["nodes"]
                else:
                    self._known[about["key"]] = (
                        len(self._known),
                        about,
                        begin + _SIZES.size + about_size,
                        head_size,
                        body_size,
                    )
                self._end = file.tell()
        if self._end != size:
            say(f"{self.path}: the last {size - self._end} bytes are torn or damaged: dropped")
            os.truncate(self.path, self._end)

    def take(self, keys: Collection[str]) -> dict[str, Reply | None]:
        """The replies to these messages that are known, in the order of before; None for one that the app waited for in vain."""
        found: dict[str, Reply | None] = {}
        for key in sorted(keys & self._known.keys(), key=lambda one: self._known[one][0]):
            _dummy, about, at, head_size, body_size = self._known.pop(key)
            if about.get("missing"):
                found[key] = None
                continue
            assert self.path
            with self.path.open("rb") as file:
                file.seek(at)
                head, body = file.read(head_size), file.read(body_size)
            found[key] = Reply(head, body, about["node"], about["pod"], about["note"], about["reason"])
        return found

    @property
    def left(self) -> int:
        """Replies from before that the app has not asked for again."""
        return len(self._known)

    def diverge(self, what: str) -> None:
        """The app does something else than before: what is left of its replies is of no use."""
        say(
            f"the app {what}: {self.left} replies from before the restart are not used, and it goes on live; "
            "an app that draws all its random numbers from a seed goes on where it was"
        )
        self._known.clear()
        self._nodes.clear()
        self._last_call = 0

    def nodes(self, now: list[int]) -> list[int]:
        """What the app is told of who is connected: as before while it is done again, then `now`."""
        self._calls += 1
        if self._calls <= self._last_call:
            self._ids = self._nodes.get(self._calls, self._ids)
        elif now != self._ids:
            self._ids = now
            self._write({"call": self._calls, "nodes": now}, b"", b"")
        return list(self._ids)

    def add(self, key: str, reply: Reply | None) -> None:
        """The app gets this reply now (None: it waited in vain)."""
        about: dict[str, Any] = {"key": key, "call": self._calls}
        if reply is None:
            return self._write(about | {"missing": True}, b"", b"")
        about |= {"node": reply.node, "pod": reply.pod, "note": reply.note, "reason": reply.reason}
        return self._write(about, reply.head, reply.whole())

    def _write(self, about: dict[str, Any], head: bytes, body: bytes) -> None:
        if not self.path:
            return
        text = json.dumps(about, separators=(",", ":")).encode()
        if self._end + _SIZES.size + len(text) + len(head) + len(body) > MOST:
            self._give_up()
            return
        check = zlib.crc32(body, zlib.crc32(head, zlib.crc32(text)))
        parts = [_SIZES.pack(_MARK, len(text), len(head), len(body), check), text, head, body]
        path = self.path
        patiently(lambda: self._append(path, parts), str(path))
        self._end += sum(map(len, parts))

    def _append(self, path: Path, parts: list[bytes]) -> None:
        """Whole or not at all. A kill may tear it, and then it is dropped."""
        with path.open("ab", buffering=0) as file:
            begin = file.tell()
            try:
                for part in parts:
                    view = memoryview(part)
                    while view:
                        view = view[file.write(view) :]
            except OSError:
                os.ftruncate(file.fileno(), begin)
                raise

    def _give_up(self) -> None:
        assert self.path
        say(
            f"the replies of this run are more than {MOST >> 20} MB: they are not kept any more in {self.path}, and after a restart of the aggregator "
            "the app begins anew; save its state in its own files to go on from there"
        )
        self.finish()
        self.path = None
        self._known.clear()

    def sync(self) -> None:
        """What was added is on the disk, whatever happens to the machine."""
        if self.path and self.path.exists():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())

    def finish(self) -> None:
        """The run is over, and its lines and model are on the disk: the replies take room for nothing."""
        if self.path:
            self.path.unlink(missing_ok=True)
