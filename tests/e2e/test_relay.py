"""One upload for a site, on machines with runtimes of their own: a firewall between them, one that is killed, and a key that may do nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.running_lab import Lab
from support.ship_nodes import Nodes, build, ship

IMAGE = "edgefl-relay-test/app:1"
SIZE = 60_000_000
CHUNK = 8 << 20
PORT = 10360

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nodes, dict[str, Any]]]:
    """Three machines, and one that ships to them."""
    del lab
    with Nodes(4) as nodes:
        source = nodes.sender(tmp_path_factory.mktemp("key"))
        build(IMAGE, SIZE // 1_000_000, where="edgefl-ship4")
        yield nodes, source


@pytest.fixture
def nodes(site: tuple[Nodes, dict[str, Any]]) -> Nodes:
    site[0].empty()
    return site[0]


@pytest.fixture
def source(site: tuple[Nodes, dict[str, Any]]) -> dict[str, Any]:
    return site[1]


def targets(nodes: Nodes, **more: Any) -> list[dict[str, Any]]:
    runtimes = dict(zip(nodes.names, ("docker", "containerd", "docker")))
    return [nodes.target(name, runtime, site="harbour", **more) for name, runtime in runtimes.items()]


def listening(nodes: Nodes) -> dict[str, str]:
    """Ids of the processes that give chunks to neighbours, by the machine."""
    script = f"ss -Hltnp 'sport = :{PORT}' | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p'"
    found = {name: nodes.run(name, script).strip() for name in nodes.names}
    return {name: process for name, process in found.items() if process}


def test_one_upload_for_both_runtimes(nodes: Nodes, source: dict[str, Any], tmp_path: Path) -> None:
    """Also where the program is installed, and all that may run."""
    nodes.install()
    for installed in (False, True):
        nodes.empty()
        did, _output = ship(tmp_path, targets(nodes, installed=installed), [IMAGE], source=source)
        assert not any(node["failed"] or node["refused"] for node in did["nodes"].values()), did
        assert SIZE < did["bytes"] < SIZE * 1.05
        assert did["relayed"] > 1.95 * SIZE
        assert listening(nodes) == {}
    again, _output = ship(tmp_path, targets(nodes), [IMAGE], source=source)
    assert (again["changed"], again["bytes"], again["relayed"]) == (False, 0, 0)


def test_a_firewall_between_them(nodes: Nodes, source: dict[str, Any], tmp_path: Path) -> None:
    rule = f"INPUT -p tcp --dport {PORT} -j DROP"
    for name in nodes.names:
        nodes.run(name, f"iptables -A {rule}")
    try:
        did, _output = ship(tmp_path, targets(nodes), [IMAGE], source=source)
    finally:
        for name in nodes.names:
            nodes.run(name, f"iptables -D {rule}")
    assert not any(node["failed"] for node in did["nodes"].values()), did
    assert did["relayed"] == 0 and did["bytes"] < 3.05 * SIZE
    assert {why for node in did["nodes"].values() for why in node["refused"].values()} == {"away"}


def test_one_is_killed_in_the_middle(nodes: Nodes, source: dict[str, Any], tmp_path: Path) -> None:
    killed: list[str] = []
    done = threading.Event()

    def kill() -> None:
        """The process of the one that has most of it, when that is a third, and all listen."""
        while not killed and not done.wait(0.1):
            there = listening(nodes)
            script = "cat /var/lib/edgefl/incoming/*.part 2>/dev/null | wc -c || true"
            sizes = {name: int(nodes.run(name, script).split()[0]) for name in there}
            if len(there) == len(nodes.names) and max(sizes.values()) > SIZE // 3:
                name = max(sizes, key=lambda each: sizes[each])
                nodes.run(name, f"kill -9 {there[name]}")
                killed.append(name)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        did, _output = ship(tmp_path, targets(nodes), [IMAGE], source=source, bandwidth="5MB")
    finally:
        done.set()
        thread.join()
    assert not any(node["failed"] for node in did["nodes"].values()), did
    assert [name for name, node in did["nodes"].items() if node["cuts"]] == killed
    assert did["bytes"] < SIZE * 1.05 + CHUNK
    assert listening(nodes) == {}
