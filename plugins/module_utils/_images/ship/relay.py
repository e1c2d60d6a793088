# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: one upload for a site: which of its nodes has which chunk of an archive, and who gives it to whom.

Each node proves its chunks one after another. The first that needs one gets it from this host; as soon as it holds it, the others get it from there, or
from each other: along a chain while they come one by one, along a tree while several ask at once. What a node says decides only whom others ask first.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError

if TYPE_CHECKING:
    from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.link import Target

# Seconds that are waited for a neighbour's chunk before the agent is shown a sign of life
BEAT = 5.0
# Seconds in which nothing went to a node, after which nobody waits for it any more; a dead link is noticed by then
STALL = 30.0
# Seconds that a chunk may be on its way to a neighbour until another one tries to get it sooner, and how often a site does that: whose link is slow is not
# to stay the first
TRIAL, TRIALS = 20.0, 2
# How often in a row a chunk does not come from a neighbour, until all others are this host's
FAILURES = 3
# A neighbour may take so many times as long as this host did on average, and these seconds at least and at most
SLOWER, LEAST, MOST = 3.0, 5, 60


class Relay:
    """The sites of all transfers of one call. A site is one where two `targets` or more are; `port` is where they listen (0: any)."""

    def __init__(
        self, targets: Iterable[Target], port: int, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.port = port
        self.timeout = timeout
        self.clock = clock
        counts = Counter(target.site for target in targets if target.host and target.site)
        self._sites = {name: Site() for name, count in counts.items() if count > 1}
        self._lock = threading.Lock()
        self._certificate = ""

    def member(self, target: Target) -> Member | None:
        """The part that a target takes in its site; None when it has no neighbours."""
        site = self._sites.get(target.site) if target.host else None
        return None if site is None else Member(self, site, target.name, target.site_host or target.host)

    def certificate(self) -> str:
        """What all nodes of a site show each other: made for this call, with its key."""
        with self._lock:
            self._certificate = self._certificate or make_certificate()
            return self._certificate


def make_certificate() -> str:
    """A certificate with its key, as PEM."""
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=edgefl", "-days", "2"]  # fmt: skip
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            [*words, "-keyout", "-", "-out", "-"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        raise EdgeflError(
            f"The host that built the images cannot make a certificate for the edges of a site ({said}): install openssl there,"
            " or set ship_images_relay to false."
        ) from error
    return done.stdout


class Site:
    """Its members, and what went to them from this host: `sent` bytes since the time `begin`."""

    def __init__(self) -> None:
        self.change = threading.Condition()
        self.members: list[Member] = []
        self.sent = 0
        self.begin = 0.0
        self.trials = TRIALS


@dataclass
class Source:
    """A neighbour that has a chunk; C(end) tells that it was asked."""

    member: Member
    address: str
    port: int
    seconds: int

    def end(self) -> None:
        """It gives nothing to this one any more."""
        with self.member.site.change:
            self.member.giving -= 1


class Member:
    """One transfer of a site. It takes part while it is sent to (C(join) to C(leave)), and after that gives what it has until it is `over`."""

    def __init__(self, relay: Relay, site: Site, name: str, host: str) -> None:
        self.relay = relay
        self.site = site
        self.name = name
        self.host = host
        # Its archive, chunks that it holds and those that were handed over to it, and where others get them
        self.key = ""
        self.held = self.handed = 0
        self.address, self.port = "", 0
        self.giving = 0
        # Whether it still lacks something, or may; and all that concerns it is done
        self.waiting = True
        self.over = False
        # Neighbours that did not give, and why; how often in a row that was so
        self.refused: dict[str, str] = {}
        self._failures = 0
        self.bytes = 0
        # When bytes went to it at last, and when it proved a chunk
        self._moved = self._proved = 0.0
        # How long it waited in all, and the chunk that it waits for now, since when
        self._waited = 0.0
        self._awaits, self._since = -1, 0.0
        with site.change:
            site.members.append(self)

    def order(self) -> dict[str, Any]:
        """What its agent needs to know."""
        self.address = _numeric(self.host)
        return {"certificate": self.relay.certificate(), "address": self.address, "port": self.relay.port}

    def join(self, key: str, held: int, port: int) -> None:
        """It holds so many chunks of an archive, and gives them away at a port (0: it does not)."""
        with self.site.change:
            self.key, self.held, self.handed = key, held, held
            self.port = port if self.address else 0
            self._moved = self._proved = self.relay.clock()
            self.site.change.notify_all()

    def leave(self) -> None:
        """Its connection is gone; it may come again."""
        with self.site.change:
            self.key, self.port = "", 0
            self.site.change.notify_all()

    def end(self) -> None:
        """It needs nothing any more, and gives nothing."""
        with self.site.change:
            self.waiting, self.over = False, True
            self.site.change.notify_all()

    def holds(self, count: int) -> None:
        """It has proven so many chunks."""
        with self.site.change:
            self.held = count
            self.handed = max(self.handed, count)
            self._moved = self._proved = self.relay.clock()
            self.site.change.notify_all()

    def written(self, size: int) -> None:
        """So many bytes went to it from this host."""
        with self.site.change:
            self._moved = self.relay.clock()
            self.site.begin = self.site.begin or self._moved
            self.site.sent += size

    def choose(self, index: int, length: int) -> Source | None:
        """Who gives it chunk `index` of `length` bytes: the least busy neighbour that holds it; None for this host.

        TimeoutError while the chunk is on its way to a neighbour.
        """
        with self.site.change:
            now = self.relay.clock()
            until = now + BEAT
            self.handed = index
            if self._awaits != index:
                self._awaits, self._since = index, now
            while self._failures < FAILURES:
                near = [each for each in self.site.members if self._reaches(each)]
                holders = [each for each in near if each.held > index]
                if holders:
                    best = min(holders, key=lambda each: each.giving)
                    best.giving += 1
                    self._expects(index)
                    return Source(best, best.address, best.port, self._seconds(length))
                now = self.relay.clock()
                bringing = [each for each in near if each._brings(index, now)]
                # Half of its time is for itself
                if not bringing or self._waited > self.relay.timeout / 2:
                    break
                if len(bringing) == 1 and self.site.trials and now - self._since > TRIAL:
                    self.site.trials -= 1
                    break
                if now >= until:
                    raise TimeoutError
                self.site.change.wait(min(until - now, 1.0))
                self._waited += self.relay.clock() - now
            self._expects(index)
            return None

    def _expects(self, index: int) -> None:
        self.handed = index + 1
        self._moved = self.relay.clock()

    def fetched(self, length: int) -> None:
        """A neighbour gave it so many bytes."""
        self.bytes += length
        self._failures = 0

    def refuse(self, source: Source, why: str) -> None:
        """A neighbour did not give what it has; it is not asked again on this way."""
        self.refused[source.member.name] = why
        self._failures += 1

    def serve(self, beat: Callable[[], None], gone: Callable[[], bool]) -> None:
        """Returns when no other of the site can need what it has any more: it gives that away until then."""
        with self.site.change:
            self.waiting = False
            self.site.change.notify_all()
        while not gone():
            with self.site.change:
                if self.site.change.wait_for(lambda: not any(map(self._needed_by, self.site.members)), BEAT):
                    return
            beat()

    def _needed_by(self, other: Member) -> bool:
        return other is not self and other.waiting and other.key in ("", self.key) and self.name not in other.refused

    def _reaches(self, other: Member) -> bool:
        return other is not self and other.key == self.key and other.port > 0 and other.name not in self.refused

    def _brings(self, index: int, now: float) -> bool:
        """Whether the chunk is on its way to it, from this host or from a neighbour."""
        # When later ones follow already, it is to prove this one: who only takes does not hold the others
        moved = self._moved if self.handed == index + 1 else self._proved
        return self.held <= index < self.handed and now - moved < STALL

    def _seconds(self, length: int) -> int:
        took = self.relay.clock() - self.site.begin
        average = took / self.site.sent * length if self.site.sent else 0.0
        return int(min(max(average * SLOWER, LEAST), MOST))


def _numeric(host: str) -> str:
    """The address of a name; empty when it has none."""
    with contextlib.suppress(OSError, UnicodeError):
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]).partition("%")[0]
    return ""
