"""Does the link work with the newest Flower that pip installs? Tells when the pin or what is known here must move. Scikit-learn comes along."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from fl.test_sieve import cases

from support import old_python, processes
from support.helpers import CACHE, held
from support.processes import SOURCE, Federation, until

KNOWN = {"version": "1.42.0", "works": True}
"""The newest flwr that was tried, and whether the link works with it."""
APPS = Path(__file__).parent / "flower_apps"


def pip(python: Path, *arguments: str) -> str:
    """Run pip; skips the test when no index can be reached."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--retries=1", "--timeout=15", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        if re.search(
            r"NewConnectionError|ConnectTimeout|ReadTimeout|NameResolution|ProxyError|No route to host", done.stderr
        ):
            pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
        pytest.fail(done.stderr, pytrace=False)
    return done.stdout


@pytest.fixture(scope="module")
def newest() -> Iterator[tuple[str, Path]]:
    """Version, and the interpreter of an environment that has it beside the aggregator's other packages. Kept between runs, and brought up to date."""
    folder = CACHE / "tests/newest-flower"
    python = folder / "bin/python"
    asked = (SOURCE / "requirements-aggregator.in").read_text().splitlines()
    names = [re.split(r"[=<>;\[ ]", row)[0] for row in asked if row.strip() and not row.startswith(("#", "-"))]
    with held(folder.with_name("newest-flower.lock")):
        # An environment of another Python is made anew
        if not python.exists() or old_python.version_of(python) != sys.version_info[:2]:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, timeout=120)
        pip(
            python,
            "install",
            "--quiet",
            "--upgrade",
            "--upgrade-strategy=eager",
            "--prefer-binary",
            "scikit-learn",
            *names,
        )
        shown = pip(python, "show", "flwr")
        yield re.findall(r"^Version: (\S+)", shown, re.M)[0], python


def works(federation: Federation, rounds: list[tuple[int, int]], *start: Callable[[], object]) -> bool:
    """Whether the training that `start` begins comes to its end."""
    for one in start:
        one()
    aggregator = federation.programs[-3]

    def over() -> bool:
        ended = any(not one.lives for one in federation.programs[-3:])
        return ended or any(entry["event"] == "done" for entry in aggregator.lines())

    try:
        until(over, "the training", 120)
    except AssertionError:
        return False
    finally:
        federation.close()
    return federation.rounds(aggregator) == rounds


# Changes with what others publish, not with a change here: `make test-long` tells before a release
@pytest.mark.long
def test_what_is_known_of_the_newest_flower_is_true(
    federation: Federation, newest: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training of ours, two apps (one in NumPy, one with messages of its own), and what strategies are spared."""
    version, python = newest
    monkeypatch.setattr(processes, "PYTHON", str(python))
    state = f"--state_dir={federation.folder / 'state'}"
    good = works(federation, [(1, 1), (1, 2)], lambda: federation.aggregator("--rounds=2", state), federation.pair)
    for name in ("means", "asking"):
        app, own = APPS / name, (state, f"--run={name}")
        begin = partial(federation.aggregator, f"--app={app}", *own)
        good &= works(federation, [(1, 1), (1, 2), (1, 3)], begin, partial(federation.app_pair, app))
    sieved = cases(str(python))
    good &= sieved.returncode == 0
    said = "\n".join(one.err.read_text()[-1500:] for one in federation.programs) + sieved.stdout
    pinned = re.findall(r"^flwr==(\S+)", (SOURCE / "requirements-aggregator.in").read_text(), re.M)[0]
    advice = (
        f"the link works with flwr {version}: move the pin ({pinned}) in fl_src/requirements-aggregator.in when it suits"
        if good
        else f"the link does not work with flwr {version}: the pin ({pinned}) must stay until it does"
    )
    print(advice)
    assert {"version": version, "works": good} == KNOWN, f"{advice}; then correct KNOWN in {__file__}\n{said}"


@pytest.mark.long
def test_an_app_with_scikit_learn(
    federation: Federation, newest: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PYTHON", str(newest[1]))
    app = APPS / "digits"
    aggregator = federation.aggregator(f"--app={app}", f"--state_dir={federation.folder / 'state'}")
    federation.app_pair(app)
    assert federation.event(aggregator, "done")["accuracy"] > 0.85
    about = json.loads((federation.folder / "state/default/model/model.json").read_text())
    assert [one["shape"] for one in about["arrays"]] == [[10, 64], [10]]


def test_flower_is_known_in_one_file() -> None:
    """Nothing else in the package imports flwr."""
    users = set()
    for path in (SOURCE / "edgefl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] == "flwr" for name in names):
                users.add(path.relative_to(SOURCE / "edgefl").as_posix())
    assert users == {"link/flower.py"}
