"""Dead tunnels of edges: which are ended, and when."""

from __future__ import annotations

from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import parse_nodes
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.tunnels import PATIENCE, Tunnels, addresses


class Cloud:
    """Stands for ss(8) on the cloud node; has connections of these addresses. Its clock is `now`."""

    def __init__(self, *addresses: str, there: bool = True) -> None:
        self.addresses = addresses
        self.there = there
        self.now = 0.0
        self.ended: list[str] = []
        self.tunnels = Tunnels(self.run, lambda: self.now)

    def run(self, arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        if not self.there:
            raise FileNotFoundError("ss")
        assert arguments[0] == "ss" and "--kill" in arguments and arguments[-1] == ":10004"
        address = arguments[arguments.index("dst") + 1]
        self.ended.append(address)
        return 0, f"ESTAB 0 0 [::ffff:192.0.2.9]:10004 {address}:40000\n" if address in self.addresses else "", ""


def test_a_tunnel_is_ended_after_a_while_and_again_after_another() -> None:
    cloud = Cloud("192.0.2.1")
    without = {"edge1": "192.0.2.1"}
    told = []
    for cloud.now in (0, PATIENCE - 1, PATIENCE, PATIENCE + 10, 2 * PATIENCE):
        told.append(cloud.tunnels.reopen(without))
    assert told == [[], [], ["edge1"], [], ["edge1"]]


def test_one_whose_figures_came_back_begins_anew() -> None:
    cloud = Cloud("192.0.2.1")
    for cloud.now, without in ((0.0, {"edge1": "192.0.2.1"}), (30.0, {}), (PATIENCE, {"edge1": "192.0.2.1"})):
        assert cloud.tunnels.reopen(without) == []
    assert cloud.ended == []


def test_an_edge_that_has_no_connection_is_not_told() -> None:
    cloud = Cloud("192.0.2.1", "[2001:db8::1]")
    without = {"away": "192.0.2.7", "here": "192.0.2.1", "six": "2001:db8::1"}
    cloud.tunnels.reopen(without)
    cloud.now = PATIENCE
    assert cloud.tunnels.reopen(without) == ["here", "six"]


def test_a_host_without_the_program() -> None:
    cloud = Cloud(there=False)
    cloud.tunnels.reopen({"edge1": "192.0.2.1"})
    cloud.now = PATIENCE
    assert cloud.tunnels.reopen({"edge1": "192.0.2.1"}) == []


def test_a_node_that_gives_an_address_of_others_for_its_own() -> None:
    said = {
        "edge1": "192.0.2.1",
        "edge2": "192.0.2.2",
        "thief": "192.0.2.2",
        "all": "0.0.0.0/0",
        "word": "dport",
        "new": "",
    }
    label = {"node-role.kubernetes.io/edge": ""}
    nodes = [
        {
            "metadata": {"name": name, "labels": label},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        }
        for name, address in said.items()
    ]
    cloud = {"metadata": {"name": "cloud"}, "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.9"}]}}
    assert addresses(parse_nodes([cloud, *nodes]).values()) == {"edge1": "192.0.2.1"}
