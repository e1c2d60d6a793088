#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_telemetry_info
short_description: Read what was recorded of the cluster during a run
version_added: "1.0.0"
description:
  - Waits until M(edgefl.kubeedge.cluster_telemetry) has ended, and gives what it recorded as M(edgefl.kubeedge.results_write) takes it.
  - Each decision of an autoscaler is explained in a sentence.
  - That something, or all of it, was not recorded is a warning, and no failure. It fails when the file can't be read.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.node
  - edgefl.kubeedge.only_reads
options:
  run:
    description: Name of the run.
    type: str
    required: true
  telemetry_dir:
    description: Folder on the host with the telemetry, as given to M(edgefl.kubeedge.cluster_telemetry).
    type: path
    default: /var/lib/edgefl/telemetry
  wait_timeout:
    description: Most seconds to wait for the end of the recording; after them, what is there is given, with a warning.
    type: float
    default: 15.0
"""

EXAMPLES = r"""
- name: Read what was recorded
  edgefl.kubeedge.cluster_telemetry_info:
    run: "20300101-120000"
  register: recorded
"""

RETURN = r"""
telemetry:
  description: Use of nodes and pods, replicas, autoscalers and events over time; the O(edgefl.kubeedge.results_write#module:telemetry).
  returned: success
  type: list
  elements: dict
details:
  description: C(limits), C(capacity), C(versions) and C(scalings); a part of O(edgefl.kubeedge.results_write#module:details).
  returned: success
  type: dict
recorder:
  description: >-
    What recording took: C(snapshots), C(lines), C(seconds), C(cpu_seconds), and C(share), its part of a core; with C(time) and C(kind) as each record has
    them. Empty when it did not come to its end.
  returned: success
  type: dict
problems:
  description: What could not be recorded, and why; each is a warning, too.
  returned: success
  type: list
  elements: str
text:
  description: The records as they were written, a JSON object a line; empty when nothing was recorded.
  returned: success
  type: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.run_name import check_run
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry import recorder, records


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    found = records.read(Path(options["telemetry_dir"]), check_run(options["run"]), options["wait_timeout"])
    for text in found["problems"]:
        module.warn(text)
    return {"changed": False, **found}


def main() -> None:
    run_module(
        work,
        argument_spec={
            "run": {"type": "str", "required": True},
            "telemetry_dir": {"type": "path", "default": recorder.FOLDER},
            "wait_timeout": {"type": "float", "default": 15.0},
        },
    )


if __name__ == "__main__":
    main()
