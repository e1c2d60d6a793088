"""Giving back pages of libraries: they leave memory, nothing is lost, and pages that are nowhere else stay."""

from __future__ import annotations

import _ctypes
import ctypes
import mmap
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgefl.client import memory

SIZE = 4 * 1024 * 1024
SOURCES = Path(memory.__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "library"
    path.write_bytes(b"\7" * SIZE)
    with path.open("r+b") as opened:
        yield opened.fileno()


def resident(path_end: str) -> int:
    """Bytes of the mapped file that are in memory."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if not line.split(" ")[0].endswith(":"):
            inside = line.endswith(path_end)
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


def test_pages_of_a_file_leave_memory_and_come_back(file: int, tmp_path: Path) -> None:
    with mmap.mmap(file, SIZE, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[::4096]) == 7 * SIZE // 4096
        assert resident(f"{tmp_path}/library") == SIZE
        memory.give_back()
        assert resident(f"{tmp_path}/library") == 0
        assert sum(mapped[::4096]) == 7 * SIZE // 4096


def test_changed_pages_stay(file: int, tmp_path: Path) -> None:
    """As those of a library with relocated addresses: written, then made read-only."""
    mapped = mmap.mmap(file, SIZE, access=mmap.ACCESS_COPY)
    mapped[0] = 1
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    assert protect(address, SIZE, mmap.PROT_READ) == 0
    memory.give_back()
    assert mapped[0] == 1


def test_a_kernel_that_does_not_tell_keeps_its_pages(file: int, tmp_path: Path) -> None:
    with mmap.mmap(file, SIZE, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[::4096]) == 7 * SIZE // 4096
        memory.give_back(tmp_path / "none")
        assert resident(f"{tmp_path}/library") == SIZE


def test_libraries_are_loaded_but_for_one_that_is_not_there(tmp_path: Path) -> None:
    """In a process of its own, which has no other copy of the library."""
    library = Path(_ctypes.__file__)
    copy = tmp_path / "there.so"
    copy.write_bytes(library.read_bytes())
    program = f"""
from pathlib import Path
from edgefl.client import memory
memory.load([Path({str(tmp_path / "none.so")!r}), Path({str(copy)!r})])
print(Path("/proc/self/maps").read_text())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={"PYTHONPATH": str(SOURCES)}
    )
    assert done.returncode == 0, done.stderr
    assert str(copy) in done.stdout and "none.so" not in done.stdout
