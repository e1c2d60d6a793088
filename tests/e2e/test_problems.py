"""The how-to's open problems, each shown solved on the lab. That an autoscaler takes pods away again is in test_autoscaler."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from support.processes import until
from support.running_lab import NAMESPACE, Lab, Run, rounds, values

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("other_training")]
AGGREGATOR = "deployment/fashion-mnist"


def restarts(lab: Lab) -> dict[str, int]:
    """How often each client's container was started again."""
    return {
        pod["metadata"]["name"]: sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))
        for pod in lab.pods(clients=True)
    }


def trained() -> list[dict[str, Any]]:
    return [event for event in rounds() if event["event"] == "round"]


def log(lab: Lab) -> str:
    """What the aggregator wrote; empty while there is none."""
    words = f"--kubeconfig=/etc/kubernetes/admin.conf --namespace={NAMESPACE} logs {AGGREGATOR} --tail=20"
    return lab.ssh("cloud", f"kubectl {words} --pod-running-timeout=1s 2>/dev/null || true")


def while_training(lab: Lab, what: Any, *arguments: str, inventory: Path | None = None) -> Run:
    """Runs site.yml, and `what` as soon as the aggregator has finished two rounds of the new run."""
    ended: list[Run] = []
    before = lab.kubectl("get", AGGREGATOR, f"--namespace={NAMESPACE}", "--output=jsonpath={.metadata.annotations}")
    thread = threading.Thread(target=lambda: ended.append(lab.play("site.yml", *arguments, inventory=inventory)))
    thread.start()
    try:
        while thread.is_alive():
            now = lab.kubectl(
                "get", AGGREGATOR, f"--namespace={NAMESPACE}", "--output=jsonpath={.metadata.annotations}"
            )
            if now != before and '"round":2,' in log(lab):
                what()
                break
            time.sleep(0.5)
    finally:
        thread.join(600)
    assert ended, "site.yml did not end"
    return ended[0].ok()


def test_every_node_is_in_every_round(lab: Lab, tmp_path: Path) -> None:
    """Problem 1: of one pod on edge1 and three on edge2 two are sampled; chosen as pods, edge1 is left out of some round."""
    names = {"cloud0": "cloud", "edge1": "edge1", "edge2": "edge2"}
    inventory = lab.write_inventory(tmp_path / "hosts.yml", names, {"edge2": {"edgefl_replicas": 3}})
    some = {
        "edgefl_rounds": 15,
        "edgefl_min_num_clients": 4,
        "edgefl_sample_fraction": 0.5,
        "edgefl_min_sample_size": 2,
    }
    lab.play("site.yml", values(**some, edgefl_selection="pod"), inventory=inventory).ok()
    nodes = [{client["node"] for client in event["clients"]} for event in trained()]
    assert len(nodes) == 15 and {"edge2"} in nodes

    lab.play(
        "site.yml", values(**some | {"edgefl_sample_fraction": 1.0}, edgefl_selection="node"), inventory=inventory
    ).ok()
    assert [{client["node"] for client in event["clients"]} for event in trained()] == [{"edge1", "edge2"}] * 15
    shards = [sorted(client["shard"] for client in event["clients"]) for event in trained()]
    assert ["1/1", "1/3", "2/3", "3/3"] in shards


def test_clients_wait_for_the_aggregator_and_outlive_it(lab: Lab) -> None:
    """Problem 2: clients are there a minute before the aggregator, which is then killed in the training."""
    lab.play("site.yml", show=False).ok()
    lab.kubectl("scale", AGGREGATOR, f"--namespace={NAMESPACE}", "--replicas=0")
    lab.kubectl("delete", "pods", f"--namespace={NAMESPACE}", "--selector=app=federated-learning-client", "--wait=true")
    time.sleep(60)
    before = restarts(lab)
    assert set(before.values()) == {0} and len(before) == 2

    def kill() -> None:
        lab.ssh("cloud", "pkill --signal=KILL --full --newest 'edgefl.[a]ggregator'")

    while_training(lab, kill, values(edgefl_rounds=40, edgefl_run="new"))
    assert [event["round"] for event in trained()] == list(range(1, 41))
    assert restarts(lab) == before
    started = lab.pods(clients=False)[0]["status"]["containerStatuses"][0]["restartCount"]
    assert started == 1, "the aggregator was not killed"


def test_a_broken_first_pod_heals(lab: Lab) -> None:
    """Problem 3: pod 0 of a StatefulSet is killed again and again; the others train on, and it comes back by itself."""

    def kill() -> None:
        for _attempt in range(3):
            lab.ssh("edge1", "pkill --signal=KILL --full --oldest 'edgefl.[c]lient' || true")
            time.sleep(2)

    while_training(lab, kill, values(edgefl_kind="StatefulSet", edgefl_replicas=2, edgefl_rounds=60))
    assert [event["round"] for event in trained()] == list(range(1, 61))
    assert sum(restarts(lab).values()) >= 1, "no client was killed"
    until(
        lambda: all(item["status"].get("readyReplicas") == 2 for item in lab.ours("statefulsets")),
        "all pods are back",
        120,
    )
