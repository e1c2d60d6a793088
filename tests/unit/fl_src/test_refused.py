"""Connections that end without a call: what is kept of them has an end, however many come. tests/faults/test_tls.py has real ones."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from edgefl.link import refused


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A port that listens; one address is remembered, and each look is allowed."""
    monkeypatch.setattr(refused, "MOST", 1)
    monkeypatch.setattr(refused, "APART", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def connected(port: socket.socket) -> tuple[socket.socket, refused.Address]:
    """This process's end of a connection to the port, and the address of the other end."""
    with socket.create_connection(port.getsockname()) as there:
        return port.accept()[0], there.getsockname()


def test_the_last_of_many_addresses_are_remembered(port: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = refused.RefusedConnections(port.getsockname()[1])
    found = []
    for _dummy in range(2):
        here, address = connected(port)
        with here:
            watched.note()
        found.append(address)
    assert list(watched._waiting) == found[1:]
    monkeypatch.setattr(refused, "APART", 60.0)
    here, _address = connected(port)
    with here:
        watched.note()  # too soon after the last look
    assert list(watched._waiting) == found[1:]


def test_who_calls_is_not_waited_for(port: socket.socket) -> None:
    watched = refused.RefusedConnections(port.getsockname()[1])
    here, address = connected(port)
    with here:
        watched.note()
        watched.call("ipv6:%5B::ffff:10.0.0.1%5D:5000")
        watched.call(f"ipv4:{address[0]}:{address[1]}")
    assert watched._waiting == {} and list(watched._called) == [address[0]]


def test_a_host_is_told_once_in_a_while(port: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    watched = refused.RefusedConnections(port.getsockname()[1])
    for host, now in (("10.0.0.1", 0.0), ("10.0.0.1", 1.0), ("10.0.0.2", 2.0), ("10.0.0.1", 3.0)):
        watched._report(host, [5000, 5001], now)
    told = capsys.readouterr().err.splitlines()
    assert ["10.0.0.1 (port 5001)" in line for line in told] == [True, False, True]
