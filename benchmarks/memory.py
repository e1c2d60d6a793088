"""The memory of running processes, from /proc."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path


def _fields(path: Path) -> dict[str, int]:
    """The lines "Name: value kB" of a file, in bytes; empty when the process has ended."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":")[::2] for line in lines if line.endswith(" kB"))
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def pss(pid: int) -> int:
    """The proportional set size of a process now; 0 when it has ended."""
    return _fields(Path("/proc", str(pid), "smaps_rollup")).get("Pss", 0)


def processes() -> dict[int, list[str]]:
    """Of each process what stands after its name in /proc/pid/stat (proc(5)), from its state on."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
    return found


def family(roots: Iterable[int], there: Mapping[int, list[str]]) -> set[int]:
    """Ids of processes and of all that these have begun, in whatever session; `there` is from C(processes)."""
    found, newest = set(roots), set(roots)
    while newest:
        newest = {pid for pid, fields in there.items() if int(fields[1]) in newest} - found
        found |= newest
    return found


class Sampler:
    """Notes the peaks of processes, in bytes by pid, while it is open: `with Sampler(pids) as sampler: ...`.

    PSS (smaps_rollup, proc(5)) counts a page that n processes share as 1/n. It is looked at every `pause` seconds.
    The peak of RSS (VmHWM) is kept by the kernel and exact; it is what PSS would be if no other process shared a page.
    """

    def __init__(self, pids: Iterable[int], pause: float = 0.25) -> None:
        self.pss = dict.fromkeys(pids, 0)
        self.rss = dict.fromkeys(self.pss, 0)
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(self._pause):
            self._look()

    def _look(self) -> None:
        for pid in self.pss:
            self.pss[pid] = max(self.pss[pid], pss(pid))
            self.rss[pid] = max(self.rss[pid], _fields(Path("/proc", str(pid), "status")).get("VmHWM", 0))

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()


def users(library: Path) -> int:
    """How many processes have this file mapped: sharing makes their PSS smaller than it is alone."""
    found, state = 0, library.stat()
    mapped = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x} {state.st_ino} "
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            found += mapped in maps.read_text()
        except OSError:
            continue  # it ended
    return found
