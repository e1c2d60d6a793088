# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: how far each node is, as the module counts it, as it stands in a file, and as people read it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

# Seconds over which a rate is taken
WINDOW = 8.0
ASKS, SENDS, UNPACKS, WAITS, SERVES, DONE, FAILED = (
    "asks",
    "sends",
    "unpacks",
    "waits",
    "serves its neighbours",
    "done",
    "failed",
)


@dataclass
class Progress:
    """One node: what it does, and for how many seconds; bytes that went over the wire, those that came from neighbours, share of the archive that it holds
    (0 to 1), bytes a second from either, seconds left.
    """

    name: str
    state: str = ASKS
    seconds: float = 0.0
    bytes: int = 0
    relayed: int = 0
    share: float = 0.0
    rate: float = 0.0
    left: float | None = None
    note: str = ""


class Counter:
    """Counts one node's progress."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = Progress(name)
        self.clock = clock
        self._begin = clock()
        self._past: deque[tuple[float, int, float]] = deque()

    def record(self) -> dict[str, Any]:
        """What stands in the file."""
        self.now.seconds = self.clock() - self._begin
        return asdict(self.now)

    def enter(self, state: str, note: str = "") -> None:
        """It does something else now."""
        self.now.state, self.now.note = state, note
        self._begin = self.clock()
        self._past.clear()
        self._mark()

    def written(self, size: int) -> None:
        """So many bytes went over the wire."""
        self.now.bytes += size

    def holds(self, share: float) -> None:
        """The node has proven this share of the archive."""
        self.now.share = min(1.0, share)
        if self.now.state == SENDS and share >= 1:
            self.enter(UNPACKS)
        else:
            self._mark()

    def _mark(self) -> None:
        now = self.now
        self._past.append((self.clock(), now.bytes + now.relayed, now.share))
        while len(self._past) > 2 and self._past[-1][0] - self._past[1][0] > WINDOW:
            self._past.popleft()
        begin, sent, share = self._past[0]
        took = self._past[-1][0] - begin
        now.rate = (now.bytes + now.relayed - sent) / took if took else 0.0
        gain = now.share - share
        now.left = took * (1 - now.share) / gain if took and gain > 0 else None


def line(node: dict[str, Any], width: int) -> str:
    """One node's line.

    >>> sends = asdict(Progress("edge1", "sends", 10.0, 120_300_000, share=0.45, rate=11_800_000.0, left=12.2))
    >>> line(sends, 6)
    'edge1    45 %   120.3 MB   11.8 MB/s   12 s left'
    >>> line({**sends, "relayed": 8_000_000}, 6)
    'edge1    45 %   120.3 MB + 8.0 MB from neighbours   11.8 MB/s   12 s left'
    >>> line(asdict(Progress("edge1", "waits", 3.0, note="the link was lost")), 6)
    'edge1   waits (3 s): the link was lost'
    """
    name = f"{node['name']:<{width}}"
    if node["state"] != SENDS:
        return f"{name}  {node['state']} ({node['seconds']:.0f} s)" + (f": {node['note']}" if node["note"] else "")
    left = "" if node["left"] is None else f"   {node['left']:.0f} s left"
    near = f" + {node['relayed'] / 1e6:.1f} MB from neighbours" if node["relayed"] else ""
    return f"{name}  {100 * node['share']:3.0f} %   {node['bytes'] / 1e6:.1f} MB{near}   {node['rate'] / 1e6:.1f} MB/s{left}"


def lines(nodes: list[dict[str, Any]]) -> list[str]:
    """A line for each node that is at work."""
    width = max((len(node["name"]) for node in nodes), default=0)
    return [line(node, width) for node in nodes if node["state"] not in (DONE, FAILED)]
