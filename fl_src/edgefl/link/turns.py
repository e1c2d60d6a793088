"""Quick clients are sent their messages in turns.

gRPC holds some chunks of whom it sends to, until a client has taken them. Of those that are quick few are sent to at a time, and get large chunks, which
cost less processor time; the others are sent theirs all together, in small ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE, CHUNK = 64, 256 * 1024
"""Clients that have a turn at a time, and bytes of a chunk of theirs."""
LONGEST = 5.0
"""Seconds after which whoever has one holds up nobody any more."""


class Turns:
    """First come, first served; in the loop that makes it."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """A turn, for the time of a message."""
        await self._free.acquire()
        over = False

        def end() -> None:
            nonlocal over
            if not over:
                over = True
                self._free.release()

        timer = asyncio.get_running_loop().call_later(LONGEST, end)
        try:
            yield
        finally:
            timer.cancel()
            end()
