"""Which answers a strategy of Flower does not get, by strategies and answers of many kinds."""

from __future__ import annotations

import os
import subprocess

from support.processes import PYTHON, ROOT, SOURCE, measured


def cases(python: str) -> subprocess.CompletedProcess[str]:
    """Each function of support/sieves.py, in one process where Flower is."""
    variables = measured(os.environ | {"PYTHONPATH": f"{SOURCE}:{ROOT / 'tests'}"})
    return subprocess.run(
        [python, "-m", "support.sieves"], capture_output=True, text=True, timeout=300, env=variables, check=False
    )


def test_cases() -> None:
    done = cases(PYTHON)
    assert done.returncode == 0, done.stdout + done.stderr
