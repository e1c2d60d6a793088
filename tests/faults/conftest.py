"""Fault tests: real processes, real faults, and the time until all is well again.

`pytest tests/faults --repeat=10` does each ten times. A table of the recovery times is printed at the end, in Markdown.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest

Recovered = Callable[[str, float, float], None]
TIMES = pytest.StashKey[dict[tuple[str, float], list[float]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--repeat", type=int, default=1, metavar="N", help="do each fault test N times")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    repeat = metafunc.config.getoption("repeat")
    if repeat > 1:
        metafunc.fixturenames.append("attempt")
        metafunc.parametrize("attempt", range(1, repeat + 1))


@pytest.fixture
def recovered(request: pytest.FixtureRequest) -> Recovered:
    """A function (what, seconds, limit): notes a time for the table; fails the test when it is above the limit."""
    times = request.config.stash.setdefault(TIMES, {})

    def note(what: str, seconds: float, limit: float) -> None:
        times.setdefault((what, limit), []).append(seconds)
        assert seconds <= limit, f"{what}: {seconds:.1f} s; at most {limit:g} s are allowed"

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    times = config.stash.get(TIMES, {})
    if not times:
        return
    terminalreporter.section("seconds to recover")
    terminalreporter.line("| what is measured | median | worst | of | limit |")
    terminalreporter.line("|---|---|---|---|---|")
    for (what, limit), values in times.items():
        row = (what, f"{statistics.median(values):.1f} s", f"{max(values):.1f} s", str(len(values)), f"{limit:g} s")
        terminalreporter.line(f"| {' | '.join(row)} |")
