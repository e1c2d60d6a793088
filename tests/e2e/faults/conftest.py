"""Faults on the lab while it trains. A table of what each cost is printed at the end, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.faults.training import Row, Training
from support.running_lab import Lab

ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, default=30, metavar="N", help="how long the storm lasts")
    parser.addoption("--seed", type=int, default=1, metavar="N", help="which faults the storm has, and when")


@pytest.fixture(scope="module")
def trainings(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Training]:
    """Training after training until the module's tests are done; the first two are left alone."""
    lab.other_training.set()
    made = Training.begin("faults", tmp_path_factory.mktemp("faults"))
    try:
        made.measure_undisturbed()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    """The table's rows."""
    return request.config.stash.setdefault(ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    terminalreporter.section("faults on the lab")
    terminalreporter.line(
        "| fault | lost | rounds whole again after | longest round | cluster whole again after | proof |"
    )
    terminalreporter.line("|---|---|---|---|---|---|")
    for row in rows:
        times = [f"{seconds:.1f} s" for seconds in (row.rounds_after, row.longest, row.cluster_after)]
        terminalreporter.line(f"| {' | '.join([row.fault, row.lost, *times, row.proof])} |")
