"""The waiter, on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import Outcome, done, failed, pending, wait


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def script(*steps: Outcome | Transient) -> Callable[[], Outcome]:
    """A predicate that gives one step after the other, the last one for ever."""
    left = list(steps)

    def predicate() -> Outcome:
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, Transient):
            raise step
        return step

    return predicate


def test_returns_the_value_as_soon_as_it_is_done() -> None:
    clock = Clock()
    assert wait(script(pending("a"), Transient("refused"), done(7)), 60, 2, "it", clock, clock.pause) == 7
    assert clock.pauses == [2, 2]


def test_looks_once_even_without_time() -> None:
    clock = Clock()
    assert wait(script(done("x")), 0, 2, "it", clock, clock.pause) == "x"
    assert clock.pauses == []


def test_timeout_tells_what_why_and_how_long() -> None:
    clock = Clock()
    with pytest.raises(EdgeflError, match="Waited 5 s in vain for the pod: no image") as caught:
        wait(script(pending("no image")), 5, 2, "the pod", clock, clock.pause)
    assert caught.value.result == {"reason": "no image", "elapsed": 5.0}
    assert clock.pauses == [2, 2, 1]


def test_a_transient_error_is_the_reason_at_the_end() -> None:
    clock = Clock()
    with pytest.raises(EdgeflError, match="for it: connection refused"):
        wait(script(Transient("connection refused")), 1, 2, "it", clock, clock.pause)


def test_a_final_state_ends_at_once() -> None:
    clock = Clock()
    with pytest.raises(EdgeflError, match="Gave up on the pod after 2 s: ErrImageNeverPull"):
        wait(script(pending("starting"), failed("ErrImageNeverPull")), 600, 2, "the pod", clock, clock.pause)


def test_other_errors_go_through() -> None:
    def predicate() -> Outcome:
        raise EdgeflError("no rights")

    clock = Clock()
    with pytest.raises(EdgeflError, match=r"^no rights$"):
        wait(predicate, 600, 2, "it", clock, clock.pause)
