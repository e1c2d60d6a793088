#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: model_fetch
short_description: Fetch the model of a run
version_added: "1.0.0"
description:
  - Brings the model that a run ended with, and the files that its app wrote, from the cloud node to C(RUN/model) in O(dest) on the controller.
  - The aggregator need not run any more; its folder of the run is enough. Only files that differ are transferred; each is compared with its SHA-256 and
    replaced in one step.
  - The aggregator's folder is written by the app. No link is followed in it, and nothing but files with plain names is taken.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.node
attributes:
  check_mode:
    support: full
    description: Says which files would be fetched or made.
  diff_mode:
    support: none
    description: RV(fetched) names what differed.
  idempotent:
    support: full
    description: Files that are there and the same are neither transferred nor made again.
options:
  state_dir:
    description: Folder on the host in which the aggregator keeps a folder for each run.
    type: path
    default: /var/lib/edgefl/state
  run:
    description: Name of the run. Empty for the one that wrote last.
    type: str
    default: ""
  dest:
    description: Folder on the controller that has a folder for each run.
    type: path
    required: true
  most_mb:
    description: Most MB that are fetched. Of files that do not fit in any more, RV(left_out) has the names.
    type: int
    default: 500
  image:
    description:
      - Client's image on the host, in which C(model.keras) and C(example.json) are made of the arrays. Empty to make none.
    type: str
    default: ""
  app:
    description: The app as that image knows it.
    type: str
    default: ""
  want:
    description: Used by the action plugin. Paths of the files that are packed.
    type: list
    elements: str
    default: []
  make:
    description: Used by the action plugin. Whether O(image) is used.
    type: bool
    default: false
  archive:
    description: Used by the action plugin. File on the host to pack the files into.
    type: path
"""

EXAMPLES = r"""
- name: Fetch the model of the last run
  edgefl.kubeedge.model_fetch:
    dest: results
  become: true
"""

RETURN = r"""
run:
  description: Name of the run.
  returned: success
  type: str
path:
  description: Folder with the model on the controller.
  returned: success
  type: str
about:
  description:
    - What C(model.json) says, V({}) when the app kept no model. C(app), C(run), C(loop), C(round), C(accuracy), C(file), C(sha256),
      C(arrays) with C(name), C(shape) and C(dtype) of each, C(keras) and C(example) where those were made.
  returned: success
  type: dict
fetched:
  description: Files that were transferred or made, or would be in check mode.
  returned: success
  type: list
  elements: str
files:
  description: C(path), C(size) and C(sha256) of each file on the host.
  returned: success
  type: list
  elements: dict
left_out:
  description: What is on the host and was not fetched, each with the reason, and why C(model.keras) was not made.
  returned: success
  type: list
  elements: str
text:
  description: How to load the model, in a few lines for people.
  returned: success
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import model


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    state_dir, most = Path(options["state_dir"]), options["most_mb"] * 1_000_000
    run = model.find_run(state_dir, options["run"])
    found: dict[str, Any] = {"changed": False, "run": run, "made": {}, "problem": ""}
    if not options["archive"]:
        return {**found, **model.listed(state_dir, run, most)}
    files: dict[str, bytes] = {}
    if options["make"]:
        try:
            found["made"], files = model.export(state_dir, run, options["image"], options["app"], most)
        except EdgeflError as error:
            found["problem"] = error.message
    with open(options["archive"], "wb") as archive:
        model.pack(archive, state_dir, run, options["want"], files)
    module.set_mode_if_different(options["archive"], "0644", False)
    return found


def main() -> None:
    run_module(
        work,
        argument_spec={
            "state_dir": {"type": "path", "default": "/var/lib/edgefl/state"},
            "run": {"type": "str", "default": ""},
            "dest": {"type": "path", "required": True},
            "most_mb": {"type": "int", "default": 500},
            "image": {"type": "str", "default": ""},
            "app": {"type": "str", "default": ""},
            "want": {"type": "list", "elements": "str", "default": []},
            "make": {"type": "bool", "default": False},
            "archive": {"type": "path"},
        },
    )


if __name__ == "__main__":
    main()
