"""Quick clients are sent to in turns: none is held up for ever, and none has two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from edgefl.link import turns
from edgefl.link.turns import AT_ONCE, Turns


class Sending:
    """Clients that want a turn, and those that have one: each until it is told to end."""

    def __init__(self, count: int) -> None:
        self.turns, self.have, self.end = Turns(), list[int](), asyncio.Event()
        self.tasks = [asyncio.create_task(self._send(number)) for number in range(count)]

    async def _send(self, number: int) -> None:
        async with self.turns.take():
            self.have.append(number)
            await self.end.wait()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.001)


def test_so_many_have_a_turn_at_a_time() -> None:
    """In the order in which they came; who ends gives its turn to the next, also one whose connection is gone."""

    async def run() -> None:
        there = Sending(3 * AT_ONCE)
        await asyncio.sleep(0.05)
        assert there.have == list(range(AT_ONCE))
        for gone in (0, AT_ONCE):  # with a turn, and waiting for one
            there.tasks[gone].cancel()
        await there.until(lambda: len(there.have) > AT_ONCE)
        await asyncio.sleep(0.05)
        assert there.have == [*range(AT_ONCE), AT_ONCE + 1]
        there.end.set()
        await asyncio.gather(*there.tasks, return_exceptions=True)
        assert there.have == [number for number in range(3 * AT_ONCE) if number != AT_ONCE]

    asyncio.run(run())


def test_one_that_takes_nothing_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its turn is over after a time, once: when it ends later the others have no more turns than before."""
    monkeypatch.setattr(turns, "LONGEST", 0.2)

    async def run() -> None:
        there = Sending(2 * AT_ONCE)
        await there.until(lambda: len(there.have) == 2 * AT_ONCE)
        there.end.set()
        await asyncio.gather(*there.tasks)
        monkeypatch.setattr(turns, "LONGEST", 60.0)
        there.end.clear()
        there.have.clear()
        there.tasks = [asyncio.create_task(there._send(number)) for number in range(2 * AT_ONCE)]
        await asyncio.sleep(0.05)
        assert len(there.have) == AT_ONCE
        there.end.set()
        await asyncio.gather(*there.tasks)

    asyncio.run(run())
