"""A second run changes nothing, and check mode changes nothing and says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from support.helpers import ROOT, run
from support.running_lab import LONGEST, OPENINGS, Lab, differences, one_task

pytestmark = pytest.mark.usefixtures("default_training")


def results() -> dict[str, tuple[int, int]]:
    """Size and time of last change of every file in results/."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in sorted((ROOT / "results").rglob("*"))
        if not path.is_dir()
    }


@pytest.fixture(scope="module")
def before(lab: Lab, default_training: None) -> dict[str, Any]:
    """What every test here has to find again."""
    return lab.state() | results()


def test_second_run_changes_nothing(lab: Lab, before: dict[str, Any]) -> None:
    again = lab.play("site.yml").ok()
    assert again.sums["changed"] == 0
    assert [part for part in OPENINGS if part in again.output] == [], "preflight warns of what is not so"
    assert differences(before, lab.state() | results()) == []
    limit = LONGEST * one_task()
    lab.show(f"  second site.yml: {again.result.seconds:.1f} s, at most {limit:.1f}")
    assert again.result.seconds <= limit


def test_check_mode_changes_nothing(lab: Lab, before: dict[str, Any]) -> None:
    check = lab.play("site.yml", "--check", "--diff").ok()
    assert check.sums["changed"] == 0
    assert differences(before, lab.state() | results()) == []


def test_check_mode_tells_what_would_come(lab: Lab, before: dict[str, Any]) -> None:
    """Other settings: check mode announces the change of the workloads, which this tag makes, and makes none."""
    check = lab.play("site.yml", "--check", "--diff", "--tags=federation", "-e", '{"edgefl_rounds": 2}').ok()
    assert check.sums["changed"] > 0
    assert differences(before, lab.state() | results()) == []


def test_check_mode_of_stop_changes_nothing(lab: Lab, before: dict[str, Any]) -> None:
    check = lab.play("stop.yml", "--check").ok()
    assert check.sums["changed"] > 0
    assert differences(before, lab.state() | results()) == []


# As docs/architecture.md has them
TAGS = [
    "preflight",
    "edge_access",
    "docker",
    "build_images",
    "metrics_server",
    "ship_images",
    "autoscaler",
    "federation",
    "results",
]


def test_tags_are_those_that_are_documented() -> None:
    listed = run("ansible-playbook", "site.yml", "--list-tags").ok().output
    found = {tag.strip() for line in re.findall(r"TASK TAGS: \[(.*)\]", listed) for tag in line.split(",")}
    assert found - {"always", ""} == set(TAGS)
    rows = (ROOT / "docs/architecture.md").read_text().split("## The walk of `site.yml`")[1].split("\n## ")[0]
    assert [tag for tag in TAGS if f"| `{tag}` |" not in rows] == []


# A tag can only fail alone by a fact of a role before it, which these two and federation read: what build_images built, how nodes are reached, which
# cluster there is. federation is alone in test_check_mode_tells_what_would_come; preflight is the first; the other roles have Molecule scenarios, with no
# role before them.
@pytest.mark.parametrize("tag", ["ship_images", "results"])
def test_tag_works_alone(lab: Lab, tag: str) -> None:
    done = lab.play("site.yml", "--tags", tag, show=False).ok()
    assert done.sums["changed"] == 0
    assert done.sums["ok"] > 2, f"nothing carries the tag {tag}"


def test_no_state_in_the_checkout(lab: Lab) -> None:
    """Several checkouts share one lab: nothing of it stands here."""
    assert not [
        path for path in (Path("id_ed25519"), Path("known_hosts"), Path("admin.conf")) if (ROOT / path).exists()
    ]
