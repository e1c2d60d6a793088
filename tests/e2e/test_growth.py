"""A running lab gets another edge, and loses it again."""

from __future__ import annotations

import pytest

from support.helpers import run
from support.running_lab import Lab, rounds


def running_since(lab: Lab, names: list[str]) -> dict[str, str]:
    """When each node's machine, and on it edgecore and the container runtime, began to run."""
    asked = "cat /proc/1/stat | cut -d ' ' -f 22; systemctl show --property=ActiveEnterTimestamp edgecore containerd"
    return {name: lab.ssh(name, asked) for name in names}


def nodes(lab: Lab) -> set[str]:
    return {item["metadata"]["name"] for item in lab.objects("nodes")}


@pytest.mark.long
def test_another_edge_and_back(lab: Lab) -> None:
    old = lab.edges
    count, before = len(old), running_since(lab, old)
    new = f"edge{count + 1}"

    run("make", "lab", f"LAB_EDGES={count + 1}", show=lab.show, timeout=1200).ok()
    bigger = Lab(lab.show)
    assert bigger.edges == [*old, new]
    assert nodes(bigger) == {"cloud", *old, new}
    assert {client["node"] for client in rounds()[-2]["clients"]} == {*old, new}
    assert running_since(bigger, old) == before

    run("make", "lab", f"LAB_EDGES={count}", show=lab.show, timeout=1200).ok()
    assert Lab(lab.show).edges == old
    assert nodes(lab) == {"cloud", *old}
    assert {client["node"] for client in rounds()[-2]["clients"]} == set(old)
    assert running_since(lab, old) == before
    assert f"edgefl-lab-{new}" not in run("docker", "volume", "ls", "--quiet").ok().output
