"""What several kinds of tests share: the checkout's paths, its files as git sees them, and running a program with its output kept."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
LINK = ROOT / ".ansible/collections/ansible_collections/edgefl/kubeedge"
BIN = Path(sys.executable).parent
CACHE = Path(os.environ.get("EDGEFL_CACHE") or Path.home() / ".cache/edgefl")
"""What all checkouts share: what is compiled for the lab, and environments that tests make for themselves."""
# Modules that only document an action plugin, which does all of the work
OF_THE_CONTROLLER = {"app_lock", "experiment_info", "results_write"}


@dataclass(frozen=True)
class Result:
    """An ended program: exit code, stdout and stderr as one text in the order they came, seconds it took."""

    command: str
    code: int
    output: str
    seconds: float

    def ok(self) -> Result:
        """Itself; fails the test with the output when the program failed."""
        if self.code != 0:
            raise AssertionError(f"{self.command} ended with {self.code} after {self.seconds:.0f} s:\n{self.output}")
        return self


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    Environment for programs of the virtual environment: its bin first in PATH, plain output, nothing of the user's Ansible. Coverage is not measured
    in them, which would make each play longer.
    """
    foreign = ("ANSIBLE_", "COVERAGE_", "MAKE", "MOLECULE_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    env["PATH"] = f"{BIN}{os.pathsep}{env.get('PATH', '')}"
    env["ANSIBLE_NOCOLOR"] = env["NO_COLOR"] = env["PYTHONUNBUFFERED"] = "1"
    # Absolute: some of the programs start Ansible in a folder of their own
    env["ANSIBLE_COLLECTIONS_PATH"] = str(ROOT / ".ansible/collections")
    return env | dict(extra or {})


def run(
    *command: str | Path,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    timeout: float = 1800,
    show: Callable[[str], None] | None = None,
) -> Result:
    """
    Runs a program to its end.

    :param env: variables on top of `environment()`
    :param timeout: seconds; the program is killed then and AssertionError raised with its output so far
    :param show: called with each line as it comes
    """
    words = [str(word) for word in command]
    begin = time.monotonic()
    with subprocess.Popen(
        words,
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        try:
            for line in process.stdout:
                lines.append(line)
                if show is not None:
                    show(line)
                if time.monotonic() - begin > timeout:
                    raise subprocess.TimeoutExpired(words, timeout)
            code = process.wait(timeout=max(1.0, timeout - (time.monotonic() - begin)))
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"{' '.join(words)} did not end within {timeout:.0f} s:\n{''.join(lines)}") from None
    return Result(" ".join(words), code, "".join(lines), time.monotonic() - begin)


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """One at a time, of all tests and checkouts on this machine: waits until nobody else has the file."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def machine() -> Iterator[None]:
    """For who installs packages on this machine, or wants that nobody does now. `make lab` takes the same lock."""
    home = Path(os.environ.get("EDGEFL_LAB_HOME") or Path.home() / ".local/share/edgefl/lab")
    with held(home.with_name(f"{home.name}.lock")):
        yield


def bring(program: str, *packages: str) -> None:
    """Sees to it that a program is there: installs the Debian packages that have it when it is not. Fails the test when that can't be done."""
    if shutil.which(program) is not None:
        return
    print(f"Installing {packages[0]}, a Debian package", flush=True)
    root = [] if os.getuid() == 0 else ["sudo"]
    with machine():
        run(*root, "apt-get", "update", "-qq", timeout=300)
        made = run(*root, "apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages, timeout=900)
    if made.code != 0:
        raise AssertionError(f"{program} is not there, and {' '.join(packages)} can't be installed:\n{made.output}")


def files(*patterns: str) -> list[Path]:
    """The checkout's files that git tracks or would track, sorted, relative to ROOT; `patterns` are git pathspecs."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted(
        Path(name) for name in set(listed.split("\0")) - {""} if (ROOT / name).is_file() or (ROOT / name).is_symlink()
    )


def load_yaml(path: Path) -> Any:
    """The one YAML document in `path` (relative to ROOT or absolute)."""
    # By libyaml, which takes a tenth of the time
    return yaml.load((ROOT / path).read_text(), yaml.CSafeLoader)


def tail(text: str, lines: int = 60) -> str:
    """The last lines of a text."""
    return "\n".join(text.splitlines()[-lines:])


def copy_collection(target: Path) -> None:
    """Copies the files that git tracks or would track, as a repository of its own: ansible-test asks git what belongs to a collection."""
    for path in files():
        copy = target / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, copy, follow_symlinks=False)
    for words in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", "-c", "core.excludesFile=", *words], cwd=target, check=True)


def inventory(listed: str) -> Any:
    """What `ansible-inventory --list` wrote; it marks text that comes from a plugin, which is never a template."""
    return json.loads(listed, object_hook=lambda value: value.get("__ansible_unsafe", value))
