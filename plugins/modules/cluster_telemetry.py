#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_telemetry
short_description: Note what the cluster does during a run
version_added: "1.0.0"
description:
  - Notes, every few seconds until the run has ended or its aggregator is gone, CPU and memory of nodes and pods, phases and restarts of
    pods, replicas, the state of autoscalers, and events; only what has changed.
  - Does so in the background, and returns at once. M(edgefl.kubeedge.cluster_telemetry_info) waits for its end, and gives what was noted.
  - Where the run is noted already, nothing is begun.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.kubernetes.namespace
  - edgefl.kubeedge.node
requirements:
  - A kubeconfig whose user has a client certificate or a token.
attributes:
  check_mode:
    support: full
    description: Notes nothing.
  diff_mode:
    support: none
    description: Changes nothing but its own notes.
  idempotent:
    support: full
    description: A run that has ended is not noted again.
options:
  run:
    description: Name of the run.
    type: str
    required: true
  state_dir:
    description: Folder on the host in which the aggregator keeps a folder for each run; what it writes there tells when the run has ended.
    type: path
    default: /var/lib/edgefl/state
  telemetry_dir:
    description: Folder on the host for the telemetry.
    type: path
    default: /var/lib/edgefl/telemetry
  interval:
    description: Seconds between two looks. Figures of CPU and memory are new about every 15 seconds.
    type: float
    default: 5.0
  after:
    description: Seconds for which it goes on after the run has ended.
    type: float
    default: 0.0
  timeout:
    description: Seconds after which it ends in any case.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Note what the cluster does during the run
  edgefl.kubeedge.cluster_telemetry:
    run: "20300101-120000"
"""

RETURN = r"""
begun:
  description: Whether it is noted from now on; not in check mode, nor for a run that has ended.
  returned: success
  type: bool
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.job import detach
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, NAMESPACE, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import events
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.reader import check_run
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.api import ClusterApi
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry import recorder


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    rounds = Path(options["state_dir"]) / check_run(options["run"]) / events.FILE
    kubectl = for_module(module, options["kubeconfig"])
    begun = not (module.check_mode or recorder.ended(rounds))
    if begun:
        detach(
            lambda: recorder.record(
                lambda: ClusterApi(json.loads(kubectl.call(recorder.CONFIG))).get,
                Path(options["telemetry_dir"]),
                options["run"],
                options["namespace"],
                options["interval"],
                lambda: recorder.ended(rounds),
                options["timeout"],
                options["after"],
            )
        )
    return {"changed": False, "begun": begun}


def main() -> None:
    run_module(
        work,
        argument_spec={
            "run": {"type": "str", "required": True},
            "state_dir": {"type": "path", "default": "/var/lib/edgefl/state"},
            "telemetry_dir": {"type": "path", "default": "/var/lib/edgefl/telemetry"},
            "interval": {"type": "float", "default": 5.0},
            "after": {"type": "float", "default": 0.0},
            "timeout": {"type": "int", "default": 3600},
            **KUBECONFIG,
            **NAMESPACE,
        },
    )


if __name__ == "__main__":
    main()
