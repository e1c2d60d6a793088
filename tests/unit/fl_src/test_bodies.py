"""Answers that wait until they are read: what they take of memory has a bound."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from edgefl.link.bodies import Bodies, Body

CHUNK = 64 * 1024


def filled(bodies: Bodies, number: int, size: int) -> Body:
    body = bodies.new(size)
    for at in range(0, size, CHUNK):
        body.add(bytes([number]) * min(CHUNK, size - at))
    return body


def test_what_is_held_in_memory_does_not_grow_with_the_answers(tmp_path: Path) -> None:
    """100 MB of answers at a time, in less than a tenth of that; each comes back as it was, in any order."""
    bodies = Bodies(tmp_path, in_memory=4_000_000)
    tracemalloc.start()
    try:
        held = [filled(bodies, number, 1_000_001) for number in range(100)]
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert bodies.held <= 4_000_000 and bodies.held + bodies.stored == 100 * 1_000_001
    assert peak < 8_000_000
    for number in (99, 0, 50, 3):
        assert held[number].read() == bytes([number]) * 1_000_001


def test_room_is_used_again(tmp_path: Path) -> None:
    """The file is no longer than what waits at a time, and empty when nothing does."""
    bodies = Bodies(tmp_path, in_memory=0)
    first = filled(bodies, 1, 500_000)
    for number in range(20):
        assert filled(bodies, number, 500_000).read() == bytes([number]) * 500_000
    assert bodies._file and os.fstat(bodies._file.fileno()).st_size == 1_000_000
    assert first.read() == b"\1" * 500_000
    del first
    assert bodies.stored == 0 and os.fstat(bodies._file.fileno()).st_size == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("in_memory", [0, 1000])
def test_an_error_has_no_body(tmp_path: Path, in_memory: int) -> None:
    assert Bodies(tmp_path, in_memory).new(0).read() == b""


def test_an_answer_that_breaks_off_frees_its_room(tmp_path: Path) -> None:
    bodies = Bodies(tmp_path, in_memory=1000)
    for size in (1000, 2000):
        body = bodies.new(size)
        body.add(b"x" * 10)
        assert bodies.held + bodies.stored == size
        del body
        assert bodies.held == bodies.stored == 0


def test_a_full_disk_costs_memory_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """/dev/full takes nothing, as a full disk does: in the middle of an answer, and from then on."""
    bodies = Bodies(tmp_path, in_memory=0)
    body = bodies.new(30)
    body.add(b"a" * 10)
    assert bodies._file
    full, before = os.open("/dev/full", os.O_RDWR), os.dup(bodies._file.fileno())
    os.dup2(full, bodies._file.fileno())
    body.add(b"b" * 10)
    os.dup2(before, bodies._file.fileno())
    os.close(full)
    os.close(before)
    body.add(b"c" * 10)
    assert body.read() == b"a" * 10 + b"b" * 10 + b"c" * 10
    later = bodies.new(5)
    assert bodies.held == 5 and later
    assert capfd.readouterr().err.count("answers stay in memory from now on") == 1


def test_no_folder_costs_memory_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bodies = Bodies(tmp_path / "nowhere", in_memory=0)
    assert filled(bodies, 7, 100).read() == b"\7" * 100
    assert "no room for them on the disk" in capfd.readouterr().err
