# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: work that goes on in the background; how far a job is can be asked for by further calls of its module."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError


class Work(Protocol):
    """What a job does, such as to build images (build.py) or to ship them (fleet.py)."""

    def run(self) -> dict[str, Any]:
        """Does it, and returns its result."""

    def progress(self) -> Any:
        """How far it is, as JSON has it."""

    def stop(self) -> None:
        """Ends it, from another thread."""


def detach(work: Callable[[], object]) -> None:
    """Calls `work` in a process of its own, which outlives this one and nobody waits for."""
    if os.fork():
        return
    status = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        work()
        status = 0
    finally:
        os._exit(status)


class Job:
    """One piece of work, in a folder of its own: C(lock) (held while it is done), C(progress), C(result).

    `what` names the program that does it, for messages. After `abandoned` seconds in which nobody asked, the work ends.
    """

    def __init__(self, folder: str, what: str, abandoned: float) -> None:
        self.folder = folder
        self.what = what
        self.abandoned = abandoned
        self.lock = os.path.join(folder, "lock")

    def exists(self) -> bool:
        """Whether it was begun, and its result not yet read."""
        return os.path.isdir(self.folder)

    def begin(self, work: Work) -> None:
        """Begins it, in a process of its own. The folder is there with all that is in it, or, also after a kill -9, not at all."""
        os.makedirs(os.path.dirname(self.folder), mode=0o700, exist_ok=True)
        aside = self._aside()
        lock = os.open(os.path.join(aside, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write(aside, "progress", work.progress())
        try:
            os.rename(aside, self.folder)
            detach(lambda: self._child(work))
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            # Begun by another call at the same moment
            shutil.rmtree(aside)
        finally:
            # The child holds it on
            os.close(lock)

    def follow(self, linger: float, enough: Callable[[Any], bool] = lambda progress: False) -> dict[str, Any]:
        """Its result; or C(running) and C(progress), after `linger` seconds or as soon as the progress is `enough`."""
        until = time.monotonic() + linger
        os.utime(self.lock)
        pause = 0.01
        while True:
            ended = self.ended()
            result = self._read("result")
            if ended or result is not None:
                self.remove()
                if result is None:
                    raise EdgeflError(
                        f"The program that {self.what} was ended from outside: see that this host has memory, and run this again."
                    )
                if "error" in result:
                    raise EdgeflError(result["error"])
                return {**result, "running": False}
            progress = self._read("progress")
            if time.monotonic() >= until or enough(progress):
                return {"changed": False, "running": True, "progress": progress}
            time.sleep(pause)
            pause = min(2 * pause, 0.05)

    def ended(self) -> bool:
        """Whether nobody is at work any more."""
        lock = os.open(self.lock, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def remove(self) -> None:
        """Removes its folder, with a result that nobody has read; one that is half removed is none."""
        aside = self._aside()
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.folder, aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _aside(self) -> str:
        """A folder of another name beside it."""
        parent, name = os.path.split(self.folder)
        return tempfile.mkdtemp(prefix=f".{name}.", dir=parent)

    def _child(self, work: Work) -> None:
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(work, ended), daemon=True)
        watch.start()
        try:
            result = work.run()
        except EdgeflError as error:
            result = {"error": error.message}
        except Exception as error:
            result = {"error": f"The program that {self.what} failed: {type(error).__name__}: {error}"}
        ended.set()
        watch.join()
        _write(self.folder, "result", result)

    def _watch(self, work: Work, ended: threading.Event) -> None:
        seen, asked = 0, time.monotonic()
        while not ended.wait(0.2):
            _write(self.folder, "progress", work.progress())
            touched = os.stat(self.lock).st_mtime_ns
            # When it was touched is not compared to the clock, which may be set meanwhile
            if touched != seen:
                seen, asked = touched, time.monotonic()
            if time.monotonic() - asked > self.abandoned:
                work.stop()

    def _read(self, name: str) -> Any:
        try:
            with open(os.path.join(self.folder, name), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return None


def _write(folder: str, name: str, value: Any) -> None:
    path = os.path.join(folder, name)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(f"{path}.new", path)
