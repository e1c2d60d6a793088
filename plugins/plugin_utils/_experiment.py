# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the runs of an experiment, in which order, and which of them are done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.preflight import near

SUMMARY = "summary.json"
# Part of a run's name, and told apart from the rest of it by a dash
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?")


def problems(
    name: str, settings: list[dict[str, Any]], loops: int, known: Iterable[str], fixed: Iterable[str]
) -> list[str]:
    """What is wrong with an experiment: sentences that say what to change.

    `known` are variables that a setting may have, `fixed` those that are the same for all runs.
    """
    known, fixed = list(known), list(fixed)
    found = []
    if not NAME.fullmatch(name):
        found.append(
            f"experiment_name is {name!r}: use up to 40 small letters, digits, `.` and `-`; begin and end with a letter or digit."
        )
    if loops < 1:
        found.append(f"experiment_loops is {loops}: at least 1 is needed.")
    if not settings:
        found.append(
            "experiment_settings is empty: give at least one setting, like {name: hpa, variables: {edgefl_autoscale: hpa}}."
        )
    names = [setting["name"] for setting in settings]
    for twice in sorted({each for each in names if names.count(each) > 1}):
        found.append(f"Two settings have the name {twice}: give each its own.")
    for setting in settings:
        what = f"Setting {setting['name']}"
        if not NAME.fullmatch(setting["name"]):
            found.append(f"{what}: use up to 40 small letters, digits, `.` and `-` for its name.")
        for variable in setting["variables"]:
            if variable in fixed:
                found.append(f"{what}: {variable} is the same for all runs, so that no setting can have it.")
            elif variable not in known:
                found.append(
                    f"{what}: there is no variable {variable} that a setting can have.{near(variable, known)} "
                    "See the READMEs of the roles edgefl, federation, autoscaler and results."
                )
    return found


def plan(name: str, settings: list[dict[str, Any]], loops: int, folder: Path) -> list[dict[str, Any]]:
    """Every run, the settings one after the other in each loop: C(run), C(setting), C(loop), C(variables), C(done).

    So a machine that gets slower meets all settings alike. A run is done when its results in `folder` say so.
    """
    found = []
    for loop in range(1, loops + 1):
        for setting in settings:
            run = f"experiment-{name}-{setting['name']}-{loop}"
            found.append(
                {
                    "run": run,
                    "setting": setting["name"],
                    "loop": loop,
                    "variables": setting["variables"],
                    "done": _done(folder / run / SUMMARY),
                }
            )
    return found


def _done(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text())["state"] == "done")
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EdgeflError(f"{path} can't be read ({error}): remove its folder, and the run is done again.") from error


def was_begun(about: Mapping[str, Any], path: Path) -> bool:
    """Whether this experiment was begun already, with what `about` says.

    More loops and further settings are the same experiment. Raises EdgeflError when it was begun with something else.
    """
    try:
        before = json.loads(path.read_text())
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise EdgeflError(f"{path} can't be read ({error}): choose another experiment_name.") from error
    now = {each["name"]: each["variables"] for each in about["settings"]}
    then = {each["name"]: each["variables"] for each in before["settings"]}
    differing = [f"setting {name}" for name in then if name in now and then[name] != now[name]]
    differing += [f"experiment_{key}" for key in ("pods",) if before[key] != about[key]]
    differing += sorted(
        f"{variable} of {host}"
        for host in {*before["common"], *about["common"]}
        for variable in {*before["common"].get(host, {}), *about["common"].get(host, {})}
        if before["common"].get(host, {}).get(variable) != about["common"].get(host, {}).get(variable)
    )
    if differing:
        raise EdgeflError(
            f"This experiment was begun with other values ({', '.join(differing)}), and its runs could not be compared: "
            f"choose another experiment_name, or remove {path.parent}."
        )
    return True


def with_earlier_settings(about: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What is kept of an experiment: `about`, and after its settings those that were there before and are not given now."""
    try:
        before = json.loads(path.read_text())["settings"]
    except FileNotFoundError:
        before = []
    names = [each["name"] for each in about["settings"]]
    return {**about, "settings": [*about["settings"], *(each for each in before if each["name"] not in names)]}


def common(
    hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]], names: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Host -> those of some variables that the inventory, or -e, gives to it: the same for all runs.

    :param variables: host -> its variables (C(hostvars))
    """
    names = sorted(names)
    return {host: {name: variables[host][name] for name in names if name in variables[host]} for host in hosts}


def tasks(runs: list[dict[str, Any]], folder: str, cold: bool) -> list[dict[str, Any]]:
    """The runs as tasks of Ansible that include the role's file C(experiment_step) with a setting's variables: those of a task hold for all that it
    includes, and for nothing else.

    :param folder: of the experiment's results
    :param cold: whether each run gets new pods
    """
    return [
        {
            "name": f"{each['run']} ({number} of {len(runs)})",
            "ansible.builtin.include_role": {
                "name": "edgefl.kubeedge.experiment",
                "tasks_from": "{{ __experiment_step }}",
            },
            "vars": {
                **each["variables"],
                "__experiment_run": {"setting": each["setting"], "loop": each["loop"]},
                "edgefl_run": each["run"],
                "edgefl_results_dir": folder,
                "federation_fresh_pods": cold,
            },
            "when": f"{json.dumps(each['run'])} not in __experiment_done",
        }
        for number, each in enumerate(runs, 1)
    ]


def compared(runs: Iterable[Mapping[str, Any]], settings: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each setting with the names of its runs, as M(edgefl.kubeedge.results_write) takes them."""
    runs = list(runs)
    return [
        {"name": each["name"], "runs": [run["run"] for run in runs if run["setting"] == each["name"]]}
        for each in settings
    ]
