"""The preflight's checks: each problem is found, says what to change, and right settings have none."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import preflight as check
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import Node

EDGE1 = check.Edge("edge1", "edge1", "app-client-edge1", 0, 10_000)
EDGE2 = check.Edge("edge2", "edge2", "app-client-edge2", 10_000, 30_000)
CLOUD = Node("cloud", True, "", "containerd", "1.6.20", "amd64", "192.0.2.10", False, 2000, 4 * 2**30)
NODES = {
    "cloud": CLOUD,
    "edge1": replace(CLOUD, name="edge1", edge=True),
    "edge2": replace(CLOUD, name="edge2", edge=True),
}


def test_right_settings_have_no_problems() -> None:
    edges = [EDGE1, EDGE2]
    assert check.names(edges, "cloud") == []
    assert check.workloads(edges) == []
    assert check.slices(edges, 60_000) == []
    assert check.cluster(edges, "cloud", {}, NODES) == []
    assert check.crowds(edges, NODES) == []
    assert check.processors(edges, "cloud", NODES, ["libgl1"]) == []
    assert check.choices("edgefl_kind", "Pod", check.KINDS) == []
    assert check.port_numbers({"edgefl_server_port": 8888, "edgefl_status_port": 8889}) == []


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ([replace(EDGE1, slice_stop=0)], "give it no samples"),
        ([replace(EDGE1, slice_start=1000, slice_stop=10)], "in the wrong order"),
        ([replace(EDGE2, slice_stop=60_001)], "outside of the data, which has samples 0 to 60000 (edgefl_samples)"),
        ([replace(EDGE1, slice_start=-1)], "outside of the data"),
        ([EDGE2, replace(EDGE1, slice_stop=15_000)], "edge1 and edge2 both have samples 10000 to 15000"),
        ([replace(EDGE1, slice_stop=60_000), EDGE2], "edge1 and edge2 both have samples 10000 to 30000"),
    ],
)
def test_slices(edges: list[check.Edge], words: str) -> None:
    (problem,) = check.slices(edges, 60_000)
    assert words in problem


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=5))
def test_slices_without_problems_share_no_sample(pairs: list[tuple[int, int]]) -> None:
    edges = [check.Edge(f"e{index}", f"e{index}", f"app-{index}", *pair) for index, pair in enumerate(pairs)]
    samples = [sample for first, end in pairs for sample in range(first, end)]
    sound = all(first < end <= 15 for first, end in pairs) and len(samples) == len(set(samples))
    assert (check.slices(edges, 15) == []) == sound


def test_hosts_of_one_node() -> None:
    edges = [EDGE1, replace(EDGE2, node="edge1"), check.Edge("edge3", "cloud", "app-client-cloud", 0, 1)]
    assert check.names(edges, "cloud") == [
        "edge1 and edge2 have the same node name edge1: set edgefl_node_name of each to the name of its own node.",
        "edge3 is in the group of the edges with the node name of the cloud, cloud: correct edgefl_node_name.",
    ]
    (problem,) = check.names(
        [replace(EDGE1, node="a.b", name="app-a-b"), replace(EDGE2, node="a-b", name="app-a-b")], "cloud"
    )
    assert problem.startswith("The nodes a.b and a-b would have the same workload app-a-b")


@pytest.mark.parametrize(
    ("edge", "words"),
    [
        (replace(EDGE1, kind="Deploymnt"), "edgefl_kind is 'Deploymnt': use Deployment or StatefulSet or Pod. Did you mean Deployment?"),
        (replace(EDGE1, runtime="podman"), "edgefl_runtime is 'podman'"),
        (replace(EDGE1, replicas=0), "needs at least 1 pod"),
        (replace(EDGE1, node="Edge 1"), "cannot be the name of a node"),
    ],
)  # fmt: skip
def test_workloads(edge: check.Edge, words: str) -> None:
    (problem,) = check.workloads([edge])
    assert problem.startswith("edge1: ")
    assert words in problem


@pytest.mark.parametrize(
    ("edge", "nodes", "words"),
    [
        (replace(EDGE1, node="edg1"), {}, "edg1 is not a node of the cluster, which has cloud, edge1, edge2: let it join, or set edgefl_node_name"),
        (replace(EDGE1, node="edg1"), {}, "Did you mean edge1?"),
        (EDGE1, {"ready": False, "reason": "Kubelet stopped posting"}, "node edge1 is not ready (Kubelet stopped posting): repair it"),
        (EDGE1, {"runtime": "cri-o"}, "runs its pods with cri-o: containerd and docker are supported"),
        (replace(EDGE1, runtime="docker"), {}, "edgefl_runtime is docker, but node edge1 runs its pods with containerd"),
        (replace(EDGE1, resources={"memory_request": "8Gi"}), {}, "edgefl_client_resources: memory_request 8Gi is more than node edge1 has"),
        (replace(EDGE1, resources={"cpu_request": "2", "cpu_limit": "1"}), {}, "cpu_request 2 is more than cpu_limit 1"),
        (replace(EDGE1, resources={"cpu_request": "two"}), {}, "is not a Kubernetes quantity"),
    ],
)  # fmt: skip
def test_cluster(edge: check.Edge, nodes: dict[str, Any], words: str) -> None:
    (problem,) = check.cluster([edge, EDGE2], "cloud", {}, {**NODES, "edge1": replace(NODES["edge1"], **nodes)})
    assert problem.startswith("edge1: ")
    assert words in problem


def test_the_cloud_is_checked_too() -> None:
    (problem,) = check.cluster([EDGE1], "clod", {}, NODES)
    assert problem.startswith("The cloud: clod is not a node")
    (problem,) = check.cluster([EDGE1], "cloud", {"cpu_request": "100"}, NODES)
    assert "edgefl_aggregator_resources: cpu_request 100 is more than node cloud has (2)" in problem


def test_a_cloud_node_without_ipv4() -> None:
    (problem,) = check.cluster([EDGE1], "cloud", {}, {**NODES, "cloud": replace(CLOUD, internal_ip="fd00::1")})
    assert "node cloud has the IPv6 address fd00::1" in problem and "IPv4" in problem


def test_more_pods_than_fit() -> None:
    edge = replace(EDGE1, replicas=3, resources={"memory_request": "2Gi"})
    (problem,) = check.crowds([edge], NODES)
    assert "3 pods with a memory request of 2Gi are more than node edge1 has: lower edgefl_replicas" in problem


@pytest.mark.parametrize(
    ("name", "words"),
    [("kube-system", "belongs to the cluster"), ("My_team", "lower-case"), ("a" * 64, "63 at most"), ("-a", "digits")],
)
def test_namespaces_that_no_training_may_have(name: str, words: str) -> None:
    assert words in check.message(check.namespace(name))


def test_namespaces() -> None:
    assert [check.namespace(name) for name in ("edgefl", "default", "team-2", "a" * 63)] == [[]] * 4


def test_port_numbers() -> None:
    assert check.port_numbers({"edgefl_server_port": 0, "edgefl_status_port": 65536})[1].startswith(
        "edgefl_status_port is 65536"
    )
    assert check.port_numbers({"edgefl_server_port": 2000, "edgefl_status_port": 2000}) == [
        "edgefl_server_port and edgefl_status_port are both 2000: give each its own port."
    ]


def test_a_taken_port_is_found_with_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (listener,) = check.listening([port])
        assert (listener.port, listener.pid) == (port, os.getpid())
        (problem,) = check.ports([listener], {"edgefl_server_port": port})
        assert problem.startswith(f"Port {port} of the cloud node is taken by process {os.getpid()} (")
        assert problem.endswith("stop it, or set edgefl_server_port to a free port.")
        (problem,) = check.taken({"server_port": port, "status_port": 1024}, "edge1")
        assert problem.startswith(f"Port {port} of edge1 is taken by process {os.getpid()} (")
    assert check.listening([port]) == []


def test_our_own_aggregator_may_have_the_port() -> None:
    ours = check.Listener(8888, 7, "python3 -m edgefl.aggregator --server_address=0.0.0.0:8888")
    assert check.ports([ours], {"edgefl_server_port": 8888}) == []
    assert check.ports([check.Listener(8888, 0, "")], {"edgefl_server_port": 8888})[0].startswith(
        "Port 8888 of the cloud node is taken by a process that cannot be seen"
    )


def test_listening_without_ipv6_and_with_processes_that_end(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    row = "0: 00000000:22B8 00000000:0000 {state} 0:0 0:0 0 0 0 4711 1"
    (tmp_path / "net/tcp").write_text("header\n" + row.format(state="0A") + "\n" + row.format(state="01") + "\n")
    (tmp_path / "12").mkdir()
    assert check.listening([8888], tmp_path) == [check.Listener(8888, 0, "")]
    assert check.listening([8889], tmp_path) == []


def test_message() -> None:
    assert check.message(["a"]) == "a"
    assert check.message(["a", "b"]) == "2 problems, nothing was changed:\n1. a\n2. b"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"edgefl_min_nodes": 3}, "edgefl_min_nodes is 3, but only 2 edges are in the inventory"),
        ({"edgefl_min_num_clients": 5}, "edgefl_min_num_clients is 5, but only 4 clients there will be"),
        ({"edgefl_min_sample_size": 3}, "edgefl_min_sample_size is 3, but only 2 edges are in the inventory"),
        ({"edgefl_min_sample_size": 5, "edgefl_selection": "pod"}, "edgefl_min_sample_size is 5, but only 4 clients"),
    ],
)
def test_more_than_there_will_be(values: dict[str, Any], words: str) -> None:
    (problem,) = check.quorum(values, [EDGE1, replace(EDGE2, replicas=3)])
    assert words in problem and "no round would ever begin" in problem


def test_as_many_as_there_will_be() -> None:
    values = {
        "edgefl_min_nodes": 2,
        "edgefl_min_num_clients": "4",
        "edgefl_min_sample_size": 4,
        "edgefl_selection": "pod",
    }
    assert check.quorum(values, [EDGE1, replace(EDGE2, replicas=3)]) == []
    assert check.quorum({"edgefl_min_nodes": "many"}, [EDGE1]) == []


def test_edges_of_another_architecture() -> None:
    nodes = {**NODES, "edge2": replace(NODES["edge2"], arch="arm64")}
    assert check.processors([EDGE1, EDGE2], "cloud", nodes, []) == []
    (problem,) = check.processors([EDGE1, EDGE2], "cloud", nodes, ["libgl1"])
    assert problem.startswith(
        "edge2: its image is for arm64, the cloud node is amd64, and libgl1 (edgefl_app_packages) can only be in"
    )
    assert check.processors([replace(EDGE2, architecture="amd64")], "cloud", nodes, ["libgl1"]) == []
    assert check.processors([replace(EDGE1, architecture="arm64")], "cloud", nodes, ["libgl1"]) != []
    (problem,) = check.processors([replace(EDGE2, region="north", region_node="edge2")], "cloud", nodes, [])
    assert problem.startswith("Region north: node edge2 is arm64") and "name another edge" in problem
    (problem,) = check.processors([EDGE2], "cloud", {**nodes, "edge2": replace(CLOUD, arch="riscv64")}, [])
    assert problem.startswith("edge2: node edge2 is riscv64") and "amd64 and arm64; take the edge out" in problem


# As the module asks -----------------------------------------------------------------------------------------------------


def options(*edges: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The module's options, with what is right."""
    given = edges or (
        {"host": "edge1", "node": "edge1", "name": "app-client-edge1", "slice_start": 0, "slice_stop": 10_000},
    )
    return {
        "edges": given,
        "cloud_node": "cloud",
        "namespace": "edgefl",
        "run": "",
        "server_port": 47011,
        "status_port": 47012,
        "samples": 60_000,
        "app_shards": True,
        "training": {},
        "training_options": [],
        "aggregator_resources": {},
        **more,
    }


def test_right_settings() -> None:
    assert check.settings(options()) == []


@pytest.mark.parametrize("run", ["latest", "experiments", "comparison", "..", "team/1", "a b", "a\nb"])
def test_a_run_has_a_name_of_its_own(run: str) -> None:
    (problem,) = check.settings(options(run=run))
    assert f"{run!r}" in problem and "(edgefl_run)" in problem
    assert check.settings(options(run="new")) == check.settings(options(run="mine-1")) == []


def test_all_that_is_wrong_with_the_settings_is_told_at_once() -> None:
    edge = {
        "host": "edge1",
        "node": "cloud",
        "name": "app-client-edge1",
        "slice_start": 5,
        "slice_stop": 5,
        "replicas": 0,
    }
    own = {"variable": "edgefl_selection", "choices": ["node", "pod"], "type": "str"}
    found = check.settings(
        options(
            {**edge, "training": {"edgefl_selection": "nod"}},
            namespace="kube-system",
            status_port=47011,
            training={"edgefl_selection": "both"},
            training_options=[own],
        )
    )
    for words in (
        "edgefl_namespace is kube-system",
        "edgefl_selection is 'both'",
        "edge1: edgefl_selection is 'nod'",
        "with the node name of the cloud",
        "edgefl_replicas is 0",
        "give it no samples",
        "are both 47011",
    ):
        assert any(words in text for text in found), (words, found)


def test_what_does_not_fit_to_the_cluster() -> None:
    assert check.fit(options(), {}) == [
        "The cloud: cloud is not a node of the cluster, which has none: let it join, or set edgefl_node_name of this host.",
        "edge1: edge1 is not a node of the cluster, which has none: let it join, or set edgefl_node_name of this host.",
    ]


def test_data_of_an_edges_own_has_numbers_of_its_own() -> None:
    mine, theirs = replace(EDGE1, data="/srv/a", slice_stop=90_000), replace(EDGE2, slice_start=0)
    assert check.slices([mine, theirs], 60_000) == []
    assert check.slices([replace(mine, slice_start=-1), theirs], 60_000) != []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([1], "edgefl_node_config is [1]: use names and values"),
        ({"a b": 1}, "use letters, digits"),
        ({"data-path": "/x"}, "is set by edgefl_data"),
        ({"shard-index": 1}, "is counted among the node's pods"),
        ({"a": [1]}, "a value is a number, a text, true or false"),
        ({"a": {"b": 1}}, "give {a: {b: 1}} as {a.b: 1}"),
        ({"a": None}, "a value is a number"),
        ({"a": "x\ny"}, "printable characters"),
        ({"a": 2**63}, "64 bits"),
    ],
)
def test_node_config(given: Any, words: str) -> None:
    (problem,) = check.node_configs([EDGE1, replace(EDGE2, node_config=given)])
    assert problem.startswith("edge2: edgefl_node_config") and words in problem
    assert (
        check.node_configs([replace(EDGE1, node_config={"a.b": 1.5, "c": True, "partition-id": 3, "d": "x y"})]) == []
    )


def test_an_autoscaler_of_pods_that_only_stand_by() -> None:
    edges = [EDGE1, replace(EDGE2, autoscale="hpa")]
    assert check.scaled(edges, "means", True) == []
    (problem,) = check.scaled(edges, "means", False)
    assert (
        problem.startswith("edge2: edgefl_autoscale is hpa, but app means does not divide")
        and "shards = true" in problem
    )
