"""A broken app, through the real playbook: nothing is deployed, and the message names the line."""

from __future__ import annotations

import shutil
from pathlib import Path

from helpers import ROOT
from running_lab import Lab, values


def test_a_broken_app_is_told_before_a_pod_starts(lab: Lab, tmp_path: Path) -> None:
    source = shutil.copytree(ROOT / "fl_src", tmp_path / "fl_src", ignore=shutil.ignore_patterns("__pycache__"))
    model = source / "edgefl/apps/fashion_mnist/model.py"
    lines = model.read_text().splitlines()
    number = next(index for index, line in enumerate(lines) if "layers.Dense" in line)
    lines[number] = lines[number].replace("layers.Dense", "layers.Dens")
    model.write_text("\n".join(lines) + "\n")

    def there() -> set[str]:
        """Pods but those on their way out: `make lab` may have replaced some a moment ago."""
        return {pod["metadata"]["uid"] for clients in (True, False) for pod in lab.pods(clients)}

    before = there()

    run = lab.play("site.yml", values(images_source=str(source)))
    assert run.result.code != 0
    assert f"fashion_mnist/model.py line {number + 1}" in run.output and "Dens" in run.output
    assert there() == before
