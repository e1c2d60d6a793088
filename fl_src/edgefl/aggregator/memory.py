"""Keeps the memory of the aggregator as small as what is in it."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
LARGE = 48 * 1024
"""Bytes from which a block is the kernel's again as soon as it is free: models, and what gRPC reads into, 64 KiB at a time. glibc begins with 128 KiB, and
takes ever larger ones from the heap after the first."""


def give_back_large_blocks() -> None:
    """Keep models out of the heap, where one block that is in use keeps all below it. Does nothing where the C library is another one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE)
