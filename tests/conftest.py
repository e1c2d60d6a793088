"""For all tests: the collection resolves from the checkout, and long programs show what they do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from helpers import LINK


def pytest_configure(config: pytest.Config) -> None:
    """Makes the link that `make .venv` makes, for a pytest that was started by hand."""
    if not LINK.exists():
        LINK.parent.mkdir(parents=True, exist_ok=True)
        LINK.unlink(missing_ok=True)
        LINK.symlink_to("../../../..")


@pytest.fixture(scope="session")
def show(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A function that writes a line to the terminal although pytest captures output: for programs that take minutes."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, end="" if line.endswith("\n") else "\n", flush=True)

    return write
