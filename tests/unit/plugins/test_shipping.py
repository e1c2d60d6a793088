"""Which image goes where, and the table of what was sent."""

from __future__ import annotations

from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _shipping as shipping

IMAGES = {"aggregator": "aggregator:1", "client": "client:1"}
ADDRESS = {"host": "192.0.2.21", "port": 22, "user": "ops"}
VARIABLES: dict[str, dict[str, Any]] = {
    "hq": {
        "edgefl_node_name": "cloud",
        "edgefl_cluster": {"nodes": {"e1": {"runtime": "containerd", "arch": "arm64"}}},
    },
    "edge1": {"edgefl_node_name": "e1", "edgefl_address": ADDRESS},
    "edge2": {"edgefl_runtime": "docker", "edgefl_address": ADDRESS},
}


def targets(hosts: list[str], runtime: str = "auto") -> list[dict[str, Any]]:
    return shipping.targets(hosts, VARIABLES, "hq", IMAGES, runtime, "/ssh")


def test_the_cloud_node_gets_the_aggregator_without_ssh() -> None:
    assert targets(["hq"]) == [{"name": "hq", "node": "cloud", "runtime": "auto", "images": ["aggregator:1"]}]


def test_an_edge_gets_the_client_by_its_address() -> None:
    (target,) = targets(["edge1"])
    assert target == {
        "name": "edge1",
        "node": "e1",
        "runtime": "containerd",
        "images": ["client:1"],
        **ADDRESS,
        "known_hosts": "/ssh/known_hosts.d/e1",
    }


def test_the_node_of_a_region_gets_both() -> None:
    found = shipping.targets(["hq", "edge1", "edge2"], VARIABLES, "hq", IMAGES, "auto", "/ssh", ["edge1"])
    assert [target["images"] for target in found] == [["aggregator:1"], ["client:1", "aggregator:1"], ["client:1"]]


def test_runtimes() -> None:
    assert [target["runtime"] for target in targets(["hq", "edge1", "edge2"], "containerd")] == [
        "containerd",
        "containerd",
        "docker",
    ]


def test_edges_of_one_network_are_a_site() -> None:
    """Unless somebody named it; neither names nor the address of a router, which several edges have, tell a network."""
    addresses = {
        "one": "192.0.2.21",
        "two": "192.0.2.22",
        "alone": "198.51.100.7",
        "named": ("192.0.2.23", "harbour"),
        "none": ("192.0.2.24", ""),
        "by-name": "edge.example.com",
        "behind-1": "203.0.113.9",
        "behind-2": "203.0.113.9",
        "three": "2001:db8::1",
        "four": "2001:db8::2",
    }
    hosts = {
        name: {"edgefl_address": dict(zip(("host", "site"), value if isinstance(value, tuple) else (value, "auto"), strict=True))}
        for name, value in addresses.items()
    }  # fmt: skip
    found = shipping.targets(hosts, {"hq": {}, **hosts}, "hq", {"client": "client:1"}, "docker", "/ssh")
    assert {target["name"]: target["site"] for target in found if target["site"]} == {
        "one": "192.0.2.0-24",
        "two": "192.0.2.0-24",
        "named": "harbour",
        "three": "2001:db8::-64",
        "four": "2001:db8::-64",
    }


def test_architectures() -> None:
    """The inventory's word first, then the cluster's, else the module asks; the cloud node has what it builds."""
    variables = {**VARIABLES, "edge3": {"edgefl_architecture": "arm64", "edgefl_address": ADDRESS}}
    found = shipping.targets(
        ["hq", "edge1", "edge2", "edge3"], variables, "hq", IMAGES, "auto", "/ssh", others=["arm64"]
    )
    assert [target.get("architecture") for target in found] == [None, "arm64", "auto", "arm64"]
    # With images for the cloud node's alone nobody is asked
    found = shipping.targets(["edge1", "edge3"], variables, "hq", IMAGES, "auto", "/ssh")
    assert [target.get("architecture") for target in found] == [None, None]


def test_lines() -> None:
    row = {
        "node": "edge1",
        "image": "client:1",
        "reason": "1 of 9 layers",
        "sent": 19_800,
        "relayed": 0,
        "saved": 898_300_000,
        "seconds": 0.49,
    }
    result = {
        "table": [row],
        "nodes": {
            "edge1": {"removed": ["client:0", "sha256:0"], "refused": {"edge2": "away"}},
            "edge2": {"removed": ["client:0"], "refused": {}},
        },
        "removed": ["aggregator:0"],
    }
    titles, line, refused, *removed = shipping.lines(result)
    assert titles.split() == ["node", "image", "reason", "MB", "sent", "MB", "relayed", "MB", "saved", "seconds"]
    assert line.split() == ["edge1", "client:1", "1", "of", "9", "layers", "0.02", "0.00", "898.3", "0.5"]
    # Columns are as wide as what is in them: names of images have two hashes
    long = {**row, "image": "kubeedge/fashion-mnist-aggregator:v1.0.0-0123456789ab-ba9876543210"}
    table = shipping.lines({**result, "table": [row, long]})[:3]
    assert (
        len({len(each) for each in table}) == 1
        and len({each.index(text) for each, text in zip(table, ("reason", "1 of 9", "1 of 9"), strict=True)}) == 1
    )
    assert refused.startswith("edge1 did not reach edge2, or lost it: open TCP port ship_images_relay_port")
    assert removed == ["removed: client:0", "removed: aggregator:0"]


def removed(lines: list[str], repository: str) -> list[tuple[str, str]]:
    """Program and last word of each command."""
    return [(command[0], command[-1]) for command in shipping.removals(lines, repository)]


def test_images_of_all_architectures_go() -> None:
    lines = [
        "containerd docker.io/team/app-client-arm64:v1 sha256:1",
        "docker team/app-client-amd64:v1",
        "docker team/app-client-other:v1",
    ]
    assert removed(lines, "team/app") == [
        ("ctr", "docker.io/team/app-client-arm64:v1"),
        ("docker", "team/app-client-amd64:v1"),
    ]


def test_the_repository_is_compared_whole() -> None:
    others = [
        "registry.k8s.io/kube-apiserver:v1",
        "registry.k8s.io/kube-client:v1",
        "docker.io/team/kube-client:v1",
        "docker.io/library/kube-client-2:v1",
    ]
    lines = [f"containerd {name} sha256:{number}" for number, name in enumerate(others)] + [
        f"docker {name}" for name in others
    ]
    assert removed([*lines, "docker kube-proxy:v1", "docker <none>:<none>"], "kube") == []
    assert removed([*lines, "containerd docker.io/library/kube-client:v1 sha256:9"], "kube") == [
        ("ctr", "docker.io/library/kube-client:v1")
    ]


def test_the_registry_of_a_name_may_be_written_or_not() -> None:
    lines = ["containerd docker.io/team/app-client:v1 sha256:1", "docker team/app-aggregator:v1"]
    for repository in ("team/app", "docker.io/team/app"):
        assert removed(lines, repository) == [
            ("ctr", "docker.io/team/app-client:v1"),
            ("docker", "team/app-aggregator:v1"),
        ]
    own = ["containerd registry.test:5000/app-client:v1 sha256:1", "docker registry.test:5000/app-client:v1"]
    assert removed([*lines, *own], "registry.test:5000/app") == [
        ("ctr", "registry.test:5000/app-client:v1"),
        ("docker", "registry.test:5000/app-client:v1"),
    ]


def test_the_second_name_goes_unless_somebody_else_has_the_image() -> None:
    lines = [
        "containerd docker.io/library/app-client:v1 sha256:1",
        "containerd sha256:abc sha256:1",
        "containerd sha256:def sha256:2",
    ]
    assert [name for _program, name in removed(lines, "app")] == ["docker.io/library/app-client:v1", "sha256:abc"]
    theirs = "containerd docker.io/team/copy:v1 sha256:1"
    assert [name for _program, name in removed([*lines, theirs], "app")] == ["docker.io/library/app-client:v1"]


def test_names_are_words_of_their_own() -> None:
    """Nothing that a runtime says is read by a shell."""
    name = "docker.io/library/app-client:$(reboot)"
    assert shipping.removals([f"containerd {name} sha256:1"], "app")[0][-1] == name


def _rows(count: int) -> list[dict[str, Any]]:
    done = {"image": "fl-client:v1", "reason": "1 of 9 layers differ", "sent": 1e6, "relayed": 2e6, "saved": 3e6}
    return [{**done, "node": f"edge{number}", "seconds": float(number)} for number in range(1, count + 1)]


def test_many_nodes_have_one_line() -> None:
    """The failed first, each with its own reason; the bytes of all others together, and the time of the slowest."""
    table = _rows(200)
    table[57]["reason"] = "failed: edge58 is out of reach"
    table[99]["reason"] = "up to date"
    lines = shipping.lines({"table": table, "nodes": {}, "removed": []})
    assert len(lines) == 4
    assert lines[1].startswith("edge58 ") and "failed: edge58 is out of reach" in lines[1]
    assert lines[2].startswith("198 nodes ") and lines[2].split()[-4:] == ["198.00", "396.00", "594.0", "200.0"]
    assert lines[3].startswith("edge100 ") and "up to date" in lines[3]


def test_few_nodes_have_a_line_each() -> None:
    table = _rows(3)
    table[2]["reason"] = "failed: no room"
    lines = shipping.lines({"table": table, "nodes": {}, "removed": []})
    assert [line.split()[0] for line in lines] == ["node", "edge3", "edge1", "edge2"]
