"""What strangers can do to the port: a flood of handshakes, connections that say nothing. Honest clients join all the same."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.test_tls import folders
from support.flood import connect
from support.processes import Federation, Program, until

__all__ = ["folders"]  # the fixture of mutual TLS
JOINED = 5.0
"""Seconds in which an honest client must have joined, as issue and documentation promise."""


@contextmanager
def flood(port: int, each: float, way: str) -> Iterator[list[int]]:
    """New connections all the time, `each` seconds apart. Gives how many there were."""
    count, over = [0], threading.Event()
    thread = threading.Thread(target=connect, args=(("127.0.0.1", port), way, each, over.is_set, count), daemon=True)
    thread.start()
    yield count
    over.set()
    thread.join(10)


def memory(program: Program) -> int:
    """Bytes that are resident now, of proc(5)."""
    return int(Path(f"/proc/{program.process.pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("way", ["handshake", "silence"])
def test_a_flood_of_strangers(federation: Federation, folders: dict[str, Path], way: str) -> None:
    """2,500 connections without a certificate, or without a word; an honest client joins, and trains, meanwhile."""
    options = ("--rounds=2", "--min_num_clients=1", "--min_sample_size=1")
    aggregator = federation.aggregator(*options, f"--tls_dir={folders['aggregator']}")
    until(federation.ready, "ready")
    before = memory(aggregator)
    with flood(federation.port, 0.0016, way) as count:
        until(lambda: count[0] >= 2500, "the flood")
        honest = federation.light_client("edge1", 0, 500, f"--tls_dir={folders['edge1']}")
        until(lambda: honest.told("is ready"), "the client")
        begin = time.monotonic()
        until(lambda: aggregator.told("joined from"), "the honest client")
        took = time.monotonic() - begin
        federation.event(aggregator, "done")
        print(f"{count[0]} connections; joined after {took:.1f} s; {(memory(aggregator) - before) / 1e6:.0f} MB more")
    assert took <= JOINED
    assert memory(aggregator) - before < 300e6
    until(lambda: len(list(Path(f"/proc/{aggregator.process.pid}/fd").iterdir())) < 100, "closed connections", 60)


def test_more_connections_than_files(federation: Federation) -> None:
    """A flood larger than the number of files that the process may have open: it lives, and who comes after the flood joins."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        aggregator = federation.aggregator("--rounds=1", "--min_num_clients=1", "--min_sample_size=1")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    until(federation.ready, "ready")
    with flood(federation.port, 0.002, "silence") as count:
        until(lambda: count[0] >= 1000, "the flood")
        assert aggregator.lives and federation.ready()
        files = len(list(Path(f"/proc/{aggregator.process.pid}/fd").iterdir()))
    federation.light_client("edge1", 0, 500)
    begin = time.monotonic()
    federation.event(aggregator, "done")
    print(f"{count[0]} connections, {files} files of 256; done {time.monotonic() - begin:.1f} s after the flood")
    assert files < 220 and aggregator.lives and not aggregator.told("Too many open files")


def answered_soon(federation: Federation) -> bool:
    begin = time.monotonic()
    return federation.ready() and time.monotonic() - begin < 1


def test_slow_connections_to_the_status_port(federation: Federation) -> None:
    """More of them than the process may have files: of three probes one is answered within a second, as the kubelet asks, and the training ends well."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        aggregator = federation.aggregator(
            "--rounds=5", "--min_num_clients=1", "--min_sample_size=1", f"--state_dir={federation.folder}"
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    until(federation.ready, "ready")
    with flood(federation.status_port, 0.002, "slow") as count:
        until(lambda: count[0] >= 230, "the flood")
        federation.light_client("edge1", 0, 500)
        federation.event(aggregator, "done")
        assert any(answered_soon(federation) for _probe in range(3))
    assert aggregator.lives and not aggregator.told("oo many")
