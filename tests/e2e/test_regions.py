"""Regions on the lab: an aggregator on an edge for the edges of its region, each one client of the cloud node's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from support.helpers import run
from support.running_lab import Lab, edited, rounds, values

# `make test` has root, regions and clients as processes, with the arguments and certificates that the roles make: tests/fl/test_regions.py
pytestmark = [pytest.mark.usefixtures("other_training"), pytest.mark.long]
REGION = "edgefl.kubeedge/region"
EACH_ALONE = {"north": {"edges": ["edge1"], "node": "edge1"}, "south": {"edges": ["edge2"], "node": "edge2"}}


def regions(lab: Lab, kind: str = "deployments") -> dict[str, dict[str, Any]]:
    """The objects of the regions' aggregators, by region; pods that are on their way out are left out."""
    there = [item for item in lab.ours(kind) if "deletionTimestamp" not in item["metadata"]]
    return {item["metadata"]["labels"][REGION]: item for item in there if REGION in item["metadata"]["labels"]}


def secrets(lab: Lab) -> set[str]:
    return {item["metadata"]["name"].removeprefix("fashion-mnist-") for item in lab.ours("secrets")}


def trained(whole: bool = True) -> list[dict[str, tuple[int, Any]]]:
    """Of each round of the newest results who trained, on how many samples, in how many parts; nothing was lost where they are to be `whole`."""
    lines = [line for line in rounds() if line["event"] == "round"]
    assert not (whole and any(line["lost"] for line in lines)), lines
    return [{one["node"]: (one["examples"], one.get("parts")) for one in line["clients"]} for line in lines]


def test_two_regions_and_none_again(lab: Lab) -> None:
    """Two regions of one edge each train as one aggregator does; a second run changes nothing, and without regions nothing is left of them."""
    given = values(edgefl_regions=EACH_ALONE, edgefl_rounds=2)
    lab.play("site.yml", given, "--tags=preflight,ship_images,federation,results").ok()
    assert trained() == [{"north": (10_000, 1), "south": (20_000, 1)}] * 2
    assert rounds()[-1]["accuracy"] >= 0.7
    where = {name: pod["spec"]["nodeName"] for name, pod in regions(lab, "pods").items()}
    assert where == {"north": "edge1", "south": "edge2"}
    # Each client went to its own node, and nowhere else
    for node in lab.edges:
        address = lab.hosts[node]["ansible_host"]
        (own,) = [pod for pod in lab.pods(clients=True) if pod["spec"]["nodeName"] == node]
        assert f"--server_address={address}:8888" in own["spec"]["containers"][0]["args"]
    assert {"region-north-tls", "region-south-tls"} <= secrets(lab)
    before = lab.pod_ids()
    assert lab.play("site.yml", given, show=False).ok().sums["changed"] == 0
    assert lab.pod_ids() == before

    lab.play("site.yml", values(edgefl_rounds=1), "--tags=federation,results", show=False).ok()
    assert trained() == [{"edge1": (10_000, None), "edge2": (20_000, None)}]
    assert regions(lab) == {} and regions(lab, "pods") == {}
    assert not [name for name in secrets(lab) if name.startswith("region-")]


def test_four_edges_in_two_regions(lab: Lab, tmp_path: Path) -> None:
    """The pods of the regions go on from one run to the next; an edit reaches them; one that is killed comes back, and the training ends."""
    count = len(lab.edges)
    run("make", "lab", "LAB_EDGES=4", show=lab.show, timeout=1200).ok()
    try:
        bigger = Lab(lab.show)
        of_two = {
            "north": {"edges": ["edge1", "edge2"], "node": "edge1"},
            "south": {"edges": ["edge3", "edge4"], "node": "edge4"},
        }
        given = values(edgefl_regions=of_two, edgefl_rounds=2)
        whole = {"north": (30_000, 2), "south": (6_000, 2)}
        bigger.play("site.yml", given).ok()
        assert trained() == [whole] * 2

        pods = {name: pod["metadata"]["uid"] for name, pod in regions(bigger, "pods").items()}
        bigger.play("site.yml", given, values(edgefl_rounds=1), "--tags=federation,results", show=False).ok()
        assert trained() == [whole]
        assert {name: pod["metadata"]["uid"] for name, pod in regions(bigger, "pods").items()} == pods

        edit, _line = edited(tmp_path, "import numpy as np", "import numpy as np  # edited")
        bigger.play("retrain.yml", given, edit, show=False).ok()
        assert trained() == [whole] * 2
        assert pods.keys() == regions(bigger, "pods").keys()

        name = regions(bigger, "pods")["south"]["metadata"]["name"]
        bigger.kubectl("--namespace=edgefl", "delete", "pod", name, "--wait=false")
        time.sleep(1)
        bigger.play("site.yml", given, edit, "-e", "edgefl_run=new", "--tags=federation,results", show=False).ok()
        # Where it was still on its way out when the run began, its part of the first round was lost
        assert trained(whole=False)[-1] == whole
    finally:
        run("make", "lab", f"LAB_EDGES={count}", show=lab.show, timeout=1200).ok()
    assert regions(lab) == {}
