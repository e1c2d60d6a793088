"""Giving back what the aggregator's heap has free between blocks in use, and large blocks at once; each in a process of its own, with a real heap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgefl.aggregator import memory

SOURCES = Path(memory.__file__).parents[2]
# Blocks of 64 KiB with a small one after each, as gRPC's are; then all the large ones are free, and each small one keeps the heap from ending there
HOLES = """
import ctypes, time
from edgefl.aggregator import memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
memory.give_back_large_blocks()
{thread}
begin = memory._resident()
blocks = []
for _number in range(1600):
    blocks.append(libc.malloc(64 * 1024))
    ctypes.memset(blocks[-1], 1, 64 * 1024)
    libc.malloc(32)
for block in blocks:
    libc.free(block)
until = time.monotonic() + {seconds}
while time.monotonic() < until and memory._resident() - begin > 30e6:
    time.sleep(0.05)
print(memory._resident() - begin)
"""


@pytest.mark.parametrize(("thread", "seconds"), [("memory.give_back_free_pages()", 10), ("", 4 * memory.EVERY)])
def test_free_pages_between_blocks(thread: str, seconds: float) -> None:
    """They are given back by that thread, and would stay else."""
    program = HOLES.format(thread=thread, seconds=seconds)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(SOURCES)}
    )
    grown = int(done.stdout)
    assert grown < 30e6 if thread else grown > 90e6


@pytest.mark.parametrize("name", ["malloc_trim", "mallopt"])
def test_another_c_library(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nothing is done, and nothing fails."""
    monkeypatch.setattr("ctypes.CDLL", lambda _name: object())
    (memory.give_back_free_pages if name == "malloc_trim" else memory.give_back_large_blocks)()
