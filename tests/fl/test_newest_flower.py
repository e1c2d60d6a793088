"""Do the adapters work with the newest Flower that pip installs? Tells when the pin or what is known here must move."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import processes
from support.processes import SOURCE, Federation, until

KNOWN = {"version": "1.42.0", "works": True}
"""The newest flwr that was tried, and whether the adapters work with it."""


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
def newest(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Version, and the interpreter of an environment that has it beside the aggregator's other packages."""
    folder = tmp_path_factory.mktemp("newest")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    python = folder / "bin" / "python"
    asked = (SOURCE / "requirements-aggregator.in").read_text().splitlines()
    names = [re.split(r"[=<>;\[ ]", row)[0] for row in asked if row.strip() and not row.startswith(("#", "-"))]
    pip(python, "install", "--quiet", "--prefer-binary", *names)
    shown = pip(python, "show", "flwr")
    return re.findall(r"^Version: (\S+)", shown, re.M)[0], python


def test_what_is_known_of_the_newest_flower_is_true(
    federation: Federation, newest: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    version, python = newest
    monkeypatch.setattr(processes, "PYTHON", str(python))
    aggregator = federation.aggregator("--rounds=2", f"--state_dir={federation.folder / 'state'}")
    clients = federation.pair()

    def over() -> bool:
        ended = not aggregator.lives or any(not one.lives for one in clients)
        return ended or any(entry["event"] == "done" for entry in federation.lines(aggregator))

    try:
        until(over, "the training", 60)
    except AssertionError:
        works = False
    else:
        works = federation.rounds(aggregator) == [(1, 1), (1, 2)]
    said = "\n".join(one.err.read_text()[-1500:] for one in federation.programs)
    pinned = re.findall(r"^flwr==(\S+)", (SOURCE / "requirements-aggregator.in").read_text(), re.M)[0]
    advice = (
        f"the adapters work with flwr {version}: move the pin ({pinned}) in fl_src/requirements-aggregator.in when it suits"
        if works
        else f"the adapters do not work with flwr {version}: the pin ({pinned}) must stay until they do"
    )
    print(advice)
    assert {"version": version, "works": works} == KNOWN, f"{advice}; then correct KNOWN in {__file__}\n{said}"
