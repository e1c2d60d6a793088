"""Tells of connections that ended without a call: with mutual TLS they showed no certificate that the CA signed.

gRPC refuses them by itself but says nothing. It asks for the server's certificate at each new connection, though: then the addresses of all
that are open are noted, at most twice a second, however many come. Those that made a call are crossed out.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from urllib.parse import unquote

from edgefl.common.journal import say

SETTLE = 3.0
"""Seconds within which a client makes its first call; it looks whether the port answers first, and that is not told."""
QUIET = 10.0
"""Seconds between two messages about one host."""
APART = 0.5
"""Seconds between two looks at who is connected: they cost time for each connection."""
MOST = 1000
"""Addresses remembered; beyond it they are dropped: an attack must not fill the memory."""

Address = tuple[str, int]


class RefusedConnections:
    """Watches the connections of this process to `port`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._change = threading.Condition()
        self._looked = 0.0
        self._waiting: dict[Address, float] = {}
        self._good: set[Address] = set()
        self._called: dict[str, float] = {}
        self._reported: dict[str, float] = {}
        threading.Thread(target=self._watch, name="refused-connections", daemon=True).start()

    def note(self) -> None:
        """Called by gRPC at each new connection. No new certificate (None) is given to it."""
        now = time.monotonic()
        with self._change:
            if now - self._looked < APART:
                return
            self._looked = now
        try:
            found = self._open()
        except OSError:  # too many files are open: the next connection is noted
            return
        with self._change:
            self._good &= found
            self._waiting |= {one: self._waiting.get(one, now) for one in list(found - self._good)[:MOST]}
            while len(self._waiting) > MOST:
                del self._waiting[next(iter(self._waiting))]
            self._change.notify()

    def call(self, peer: str) -> None:
        """A call came from `peer`, in gRPC's notation (ipv4:10.0.0.1:5000, ipv6:%5B::1%5D:5000)."""
        host, _dummy, port = unquote(peer).partition(":")[2].rpartition(":")
        address = (host.strip("[]").removeprefix("::ffff:"), int(port))
        with self._change:
            if len(self._called) >= MOST:
                self._called.clear()
            self._called[address[0]] = time.monotonic()
            self._good.add(address)
            self._waiting.pop(address, None)

    def _open(self) -> set[Address]:
        """Who is at the other end of this process's connections to the port."""
        found = set()
        for name in os.listdir("/proc/self/fd"):
            try:
                if not stat.S_ISSOCK(os.stat(f"/proc/self/fd/{name}").st_mode):
                    continue
                with socket.socket(fileno=os.dup(int(name))) as copy:
                    if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.getsockname()[1] == self._port:
                        host, port = copy.getpeername()[:2]
                        found.add((host.removeprefix("::ffff:"), port))
            except OSError:  # not connected, or closed meanwhile
                continue
        return found

    def _watch(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting)
            time.sleep(1)
            try:
                found, now = self._open(), time.monotonic()
            except OSError:  # too many files are open: who has gone is seen when there is one
                continue
            with self._change:
                waiting = self._waiting.items()
                gone = [address for address, begin in waiting if address not in found and now - begin > SETTLE]
                refused = {host for host, port in gone if now - self._called.get(host, -60) > 2 * SETTLE}
                for address in gone:
                    del self._waiting[address]
            for host in refused:
                self._report(host, [port for name, port in gone if name == host], now)

    def _report(self, host: str, ports: list[int], now: float) -> None:
        if now - self._reported.get(host, -QUIET) < QUIET:
            return
        if len(self._reported) >= MOST:
            self._reported.clear()
        self._reported[host] = now
        say(
            f"refused: {host} (port {ports[-1]}) showed no certificate that this CA signed; its --tls_dir is missing or wrong"
        )
