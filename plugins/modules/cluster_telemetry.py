#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_telemetry
short_description: Record what the cluster does during a run
version_added: "1.0.0"
description:
  - Records CPU and memory of nodes and pods, phases, restarts, requests and limits of pods, replicas, the state of HorizontalPodAutoscalers and
    VerticalPodAutoscalers, what each node can give to pods, and events, as a JSON object a line; only what has changed.
  - Does so in the background, every O(interval) seconds until O(after) seconds have passed since the run ended, since no workload of the
    namespace belonged to it any more, or until O(timeout). M(edgefl.kubeedge.cluster_telemetry_info) waits for that, and gives what was recorded.
  - Returns at once. What fails after that, such as a kubeconfig without a client certificate or token, is among the problems that
    M(edgefl.kubeedge.cluster_telemetry_info) gives.
  - One recorder writes for a run; another that is begun meanwhile ends without a word.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.kubernetes.namespace
  - edgefl.kubeedge.node
requirements:
  - A kubeconfig with an C(https) server and its authority, whose user has a client certificate or a token in it; C(exec) plugins are not called.
attributes:
  check_mode:
    support: full
    description: Records nothing; RV(begun) is V(false).
  diff_mode:
    support: none
    description: Writes nothing but its own records.
  idempotent:
    support: full
    description: RV(ignore:changed) is always V(false). A run that has ended, or is being recorded, is not recorded again.
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
    description: Folder on the host for the records, C(RUN.jsonl), and the newest figures of each node, C(RUN.now.json). It is made when it is missing.
    type: path
    default: /var/lib/edgefl/telemetry
  interval:
    description: Seconds between two snapshots. metrics-server has new figures of CPU and memory about every 15 seconds.
    type: float
    default: 5.0
  after:
    description: Seconds for which recording goes on after the run has ended.
    type: float
    default: 0.0
  timeout:
    description: Seconds after which recording ends in any case.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Record what the cluster does during the run
  edgefl.kubeedge.cluster_telemetry:
    run: "20300101-120000"
"""

RETURN = r"""
begun:
  description: Whether a recorder was started. V(false) in check mode, and for a run that has ended.
  returned: success
  type: bool
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.command import runner
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.job import detach
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, NAMESPACE, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import events
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.run_name import check_run
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.api import ClusterApi
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.tunnels import Tunnels
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry import recorder


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    rounds = Path(options["state_dir"]) / check_run(options["run"]) / events.FILE
    kubectl = for_module(module, options["kubeconfig"])
    begun = not (module.check_mode or recorder.ended(rounds))
    if begun:
        schedule = recorder.Schedule(options["interval"], options["timeout"], options["after"])
        detach(
            lambda: recorder.record(
                lambda: ClusterApi(json.loads(kubectl.call(recorder.CONFIG))).get,
                Path(options["telemetry_dir"]),
                options["run"],
                options["namespace"],
                schedule,
                lambda: recorder.ended(rounds),
                Tunnels(runner(module)),
            )
        )
    return {"changed": False, "begun": begun}


def main() -> None:
    run_module(
        work,
        argument_spec={
            "run": {"type": "str", "required": True},
            "state_dir": {"type": "path", "default": "/var/lib/edgefl/state"},
            "telemetry_dir": {"type": "path", "default": recorder.FOLDER},
            "interval": {"type": "float", "default": 5.0},
            "after": {"type": "float", "default": 0.0},
            "timeout": {"type": "int", "default": 3600},
            **KUBECONFIG,
            **NAMESPACE,
        },
    )


if __name__ == "__main__":
    main()
