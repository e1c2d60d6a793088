"""Environments that checkouts share: one for a lock, filled by parts, and made anew where an earlier call ended halfway."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.helpers import ROOT, run


# Each call of `make test` shows most of it
@pytest.mark.long
def test_one_place_for_a_lock_in_parts(tmp_path: Path) -> None:
    cache = {"EDGEFL_CACHE": str(tmp_path / "cache")}
    (tmp_path / "all.txt").write_text("# all\n")
    (tmp_path / "part.txt").write_text("# a part\n")

    def lead(link: str, *locks: str) -> tuple[Path, str]:
        """Where the link leads, and what was said."""
        made = run(ROOT / "tools/shared_venv.sh", link, "things", sys.executable, *locks, cwd=tmp_path, env=cache).ok()
        return (tmp_path / link).resolve(), made.output

    (tmp_path / ".venv").mkdir()
    place, said = lead(".venv", "all.txt", "part.txt")
    assert (place / "bin/pip").exists() and "Installing things into .venv" in said
    (place / "mine").touch()
    assert lead(".venv", "all.txt", "part.txt") == (place, "")
    again, said = lead(".venv", "all.txt")
    assert again == place and "Installing" in said and (place / "mine").exists()
    # Who has all has the part; another link of the same name, in another checkout, leads there too
    (tmp_path / ".venv").unlink()
    assert lead(".venv", "all.txt", "part.txt") == (place, "")
    for ready in place.glob(".ready*"):
        ready.unlink()
    assert lead(".venv", "all.txt")[0] == place and not (place / "mine").exists()


def test_the_tests_have_all_that_runs() -> None:
    """The environment of both is named by the lock of the tests."""
    run_lock, test_lock = (
        {line.split("==")[0] for line in (ROOT / name).read_text().splitlines() if "==" in line}
        for name in ("requirements.txt", "requirements-test.txt")
    )
    assert run_lock and run_lock <= test_lock
