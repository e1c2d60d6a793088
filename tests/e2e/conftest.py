"""Brings the lab up before the first test that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.helpers import run, tail
from support.running_lab import Lab, Operator


@pytest.fixture(scope="session")
def lab(show: Callable[[str], None]) -> Lab:
    """The lab, up and trained: `make lab` does what is missing, which takes seconds or, on a bare machine, twenty minutes."""
    show("")
    made = run("make", "lab", show=show, timeout=3600)
    if made.code != 0:
        # Every test would repeat the whole output, which was shown as it came
        pytest.fail(f"make lab ended with {made.code}:\n{tail(made.output, 15)}", pytrace=False)
    return Lab(show)


@pytest.fixture(scope="session")
def operator(lab: Lab, collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Plays from the installed artifact, on the lab."""
    return Operator(lab, collection.parents[2], tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def back_to_defaults(lab: Lab) -> Iterator[None]:
    """For modules that train with settings of their own: after them the lab is as `make lab` leaves it."""
    yield
    lab.play("site.yml", show=False).ok()
