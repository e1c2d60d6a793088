"""What a ServerApp gets: Flower's Grid, on the hub."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from edgefl.common.journal import printable
from edgefl.link import flower
from edgefl.link.hub import Hub, Reply

if TYPE_CHECKING:
    Grid = Any
else:
    Grid = flower.grid()

FOREVER = 10 * 365 * 86400.0
LATE = "no answer in time: the app waits that long, and at most --round_timeout; raise it if the work takes longer"


class Memory(Protocol):
    """Replies from before a restart: aggregator.replies.Replies."""

    @property
    def left(self) -> int: ...

    def take(self, keys: Any) -> dict[str, Reply | None]: ...
    def add(self, key: str, reply: Reply | None) -> None: ...
    def nodes(self, now: list[int]) -> list[int]: ...
    def diverge(self, what: str) -> None: ...


class Watcher(Protocol):
    """Who is told what passes: aggregator.rounds.Rounds."""

    loop: int

    def sent(self, mark: object, kind: str, count: int, size: int) -> Any: ...
    def answered(self, exchange: Any, node: str, pod: str, note: Any, metrics: Any, size: int) -> Any: ...
    def refused(self, answer: Any, reason: str) -> None: ...
    def lost(self, exchange: Any, node: str, pod: str, reason: str) -> None: ...
    def diverged(self) -> None: ...


class Nothing:
    """A Memory and a Watcher that keep nothing: for a coordinator that has checkpoints and writes its own lines."""

    left, loop = 0, 1

    def take(self, keys: Any) -> dict[str, Reply | None]:
        return {}

    def add(self, key: str, reply: Reply | None) -> None:
        pass

    def nodes(self, now: list[int]) -> list[int]:
        return now

    def diverge(self, what: str) -> None:
        pass

    def sent(self, mark: object, kind: str, count: int, size: int) -> Any:
        return None

    def answered(self, exchange: Any, node: str, pod: str, note: Any, metrics: Any, size: int) -> Any:
        return None

    def refused(self, answer: Any, reason: str) -> None:
        pass

    def lost(self, exchange: Any, node: str, pod: str, reason: str) -> None:
        pass

    def diverged(self) -> None:
        pass


@dataclass
class _Sent:
    node: int
    head: bytes
    exchange: Any
    reply: Reply | None = None


class LinkGrid(Grid):
    """`longest`: seconds that an app waits at most, whatever it asks for. Any thread may call it: strategies of before Flower 1.20 have one for each node.

    `arrays` are the first arrays of the last message that had some: of an app whose strategy is not Flower's, the last model that was seen.
    """

    def __init__(self, hub: Hub, run: int, memory: Memory, watcher: Watcher, longest: float) -> None:
        self._hub, self._memory, self._watcher, self._longest = hub, memory, watcher, longest
        self._lock = threading.RLock()
        self._run: Any = None
        self.set_run(SimpleNamespace(run_id=run, fab_id="", fab_version="", fab_hash="", override_config={}))
        self._sent: dict[str, _Sent] = {}
        self._known: dict[str, Reply | None] = {}
        self._seen: dict[str, int] = {}
        self._sending: tuple[str | None, str] | None = None
        self._answered: dict[str | int, Any] = {}
        self.arrays: Any = None

    # -- Flower's interface ------------------------------------------------------------------------------------------

    def set_run(self, run: Any) -> None:
        self._run = run

    @property
    def run(self) -> Any:
        return self._run

    def create_message(
        self, content: Any, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Any:
        return flower.Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        with self._lock:
            return self._memory.nodes(self._hub.nodes())

    def push_messages(self, messages: Iterable[Any]) -> list[str]:
        """Send all; an id for each, by which its reply is pulled. One that does not come within `longest` is an error."""
        with self._lock:
            return self._push(messages, self._longest)

    def _push(self, messages: Iterable[Any], seconds: float) -> list[str]:
        waiting = list(messages)
        shared: flower.Shared = {}
        digests: dict[int, bytes] = {}  # of the pieces, which `shared` keeps: what all nodes get is hashed once
        size = 0
        keys: list[str] = []
        if not waiting:
            return []
        for message in waiting:
            # Made in the same way again after a restart, so that a client that was at work then can still deliver
            body = flower.encode_body(message, shared)
            for piece in body:
                if id(piece) not in digests:
                    digests[id(piece)] = hashlib.sha256(piece).digest()
            keys.append(self._key(message, [digests[id(piece)] for piece in body]))
            size += sum(map(len, body))
        first = waiting[0]
        kind = str(first.metadata.message_type)
        sending = flower.round_mark(first), kind
        if sending != self._sending or None in sending:
            self._sending = sending
            self._answered.clear()
        exchange = self._watcher.sent(sending[0], kind, len(waiting), size)
        arrays = flower.arrays_of(first.content)
        if arrays is not None:
            self.arrays = arrays
        self._remember(keys)
        for key, message in zip(keys, waiting):
            sure = {"message_id": key, "run_id": self._run.run_id, "src_node_id": flower.SERVER}
            head, body = flower.encode(message, shared, **sure)
            self._sent[key] = _Sent(message.metadata.dst_node_id, head, exchange)
            if key not in self._known:
                self._hub.send(message.metadata.dst_node_id, key, head, body, seconds)
        return keys

    def pull_messages(self, message_ids: Iterable[str]) -> list[Any]:
        """The replies that are here already."""
        keys = set(message_ids)
        self._hub.overdue(keys, LATE)
        return list(self._taken(keys, 0.0, self._hub.wait))

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
        """Send all, and wait for the replies; as in Flower, what did not come in time is just missing."""
        return list(self.stream(messages, timeout=timeout))

    # -- the same, as they come --------------------------------------------------------------------------------------

    def stream(self, messages: Iterable[Any], *, timeout: float | None = None) -> Iterator[Any]:
        """`send_and_receive` that gives each reply when it comes."""
        seconds = min(self._longest, FOREVER if timeout is None else timeout)
        with self._lock:
            left = set(self._push(messages, seconds))
        end = time.monotonic() + seconds
        try:
            while left:
                came = False
                for reply in self._taken(left, end - time.monotonic(), self._hub.wait):
                    came = True
                    yield reply
                    del reply
                if not came and time.monotonic() >= end:
                    break
        finally:
            self._hub.forget(left)
            with self._lock:
                for key in left & self._sent.keys():
                    self._memory.add(key, None)
                    self._missing(self._sent.pop(key))

    def refuse(self, message: Any, reason: str) -> None:
        """An answer that the app has got already is of no use to it: its node is lost. It is one to what was sent last in a round, by its key or its node."""
        with self._lock:
            about = message.metadata
            answer = self._answered.get(about.reply_to_message_id) or self._answered.get(about.src_node_id)
            if answer is not None:
                self._watcher.refused(answer, reason)

    # -- how ---------------------------------------------------------------------------------------------------------

    def _key(self, message: Any, body: Iterable[bytes]) -> str:
        """`body` are the digests of the message's pieces."""
        about = message.metadata
        text = f"{self._run.run_id} {self._watcher.loop} {about.dst_node_id} {about.message_type} {about.group_id} "
        found = hashlib.sha256(text.encode())
        for piece in body:
            found.update(piece)
        digest = found.hexdigest()[:40]
        self._seen[digest] = count = self._seen.get(digest, 0) + 1
        return f"{digest}-{count}"

    def _remember(self, keys: list[str]) -> None:
        """Find the replies from before a restart. Where some are left but none is for these, the app does something else than before."""
        if not self._memory.left:
            return
        found = self._memory.take(set(keys))
        self._known |= found
        if not found or (self._memory.left and len(found) < len(keys)):
            self._memory.diverge("sends another message than before the restart")
            self._watcher.diverged()

    def _taken(self, keys: set[str], seconds: float, wait: Any) -> Iterator[Any]:
        """Replies to `keys`, those from before first; what is taken is removed from `keys`."""
        with self._lock:
            known = [key for key in self._known if key in keys]
        for key in known:
            keys.discard(key)
            with self._lock:
                reply, sent = self._known.pop(key), self._sent.pop(key)
                if reply is None:
                    self._missing(sent)
                    continue
                message = self._decoded(key, sent, reply)
            yield message
            del message
        if not keys:
            return
        came = wait(keys, seconds)
        for key in list(came):
            keys.discard(key)
            with self._lock:
                if key not in self._sent:
                    continue
                self._memory.add(key, came[key])
                # What was read is not held until all is
                message = self._decoded(key, self._sent.pop(key), came.pop(key))
            yield message
            del message

    def _missing(self, sent: _Sent) -> None:
        """The app waited in vain, for as long as it wanted or as --round_timeout lets it."""
        self._watcher.lost(sent.exchange, *self._hub.name(sent.node), LATE)

    def _decoded(self, key: str, sent: _Sent, reply: Reply) -> Any:
        """Flower's message; whatever a client sent, it is one with an error at worst."""
        sure = {
            "reply_to_message_id": key, "src_node_id": sent.node, "dst_node_id": flower.SERVER, "run_id": self._run.run_id,
        }  # fmt: skip
        body = reply.whole()
        size = len(body)
        try:
            message = flower.decode(reply.head, body, **sure)
            if message.has_error():  # the app, its log and its errors may show what a client says
                told = flower.failed(sent.head, message.error.code, printable(message.error.reason))
                message = flower.decode(told, b"", **sure)
            if not message.has_error():
                metrics = partial(flower.numbers, message.content)
                told = self._watcher.answered(sent.exchange, reply.node, reply.pod, reply.note, metrics, size)
                self._answered[key] = self._answered[sent.node] = told
        except Exception as err:
            reply.reason = printable(f"its answer can't be read: {type(err).__name__}: {err}")
            message = flower.decode(flower.failed(sent.head, flower.RAISED, reply.reason), b"", **sure)
        if message.has_error():
            self._watcher.lost(sent.exchange, reply.node, reply.pod, reply.reason or message.error.reason)
        return message
