"""Measures a program whose environment has no coverage of its own, with that of the tests: Program (support/processes.py) puts this folder into PYTHONPATH.

Python imports it before anything else. Nothing happens unless pytest measures coverage (`--cov`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from unmeasured import unmeasured

# Thousands of files that nobody asks about: a process that is measured while it imports them begins a second later
FRAMEWORKS = ("flwr", "keras", "tensorflow")


class Unmeasured:
    """Finds the frameworks, and has the thread that imports them measured no more until Python is done."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.partition(".")[0] in FRAMEWORKS else None
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = unmeasured(spec.loader.exec_module)  # type: ignore[method-assign]
        return spec


if "COVERAGE_PROCESS_CONFIG" in os.environ and "EDGEFL_COVERAGE" in os.environ:
    # For this import alone: what the program lacks must not be found among the tests' packages
    sys.path.append(os.environ["EDGEFL_COVERAGE"])
    import coverage

    sys.path.remove(os.environ["EDGEFL_COVERAGE"])
    coverage.process_startup()
    sys.meta_path.insert(0, Unmeasured())
