"""What this process may use: processors from the container's limit, processor time and memory used so far."""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgefl.common.journal import say

LATE = 5.0
"""Seconds that an answer may come too late before the process ends; twice that when it lets no thread of ours run."""
LOOK_EVERY = 0.5
"""Seconds between two looks at whether one is too late."""
DISK_LIMIT = "EDGEFL_DISK_LIMIT"
"""Bytes that the pod may have on the disk of its node, of the environment."""
TERMINATION_LOG = Path("/dev/termination-log")
"""What a container writes there is told as the reason of its end (Kubernetes, terminationMessagePath)."""


def cpu_limit(root: str = "/sys/fs/cgroup") -> float:
    """Processors that this process may use: its quota, or all that it may run on when there is no quota.

    The quota is in cpu.max ("quota period" or "max period", Linux Documentation/admin-guide/cgroup-v2.rst) or, with
    version 1, in cpu.cfs_quota_us (-1: none) and cpu.cfs_period_us. Inside a container its own group is the root.
    """
    available = float(len(os.sched_getaffinity(0)))
    base = Path(root)
    try:
        quota, period = (base / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (base / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (base / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return available
    if quota in ("max", "-1"):
        return available
    return min(available, int(quota) / int(period))


def threads(limit: float, wanted: int) -> int:
    """Compute threads: `wanted`, or as many as there can be when it is 0; never more than the limit has processors.

    With more, the kernel stops all of them for the rest of each period of the quota.
    """
    most = max(1, math.floor(limit))
    return min(wanted, most) if wanted else most


def limit_libraries(wanted: int) -> None:
    """Have libraries that are imported from now on take as many compute threads, as their environment says. NumPy makes them when it is imported."""
    count = str(threads(cpu_limit(), wanted))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, count)


def limit_files() -> None:
    """No file may have more bytes than the pod may have on the disk: kubelet looks only every ten seconds, in which the node's could be full."""
    if limit := int(os.environ.get(DISK_LIMIT, 0)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


class Usage:
    """Processor time since the object was made, and the peak of resident memory of the process."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def figures(self) -> dict[str, float]:
        """`seconds` and `cpu_seconds` since the object was made, `peak_rss_bytes` since the process began."""
        return {
            "seconds": round(time.perf_counter() - self._wall, 4),
            "cpu_seconds": round(time.process_time() - self._cpu, 4),
            # ru_maxrss is in KiB on Linux, getrusage(2)
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }


@contextmanager
def deadline(end: float) -> Iterator[None]:
    """End this process when the work within lasts longer than until `end` (time.monotonic): an endless loop can't be ended otherwise.

    Whoever started it starts it again. The line in which it was is told.
    """
    left = max(0.0, end - time.monotonic()) + LATE
    work = _DEADLINES.begin(left)
    # In a thread of C's: it needs no Python, which a loop in a library may hold
    faulthandler.dump_traceback_later(left + LATE, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        _DEADLINES.done(work)


class _Deadlines:
    """Until when each piece of work must be done. One thread looks after all: to start one for each message costs as much as to read the message."""

    def __init__(self) -> None:
        self._ends: dict[object, tuple[float, float]] = {}
        self._looks = False

    def begin(self, seconds: float) -> object:
        work = object()
        self._ends[work] = time.monotonic() + seconds, seconds
        if not self._looks:
            self._looks = True
            threading.Thread(target=self._look, name="deadlines", daemon=True).start()
        return work

    def done(self, work: object) -> None:
        del self._ends[work]

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            for end, seconds in list(self._ends.values()):
                if end <= time.monotonic():
                    _end_late(seconds)


_DEADLINES = _Deadlines()


def _end_late(seconds: float) -> None:
    faulthandler.dump_traceback()
    end(
        f"the app has not answered within {seconds:.0f} s, and nobody waits for it any more: this client ends, to begin anew"
    )


def end(reason: str) -> None:
    """End this process at once, whatever its threads do; Kubernetes is told why."""
    say(reason)
    with contextlib.suppress(OSError):
        if TERMINATION_LOG.exists():
            TERMINATION_LOG.write_text(reason)
    sys.stderr.flush()
    os._exit(os.EX_SOFTWARE)
