"""Molecule's scenarios, run from the first action to the last: those of bare machines, and those that act on the running lab."""

from __future__ import annotations

import re
from collections.abc import Callable

from support.helpers import ROOT, Result, run
from support.running_lab import recap

# One file says what all scenarios on the lab have in common; each links to it
LAB_FILE = ROOT / "molecule/shared_lab/base.yml"
ALL = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml") if path.parent.name != "default")
ON_THE_LAB = [name for name in ALL if (ROOT / "molecule" / name / "molecule.yml").resolve() == LAB_FILE]
ON_BARE_MACHINES = [name for name in ALL if name not in ON_THE_LAB]
ACTION = re.compile(r"^INFO +\[\S+ > (\w+)\] Executing$", re.MULTILINE)


def recaps(output: str) -> dict[str, dict[str, int]]:
    """For each of Molecule's actions: sums of the hosts' `ok`, `changed`, `failed` ... as Ansible's recap has them."""
    parts = ACTION.split(output)
    return {action: recap(text) for action, text in zip(parts[1::2], parts[2::2], strict=True)}


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
    sums = recaps(result.output)
    assert {"prepare", "check", "converge", "idempotence", "verify", "destroy"} <= set(sums)
    if silent:
        assert sums["check"]["changed"] == 0, f"it does say something in check mode:\n{result.output}"
    else:
        assert sums["check"]["changed"] > 0, (
            f"check mode said that nothing would change where there is nothing:\n{result.output}"
        )
    assert sums["converge"]["changed"] > 0
    assert sums["converge"]["changed"] >= sums["check"]["changed"], "check mode announced what did not come"
    assert sums["idempotence"]["changed"] == 0
    return result
