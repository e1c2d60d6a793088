"""An edited app, through the real playbooks: trained soon, or, when it is broken, told by the line."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.helpers import ROOT
from support.running_lab import Lab, rounds, values


def edited(folder: Path, before: str, after: str) -> tuple[str, int]:
    """A copy of the sources whose model has one line changed, as the option that names it, and the number of that line."""
    source = shutil.copytree(ROOT / "fl_src", folder / "fl_src", ignore=shutil.ignore_patterns("__pycache__"))
    model = source / "edgefl/apps/fashion_mnist/model.py"
    lines = model.read_text().splitlines()
    number = next(index for index, line in enumerate(lines) if before in line)
    lines[number] = lines[number].replace(before, after)
    model.write_text("\n".join(lines) + "\n")
    return values(build_images_source=str(source)), number + 1


def test_a_broken_app_is_told_before_a_pod_starts(lab: Lab, tmp_path: Path) -> None:
    sources, number = edited(tmp_path, "layers.Dense", "layers.Dens")

    def there() -> set[str]:
        """Pods but those on their way out: `make lab` may have replaced some a moment ago."""
        return {pod["metadata"]["uid"] for clients in (True, False) for pod in lab.pods(clients)}

    before = there()

    run = lab.play("site.yml", sources)
    assert run.result.code != 0
    assert f"fashion_mnist/model.py line {number}" in run.output and "Dens" in run.output
    assert there() == before


def test_an_edit_is_trained_and_leaves_nothing_to_do(lab: Lab, tmp_path: Path) -> None:
    """What retrain.yml passes over is as site.yml wants it."""
    before = rounds()[0]["run"]
    sources, _number = edited(tmp_path, "layers.Dropout(", "layers.Dropout(0.05 + ")
    lab.play("retrain.yml", sources).ok()
    events = rounds()
    assert events[0]["run"] != before
    assert [event["event"] for event in events] == ["start", *["round"] * 5, "done"]
    assert events[-1]["accuracy"] >= 0.82
    assert lab.play("retrain.yml", sources, show=False).ok().sums["changed"] == 0
    assert lab.play("site.yml", sources, show=False).ok().sums["changed"] == 0


def test_what_the_cluster_does_not_take_is_told(lab: Lab) -> None:
    """What it takes of the manifests stays, as always with kubectl; the corrected value brings the rest."""
    run = lab.play("retrain.yml", "-e", "edgefl_service_port=70000", show=False)
    assert run.result.code != 0
    assert "The cluster does not take aggregator and clients" in run.output
    assert "70000" in run.output and "65535" in run.output
    lab.play("retrain.yml", show=False).ok()
    assert lab.play("site.yml", show=False).ok().sums["changed"] == 0


def test_a_broken_edit_is_told_by_its_pods(lab: Lab, tmp_path: Path) -> None:
    sources, number = edited(tmp_path, "layers.Dense", "layers.Dens")
    run = lab.play("retrain.yml", sources)
    assert run.result.code != 0
    assert f"fashion_mnist/model.py line {number}" in run.output and "Dens" in run.output
    assert run.result.seconds < 120
    lab.play("site.yml", show=False).ok()
