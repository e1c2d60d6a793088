"""For all tests: the collection resolves from the checkout, long programs show what they do, and `pytest -n` knows what must not run side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from support import artifact as artifacts
from support import branches
from support.browser import Browser
from support.helpers import LINK, bring
from support.processes import DATA, Federation
from unmeasured import unmeasured

# An example's time says nothing on a machine that does other work too
hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


def pytest_configure(config: pytest.Config) -> None:
    """Makes the link that `make .venv` makes, for a pytest that was started by hand."""
    if not LINK.exists():
        LINK.parent.mkdir(parents=True, exist_ok=True)
        LINK.unlink(missing_ok=True)
        LINK.symlink_to("../../../..")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--branches", action="store_true", help="with --cov: fail when too few branches were taken")


LINES = pytest.StashKey[list[str]]()
"""What is told of the branches."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[Any]:
    """Looks at the branches when all is run, and pytest-cov has put together what was measured."""
    done = yield
    if session.config.option.branches and not hasattr(session.config, "workerinput"):
        session.config.stash[LINES], reached = branches.told(branches.measured(), branches.FLOORS)
        session.testsfailed += not reached
    return done


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for line in config.stash.get(LINES, []):
        terminalreporter.write_line(line)


E2E = "tests/e2e/"
LONG = [E2E, "tests/molecule/", "tests/quality/", "tests/fl/", "tests/faults/"]
"""Folders whose files take long, in the order in which they come; all others fill what is left at the end."""
LATE = [f"{E2E}faults", f"{E2E}test_stop.py"]
"""What comes last on the lab. The one that stops all leaves the training of `make lab`, for which another play would be needed."""


class ByFile(LoadScopeScheduling):
    """A file's tests run one after the other; those on the lab, which is one for all, as if they were one file."""

    def _split_scope(self, nodeid: str) -> str:
        return E2E if nodeid.startswith(E2E) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """For `pytest -n`."""
    # By default the file with the most tests would be first
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Side by side, what takes longest comes first; else in the order of pyproject.toml. On the lab, what needs it as `make lab` leaves it comes first, then
    what trains with settings of its own, faults, and in the end what brings the defaults back.
    """
    side_by_side = hasattr(config, "workerinput")

    def place(item: pytest.Item) -> tuple[int, bool, int]:
        on_the_lab = item.nodeid.startswith(E2E)
        changes = on_the_lab and "default_training" not in getattr(item, "fixturenames", ())
        length = next((index for index, start in enumerate(LONG) if item.nodeid.startswith(start)), len(LONG))
        late = next((index for index, start in enumerate(LATE, 1) if item.nodeid.startswith(start)), 0)
        return length if side_by_side else on_the_lab, changes, late

    items.sort(key=place)


@pytest.fixture(scope="session")
def show(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A function that writes a line to the terminal although pytest captures output: for programs that take minutes."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            # A worker of `pytest -n` has no other way out
            print(line, end="" if line.endswith("\n") else "\n", flush=True, file=sys.stderr)

    return write


# Of drawings and templates what takes most of their time, twice as long where it is measured; none of it calls code of ours
OF_OTHERS = [("matplotlib.figure", "Figure", "savefig"), ("jinja2", "Environment", "compile")]


@pytest.fixture(scope="session", autouse=True)
def not_measured() -> None:
    """Where a test module uses it, and coverage is measured."""
    for module, kind, name in OF_OTHERS:
        if module in sys.modules and sys.gettrace():
            of_others = getattr(sys.modules[module], kind)
            setattr(of_others, name, unmeasured(getattr(of_others, name)))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Debian's chromium, installed when it is missing."""
    bring("chromium", "chromium", "fonts-dejavu-core")
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection, built from this checkout as for Galaxy."""
    return artifacts.build(tmp_path_factory.mktemp("artifact"))


@pytest.fixture(scope="session")
def collection(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed artifact, read-only."""
    return artifacts.install(artifact, tmp_path_factory.mktemp("collections"))


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    """Aggregator and clients as real processes: needs fl_src/requirements-client.txt and Fashion-MNIST. Never skips."""
    if not (DATA / "train-images-idx3-ubyte").exists():
        pytest.fail(
            f"{DATA} has no Fashion-MNIST: run fl_src/image/unpack_data.sh FOLDER and set EDGEFL_DATA_DIR=FOLDER",
            pytrace=False,
        )
    made = Federation(tmp_path)
    yield made
    made.close()
