"""
New connections to a port all the time, as somebody makes them who wants to keep others out; the newest ones stay open. With nothing but Python: it also
runs on an edge.

usage: python3 flood.py HOST PORT hello|silence|slow SECONDS     prints how many there were; fails when they were few
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable

OPEN = 900
FEW = 500


def hello() -> bytes:
    """The first record of a TLS 1.2 handshake, as any client sends it; nothing follows it."""
    body = bytes.fromhex("0303") + bytes(32) + b"\x00" + bytes.fromhex("0004c02bc02f") + b"\x01\x00"
    groups = bytes.fromhex("000a00040002001d000d0006000404030804")
    body += len(groups).to_bytes(2, "big") + groups
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return bytes.fromhex("160301") + len(handshake).to_bytes(2, "big") + handshake


FIRST = {"hello": hello(), "silence": b"", "slow": b"GET /healthz HTTP/1.1\r\nX-Slow: "}


def connect(address: tuple[str, int], first: bytes, each: float, over: Callable[[], bool], count: list[int]) -> None:
    """Connects, `each` seconds apart, and says `first`, until `over()`. Counts in the first element of `count`."""
    held: list[socket.socket] = []
    while not over():
        try:
            one = socket.create_connection(address, 2)
            one.sendall(first)
            held.append(one)
            count[0] += 1
        except OSError:
            pass
        while len(held) > OPEN:
            held.pop(0).close()
        time.sleep(each)
    for one in held:
        one.close()


def main(host: str, port: str, first: str, seconds: str) -> int:
    """For some seconds."""
    end, count = time.monotonic() + float(seconds), [0]
    connect((host, int(port)), FIRST[first], 0.0016, lambda: time.monotonic() >= end, count)
    print(f"{count[0]} connections")
    return int(count[0] < FEW)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
