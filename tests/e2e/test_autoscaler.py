"""HPA and VPA on the lab: from one to the other and back, more pods under load and fewer after it, and somebody else's."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from typing import Any

import pytest

from support.helpers import ROOT
from support.processes import until
from support.running_lab import NAMESPACE, Lab, rounds, values

VPA = "edgefl.kubeedge/component=vpa"
# Requests that a client outgrows at once: the one for the VPA to raise, the other for the HPA to find too much use of
SMALL = {"edgefl_client_resources": {"cpu_request": "200m", "memory_request": "100Mi"}}


def replicas(lab: Lab) -> dict[str, int]:
    """Wanted pods of each edge."""
    return {
        item["metadata"]["labels"]["edgefl.kubeedge/node"]: item["spec"]["replicas"]
        for item in lab.ours("deployments")
        if "edgefl.kubeedge/node" in item["metadata"]["labels"]
    }


# The how-to's: 1 to 5 pods, target 60 %, window 120 s; noted until the pods have gone again
HPA = {"edgefl_autoscale": "hpa", "edgefl_rounds": 250, "edgefl_telemetry_after": 300, **SMALL}


def explained(node: str) -> list[str]:
    """The sentences on a node's autoscaler in the newest results."""
    details = json.loads((ROOT / "results/latest/details.json").read_text())
    return [each["text"] for each in details["scalings"] if each["node"] == node]


def wanted(node: str) -> list[int]:
    """How many pods a node was to have, one after the other, in the newest results."""
    lines = (ROOT / "results/latest/telemetry.jsonl").read_text().splitlines()
    telemetry = [json.loads(line) for line in lines]
    return [each["wanted"] for each in telemetry if each["kind"] == "replicas" and each["node"] == node]


@pytest.mark.long
@pytest.mark.usefixtures("other_training")
def test_hpa_adds_pods_under_load_and_takes_them_away(lab: Lab) -> None:
    """The how-to's problem 4. Meanwhile every round has every sample of each node once."""
    run = lab.play("site.yml", values(**HPA)).ok()
    assert run.sums["changed"] > 0
    trained = [event for event in rounds() if event["event"] == "round"]
    assert len(trained) == 250
    most = 0
    for event in trained:
        parts: dict[str, list[tuple[int, int]]] = {}
        for client in event["clients"]:
            parts.setdefault(client["node"], []).append((client["start"], client["stop"]))
        most = max(most, *map(len, parts.values()))
        if event["lost"]:  # a pod that was taken away while it trained
            continue
        for node, about in lab.hosts.items():
            if node in parts:
                edges = [about["edgefl_slice_start"], *[stop for _start, stop in sorted(parts[node])]]
                assert edges == [*[start for start, _stop in sorted(parts[node])], about["edgefl_slice_stop"]], event
        assert set(parts) == set(lab.edges), event
    assert most >= 2, "no pod was added in the run"
    again = lab.play("site.yml", values(**HPA), show=False).ok()
    assert again.sums["changed"] == 0
    until(lambda: set(replicas(lab).values()) == {1}, "back to one pod per edge", 400, pause=2)


@pytest.mark.long
@pytest.mark.usefixtures("other_training")
def test_each_step_is_explained(lab: Lab) -> None:
    """In the report of the run above: each change with its arithmetic, and why it did not shrink at once."""
    for node in lab.edges:
        texts = explained(node)
        lab.show(f"  {node}:")
        for text in texts:
            lab.show(f"    {text}")
        steps = [text for text in texts if text.startswith("From")]
        told = [tuple(map(int, re.findall(r"\d+", text)[:2])) for text in steps]
        assert told == [step for step in pairwise(wanted(node)) if step[0] != step[1]]
        assert told[0][0] == 1 and told[0][1] > 1 and told[-1][1] == 1
        assert re.match(r"From 1 to \d pods: CPU use \d+ %, target 60 %: ceil\(1 × \d+ / 60\) = \d", steps[0])
        assert not re.search(r"not ready", steps[-1])
        assert [text for text in texts if text.startswith("Stays") and "stabilisation window" in text]


@pytest.mark.parametrize(("mode", "length"), [("Recreate", 150), ("InPlaceOrRecreate", 151)])
@pytest.mark.long
@pytest.mark.usefixtures("other_training")
def test_vpa_recommends_and_applies(lab: Lab, mode: str, length: int) -> None:
    """From HPA to VPA: the HPAs go; and a training goes on while its pods are replaced, as those of KubeEdge can't be changed in place."""
    if mode != "Recreate":
        lab.play("site.yml", show=False).ok()  # what the VPA has learned goes with its programs
    vpa = values(edgefl_autoscale="vpa", autoscaler_vpa_mode=mode, edgefl_rounds=length, **SMALL)
    lab.play("site.yml", vpa).ok()
    assert lab.ours("horizontalpodautoscalers") == []
    assert rounds()[-1]["event"] == "done" and rounds()[-1]["round"] == length

    def applied() -> bool:
        pods = lab.pods(clients=True)
        return bool(pods) and all("vpaUpdates" in pod["metadata"].get("annotations", {}) for pod in pods)

    until(applied, "requests of the VPA in every client", 240, pause=2)
    for item in lab.ours("verticalpodautoscalers"):
        target = item["status"]["recommendation"]["containerRecommendations"][0]["target"]
        lab.show(f"  {item['metadata']['name']}: {target}")
    assert lab.play("site.yml", vpa, show=False).ok().sums["changed"] == 0


@pytest.mark.long
@pytest.mark.usefixtures("other_training")
def test_none_leaves_nothing_behind(lab: Lab) -> None:
    lab.play("site.yml").ok()
    assert lab.ours("horizontalpodautoscalers") == []
    assert lab.objects("deployments,serviceaccounts,secrets", "--namespace=kube-system", f"--selector={VPA}") == []
    assert lab.objects("clusterroles,clusterrolebindings,customresourcedefinitions", f"--selector={VPA}") == []
    assert lab.objects("mutatingwebhookconfigurations") == []
    assert set(replicas(lab).values()) == {1}
    assert lab.play("site.yml", show=False).ok().sums["changed"] == 0


@pytest.mark.long
@pytest.mark.usefixtures("other_training")
def test_one_edge_each(lab: Lab, tmp_path: Any) -> None:
    """`edgefl_autoscale` of one host is for that host."""
    inventory = lab.write_inventory(
        tmp_path / "hosts.yml",
        {"cloud0": "cloud", "edge1": "edge1", "edge2": "edge2"},
        {"edge1": {"edgefl_autoscale": "hpa"}, "edge2": {"edgefl_replicas": 2}},
    )
    lab.play("site.yml", inventory=inventory, show=False).ok()
    assert [item["metadata"]["name"] for item in lab.ours("horizontalpodautoscalers")] == ["fashion-mnist-client-edge1"]
    assert replicas(lab)["edge2"] == 2


def test_somebody_elses_autoscaler_is_named(lab: Lab) -> None:
    other = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "theirs", "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "fashion-mnist-client-edge1"},
            "maxReplicas": 2,
        },
    }
    lab.ssh(
        "cloud", f"echo {shlex.quote(json.dumps(other))} | kubectl --kubeconfig /etc/kubernetes/admin.conf apply -f -"
    )
    try:
        run = lab.play("site.yml", "--tags=autoscaler", values(edgefl_autoscale="vpa"), show=False)
        assert run.result.code != 0
        assert "HorizontalPodAutoscaler/theirs" in run.output and "against each other" in run.output
    finally:
        lab.kubectl("delete", "hpa", "theirs", f"--namespace={NAMESPACE}")
