"""Brings the lab up before the first test that asks for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from helpers import run
from running_lab import Lab


@pytest.fixture(scope="session")
def lab(show: Callable[[str], None]) -> Lab:
    """The lab, up and trained: `make lab` does what is missing, which takes seconds or, on a bare machine, twenty minutes."""
    show("")
    run("make", "lab", show=show, timeout=3600).ok()
    return Lab(show)
