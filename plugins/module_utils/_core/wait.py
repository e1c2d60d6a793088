# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the one waiter. A predicate says that it is done, what is missing, or that it can never be done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient


@dataclass(frozen=True)
class Outcome:
    """What a predicate found: made by L(done), L(pending) or L(failed)."""

    state: Literal["done", "pending", "failed"]
    reason: str = ""
    value: Any = None

    def then(self, stage: Callable[[Any], Outcome]) -> Outcome:
        """The outcome of the next stage, which is given the value of this one when it is done; else this one."""
        return stage(self.value) if self.state == "done" else self


def done(value: Any = None) -> Outcome:
    """What was waited for is there; `value` is what C(wait) returns."""
    return Outcome("done", value=value)


def pending(reason: str) -> Outcome:
    """Not yet; `reason` names what is missing."""
    return Outcome("pending", reason=reason)


def failed(reason: str) -> Outcome:
    """It will never be: no need to use the time that is left."""
    return Outcome("failed", reason=reason)


def wait(
    predicate: Callable[[], Outcome],
    timeout: float,
    sleep: float,
    what: str,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Any:
    """Asks `predicate` every `sleep` seconds, at least once, until it is done, and returns its value.

    `what` is what is waited for, as a noun ("the API server"). A Transient raised by the predicate counts as pending.
    Raises EdgeflError, with the results C(reason) and C(elapsed) (seconds), after `timeout` seconds or as soon as the predicate failed.
    """
    start = clock()
    while True:
        try:
            outcome = predicate()
        except Transient as error:
            outcome = pending(error.message)
        elapsed = clock() - start
        if outcome.state == "done":
            return outcome.value
        if outcome.state == "failed":
            raise EdgeflError(
                f"Gave up on {what} after {elapsed:.0f} s: {outcome.reason}",
                reason=outcome.reason,
                elapsed=round(elapsed, 1),
            )
        if elapsed >= timeout:
            raise EdgeflError(
                f"Waited {elapsed:.0f} s in vain for {what}: {outcome.reason}",
                reason=outcome.reason,
                elapsed=round(elapsed, 1),
            )
        # Never sleeps past the end, so that the last look is at the end and not before it
        pause(min(sleep, timeout - elapsed))
