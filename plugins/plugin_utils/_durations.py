# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: how long the plays of a playbook took the last times, and what that says about the present run."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import typing as t
from pathlib import Path

# Runs that are kept of one call, and calls that are kept
RUNS = 5
CALLS = 50
# Seconds by which a play may always differ
SLACK = 5.0


def similar(a: float, b: float, factor: float = 2.0) -> bool:
    """Whether two durations, in seconds, tell of the same work.

    >>> similar(2, 7), similar(40, 75), similar(40, 400)
    (True, True, False)
    """
    return max(a, b) <= factor * min(a, b) + SLACK


def expected_seconds(runs: list[list[float]], took: list[float]) -> float | None:
    """Seconds that are left of a run whose first plays `took` so long; C(None) when earlier `runs` (newest last) don't tell.

    Only runs that began alike count: a playbook that has little to do this time is not measured against the time when it had much.

    >>> cold, warm = [300.0, 600.0, 60.0], [10.0, 5.0, 40.0]
    >>> expected_seconds([cold, warm], []) is None  # They say different things
    True
    >>> expected_seconds([cold, warm], [12.0]), expected_seconds([cold, warm], [280.0]), expected_seconds([warm], [])
    (45.0, 660.0, 55.0)
    """
    alike = [run for run in runs if all(similar(now, then) for now, then in zip(took, run))]
    rests = [sum(run[len(took) :]) for run in alike]
    return rests[-1] if rests and similar(min(rests), max(rests)) else None


def default_path() -> Path:
    """The file in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "edgefl" / "durations.json"


class Durations:
    """The durations of one call's plays: `call` is what must be the same for two runs to be compared.

    Nothing here fails: durations that can't be read are not there, and what can't be written is forgotten.
    """

    def __init__(self, path: Path, call: t.Any, plays: int) -> None:
        self.path = path
        self.key = hashlib.sha256(json.dumps(call, sort_keys=True, default=str).encode()).hexdigest()[:16]
        self.plays = plays
        self.runs = [run for run in self._read().get(self.key, []) if len(run) == plays]

    def remember(self, took: list[float]) -> None:
        """Keeps the durations of a run that came to its end."""
        if len(took) != self.plays:
            return
        calls = self._read()
        calls[self.key] = [*calls.pop(self.key, []), [round(seconds, 1) for seconds in took]][-RUNS:]
        temporary = ""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(dict(list(calls.items())[-CALLS:]), file)
            os.replace(temporary, self.path)
        except OSError:
            if temporary:
                Path(temporary).unlink(missing_ok=True)

    def _read(self) -> dict[str, list[list[float]]]:
        try:
            calls = json.loads(self.path.read_text(encoding="utf-8"))
            return {
                str(key): [[float(seconds) for seconds in run] for run in runs] for key, runs in dict(calls).items()
            }
        except (OSError, ValueError, TypeError, RecursionError):
            return {}
