"""What `pytest --cov --branches` looks at in the end: the branches that were taken, of each part of the code by itself."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Folder -> percent of its branches
FLOORS = {"plugins/module_utils": 90, "plugins/plugin_utils": 90, "fl_src": 90}
WORST = 5


def measured() -> dict[str, Any]:
    """File -> its figures, as coverage writes them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(path)], check=True)
        files: dict[str, Any] = json.loads(path.read_text())["files"]
    return files


def told(files: Mapping[str, Any], floors: Mapping[str, int]) -> tuple[list[str], bool]:
    """A line for each folder, with the files that lack most where it is below its floor; whether all are reached."""
    lines, reached = [], True
    for folder, floor in floors.items():
        figures = {path: about["summary"] for path, about in files.items() if path.startswith(f"{folder}/")}
        there = sum(one["num_branches"] for one in figures.values())
        share = 100 * sum(one["covered_branches"] for one in figures.values()) / there if there else 0.0
        # Cut, not rounded: what is short of the floor must not look like it
        lines.append(f"{folder}: {int(share * 10) / 10} % of {there} branches, at least {floor} %")
        if share < floor:
            reached = False
            lacking = {path: one["num_branches"] - one["covered_branches"] for path, one in figures.items()}
            for path in sorted(lacking, key=lambda each: -lacking[each])[:WORST]:
                lines.append(f"  {path}: {lacking[path]} of {figures[path]['num_branches']} are not taken")
    return lines, reached
