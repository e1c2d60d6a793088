"""Molecule's scenarios: each role on bare machines, from check mode on a host that has nothing to the answer to a wrong value."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable

import pytest

from support import scenarios
from support.helpers import ROOT, files, load_yaml, machine, run

# Roles that can't be shown alone, and what shows them at work
WITHOUT = {
    "cloudcore": "makes the lab's cluster: tests/e2e",
    "control_plane": "makes the lab's cluster: tests/e2e",
    "edgecore": "makes the lab's cluster: tests/e2e",
    "edgefl": "holds the variables of all roles, and does nothing by itself",
    "experiment": "works through other roles: tests/e2e/test_experiment.py",
    "image_archive": "works for other roles: molecule/build_images gives its archive to Docker, the lab's nodes get all their images in containerd by it",
    "input": "reads what is given on the controller, and changes nothing: tests/bad_input",
    "lab_artifacts": "makes the lab: tests/e2e",
    "lab_nodes": "makes the lab: tests/e2e",
    "new_app": "writes a folder on the controller: tests/fl/test_new_app.py",
    "preflight": "needs a cluster, and changes nothing: tests/e2e/test_refusals.py",
}

# Of roles that `make test` has at work elsewhere; their scenarios are long
ELSEWHERE = {
    "containerd": "on the lab's nodes in each `make lab`, which makes the cluster anew where the role has changed",
    "docker": "on bare machines in molecule/build_images, which begins with it; on the lab in each site.yml",
    "edge_access": "on the lab in each site.yml; what its key opens, and what not: tests/e2e/test_edge_rights.py",
    "kubernetes_python": "on the lab in each site.yml, whose modules use what it installs",
    "model_deployment": "tests/e2e/test_model.py",
    "ship_images": "tests/e2e/test_ship.py, with both runtimes; on the lab in each site.yml",
}


def leftovers(scenario: str) -> list[str]:
    """Containers and networks of the scenario in this checkout that the engine still has."""
    mark = f"edgefl-molecule-{scenario.replace('_', '-')}-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]}"
    return [
        name
        for kind in (["ps", "--all"], ["network", "ls"])
        for name in docker(*kind, "--quiet", f"--filter=label=edgefl.molecule={mark}")
    ]


def idle_volumes() -> set[str]:
    """The engine's volumes that no container has: those of other people's running machines are none of them."""
    return set(docker("volume", "ls", "--quiet", "--filter=dangling=true"))


def docker(*words: str) -> list[str]:
    """The words that a docker command writes; none when no engine runs yet."""
    if shutil.which("docker") is None:
        return []
    return subprocess.run(["docker", *words], check=False, capture_output=True, text=True).stdout.split()


@pytest.fixture(scope="module")
def image() -> None:
    """The image of the machines, and the engine, which must answer this user, as Ansible's docker connection asks it."""
    # `make lab`, which another worker may have begun, makes both, too
    with machine():
        run("ansible-playbook", "--inventory=localhost,", "molecule/shared/image.yml").ok()
    answer = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    assert "permission denied" not in answer.stderr, (
        f"Molecule's tests need an engine that answers this user: run them as root, or join the group docker. {answer.stderr}"
    )


def machines(scenario: str) -> set[str]:
    """Bare machines that a scenario plays the role on."""
    groups = load_yaml(ROOT / "molecule/shared/inventory/hosts.yml")["all"]["children"]
    hosts = [
        word for play in load_yaml(ROOT / "molecule" / scenario / "converge.yml") for word in play["hosts"].split(":")
    ]
    return {name for host in hosts for name in groups.get(host, {}).get("hosts", [host])}


def test_every_role_has_scenarios() -> None:
    """
    The role's defaults, and other values for all of its variables, on machines of their own in one scenario, or on the lab in two; a role without
    variables has its defaults alone.
    """
    roles = {path.name for path in (ROOT / "roles").iterdir()}
    assert set(WITHOUT) <= roles and set(ELSEWHERE) <= set(scenarios.ON_BARE_MACHINES)
    for role in sorted(roles - set(WITHOUT)):
        assert role in scenarios.ALL, f"write molecule/{role}"
        if not (ROOT / "roles" / role / "defaults/main.yml").exists():
            continue
        if role in scenarios.ON_THE_LAB:
            assert f"{role}_alternative" in scenarios.ALL, f"write molecule/{role}_alternative"
        else:
            one, other = machines(role) & {"cloud1", "edge1"}, machines(role) & {"cloud2", "edge2"}
            assert one and other, (
                f"play molecule/{role}/converge.yml on a machine with defaults and on one with other values"
            )


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(name, marks=[pytest.mark.long] if name in ELSEWHERE else []) for name in scenarios.ON_BARE_MACHINES],
)
def test_scenario(scenario: str, image: None, show: Callable[[str], None]) -> None:
    before = idle_volumes()
    scenarios.play(scenario, show, image_made=True)
    assert leftovers(scenario) == []
    assert idle_volumes() - before == set()


def test_shared_files_belong_to_no_scenario() -> None:
    assert files("molecule/shared*/molecule.yml") == []
    assert load_yaml(ROOT / ".config/molecule/config.yml")["prerun"] is False
