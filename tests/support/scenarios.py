"""Molecule's scenarios, run from the first action to the last: those of bare machines, and those that act on the running lab."""

from __future__ import annotations

import re
from collections.abc import Callable

from support.helpers import ROOT, Result, run

# One file says what all scenarios on the lab have in common; each links to it
LAB_FILE = ROOT / "molecule/shared_lab/base.yml"
ALL = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml") if path.parent.name != "default")
ON_THE_LAB = [name for name in ALL if (ROOT / "molecule" / name / "molecule.yml").resolve() == LAB_FILE]
ON_BARE_MACHINES = [name for name in ALL if name not in ON_THE_LAB]
ACTION = re.compile(r"^INFO +\[\S+ > (\w+)\] Executing$", re.MULTILINE)
CHANGED = re.compile(r"^(\S+) +: ok=\d+ +changed=(\d+)", re.MULTILINE)


def changes(output: str) -> dict[str, dict[str, int]]:
    """For each of Molecule's actions: how many tasks changed each host, as Ansible's recap has them."""
    parts = ACTION.split(output)
    return {
        action: {host: int(count) for host, count in CHANGED.findall(text)}
        for action, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def play(scenario: str, show: Callable[[str], None], silent: bool = False, image_made: bool = False) -> Result:
    """
    Runs a scenario, from check mode where the role has everything to do to the answer to a wrong value; fails the test where it does not keep
    to the rules.

    :param show: called with each action as it begins
    :param silent: the role says nothing in check mode, by design
    :param image_made: molecule/shared/image.yml was played, which is then not done again
    """
    verify = (ROOT / "molecule" / scenario / "verify.yml").read_text()
    assert "shared/tasks/refuse.yml" in verify, (
        f"molecule/{scenario}/verify.yml: give the role a wrong value, too (../shared/tasks/refuse.yml)"
    )

    def progress(line: str) -> None:
        if found := ACTION.match(line):
            show(f"\n  {scenario}: {found[1]}")

    env = {"MOLECULE_GLOB": "molecule/*/molecule.yml", "MOLECULE_COMMAND_BORDERS": "false"}
    env["EDGEFL_MACHINE_IMAGE"] = "made" if image_made else ""
    result = run("molecule", "test", "--scenario-name", scenario, env=env, show=progress, timeout=1200).ok()
    changed = changes(result.output)
    assert {"prepare", "check", "converge", "idempotence", "verify", "destroy"} <= set(changed)
    check, converge = changed["check"], changed["converge"]
    # A bare machine has nothing yet; of the lab's nodes the role may concern some
    some = all if scenario in ON_BARE_MACHINES else any
    assert check.keys() == converge.keys() == changed["idempotence"].keys() != set()
    if silent:
        assert not any(check.values()), f"it does say something in check mode:\n{result.output}"
    else:
        assert some(check.values()), (
            f"check mode said that nothing would change where there is nothing ({check}):\n{result.output}"
        )
    assert some(converge.values()), f"a host was left as it was ({converge}):\n{result.output}"
    assert sum(converge.values()) >= sum(check.values()), "check mode announced what did not come"
    assert not any(changed["idempotence"].values())
    return result
