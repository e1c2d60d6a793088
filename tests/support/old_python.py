"""Interpreters of an older Python, as nodes have them, and what they need to run the collection's code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

from support.helpers import CACHE, ROOT, held, run


def version_of(program: str | Path) -> tuple[int, int]:
    """Major and minor version of an interpreter; (0, 0) for what cannot be run, such as a shim without its Python."""
    asked = subprocess.run(
        [program, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
    )
    words = asked.stdout.split()
    return (int(words[0]), int(words[1])) if asked.returncode == 0 else (0, 0)


def interpreter(minor: int) -> Path:
    """Python 3.`minor`, from PATH or pyenv's folder; where neither has it, the oldest that is newer, with a warning: less is proven then."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for each in range(minor, sys.version_info.minor):
        name = f"python3.{each}"
        for program in (shutil.which(name), *sorted(pyenv.glob(f"3.{each}.*/bin/{name}"))):
            if program and version_of(program) == (3, each):
                if each != minor:
                    warnings.warn(f"Python 3.{minor} is not on this machine: tried with 3.{each}", stacklevel=2)
                return Path(program)
    warnings.warn(f"Python 3.{minor} is not on this machine: tried with this one alone", stacklevel=2)
    return Path(sys.executable)


def environment(python: Path, *packages: str) -> Path:
    """The interpreter of a virtual environment with `packages`, kept between runs by version and by what is in it."""
    major, minor = version_of(python)
    home = CACHE / "tests/python" / "-".join([f"{major}.{minor}", *packages])
    made = home / "bin/python"
    with held(home.with_name(f"{home.name}.lock")):
        if not (home / ".ready").exists():
            run(python, "-m", "venv", "--clear", home).ok()
            run(made, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages).ok()
            (home / ".ready").touch()
    return made


def ansible_alone() -> Path:
    """A folder with this environment's Ansible and nothing beside it: its module_utils run on every Python that nodes may have."""
    import ansible

    link = ROOT / ".ansible/python/lib/ansible"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(Path(ansible.__file__).parent)
    return link.parent
