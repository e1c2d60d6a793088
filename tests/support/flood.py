"""
New connections to a port all the time, as somebody makes them who wants to keep others out; the newest ones stay open. With nothing but Python: it also
runs on an edge.

handshake: of TLS, without a certificate. silence: nothing. slow: a request to which a byte is added every second, and which never ends.

usage: python3 flood.py HOST PORT handshake|silence|slow SECONDS     prints how many there were; fails when they were few
"""

from __future__ import annotations

import resource
import socket
import ssl
import sys
import time
from collections.abc import Callable

OPEN, SPARE = 2500, 200
"""Connections that stay open, and files for all else."""
FEW = 500
PAUSE = 1.0
"""Seconds between two bytes of a request that never ends."""


def says(first: bytes) -> Callable[[socket.socket], socket.socket]:
    """Begin by this, and say no more."""

    def begin(one: socket.socket) -> socket.socket:
        one.sendall(first)
        return one

    return begin


def shake_hands(one: socket.socket) -> socket.socket:
    """As somebody without a certificate; raises OSError where the other end ends it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(one)


WAYS = {
    "handshake": shake_hands,
    "silence": says(b""),
    "slow": says(b"GET /healthz HTTP/1.1\r\nX-Slow: "),
}


def connect(address: tuple[str, int], way: str, each: float, over: Callable[[], bool], count: list[int]) -> None:
    """Connects, `each` seconds apart, until `over()`. Counts in the first element of `count`."""
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(few, min(OPEN + SPARE, most)), most))
    held: list[socket.socket] = []
    added = time.monotonic()
    while not over():
        try:
            one = socket.create_connection(address, 2)
            count[0] += 1
            held.append(WAYS[way](one))
        except OSError:
            pass
        while len(held) > OPEN:
            held.pop(0).close()
        if way == "slow" and time.monotonic() - added > PAUSE:
            added = time.monotonic()
            held = [one for one in held if more(one)]
        time.sleep(each)
    for one in held:
        one.close()


def more(one: socket.socket) -> bool:
    """A byte more; gives whether the other end still takes it."""
    try:
        one.send(b"x")
    except OSError:
        one.close()
        return False
    return True


def main(host: str, port: str, way: str, seconds: str) -> int:
    """For some seconds."""
    end, count = time.monotonic() + float(seconds), [0]
    connect((host, int(port)), way, 0.0016, lambda: time.monotonic() >= end, count)
    print(f"{count[0]} connections")
    return int(count[0] < FEW)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
