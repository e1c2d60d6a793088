"""A process forked from one that has imported what takes long to load, and nothing more: it has no threads yet."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

from edgefl.common.journal import say

PR_SET_PDEATHSIG = 1
"""prctl(2)"""


class Forked:
    """A process that calls `work`, which is to end it. It ends with this one, in whatever way that ends."""

    def __init__(self, work: Callable[[], None]) -> None:
        parent = os.getpid()
        self._process = os.fork()
        if not self._process:
            _end_with(parent)
            work()
            os._exit(os.EX_SOFTWARE)

    def ended(self) -> int | None:
        """Its exit code, 128 and the signal as a shell says for one that a signal ended; None while it runs."""
        process, status = os.waitpid(self._process, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if process else None
        return 128 - code if code is not None and code < 0 else code

    def say_signal(self, code: int) -> None:
        """Log the signal that ended it, of which it could say nothing itself."""
        if code > 128:
            say(f"process {self._process} was ended by signal {code - 128}")

    def kill(self) -> None:
        """End it at once."""
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)


def _end_with(parent: int) -> None:
    """End this process when its parent ends, in whatever way."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(0)
