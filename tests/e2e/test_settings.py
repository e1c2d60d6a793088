"""Other settings, each in the place of the ones before: another app, one edge only, another kind of workload."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from support.helpers import ROOT
from support.running_lab import Lab, rounds, values

pytestmark = pytest.mark.usefixtures("other_training")


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


def test_a_flower_app_of_somebody_s_own(lab: Lab) -> None:
    """Its folder as it is: each node pulls towards its partition's number, 1 and 2."""
    own = values(edgefl_app="tests/fl/flower_apps/means", edgefl_app_config={"num-server-rounds": 2})
    lab.play("site.yml", own).ok()
    begun, *made, _done = rounds()
    assert begun["settings"]["app"] == "means" and begun["settings"]["config"]["num-server-rounds"] == 2
    assert [[client["node"] for client in one["clients"]] for one in made] == [lab.edges] * 2
    assert all(one["lost"] == [] and {"train_loss", "calls"} <= one["metrics"]["train"].keys() for one in made)
    assert made[1]["metrics"]["evaluate"]["eval_loss"] < made[0]["metrics"]["evaluate"]["eval_loss"]
    # Made by the app's own predict() in the clients' image
    about = json.loads((ROOT / "results/latest/model/model.json").read_text())
    assert about["example"]["outputs"][0]["shape"] == [1]
    assert "train calls after each round" in (ROOT / "results/latest/report.html").read_text()


def test_one_edge_only_by_any_name(lab: Lab, tmp_path: Path) -> None:
    inventory = lab.write_inventory(tmp_path / "hosts.yml", {"cloud0": "cloud", "edge1": "edge1"})
    lab.play("site.yml", inventory=inventory).ok()
    assert clients(lab) == {"edge1": "Deployment"}
    assert trained() == [{"edge1"}] * 5
    # Other names in the inventory are the same training
    renamed = lab.write_inventory(tmp_path / "renamed.yml", {"office": "cloud", "harbour-8": "edge1"})
    assert lab.play("site.yml", inventory=renamed, show=False).ok().sums["changed"] == 0


@pytest.mark.parametrize("kind", ["StatefulSet", pytest.param("Pod", marks=pytest.mark.long)])
def test_other_kind_leaves_nothing_of_the_old(lab: Lab, kind: str) -> None:
    lab.play("site.yml", "-e", f"edgefl_kind={kind}").ok()
    assert clients(lab) == dict.fromkeys(lab.edges, kind)
    owners = {item["kind"] for item in lab.ours("deployments,statefulsets") if "client" in item["metadata"]["name"]}
    assert owners == ({kind} - {"Pod"})
