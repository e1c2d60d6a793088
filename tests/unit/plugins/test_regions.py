"""Regions: which edges they have, what their aggregators are made of, what the root takes, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import preflight
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import Node
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _deployment as deployment
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _input_regions, _regions

HOSTS = [f"edge{number}" for number in range(1, 6)]
GROUPS = {"all": ["cloud0", *HOSTS], "cloud": ["cloud0"], "edges": HOSTS, "harbour": ["edge1", "edge2"], "empty": []}
REGIONS: dict[str, dict[str, Any]] = {
    "north": {"edges": "harbour", "node": "edge2"},
    "south": {"edges": ["edge3", "edge4"], "node": "edge3", "min_nodes": 1},
}
TRAINING = {
    "edgefl_app": "fashion_mnist", "edgefl_rounds": 5, "edgefl_epochs": 1, "edgefl_norm_bound": 10.0, "edgefl_round_timeout": 600.0,
    "edgefl_seed": 1, "edgefl_strategy": "FedAdam", "edgefl_min_nodes": 3,
}  # fmt: skip
NAMES = deployment.object_names("fashion_mnist")
IMAGES = {"aggregator": "a:v1-000000000000-111111111111", "client": "c:v1-000000000000-111111111111"}
RESOURCES = {"requests": {"cpu": "500m", "memory": "1Gi"}}
NODES = {
    f"{host}.example.org": {
        "internal_ip": f"192.0.2.{number}",
        "client_resources": RESOURCES,
        "aggregator_resources": RESOURCES,
    }
    for number, host in enumerate(HOSTS, 1)
}
FILLED = {
    "server_address": "0.0.0.0:8888",
    "status_address": "127.0.0.1:8889",
    "tls_dir": "/tls",
    "upstream": "192.0.2.99:8888",
}


def rows(regions: dict[str, dict[str, Any]] | None = None, **more: Any) -> list[dict[str, Any]]:
    variables = {host: {"edgefl_node_name": f"{host}.example.org"} for host in HOSTS}
    defaults: dict[str, Any] = {
        "edgefl_replicas": 1, "edgefl_kind": "Deployment", "edgefl_runtime": "auto",
        "edgefl_architecture": "auto", "edgefl_client_resources": {}, "edgefl_autoscale": "none",
        "edgefl_data": "", "edgefl_node_config": {},
    }  # fmt: skip
    return deployment.edges(HOSTS, variables, "fashion_mnist", 50_000, defaults | more, regions or {}, GROUPS)


def workloads(regions: dict[str, dict[str, Any]], given: Any = None, **training: Any) -> dict[str, Any]:
    common = {"server_address": FILLED["upstream"], "tls_dir": "/tls"}
    values = TRAINING | training
    clients = deployment.clients(rows(regions) if given is None else given, values, IMAGES["client"], NODES, common, {})
    prints = {"fashion-mnist-region-north-tls": "f1"}
    return deployment.workloads(clients, regions, NAMES, values, IMAGES["aggregator"], NODES, FILLED, prints)


def words(arguments: list[str], name: str) -> list[str]:
    return [text.partition("=")[2] for text in arguments if text.startswith(f"--{name}=")]


# Which edges --------------------------------------------------------------------------------------------------------


def test_edges_by_groups_and_by_hosts() -> None:
    found = {row["host"]: (row.get("region"), row.get("region_node")) for row in rows(REGIONS)}
    north, south = ("north", "edge2.example.org"), ("south", "edge3.example.org")
    assert found == {"edge1": north, "edge2": north, "edge3": south, "edge4": south, "edge5": (None, None)}


def test_without_regions_rows_are_what_they_were() -> None:
    """A key that is there or not would be another pod."""
    assert all({"region", "region_node"}.isdisjoint(row) for row in rows())
    assert workloads({}) == {
        "clients": deployment.clients(
            rows(), TRAINING, IMAGES["client"], NODES, {"server_address": FILLED["upstream"], "tls_dir": "/tls"}, {}
        ),
        "regions": [],
    }


def test_the_root_has_regions_and_the_edges_in_none() -> None:
    assert _regions.root_clients({}, GROUPS, ["edge2"]) == ["edge1", "edge3", "edge4", "edge5"]
    assert _regions.root_clients(REGIONS, GROUPS, []) == ["edge5", "north", "south"]
    assert _regions.root_clients(REGIONS, GROUPS, ["edge3", "edge4", "edge5"]) == ["north"]


def test_a_region_whose_node_failed_is_left_out_with_its_edges() -> None:
    assert _regions.away(["edge1"], REGIONS, GROUPS) == ["edge1"]
    assert _regions.away(["edge5", "edge2"], REGIONS, GROUPS) == ["edge5", "edge2", "edge1"]


def test_edges_for_the_report() -> None:
    found = _regions.edges(REGIONS, GROUPS, {"edge1": {"edgefl_node_name": "e1"}, **{host: {} for host in HOSTS[1:]}})
    assert found == [
        {"region": "north", "node": "edge2", "edge": "e1"}, {"region": "north", "node": "edge2", "edge": "edge2"},
        {"region": "south", "node": "edge3", "edge": "edge3"}, {"region": "south", "node": "edge3", "edge": "edge4"},
    ]  # fmt: skip


# What is deployed ---------------------------------------------------------------------------------------------------


def test_clients_of_a_region_go_to_its_node() -> None:
    found = workloads(REGIONS)["clients"]
    assert [words(row["arguments"], "server_address") for row in found] == [
        ["192.0.2.2:8888"], ["192.0.2.2:8888"], ["192.0.2.3:8888"], ["192.0.2.3:8888"], ["192.0.2.99:8888"],
    ]  # fmt: skip
    # Which way the model comes is no part of what is trained
    assert [row["settings"] for row in found] == [row["settings"] for row in workloads({})["clients"]]


def test_the_aggregator_of_a_region() -> None:
    both = workloads(REGIONS)
    north, south = both["regions"]
    assert (north["region"], north["node"], north["name"]) == (
        "north",
        "edge2.example.org",
        "fashion-mnist-region-north",
    )
    assert (north["address"], north["slice"], north["certificate"]) == ("192.0.2.2", "0:20000", "f1")
    given = north["arguments"]
    assert words(given, "upstream") == ["north@192.0.2.99:8888"] and words(given, "server_address") == ["0.0.0.0:8888"]
    assert words(given, "status_address") == ["127.0.0.1:8889,192.0.2.2:8889"]
    assert words(given, "client_slices") == ["edge1.example.org=0:10000", "edge2.example.org=10000:20000"]
    settings = [f"{row['node']}={row['settings']}" for row in both["clients"][:2]]
    assert words(given, "client_settings") == settings and words(given, "settings") == [north["settings"]]
    quorums = [[words(row["arguments"], f"min_{what}") for what in ("nodes", "num_clients", "sample_size")] for row in (north, south)]  # fmt: skip
    assert quorums == [[["2"], ["2"], ["1"]], [["1"], ["1"], ["1"]]]
    # Whatever the root decides is not told to a region
    assert not [text for text in given if text.startswith(("--rounds", "--strategy", "--seed", "--state_dir"))]


def test_a_region_goes_on_from_one_run_to_the_next() -> None:
    before = workloads(REGIONS)["regions"]
    assert workloads(REGIONS, edgefl_rounds=9, edgefl_strategy="FedAvg", edgefl_seed=2)["regions"] == before
    assert workloads(REGIONS, edgefl_epochs=2)["regions"] != before
    assert workloads(REGIONS, edgefl_norm_bound=3)["regions"][0]["settings"] != before[0]["settings"]


def test_edges_that_are_away_are_not_waited_for() -> None:
    there = [row for row in rows(REGIONS) if row["host"] not in ("edge1", "edge4")]
    strict = REGIONS | {"south": REGIONS["south"] | {"min_nodes": 2}}
    found = workloads(strict, there)["regions"]
    assert [(row["slice"], words(row["arguments"], "min_nodes")) for row in found] == [
        ("0:10000", ["1"]),
        ("0:10000", ["1"]),
    ]


def test_whom_the_root_takes() -> None:
    both = workloads(REGIONS)
    taken = deployment.root_members(both["clients"], both["regions"])
    assert taken["client_slices"] == {"edge5.example.org": "40000:50000", "north": "0:20000", "south": "0:20000"}
    assert taken["client_settings"] == {
        "edge5.example.org": both["clients"][-1]["settings"],
        **{row["region"]: row["settings"] for row in both["regions"]},
    }
    alone = workloads({})["clients"]
    assert deployment.root_members(alone, [])["client_settings"] == {row["node"]: row["settings"] for row in alone}


def test_regions_are_part_of_what_makes_a_training() -> None:
    def settings(regions: dict[str, dict[str, Any]]) -> str:
        both = workloads(regions)
        return deployment.run_settings(both["clients"], TRAINING, IMAGES, "", True, "", both["regions"])

    moved = REGIONS | {"north": REGIONS["north"] | {"node": "edge1"}}
    assert len({settings(each) for each in ({}, REGIONS, moved)}) == 3
    assert settings(REGIONS) == settings(REGIONS)


def test_a_region_that_is_not_wanted_any_more_goes() -> None:
    there: dict[str, Any] = {"aggregator": "fashion-mnist", "failed_pods": [], "broken_pods": [], "clients": []}
    there["regions"] = [{"name": f"fashion-mnist-region-{name}"} for name in ("north", "west")]
    both = workloads(REGIONS)
    assert deployment.retired(there, both["clients"], NAMES, True, False, "ingress", both["regions"]) == [
        "Deployment/fashion-mnist-region-west"
    ]
    assert len(deployment.retired(there, both["clients"], NAMES, False, False, "ingress")) == 2


def test_the_certificate_of_a_region_is_for_both_sides() -> None:
    server, north, south, *edges = deployment.certificates(rows(REGIONS), NAMES, ["DNS:cloud"], NODES)
    assert server["name"] == "fashion-mnist-tls" and len(edges) == len(HOSTS)
    assert north == {
        "name": "fashion-mnist-region-north-tls", "names": ["DNS:north", "IP:192.0.2.2"], "server": True, "client": True,
    }  # fmt: skip
    assert south["names"] == ["DNS:south", "IP:192.0.2.3"]


# What is wrong ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"North Sea": {"edges": "harbour", "node": "edge1"}}, "small letters, digits and dashes"),
        ({"7": {"edges": "harbour", "node": "edge1"}}, "begins with a letter"),
        ({"north": {"edges": "harbour"}}, "each region has edges, node"),
        ({"north": {"edges": "harbour", "node": "edge1", "nodes": 3}}, "each region has edges, node"),
        ({"north": {"edges": [], "node": "edge1"}}, "a group of the inventory, or a list"),
        ({"north": {"edges": [3], "node": "edge1"}}, "a group of the inventory, or a list"),
        ({"north": {"edges": "harbour", "node": ["edge1"]}}, "one of its hosts"),
        ({"north": {"edges": "harbour", "node": "edge1", "min_nodes": 0}}, "a whole number, 1 or more"),
        ({"north": {"edges": "harbour", "node": "edge1", "min_nodes": True}}, "a whole number, 1 or more"),
    ],
)
def test_values_that_are_none(value: Any, told: str) -> None:
    assert told in _input_regions.rule(value)


@pytest.mark.parametrize("value", [{}, REGIONS])
def test_right_values(value: dict[str, Any]) -> None:
    assert _input_regions.rule(value) == ""
    assert _input_regions.problems(value, GROUPS, rows(value), "cloud") == []


@pytest.mark.parametrize(
    ("regions", "told"),
    [
        ({"north": {"edges": "harbor", "node": "edge1"}}, "'harbor', which is neither a group nor an edge of the inventory: correct it. Did you mean harbour?"),
        ({"north": {"edges": ["edge1", "cloud"], "node": "edge1"}}, "has cloud0, which is not in the group edges"),
        ({"north": {"edges": "empty", "node": "edge1"}}, "has no edges: empty is empty"),
        (REGIONS | {"west": {"edges": ["edge4"], "node": "edge4"}}, "edge4 is in the regions south and west"),
        ({"north": {"edges": "harbour", "node": "edge3"}}, "'edge3', which is none of its edges: name the one whose machine"),
        ({"north": {"edges": "harbour", "node": "edge1", "min_nodes": 3}}, "min_nodes 3, but only 2 edges"),
        ({"cloud": {"edges": "harbour", "node": "edge1"}}, "is called as the node of the cloud is"),
        ({"edge4": {"edges": "harbour", "node": "edge1"}}, "is called as the host edge4 is"),
    ],
)  # fmt: skip
def test_regions_that_do_not_fit_to_the_inventory(regions: dict[str, dict[str, Any]], told: str) -> None:
    (problem,) = _input_regions.problems(regions, GROUPS, rows(regions), "cloud")
    assert told in problem


PORTS = {"edgefl_server_port": 8888, "edgefl_status_port": 8889, "edgefl_serve_port": 8890}
APP = {"name": "mine", "classifier": True, "problems": []}


def test_what_cannot_be_with_regions() -> None:
    assert _input_regions.fit(REGIONS, "node", APP, PORTS) == []
    assert _input_regions.fit({}, "pod", APP | {"classifier": False}, PORTS | {"edgefl_serve_port": 8888}) == []
    found = _input_regions.fit(REGIONS, "pod", APP | {"classifier": False}, PORTS | {"edgefl_serve_port": 8888})
    assert [text.partition(" ")[0] for text in found] == ["edgefl_selection", "edgefl_regions", "edgefl_serve_port"]


CLOUD = Node("cloud", True, "", "containerd", "1.6.20", "amd64", "192.0.2.10", False, 2000, 4 * 2**30)
GIBI = 2**30


def edge(number: int, **more: Any) -> preflight.Edge:
    given = {"region": "north", "region_node": "edge1", **more}
    return preflight.Edge(f"edge{number}", f"edge{number}", f"app-client-edge{number}", number, number + 1, **given)


def node(name: str, **more: Any) -> Node:
    given = {"internal_ip": "192.0.2.1", "memory": 4 * GIBI, **more}
    return Node(name, True, "", "containerd", "1.6.20", "amd64", given["internal_ip"], True, 2000, given["memory"])


def test_a_round_waits_for_regions_not_for_their_edges() -> None:
    edges = [edge(1), edge(2), edge(3, region="", region_node="", replicas=2)]
    most = {"edgefl_min_nodes": 2, "edgefl_min_num_clients": 3, "edgefl_min_sample_size": 2}
    assert preflight.quorum(most, edges) == []
    assert len(preflight.quorum({name: value + 1 for name, value in most.items()}, edges)) == 3
    (problem,) = preflight.quorum({"edgefl_min_nodes": 3}, edges)
    assert "only 2 regions, and edges in none, there are" in problem


@pytest.mark.parametrize(("address", "told"), [("2001:db8::1", "the IPv6 address"), ("", "has no address")])
def test_the_node_of_a_region_has_an_address(address: str, told: str) -> None:
    nodes = {"cloud": CLOUD, "edge1": node("edge1", internal_ip=address)}
    (problem,) = preflight.cluster([edge(1)], "cloud", {}, nodes)
    assert problem.startswith("Region north: node edge1") and told in problem


def test_the_node_of_a_region_has_room_for_its_aggregator() -> None:
    nodes = {"cloud": CLOUD, "edge1": node("edge1"), "edge2": node("edge2")}
    edges = [edge(1), edge(2)]
    assert preflight.crowds(edges, nodes) == []
    (problem,) = preflight.crowds(edges, nodes, {"memory_request": "3.5Gi"})
    assert "1 pods with a memory request of 1Gi and the aggregator of region north with 3584Mi" in problem
    small = nodes | {"edge1": node("edge1", memory=GIBI)}
    (problem,) = preflight.cluster(edges, "cloud", {"memory_request": "2Gi"}, small)
    assert problem.startswith("Region north: edgefl_aggregator_resources")
    # Told there
    assert preflight.crowds(edges, small, {"memory_request": "2Gi"}) == []
