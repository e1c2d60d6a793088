"""What is deployed of a training, from what kubectl answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import deployed
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl

OURS = {"app.kubernetes.io/part-of": "edgefl"}


def item(kind: str, name: str, labels: dict[str, str], annotations: dict[str, str] | None = None) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "labels": labels, "annotations": annotations or {}}}


def on(node: str) -> dict[str, str]:
    return {"edgefl.kubeedge/node": node}


def runs(image: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"image": image}]}}


def state(name: str, before: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"status": {"containerStatuses": [{"state": {name: {}}, "lastState": before or {}}]}}


def read(space: dict[str, Any] | None, *items: dict[str, Any]) -> dict[str, Any]:
    others = [item("Namespace", "default", OURS), item("Secret", "another's", {})]
    return deployed.deployed([*others, *([space] if space else []), *items], "training")


def test_one_question_for_nodes_and_training() -> None:
    node = {
        **item("Node", "edge1", OURS),
        "status": {"nodeInfo": {"architecture": "amd64"}, "allocatable": {"cpu": "2", "memory": "1Gi"}},
    }
    asked = []

    def run(arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        asked.append(arguments)
        return 0, json.dumps({"items": [node, item("Namespace", "training", OURS), item("Pod", "p", OURS)]}), ""

    kubectl = Kubectl(run, "/x")
    nodes, training = deployed.read(kubectl, "training")
    assert list(nodes) == ["edge1"] and training is not None and training["ours"]
    assert len(asked) == 1 and asked[0][-2:] == ["-n", "training"]
    assert deployed.read(kubectl, "")[1] is None


def test_nothing_is_there() -> None:
    nothing = {
        "there": False,
        "ours": False,
        "aggregator": "",
        "aggregator_pod": {},
        "run": "",
        "settings": "",
        "engine": "",
        "certificates": {},
        "failed_pods": [],
        "broken_pods": [],
        "clients": [],
        "regions": [],
    }
    assert read(None) == nothing
    assert read(item("Namespace", "training", {})) == {**nothing, "there": True}
    assert read({"kind": "Namespace", "metadata": {"name": "training"}}) == {**nothing, "there": True}


AGGREGATOR = {**OURS, "app": "federated-learning"}


@pytest.mark.parametrize(
    ("states", "stays"),
    [
        ([state("running")], True),
        ([state("running", {"terminated": {"exitCode": 0}})], True),
        ([state("running", {"terminated": {"exitCode": 1}})], False),
        ([state("waiting")], False),
        ([state("running"), state("waiting")], False),
        ([{}], False),
        ([], False),
    ],
)
def test_an_aggregator_s_pod_that_can_take_another_run(states: list[dict[str, Any]], stays: bool) -> None:
    template = {"metadata": {"annotations": {"edgefl.kubeedge/run": "r1"}}, **runs("aggregator:1")}
    pods = [{**item("Pod", f"footwear-{number}", AGGREGATOR), **each} for number, each in enumerate(states)]
    found = read({**item("Deployment", "footwear", AGGREGATOR), "spec": {"template": template}}, *pods)
    assert found["aggregator_pod"] == ({"image": "aggregator:1", "run": "r1"} if stays else {})


def test_a_run_and_its_clients() -> None:
    notes = {"edgefl.kubeedge/run": "r1", "edgefl.kubeedge/settings": "s1"}
    client = {**OURS, "edgefl.kubeedge/workload": "client"}
    found = read(
        item("Namespace", "training", OURS),
        item("Deployment", "footwear", {**OURS, "app": "federated-learning"}, notes),
        {
            **item("Deployment", "edge1", {**client, **on("edge1"), "edgefl.kubeedge/settings": "s2"}),
            "spec": {"template": runs("app:1")},
        },
        {**item("Pod", "edge2-pod-0", {**client, **on("edge2")}), **runs("app:2"), **state("waiting")},
        {**item("Pod", "edge1-0123", {**OURS, **on("edge1")}), **state("running")},
        {**item("Deployment", "edge3", {**client, **on("edge3")}), "spec": {"template": runs("app:3")}},
        {**item("Pod", "edge3-0123", {**OURS, **on("edge3")}), **state("running", {"terminated": {"exitCode": 65}})},
        {**item("Pod", "edge3-4567", {**OURS, **on("edge3")}), "status": {"phase": "Failed", "reason": "Evicted"}},
        item("Pod", "footwear-0123", {**OURS, "app": "federated-learning"}),
        {**item("Pod", "footwear-4567", {**OURS, "app": "federated-learning"}), "status": {"phase": "Failed"}},
        item("Secret", "edge1-tls", OURS, {"edgefl.kubeedge/certificate": "0123"}),
        {
            **item("Deployment", "footwear-region-north", {**OURS, "edgefl.kubeedge/region": "north"}),
            "spec": {"template": {"spec": {"nodeName": "edge1"}}},
        },
        {**item("Pod", "north-0123", {**OURS, "edgefl.kubeedge/region": "north"}), "status": {"phase": "Failed"}},
        item("Secret", "another", OURS),
    )
    assert found["certificates"] == {"edge1-tls": "0123"}
    assert (found["there"], found["ours"], found["run"], found["settings"]) == (True, True, "r1", "s1")
    assert found["aggregator"] == "footwear" and found["failed_pods"] == ["footwear-4567", "north-0123"]
    assert found["regions"] == [{"name": "footwear-region-north", "region": "north", "node": "edge1"}]
    assert found["broken_pods"] == ["edge3-0123", "edge3-4567"]
    assert found["clients"] == [
        {"kind": "Deployment", "name": "edge1", "node": "edge1", "settings": "s2", "image": "app:1"},
        # Held back, or about to be again
        {"kind": "Pod", "name": "edge2-pod-0", "node": "edge2", "settings": "", "image": ""},
        {"kind": "Deployment", "name": "edge3", "node": "edge3", "settings": "", "image": ""},
    ]
