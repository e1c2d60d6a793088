"""Keeps the memory of the aggregator as small as what is in it."""

from __future__ import annotations

import ctypes
import resource
import threading
import time
from collections.abc import Callable

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
LARGE = 1024 * 1024
"""Bytes from which a block is the kernel's again as soon as it is free, as those of large models are. glibc begins with 128 KiB, and takes ever larger ones
from the heap after the first. Chunks and small models come from the heap: a block of its own has to be made of new pages each time, which was a third of
the processor time of a round with a thousand clients."""
SPARE = 8 * 1024 * 1024
"""Free bytes at the end of the heap that are kept for what comes next."""


def give_back_large_blocks() -> None:
    """Keep large models out of the heap, where one block that is in use keeps all below it. Does nothing where the C library is another one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE)
        mallopt(_M_TRIM_THRESHOLD, SPARE)


GROWN = 8 * 1024 * 1024
"""Bytes by which the process has grown since the last time, after which free pages are given back."""
EVERY = 0.25
"""Seconds between two looks."""


def give_back_free_pages() -> None:
    """In a thread of its own, give back pages that are free between blocks in use, as they are after a thousand answers. Does nothing where the C library
    is another one.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        threading.Thread(target=_keep_small, args=(trim,), name="memory", daemon=True).start()


def _keep_small(trim: Callable[[int], int]) -> None:
    least = _resident()
    while True:
        time.sleep(EVERY)
        now = _resident()
        if now > least + GROWN:
            trim(0)
            least = _resident()
        least = min(least, now)


def _resident() -> int:
    """Bytes (proc(5), /proc/pid/statm)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
