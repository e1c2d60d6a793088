"""Molecule's scenarios: each role on bare machines, from check mode on a host that has nothing to the answer to a wrong value."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable

import pytest

from helpers import ROOT, files, load_yaml, run

SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml") if path.parent.name != "default")
# Roles that need a cluster, or that make the machines and programs of the lab: tests/e2e shows them at work
ON_THE_LAB = {
    "autoscaler", "cloudcore", "control_plane", "edgecore", "edgefl", "experiment", "federation", "lab_artifacts", "lab_nodes", "metrics_server", "results",
}  # fmt: skip
ACTION = re.compile(r"^INFO +\[\S+ > (\w+)\] Executing$", re.MULTILINE)


def recaps(output: str) -> dict[str, dict[str, int]]:
    """For each of Molecule's actions: sums of the hosts' `ok`, `changed`, `failed` ... as Ansible's recap has them."""
    parts = ACTION.split(output)
    found: dict[str, dict[str, int]] = {}
    for action, text in zip(parts[1::2], parts[2::2], strict=True):
        sums: dict[str, int] = {}
        for name, count in re.findall(
            r"\b(ok|changed|unreachable|failed|skipped)=(\d+)", text.partition("PLAY RECAP")[2]
        ):
            sums[name] = sums.get(name, 0) + int(count)
        found[action] = sums
    return found


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


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    """An engine that runs must answer this user, as Ansible's docker connection asks it; the first scenario starts one that does not run."""
    if shutil.which("docker") is None:
        return
    answer = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    assert "permission denied" not in answer.stderr, (
        f"Molecule's tests need an engine that answers this user: run them as root, or join the group docker. {answer.stderr}"
    )


def test_every_role_has_scenarios() -> None:
    for role in sorted(path.name for path in (ROOT / "roles").iterdir() if path.name not in ON_THE_LAB):
        assert {role, f"{role}_alternative"} <= set(SCENARIOS), f"write molecule/{role} and molecule/{role}_alternative"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, show: Callable[[str], None]) -> None:
    before = idle_volumes()
    verify = (ROOT / "molecule" / scenario / "verify.yml").read_text()
    assert "shared/tasks/refuse.yml" in verify, (
        f"molecule/{scenario}/verify.yml: give the role a wrong value, too (../shared/tasks/refuse.yml)"
    )

    def progress(line: str) -> None:
        if found := ACTION.match(line):
            show(f"\n  {scenario}: {found[1]}")

    env = {"MOLECULE_GLOB": "molecule/*/molecule.yml", "MOLECULE_COMMAND_BORDERS": "false"}
    result = run("molecule", "test", "--scenario-name", scenario, env=env, show=progress, timeout=1200).ok()
    sums = recaps(result.output)
    assert {"prepare", "check", "converge", "idempotence", "verify", "destroy"} <= set(sums)
    assert sums["check"]["changed"] > 0, f"check mode said that nothing would change on a bare host:\n{result.output}"
    assert sums["converge"]["changed"] >= sums["check"]["changed"], "check mode announced what did not come"
    assert sums["idempotence"]["changed"] == 0
    assert leftovers(scenario) == []
    assert idle_volumes() - before == set()


def test_shared_files_belong_to_no_scenario() -> None:
    assert files("molecule/shared/molecule.yml") == []
    assert load_yaml(ROOT / ".config/molecule/config.yml")["prerun"] is False
