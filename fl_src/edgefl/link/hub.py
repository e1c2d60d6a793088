"""Who is connected, what was asked of whom, and what came back. Knows neither gRPC nor Flower.

Pods that say the same node are one node of the federation: the first works, the others stand by and take over what it was asked when its
connection ends. Of an app that divides a node's data among its pods (`shards`) each pod is a node of its own.

A pod that lost its connection has a grace time to come back in, and may then still deliver what it was asked before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgefl.common.journal import printable, say

MOST_TRIES = 2
"""Pods of a node that are given the same message, one after the other: what ends two pods is not tried on a third."""


class RefusedError(Exception):
    """This client may not join; the text says why, `app` which app there is when it has another one."""

    def __init__(self, text: str, app: str = "") -> None:
        super().__init__(text)
        self.app = app


@dataclass(eq=False)
class Pod:
    """A connection and who is behind it. `instance` names the process: after a cut it comes back with the same."""

    node: str
    name: str
    instance: str
    post: Callable[[dict[str, Any], bytes, Sequence[bytes]], None]
    close: Callable[[str], None]
    address: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    id: int = 0
    """Of the federation's node that it works for."""
    quick: bool = False
    """Whether its last answer came quickly."""

    def __str__(self) -> str:
        return f"{self.node}/{self.name}"


class Body(Protocol):
    """A body that waits somewhere; it can be read once."""

    def read(self) -> bytes: ...


@dataclass
class Reply:
    """What came back; `note` is what the client's end of the link measured. `reason` is set where nothing came: why."""

    head: bytes
    body: bytes | Body
    node: str
    pod: str
    note: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    def whole(self) -> bytes:
        """The body, read from where it waited; it is in memory from then on."""
        if not isinstance(self.body, bytes):
            self.body = self.body.read()
        return self.body


@dataclass
class _Asked:
    node: int
    head: bytes
    body: Sequence[bytes]
    end: float
    given: list[Pod] = field(default_factory=list)


class Hub:
    """Shared by the link's thread and the one of the ServerApp. `lost` makes the head of the reply for a message that none will come for."""

    def __init__(
        self,
        identify: Callable[[str], int],
        lost: Callable[[bytes, str], bytes],
        *,
        shards: bool = False,
        grace: float = 3.0,
        most: int = 4096,
        most_of_a_node: int = 64,
    ) -> None:
        self._identify, self._lost, self._shards = identify, lost, shards
        self.grace, self.most, self._most_of_a_node = grace, most, most_of_a_node
        self.over = False
        """Whether no work comes any more."""
        self.changed = threading.Condition()
        self.came: dict[str, Reply] = {}
        self._seats: dict[int, list[Pod]] = {}
        self._pods: dict[tuple[int, str], Pod] = {}
        self._named: dict[str, list[Pod]] = {}
        self._asked: dict[str, _Asked] = {}
        self._by_node: dict[int, set[str]] = {}
        self._away: dict[int, float] = {}
        self._names: dict[int, tuple[str, str]] = {}

    # -- called by the link ----------------------------------------------------------------------------------------

    def enter(self, pod: Pod, holds: Collection[str]) -> list[str]:
        """A client is here; `holds` are the messages that it has from before. Gives those of them that are still waited for.

        Raises RefusedError when there are too many connections, of all nodes or of this one.
        """
        pod.id = self._identify(f"{pod.node}/{pod.instance}" if self._shards else pod.node)
        with self.changed:
            before = self._pods.get((pod.id, pod.instance))
            same = self._named.get(pod.node, [])
            if before is None and len(self._pods) >= self.most:
                raise RefusedError(
                    f"{len(self._pods)} clients are connected, which is the most that this aggregator takes"
                )
            if before is None and len(same) >= self._most_of_a_node:
                raise RefusedError(
                    f"{len(same)} clients of node {pod.node} are connected: raise --max_pods if that many are meant"
                )
            seat = self._seats.setdefault(pod.id, [])
            if before is not None:  # the same process, back after a cut: the old connection is dead
                seat[seat.index(before)] = pod
                same.remove(before)
                before.close("it has a new connection")
            else:
                seat.append(pod)
            self._pods[pod.id, pod.instance] = pod
            self._named.setdefault(pod.node, []).append(pod)
            self._away.pop(pod.id, None)
            self._names[pod.id] = pod.node, pod.name
            wanted = []
            for key in list(self._by_node.get(pod.id, ())):
                asked = self._asked[key]
                if key in holds:
                    wanted.append(key)
                    asked.given = [other for other in asked.given if other.instance != pod.instance] + [pod]
                elif seat[0] is pod:
                    self._give(key, asked, pod)
            self.changed.notify_all()
        standing_by = "" if seat[0] is pod else f"; it stands by for {seat[0].name}"
        say(printable(f"{pod} joined from {pod.address}{_slice(pod.about)}{standing_by}"))
        return wanted

    def leave(self, pod: Pod) -> bool:
        """A connection ended. Gives whether its node has none left now: then `expire` is to be called after the grace time."""
        with self.changed:
            seat = self._seats.get(pod.id, [])
            if pod not in seat:  # it came back before we noticed
                return False
            worked = seat[0] is pod
            seat.remove(pod)
            del self._pods[pod.id, pod.instance]
            self._named[pod.node].remove(pod)
            if not self._named[pod.node]:
                del self._named[pod.node]
            if seat and worked:
                for key in list(self._by_node.get(pod.id, ())):
                    if pod in self._asked[key].given:
                        self._give(key, self._asked[key], seat[0])
                say(f"{seat[0]} takes over from {pod.name}")
            elif not seat:
                del self._seats[pod.id]
                self._away[pod.id] = time.monotonic()
            self.changed.notify_all()
        say(f"{pod} left")
        return not seat

    def expire(self, node: int) -> None:
        """The grace time of a node is over: what it was asked is lost unless it is back."""
        with self.changed:
            left = self._away.get(node)
            if left is None or time.monotonic() - left < self.grace - 0.05:
                return
            del self._away[node]
            for key in list(self._by_node.get(node, ())):
                self._give_up(key, "the connection was lost")

    def expects(self, pod: Pod, key: str) -> bool:
        """Whether a reply of this pod to this message is waited for."""
        with self.changed:
            asked = self._asked.get(key)
            return asked is not None and any(other.instance == pod.instance for other in asked.given)

    def deliver(self, pod: Pod, key: str, note: dict[str, Any], head: bytes, body: bytes | Body) -> None:
        """A reply came; what is not waited for (any more) is dropped."""
        with self.changed:
            if not self.expects(pod, key):
                return
            self._forget(key)
            self.came[key] = Reply(head, body, pod.node, pod.name, note)
            self.changed.notify_all()

    # -- called by the ServerApp's side ----------------------------------------------------------------------------

    def pods(self) -> list[Pod]:
        """Who is connected."""
        with self.changed:
            return list(self._pods.values())

    @property
    def connected(self) -> int:
        """How many are connected."""
        return len(self._pods)

    def nodes(self) -> list[int]:
        """Ids of the federation's nodes, sorted. One whose grace time runs is among them."""
        with self.changed:
            return sorted({*self._seats, *self._away})

    def name(self, node: int) -> tuple[str, str]:
        """Names of a node and of the pod that works, or worked last, there."""
        with self.changed:
            seat = self._seats.get(node)
            return (seat[0].node, seat[0].name) if seat else self._names.get(node, ("unknown", "unknown"))

    def shard(self, pod: Pod) -> tuple[int, int]:
        """Which part of its node's data is this pod's: index from 0, and of how many."""
        with self.changed:
            if not self._shards:
                return 0, 1
            same = sorted(self._named.get(pod.node, ()), key=lambda other: other.instance)
            return (same.index(pod), len(same)) if pod in same else (0, 1)

    def send(self, node: int, key: str, head: bytes, body: Sequence[bytes], seconds: float) -> None:
        """Ask a node something; the reply, or that it is lost, will be in `came`. The client is told that nobody waits for more than `seconds`."""
        with self.changed:
            self._asked[key] = asked = _Asked(node, head, body, time.monotonic() + seconds)
            self._by_node.setdefault(node, set()).add(key)
            if node in self._seats:
                self._give(key, asked, self._seats[node][0])
            elif node not in self._away:
                self._give_up(key, f"no node {node} is connected")

    def finish(self) -> None:
        """No work comes any more; clients are told, and may be of any state of the app from then on."""
        with self.changed:
            self.over = True
            for pod in self._pods.values():
                pod.post({"over": True}, b"", ())

    def put(self, key: str, reply: Reply) -> None:
        """A reply that is known without asking."""
        with self.changed:
            self.came[key] = reply
            self.changed.notify_all()

    def wait(self, keys: set[str], seconds: float) -> dict[str, Reply]:
        """The replies to any of these messages that came, in the order in which they came; empty when the time is over."""
        with self.changed:
            self.changed.wait_for(lambda: not keys.isdisjoint(self.came), max(0.0, seconds))
            return {key: self.came.pop(key) for key in [key for key in self.came if key in keys]}

    def overdue(self, keys: Iterable[str], reason: str) -> None:
        """Those of these messages whose time is over are lost, for that reason."""
        now = time.monotonic()
        with self.changed:
            for key in keys:
                if key in self._asked and self._asked[key].end <= now:
                    self._give_up(key, reason)

    def forget(self, keys: Iterable[str]) -> None:
        """Nobody waits for these any more."""
        with self.changed:
            for key in keys:
                self._forget(key)
                self.came.pop(key, None)

    def until(self, enough: Callable[[list[Pod]], bool], seconds: float) -> bool:
        """Block until `enough(pods())` or the time is over; says which."""
        with self.changed:
            return self.changed.wait_for(lambda: enough(self.pods()), seconds)

    # -- with the lock held ----------------------------------------------------------------------------------------

    def _give(self, key: str, asked: _Asked, pod: Pod) -> None:
        tried = {other.instance for other in asked.given}
        if pod.instance not in tried and len(tried) >= MOST_TRIES:
            return self._give_up(key, "the connection was lost, and that of the pod that took over too")
        if self._shards and tried and pod.instance not in tried:
            return self._give_up(key, "the client was restarted")
        asked.given = [other for other in asked.given if other.instance != pod.instance] + [pod]
        index, count = self.shard(pod)
        left = max(0.0, round(asked.end - time.monotonic(), 3))
        return pod.post({"key": key, "shard": [index, count], "seconds": left}, asked.head, asked.body)

    def _give_up(self, key: str, reason: str) -> None:
        asked = self._asked[key]
        self._forget(key)
        node, pod = (asked.given[-1].node, asked.given[-1].name) if asked.given else self.name(asked.node)
        self.came[key] = Reply(self._lost(asked.head, reason), b"", node, pod, reason=reason)
        self.changed.notify_all()

    def _forget(self, key: str) -> None:
        asked = self._asked.pop(key, None)
        if asked is not None:
            self._by_node[asked.node].discard(key)
            if not self._by_node[asked.node]:
                del self._by_node[asked.node]


def _slice(about: dict[str, Any]) -> str:
    start, stop = (str(about.get(name, ""))[:20] for name in ("start", "stop"))
    return f": samples {start} to {stop}" if "start" in about else ""
