#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: experiment_plan
short_description: Name the runs of an experiment, and tell which are done
version_added: "1.0.0"
description:
  - Checks an experiment, the same training under several settings, and gives its runs in the order in which they are to be done.
  - What was begun with other values is refused, as its runs could not be compared with the new ones.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.only_reads
options:
  name:
    description: Name of the experiment.
    type: str
    required: true
  settings:
    description: The settings that are compared.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the setting.
        type: str
        required: true
      variables:
        description: Variables that it gives to the roles of the training.
        type: dict
        default: {}
  loops:
    description: How many runs of each setting.
    type: int
    default: 3
  pods:
    description: Whether pods are kept between runs, V(warm), or made anew, V(cold).
    type: str
    choices: [warm, cold]
    default: warm
  known:
    description: Variables that a setting can have.
    type: list
    elements: str
    required: true
  fixed:
    description: Variables that are the same for all runs.
    type: list
    elements: str
    default: []
  common:
    description: Values that all runs share, by host, so that they are the same when the experiment goes on.
    type: dict
    default: {}
  folder:
    description: Folder with the results of the runs.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Name the runs
  edgefl.kubeedge.experiment_plan:
    name: replicas
    settings:
      - {name: one, variables: {edgefl_replicas: 1}}
      - {name: three, variables: {edgefl_replicas: 3}}
    known: [edgefl_replicas]
    folder: results/experiments/replicas
  delegate_to: localhost
"""

RETURN = r"""
runs:
  description: Every run with C(run), C(setting), C(loop), C(variables) and C(done), in the order in which they are to be done.
  returned: success
  type: list
  elements: dict
begun:
  description: Whether the experiment was begun earlier.
  returned: success
  type: bool
about:
  description: What is to be kept in C(experiment.json), so that the experiment can go on.
  returned: success
  type: dict
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils import _experiment
from ansible_collections.edgefl.kubeedge.plugins.module_utils._errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._preflight import message


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "settings": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "variables": {"type": "dict", "default": {}},
                },
            },
            "loops": {"type": "int", "default": 3},
            "pods": {"type": "str", "choices": ["warm", "cold"], "default": "warm"},
            "known": {"type": "list", "elements": "str", "required": True},
            "fixed": {"type": "list", "elements": "str", "default": []},
            "common": {"type": "dict", "default": {}},
            "folder": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    options = module.params
    name, settings, folder = options["name"], options["settings"], Path(options["folder"])
    found = _experiment.problems(name, settings, options["loops"], options["known"], options["fixed"])
    if found:
        module.fail_json(msg=message(found))
    about = {"name": name, "pods": options["pods"], "settings": settings, "common": options["common"]}
    try:
        begun = _experiment.same(about, folder / "experiment.json")
        runs = _experiment.plan(name, settings, options["loops"], folder)
        about = _experiment.merged(about, folder / "experiment.json")
    except EdgeflError as error:
        module.fail_json(msg=error.message, **error.result)
    module.exit_json(changed=False, runs=runs, begun=begun, about=about)


if __name__ == "__main__":
    main()
