"""Answers that wait until they are read: what they take of memory has a bound."""

from __future__ import annotations

import asyncio
import os
import time
import tracemalloc
from pathlib import Path

import pytest

from edgefl.link.bodies import AT_ONCE, STANDSTILL, Bodies, Body, Queue

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


class Waiting:
    """A queue in a loop of its own, and the answers that want to come through it: all stay until they are told to be whole."""

    def __init__(self, bodies: Bodies, quick: bool = False) -> None:
        self.bodies, self.queue, self.quick = bodies, Queue(bodies), quick
        self.let_in: list[tuple[int, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def _come(self, number: int, size: int) -> None:
        body = await self.queue.place(size, self.quick)
        whole = asyncio.Event()
        self.let_in.append((number, whole))
        try:
            await whole.wait()
        except asyncio.CancelledError:
            pass
        finally:
            self.queue.whole(body)
            del body

    async def arrive(self, count: int, size: int) -> None:
        first = len(self.tasks)
        self.tasks += [asyncio.create_task(self._come(first + at, size)) for at in range(count)]
        await asyncio.sleep(0)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()  # what they raised holds their bodies


def test_who_waits_for_memory_gets_it_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as others give some back; nothing goes to the disk then."""
    monkeypatch.setattr("edgefl.link.bodies.STANDSTILL", 60.0)
    monkeypatch.setattr("edgefl.link.bodies.LONGEST_WAIT", 60.0)

    async def run() -> None:
        there = Waiting(Bodies(tmp_path, in_memory=1000))
        await there.arrive(20, 400)
        assert [number for number, _whole in there.let_in] == [0, 1]
        for at in range(20):
            async with asyncio.timeout(10):
                while len(there.let_in) <= at:
                    await asyncio.sleep(0.001)
            there.let_in[at][1].set()
        await asyncio.gather(*there.tasks)
        assert [number for number, _whole in there.let_in] == list(range(20))
        assert there.bodies.held == there.bodies.stored == there.queue.coming == 0 and there.bodies._file is None

    asyncio.run(run())


def test_memory_that_slow_ones_hold_holds_up_nobody(tmp_path: Path) -> None:
    """What comes goes to the disk when no memory was given back for a while, and at once when it is too large for it."""

    async def run() -> None:
        there = Waiting(Bodies(tmp_path, in_memory=1000))
        await there.arrive(1, 5_000)
        assert there.bodies.stored == 5_000
        await there.arrive(2, 500)
        await there.arrive(10, 500)
        assert len(there.let_in) == 3 and there.bodies.held == 1000
        begin = time.monotonic()
        async with asyncio.timeout(10):
            while len(there.let_in) < 13:
                await asyncio.sleep(0.001)
        assert time.monotonic() - begin < STANDSTILL + 1.5 and there.bodies.stored == 10 * 500 + 5_000
        await there.end()
        assert there.bodies.held == there.bodies.stored == there.queue.coming == 0

    asyncio.run(run())


@pytest.mark.parametrize("busy", [False, True])
def test_more_than_come_at_once_are_let_in_while_there_is_time(
    tmp_path: Path, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All in a moment where the loop is idle, for then the network is slow; one by one where it has no time, and none waits for ever."""
    monkeypatch.setattr("edgefl.link.bodies.ON_TIME", -1.0 if busy else 60.0)
    monkeypatch.setattr("edgefl.link.bodies.STANDSTILL", 60.0)

    async def run() -> None:
        there = Waiting(Bodies(tmp_path, in_memory=0))
        await there.arrive(AT_ONCE + 200, 10)
        assert len(there.let_in) == AT_ONCE
        begin = time.monotonic()
        async with asyncio.timeout(20):
            while len(there.let_in) < AT_ONCE + (10 if busy else 200):
                await asyncio.sleep(0.001)
        seconds = time.monotonic() - begin
        assert seconds > 0.7 if busy else seconds < 5
        before = len(there.let_in)
        there.tasks[-1].cancel()  # who leaves while it waits is not let in
        for _number, whole in there.let_in[:AT_ONCE]:
            whole.set()
        if busy:
            async with asyncio.timeout(20):
                while len(there.let_in) < before + AT_ONCE - 20:
                    await asyncio.sleep(0.001)
            assert AT_ONCE + 199 not in [number for number, _whole in there.let_in]
        await there.end()
        assert there.bodies.stored == there.queue.coming == 0

    asyncio.run(run())


def test_quick_ones_have_no_more_places_where_there_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one beyond these, and others behind them in their turn."""
    monkeypatch.setattr("edgefl.link.bodies.ON_TIME", 60.0)
    monkeypatch.setattr("edgefl.link.bodies.LEAST_EVERY", 0.25)

    async def run() -> None:
        there = Waiting(Bodies(tmp_path, in_memory=0), quick=True)
        await there.arrive(AT_ONCE + 3, 10)
        there.quick = False
        await there.arrive(100, 10)
        assert len(there.let_in) == AT_ONCE
        begin = time.monotonic()
        async with asyncio.timeout(20):
            while len(there.let_in) < AT_ONCE + 3 + 100:
                await asyncio.sleep(0.001)
        assert 0.5 < time.monotonic() - begin < STANDSTILL + 2
        assert [number for number, _whole in there.let_in] == list(range(AT_ONCE + 3 + 100))
        await there.end()

    asyncio.run(run())


@pytest.mark.parametrize("busy", [False, True])
def test_those_that_have_come_to_a_stop_hold_up_nobody(
    tmp_path: Path, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that keeps all places with answers that it never ends. Where the loop has no time it may be us who are slow: then they count for longer."""
    monkeypatch.setattr("edgefl.link.bodies.ON_TIME", -1.0 if busy else 60.0)
    monkeypatch.setattr("edgefl.link.bodies.AT_A_TIME", 0)
    monkeypatch.setattr("edgefl.link.bodies.LEAST_EVERY", 1e9)
    monkeypatch.setattr("edgefl.link.bodies.LONGEST_WAIT", 2.5)

    async def run() -> None:
        there = Waiting(Bodies(tmp_path, in_memory=0))
        await there.arrive(2 * AT_ONCE, 10)
        assert len(there.let_in) == AT_ONCE == there.queue.coming
        begin = time.monotonic()
        async with asyncio.timeout(10):
            while len(there.let_in) < 2 * AT_ONCE:
                await asyncio.sleep(0.001)
        least = 2.5 if busy else STANDSTILL
        assert least <= time.monotonic() - begin + 0.01 < least + 1.5
        await there.end()
        assert there.bodies.stored == there.queue.coming == 0

    asyncio.run(run())
