"""A browser for these tests: Debian's chromium, installed when it is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers import run
from report.browser import Browser


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", help="folder that the pictures of docs/report.md are written to", type=Path)


@pytest.fixture(scope="module")
def chromium(show: Callable[[str], None]) -> None:
    """Sees to it that it is there."""
    if shutil.which("chromium"):
        return
    show("\nInstalling chromium, a Debian package")
    root = [] if os.getuid() == 0 else ["sudo"]
    run(*root, "apt-get", "update", "-qq", timeout=300)
    install = ("apt-get", "install", "-qq", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core")
    made = run(*root, *install, timeout=900)
    if made.code != 0:
        pytest.fail(f"chromium is not there, and can't be installed:\n{made.output}", pytrace=False)


@pytest.fixture(scope="module")
def browser(chromium: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go."""
    folder: Path = request.config.getoption("--pictures") or tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
