"""Brings the lab up before the first test that asks for it, and leaves it as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.helpers import run, tail
from support.running_lab import Lab, Operator


@pytest.fixture(scope="session")
def lab(show: Callable[[str], None]) -> Iterator[Lab]:
    """The lab, up and trained: `make lab` does what is missing, which takes seconds or, on a bare machine, twenty minutes."""
    show("")
    made = run("make", "lab", show=show, timeout=3600)
    if made.code != 0:
        # Every test would repeat the whole output, which was shown as it came
        pytest.fail(f"make lab ended with {made.code}:\n{tail(made.output, 15)}", pytrace=False)
    lab = Lab(show)
    yield lab
    lab.bring_defaults()


@pytest.fixture(scope="session")
def operator(lab: Lab, collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Plays from the installed artifact, on the lab."""
    return Operator(lab, collection.parents[2], tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def default_training(lab: Lab) -> None:
    """For modules that need the lab as `make lab` leaves it: they come first, when it needs nothing for that."""
    lab.bring_defaults()


@pytest.fixture(scope="module")
def other_training(lab: Lab) -> None:
    """For modules that train with settings of their own. Who needs the defaults brings them, as the last thing of all does: most begin with a play anyway."""
    lab.other_training.set()
