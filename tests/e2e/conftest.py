"""Brings the lab up before the first test that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.helpers import run, tail
from support.running_lab import Lab


@pytest.fixture(scope="session")
def lab(show: Callable[[str], None]) -> Lab:
    """The lab, up and trained: `make lab` does what is missing, which takes seconds or, on a bare machine, twenty minutes."""
    show("")
    made = run("make", "lab", show=show, timeout=3600)
    if made.code != 0:
        # Every test would repeat the whole output, which was shown as it came
        pytest.fail(f"make lab ended with {made.code}:\n{tail(made.output, 15)}", pytrace=False)
    return Lab(show)


@pytest.fixture(scope="module")
def back_to_defaults(lab: Lab) -> Iterator[None]:
    """For modules that train with settings of their own: after them the lab is as `make lab` leaves it."""
    yield
    lab.play("site.yml", show=False).ok()
