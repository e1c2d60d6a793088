"""Nodes, their metrics, and what their pods get of them."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import (
    METRICS,
    Figures,
    Node,
    figures,
    parse_node,
    parse_nodes,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.quantity import millicores, quantity, size
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.resources import problems, scale


def edge(name: str = "edge1", ready: str = "True", cpu: str = "2", memory: str = "24581696Ki") -> dict[str, Any]:
    """A node as KubeEdge 1.23 reports it, cut to what is read."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/arch": "amd64",
                "node-role.kubernetes.io/agent": "",
                "node-role.kubernetes.io/edge": "",
            },
        },
        "status": {
            "addresses": [{"address": "172.30.0.3", "type": "InternalIP"}, {"address": name, "type": "Hostname"}],
            "allocatable": {"cpu": cpu, "ephemeral-storage": "1Gi", "memory": memory, "pods": "110"},
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": ready, "reason": "EdgeReady", "message": "edge is posting ready status"},
            ],
            "nodeInfo": {
                "architecture": "amd64",
                "containerRuntimeVersion": "containerd://1.6.20",
                "kubeletVersion": "v1.32.10-kubeedge-v1.23.1",
            },
        },
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2), ("500m", Fraction(1, 2)), ("1.5", Fraction(3, 2)), (".5", Fraction(1, 2)), ("2Gi", 2**31), ("128974848", 128974848), ("129e6", 129 * 10**6),
        ("129M", 129 * 10**6), ("123Mi", 123 * 2**20), ("1k", 1000), ("1E", 10**18),
        ("250n", Fraction(1, 4 * 10**6)), ("1e-3", Fraction(1, 1000)), (2, 2), (0.5, Fraction(1, 2)),
    ],
)  # fmt: skip
def test_quantity(text: str | float, value: Fraction | int) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "2 GB", "1Kb", "GiB", "-1", "1.2.3", "1e", "0x10", "1mi", "nan", "."])
def test_no_quantity(text: str) -> None:
    with pytest.raises(EdgeflError, match="is not a Kubernetes quantity: write"):
        quantity(text)


def test_quantities_are_rounded_up() -> None:
    assert millicores("100u") == 1
    assert size("1500m") == 2


def test_an_edge_node() -> None:
    assert parse_node(edge()).as_dict() == {
        "ready": True,
        "reason": "",
        "runtime": "containerd",
        "runtime_version": "1.6.20",
        "arch": "amd64",
        "internal_ip": "172.30.0.3",
        "edge": True,
        "allocatable": {"cpu": 2000, "memory": 24581696 * 1024},
    }


def test_a_node_that_is_lost_or_new() -> None:
    lost = edge(ready="Unknown")
    lost["status"]["conditions"][1]["message"] = "Kubelet stopped posting node status."
    assert (parse_node(lost).ready, parse_node(lost).reason) == (False, "Kubelet stopped posting node status.")
    new = parse_node({"metadata": {"name": "new"}, "status": {}})
    assert (new.ready, new.reason, new.runtime, new.internal_ip, new.cpu, new.edge) == (
        False,
        "has not reported its state",
        "",
        "",
        0,
        False,
    )


def test_docker_is_told_apart() -> None:
    item = edge()
    item["status"]["nodeInfo"]["containerRuntimeVersion"] = "docker://20.10.24+dfsg1"
    node = parse_node(item)
    assert (node.runtime, node.runtime_version) == ("docker", "20.10.24+dfsg1")


def test_nodes_are_sorted_by_name() -> None:
    assert list(parse_nodes([edge("b"), edge("a")])) == ["a", "b"]


class Cluster:
    """Stands for run_command: answers for the nodes and for the metrics API."""

    def __init__(self, nodes: list[dict[str, Any]], metrics: str, code: int = 0) -> None:
        self.nodes = nodes
        self.metrics = metrics
        self.code = code

    def __call__(self, arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        if "--raw" in arguments:
            assert arguments[-1] == METRICS
            return self.code, "" if self.code else self.metrics, self.metrics if self.code else ""
        return 0, json.dumps({"items": self.nodes}), ""


def metrics(*names: str) -> str:
    items = [
        {"metadata": {"name": name}, "usage": {"cpu": "31415926n", "memory": "209920Ki"}, "window": "10s"}
        for name in names
    ]
    return json.dumps(
        {"kind": "NodeMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items}
    )


def test_figures_of_all_nodes() -> None:
    cluster = Cluster([edge("a"), edge("b")], metrics("a", "b", "gone"))
    found = figures(Kubectl(cluster, "/k"), [])
    assert found.of == {name: {"cpu": 32, "memory": 209920 * 1024} for name in ("a", "b")}
    assert (found.missing, found.reason, list(found.nodes)) == ([], "", ["a", "b"])


def test_missing_figures_are_named_with_the_state_of_the_node() -> None:
    cluster = Cluster([edge("a"), edge("b"), edge("c", ready="Unknown")], metrics("a"))
    found = figures(Kubectl(cluster, "/k"), [])
    assert (list(found.of), found.missing, found.edges) == (["a"], ["b", "c"], ["b"])
    assert found.reason.startswith(
        "no figures of b, c (not ready: edge is posting ready status); tunnels of edges to cloudcore that are dead"
    )
    cluster = Cluster([edge("a"), edge("c", ready="Unknown")], metrics("a"))
    found = figures(Kubectl(cluster, "/k"), [])
    assert (found.reason, found.edges) == ("no figures of c (not ready: edge is posting ready status)", [])
    assert figures(Kubectl(cluster, "/k"), ["a"]).missing == []


def test_a_metrics_api_that_is_not_there() -> None:
    cluster = Cluster(
        [edge("a")], "Error from server (NotFound): the server could not find the requested resource", code=1
    )
    assert figures(Kubectl(cluster, "/k"), []) == Figures(
        {}, ["a"], "the API metrics.k8s.io is not there, or metrics-server does not answer yet"
    )


def test_something_else_answers_for_the_metrics_api() -> None:
    assert (
        figures(Kubectl(Cluster([edge("a")], "<html>"), "/k"), []).reason
        == "what answers for metrics.k8s.io is not metrics-server"
    )


def test_a_wanted_node_that_is_none() -> None:
    with pytest.raises(EdgeflError, match=r"No node of this cluster: x. Its nodes are a"):
        figures(Kubectl(Cluster([edge("a")], metrics("a")), "/k"), ["x", "a"])


def node(cpu: str, memory: str) -> Node:
    return parse_node(edge(cpu=cpu, memory=memory))


@pytest.mark.parametrize(
    ("cpu", "memory", "options", "requests", "limits"),
    [
        ("16", "64Gi", {}, ("2", "2Gi"), ("4", "4Gi")),
        ("2", "4Gi", {}, ("500m", "1Gi"), ("2", "3Gi")),
        ("1930m", "1934216Ki", {}, ("482m", "472Mi"), ("1930m", "1416Mi")),
        ("2", "4Gi", {"memory_limit": "1024Mi", "cpu_request": "0.25"}, ("250m", "1Gi"), ("2", "1Gi")),
        ("2", "4Gi", {"memory_limit": "512Mi"}, ("500m", "512Mi"), ("2", "512Mi")),
        ("16", "64Gi", {"cpu_request": "6"}, ("6", "2Gi"), ("6", "4Gi")),
        ("2", "4Gi", {"cpu_request": None, "memory_request": "100Mi"}, ("500m", "100Mi"), ("2", "3Gi")),
    ],
)
def test_scale(
    cpu: str, memory: str, options: dict[str, Any], requests: tuple[str, str], limits: tuple[str, str]
) -> None:
    assert scale(options, node(cpu, memory)) == {
        "requests": {"cpu": requests[0], "memory": requests[1], "ephemeral-storage": "0"},
        "limits": {"cpu": limits[0], "memory": limits[1], "ephemeral-storage": "4Gi"},
    }


def test_a_limit_of_the_disk() -> None:
    found = scale({"disk_limit": "500Mi"}, node("2", "4Gi"))
    assert (found["limits"]["ephemeral-storage"], found["requests"]["ephemeral-storage"]) == ("500Mi", "0")
    assert "not a Kubernetes quantity" in problems({"disk_limit": "much"}, node("2", "4Gi"), "x")[0]


@given(st.integers(4, 256_000), st.integers(2**23, 2**42))
def test_scaled_resources_fit_the_node(cpu: int, memory: int) -> None:
    machine = Node("n", True, "", "containerd", "1", "amd64", "", True, cpu, memory)
    result = scale({}, machine)
    assert problems({}, machine, "edgefl_client_resources") == []
    assert millicores(result["limits"]["cpu"]) <= cpu
    assert size(result["limits"]["memory"]) <= memory
    assert size(result["requests"]["memory"]) <= memory // 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpu": "1"}, "edgefl_client_resources: Unknown resource cpu: use cpu_request"),
        ({"cpu_limit": "two"}, "'two' is not a Kubernetes quantity"),
        ({"cpu_request": "2", "cpu_limit": "1"}, "cpu_request 2 is more than cpu_limit 1: lower"),
        ({"memory_request": "8Gi"}, r"memory_request 8Gi is more than node edge1 has \(4Gi\): set it to 4Gi or less"),
    ],
)
def test_problems_say_what_to_change(options: dict[str, Any], message: str) -> None:
    found = problems(options, node("2", "4Gi"), "edgefl_client_resources")
    assert len(found) == 1
    with pytest.raises(EdgeflError, match=message):
        raise EdgeflError(found[0])
