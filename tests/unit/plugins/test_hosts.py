"""What is wrong with a host, from what it says of itself."""

from __future__ import annotations

import base64

import pytest

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _hosts as hosts

# From os-release(5) as these systems have it
DEBIAN = ['PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"', "ID=debian"]
UBUNTU = ['PRETTY_NAME="Ubuntu 22.04.4 LTS"', "ID=ubuntu", "ID_LIKE=debian"]
RASPBERRY = ["ID=raspbian", "ID_LIKE=debian"]
ROCKY = ['PRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)"', 'ID="rocky"', 'ID_LIKE="rhel centos fedora"']
ALPINE = ["ID=alpine"]
ROOM = ["0", "python=3.11", "disk_mb=9000", "memory_mb=1000", "pods=0", "sudo=0"]


def found(lines: list[str], edge: bool = True) -> list[str]:
    return hosts.problems(lines, "edge1", "ops", edge, 4000, 700)


@pytest.mark.parametrize("system", [DEBIAN, UBUNTU, RASPBERRY])
def test_a_host_that_can_be_used(system: list[str]) -> None:
    assert found([*ROOM, *system]) == []


@pytest.mark.parametrize(
    ("system", "name"), [(ROCKY, "Rocky Linux 9.4 (Blue Onyx)"), (ALPINE, "alpine"), ([], "an unknown system")]
)
def test_another_family_is_refused(system: list[str], name: str) -> None:
    (problem,) = found([*ROOM, *system])
    assert problem.startswith(f"edge1 runs {name}, which is no Debian or Ubuntu")
    for word in ("edge_access", "docker", "dnf", "firewalld", "SELinux", "leave it out of the inventory"):
        assert word in problem


def test_a_password_for_sudo_matters_on_edges_only() -> None:
    lines = [*ROOM[:-1], "sudo=1", *DEBIAN]
    (problem,) = found(lines)
    assert "sudo on edge1 asks ops for a password" in problem and "NOPASSWD" in problem
    assert found(lines, edge=False) == []


@pytest.mark.parametrize("little", ["disk_mb=3999", "memory_mb=699", "memory_mb="])
def test_little_room(little: str) -> None:
    lines = [line for line in ROOM if not line.startswith(little.split("=")[0])]
    (problem,) = found([*lines, little, *DEBIAN])
    assert "4000 MB and 700 MB are needed" in problem and "edgefl_min_memory_mb" in problem


@pytest.mark.parametrize(
    ("version", "libraries", "told"),
    [
        ("3.8", False, None),
        ("3.9", True, None),
        ("3.10", True, None),
        ("3.7", False, "edge1 has Python 3.7; 3.8 or newer is needed"),
        ("3.8", True, "edge1 has Python 3.8; 3.9 or newer is needed"),
        ("", False, "edge1 has no python3; 3.8 or newer is needed"),
    ],
)
def test_the_python_that_is_there(version: str, libraries: bool, told: str | None) -> None:
    lines = [f"python={version}" if line.startswith("python=") else line for line in [*ROOM, *DEBIAN]]
    problems = hosts.problems(lines, "edge1", "ops", True, 4000, 700, libraries)
    assert [problem.split(". ")[0] for problem in problems] == ([told] if told else [])
    assert all(("edgefl_kubernetes_python" in problem) == libraries for problem in problems)


def test_what_our_own_pods_hold_is_not_asked_for_twice() -> None:
    assert found(["python=3.8", "memory_mb=10", "disk_mb=10", "pods=1", "sudo=0", *DEBIAN]) == []


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, ""), (-1700, ""), (1700, ""), (-7500, "2 h 05 min behind"), (3600, "1 h 00 min ahead of")]
)
def test_a_clock_that_is_not_the_cloud_nodes(seconds: int, told: str) -> None:
    lines = [*DEBIAN, *ROOM, f"clock={1_800_000_000 + seconds}"]
    found = hosts.problems(lines, "edge1", "ops", True, 4000, 700, cloud=["clock=1800000000"])
    assert (told in " ".join(found) and "timedatectl" in found[0]) if told else found == []
    assert hosts.problems(lines, "edge1", "ops", True, 4000, 700) == []


def test_all_problems_at_once() -> None:
    assert len(found(["python=3.8", "memory_mb=10", "disk_mb=10", "pods=0", "sudo=1", *ROCKY])) == 3


RULES = "authorization: {enable: true, debug: false, modes: [{node: {enable: true}}]}"
READS_ALL, WRITES_ALL = "the Secrets and ConfigMaps of other nodes", "reads and writes any object"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (f"modules: {{cloudHub: {{{RULES}}}, dynamicController: {{enable: false}}}}", []),
        (f"modules: {{cloudHub: {{{RULES}}}}}", []),
        (f"modules: {{cloudHub: {{{RULES}}}, dynamicController: {{enable: true}}}}", [WRITES_ALL]),
        # As keadm leaves it
        ("modules: {cloudHub: {nodeLimit: 1000}, dynamicController: {enable: false}}", [READS_ALL]),
        ("modules: {dynamicController: {enable: true}}", [WRITES_ALL, READS_ALL]),
        (f"modules: {{cloudHub: {{{RULES.replace('debug: false', 'debug: true')}}}}}", [READS_ALL]),
        (f"modules: {{cloudHub: {{{RULES.replace('node: {enable: true}', 'node: {enable: false}')}}}}}", [READS_ALL]),
        ("modules: {cloudHub: {authorization: {enable: true}}}", [READS_ALL]),
        ("modules: {cloudHub: [], dynamicController: on}", [READS_ALL]),
        # Nobody could read it
        ("", []),
        ("modules", []),
        ("}", []),
        ("\0\xff", []),
    ],
)
def test_what_cloudcore_lets_edges_do(settings: str, told: list[str]) -> None:
    line = f"cloudcore={base64.b64encode(settings.encode('latin-1')).decode()}"
    found = hosts.openings([*DEBIAN, line], "cloud0")
    assert len(found) == len(told)
    assert all(part in sentence and "cloudcore on cloud0" in sentence for part, sentence in zip(told, found))


def test_settings_of_cloudcore_that_are_none() -> None:
    assert hosts.openings(DEBIAN, "cloud0") == hosts.openings(["cloudcore=="], "cloud0") == []
