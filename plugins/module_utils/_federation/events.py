# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the events of a training, read from the lines that the aggregator writes (rounds.jsonl, schema 1)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError

SCHEMA = 1
EVENTS = ("start", "round", "done", "failed")
FILE = "rounds.jsonl"

Event = Dict[str, Any]


@dataclass(frozen=True)
class Parsed:
    """The lines that are whole, how many bytes they have, and what is wrong with the first that is not (empty when nothing is)."""

    events: list[Event]
    size: int
    problem: str = ""


def parse(data: bytes) -> Parsed:
    """Reads lines up to the first that is damaged, or not written to its end yet: the aggregator may be at it.

    Raises EdgeflError for lines of another schema.
    """
    events: list[Event] = []
    size = 0
    for number, row in enumerate(data.split(b"\n")[:-1], 1):
        try:
            event = json.loads(row)
            schema, kind = event["schema"], event["event"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            return Parsed(events, size, f"line {number} of {FILE} is damaged ({error})")
        if schema != SCHEMA or kind not in EVENTS:
            raise EdgeflError(
                f"Line {number} of {FILE} is an event {kind!r} of schema {schema!r}, which this collection does not know (it reads schema {SCHEMA}): "
                "use the same version of the collection and of the aggregator's image."
            )
        events.append(event)
        size += len(row) + 1
    return Parsed(events, size)


def dump(events: list[Event]) -> bytes:
    """The lines of the events, as the aggregator writes them."""
    return "".join(json.dumps(event, separators=(",", ":"), allow_nan=False) + "\n" for event in events).encode()


def state_of(events: list[Event], status: dict[str, Any] | None, run: str) -> str:
    """C(waiting), C(training), C(done) or C(failed).

    The aggregator that answers (`status`, its /status) knows best, when it is at this run: it may have been started again after a failure.
    """
    last = events[-1]["event"] if events else ""
    if last == "done":
        return "done"
    if status and status.get("run") == run and status.get("state") in ("waiting", "training", "failed"):
        return str(status["state"])
    return {"failed": "failed", "round": "training"}.get(last, "waiting")


def failure(events: list[Event], status: dict[str, Any] | None) -> str:
    """Why the run failed, in the aggregator's words."""
    last = events[-1] if events else {}
    reported = (status or {}).get("reason") if (status or {}).get("state") == "failed" else None
    return str(last.get("reason") or reported or "the aggregator gave no reason, see its log")
