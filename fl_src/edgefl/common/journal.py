"""The lines of rounds.jsonl: what happened in each round, for people, for the Ansible modules and for the report.

One JSON object a line, schema 1: `start` (the settings), `round` (one per finished round, never two), `done` (the
totals) or `failed` (the reason). Each goes to stdout and, where a state folder is given, to rounds.jsonl there.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from edgefl import SCHEMA

Line = dict[str, Any]
NAME = "rounds.jsonl"


def say(text: str) -> None:
    """A message for people, on stderr: stdout carries the lines only. Written at once, as an app's threads write there, too."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}\n")
    sys.stderr.flush()


def printable(text: str, most: int = 500) -> str:
    """A text from elsewhere, such as a client's reason, as a log or a terminal may show it: one line, no control characters, not endless."""
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def line(event: str, run: str, loop: int, round_: int, **more: Any) -> Line:
    """A new line; `time` is in seconds since 1970, UTC."""
    return {
        "schema": SCHEMA,
        "event": event,
        "run": run,
        "loop": loop,
        "round": round_,
        "time": round(time.time(), 3),
        **more,
    }


def dump(entry: Mapping[str, Any]) -> str:
    """One line of JSON; not-a-number becomes null, which RFC 8259 requires (it has no NaN)."""
    return json.dumps(_finite(entry), separators=(",", ":"), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def sync_folder(folder: Path) -> None:
    """Make a rename or a new file in `folder` survive a power cut, fsync(2)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def short_of_files(err: OSError) -> bool:
    """Whether it failed because this process, or the machine, has too many files and connections open: that passes."""
    return err.errno in (errno.EMFILE, errno.ENFILE)


def patiently(work: Callable[[], None], what: str, pause: float = 1.0) -> None:
    """Do `work`; while the disk is full, or too many files are open, say so and try again: a trained round is worth the wait."""
    told = 0.0
    while True:
        try:
            return work()
        except OSError as err:
            if err.errno not in (errno.ENOSPC, errno.EDQUOT) and not short_of_files(err):
                raise
            if time.monotonic() - told >= 10 or not told:
                say(
                    f"too many files are open to write {what} ({err.strerror}); waiting: raise the limit (ulimit -n)"
                    if short_of_files(err)
                    else f"no space to write {what} ({err.strerror}); waiting: free some on the volume of --state_dir"
                )
                told = time.monotonic()
            time.sleep(pause)


class Journal:
    """The lines of one run, in order. With `folder` None they are printed only.

    Opening it reads what an earlier process of the same run left; a last line that was cut off by a crash is removed.
    """

    def __init__(self, folder: Path | None, out: IO[str] | None = None) -> None:
        self.path = folder / NAME if folder else None
        self.lines: list[Line] = []
        self._out = sys.stdout if out is None else out
        if self.path and self.path.exists():
            self._load()

    def _load(self) -> None:
        assert self.path
        good: list[Line] = []
        data = self.path.read_bytes()
        rows = data.split(b"\n")
        torn = rows.pop()
        for number, row in enumerate(rows, 1):
            try:
                entry = json.loads(row)
                if entry["schema"] != SCHEMA or not isinstance(entry["event"], str):
                    raise ValueError("not of this schema")
            except (ValueError, KeyError, TypeError) as err:
                say(f"{self.path} line {number} is damaged ({err}): it and what follows is dropped")
                break
            good.append(entry)
        if torn or len(good) != len(rows):
            self.lines = good
            self._rewrite()
        self.lines = good

    @property
    def complete(self) -> bool:
        """True when the run has come to its end."""
        return bool(self.lines) and self.lines[-1]["event"] == "done"

    def replay(self) -> None:
        """Print the lines of earlier processes, so that the log of the newest container is whole."""
        for entry in self.lines:
            print(dump(entry), file=self._out, flush=True)

    def append(self, entry: Line) -> None:
        """Add one line: whole on the disk, or not at all (a partial write is taken back)."""
        self.lines.append(entry)
        text = dump(entry)
        if self.path:
            patiently(lambda: self._write(text.encode() + b"\n"), str(self.path))
        print(text, file=self._out, flush=True)

    def _write(self, data: bytes) -> None:
        assert self.path
        new = not self.path.exists()
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            try:
                if os.write(handle, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)
        if new:
            sync_folder(self.path.parent)

    def keep(self, wanted: Callable[[Line], bool]) -> list[Line]:
        """Drop the lines that are not wanted, atomically; returns those dropped."""
        dropped = [entry for entry in self.lines if not wanted(entry)]
        if dropped:
            self.lines = [entry for entry in self.lines if wanted(entry)]
            self._rewrite()
        return dropped

    def _rewrite(self) -> None:
        if not self.path:
            return
        data = "".join(dump(entry) + "\n" for entry in self.lines).encode()
        path = self.path
        patiently(lambda: write_atomically(path, data), str(path))


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path`: readers see the old or the new content, whenever the machine stops."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
