"""Keeps the resident memory of a process with large libraries small.

Loading TensorFlow touches 330 MB of its files: symbols, relocations, constructors. Training needs a tenth of that. The
kernel takes such pages back only when memory is short, which on an edge node means that something else suffered first.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

MADV_DONTNEED = 4
"""madvise(2); the same number on all architectures but alpha."""
_AREA = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)")


def give_back(smaps: Path = Path("/proc/self/smaps")) -> None:
    """Let go of the pages that are a file's content, unchanged, in areas that can't be written to: libraries.

    What is used again comes back from the page cache, or from the disk. Areas with pages of their own (relocated
    addresses) are left alone, for those are nowhere else. Does nothing where the kernel doesn't tell (proc(5), smaps).
    """
    try:
        lines = smaps.read_text().splitlines()
    except OSError:
        return
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    area = None
    for line in lines:
        head = _AREA.match(line)
        if head:
            begin, end, rights, inode = head.groups()
            area = (int(begin, 16), int(end, 16)) if inode != "0" and "w" not in rights else None
        elif area and line.startswith("Anonymous:") and line.split()[1] == "0":
            madvise(area[0], area[1] - area[0], MADV_DONTNEED)


def load(libraries: list[Path]) -> None:
    """Load libraries one after the other, each giving back its pages before the next: the peak is that of the largest.

    What is loaded here is found loaded when a Python module needs it. A library that isn't there is left out: then the
    module loads what it has in its place, and only the peak is higher.
    """
    for library in libraries:
        if library.exists():
            ctypes.CDLL(str(library))
            give_back()
