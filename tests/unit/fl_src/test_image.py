"""What makes the images: what is taken out of them, and what stays."""

from __future__ import annotations

import importlib.util
import lzma
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from support.helpers import ROOT

IMAGE = ROOT / "fl_src/image"


@pytest.fixture(scope="module")
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", IMAGE / "install.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("words", [[], ["--list"], ["inside"]])
def test_no_system_is_taken_apart_by_accident(words: list[str]) -> None:
    """Ansible runs each executable file of a folder that it takes for an inventory (one comma too many does). Without PATH a failure removes nothing."""
    assert not (IMAGE / "slim_base.sh").stat().st_mode & 0o111
    done = subprocess.run(
        ["/bin/sh", IMAGE / "slim_base.sh", *words],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "for the Dockerfile" in done.stderr


def test_notices_are_kept_packed(install: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/NOTICES.txt").write_text("Permission is granted\n")
    (tmp_path / "lib/tests").mkdir()
    rules = tmp_path / "slim.txt"
    rules.write_text("pack lib/NOTICES.txt\nlib/tests  # not needed\n")
    install.slim(tmp_path, rules)
    assert sorted(path.name for path in (tmp_path / "lib").iterdir()) == ["NOTICES.txt.xz"]
    assert lzma.decompress((tmp_path / "lib/NOTICES.txt.xz").read_bytes()) == b"Permission is granted\n"


def test_a_rule_that_matches_nothing_is_told(install: ModuleType, tmp_path: Path) -> None:
    rules = tmp_path / "slim.txt"
    rules.write_text("# a comment\nstrip lib/*.so\n")
    with pytest.raises(SystemExit, match=r"line 2: lib/\*.so matches nothing any more"):
        install.slim(tmp_path, rules)


def test_a_part_that_an_app_may_complete(install: ModuleType, tmp_path: Path) -> None:
    """Without the package its names are there and say what to add, once they are used; with it they are the real ones."""
    part, package = tmp_path / "engine/part", tmp_path / "packages"
    part.mkdir(parents=True)
    package.mkdir()
    (part / "__init__.py").write_text('"""About."""\n\nfrom .real import work\n\n__all__ = [\n    "work",\n]\n')
    (part / "real.py").write_text("import needed\n\ndef work():\n    return needed.value\n")
    rules = tmp_path / "slim.txt"
    rules.write_text("optional part/__init__.py\n")
    install.slim(tmp_path / "engine", rules)
    install.bytecode_only(tmp_path / "engine")
    assert not list((tmp_path / "engine").rglob("*.py"))

    def used() -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from part import work\nprint('imported')\nprint(work())"],
            env={"PYTHONPATH": f"{tmp_path / 'engine'}:{package}"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    assert used().startswith("imported\n")
    assert "part.work needs the module needed: add its package to the app's dependencies" in used()
    (package / "needed.py").write_text("value = 7\n")
    assert used() == "imported\n7\n"
