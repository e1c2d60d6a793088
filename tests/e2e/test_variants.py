"""Other ways to run it: one edge only, other kinds, and the way back to the lab's defaults."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.helpers import ROOT
from support.running_lab import Lab, rounds


def clients(lab: Lab) -> dict[str, str]:
    """Node of each live client pod -> kind of its owner; waits until those that go have gone."""
    for _attempt in range(60):
        if not [pod for pod in lab.ours("pods") if "deletionTimestamp" in pod["metadata"]]:
            break
        time.sleep(1)
    found = {}
    for pod in lab.pods(clients=True):
        owner = pod["metadata"].get("ownerReferences", [{"kind": "Pod"}])[0]["kind"]
        found[pod["spec"]["nodeName"]] = "Deployment" if owner == "ReplicaSet" else owner
    return found


def trained() -> list[set[str]]:
    """The nodes in each round of the newest results."""
    return [{client["node"] for client in event["clients"]} for event in rounds() if event["event"] == "round"]


def test_one_edge_only(lab: Lab, tmp_path: Path) -> None:
    inventory = lab.write_inventory(tmp_path / "hosts.yml", {"cloud0": "cloud", "edge1": "edge1"})
    lab.play("site.yml", inventory=inventory).ok()
    assert clients(lab) == {"edge1": "Deployment"}
    assert trained() == [{"edge1"}] * 5
    assert lab.play("site.yml", inventory=inventory, show=False).ok().sums["changed"] == 0


def test_another_name_in_the_inventory_is_the_same_training(lab: Lab, tmp_path: Path) -> None:
    lab.play("site.yml", show=False).ok()
    names = {"office": "cloud", "harbour-8": "edge1", "mill": "edge2"}
    inventory = lab.write_inventory(tmp_path / "hosts.yml", names)
    assert lab.play("site.yml", inventory=inventory).ok().sums["changed"] == 0


@pytest.mark.parametrize("kind", ["StatefulSet", pytest.param("Pod", marks=pytest.mark.long)])
def test_other_kind_leaves_nothing_of_the_old(lab: Lab, kind: str) -> None:
    lab.play("site.yml", "-e", f"edgefl_kind={kind}").ok()
    assert clients(lab) == dict.fromkeys(lab.edges, kind)
    owners = {item["kind"] for item in lab.ours("deployments,statefulsets") if "client" in item["metadata"]["name"]}
    assert owners == ({kind} - {"Pod"})


def test_back_to_the_defaults(lab: Lab) -> None:
    """Leaves the lab as `make lab` made it, with a run of its own."""
    before = set((ROOT / "results").iterdir())
    lab.play("site.yml", "-e", "edgefl_run=new").ok()
    assert clients(lab) == dict.fromkeys(lab.edges, "Deployment")
    assert trained() == [set(lab.edges)] * 5
    assert len(set((ROOT / "results").iterdir()) - before) == 1
    assert lab.play("site.yml").ok().sums["changed"] == 0
