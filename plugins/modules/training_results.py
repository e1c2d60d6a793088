#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: training_results
short_description: Follow a training and read its results
version_added: "1.0.0"
description:
  - Reads what the aggregator wrote on the cloud node, one JSON object for each round.
  - With O(wait) it shows each round as it comes, until the run is done, and fails early when the run failed or a pod can't ever start.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.kubernetes.namespace
  - edgefl.kubeedge.node
attributes:
  check_mode:
    support: full
    description: Only reads.
  diff_mode:
    support: none
    description: Changes nothing.
  idempotent:
    support: full
    description: A run that is done is returned at once; its rounds are shown when it ended within the last minute.
options:
  state_dir:
    description: Folder on the host in which the aggregator keeps a folder for each run.
    type: path
    default: /var/lib/edgefl/state
  run:
    description: Name of the run.
    type: str
    required: true
  telemetry_dir:
    description: Folder on the host in which M(edgefl.kubeedge.cluster_telemetry) keeps what it notes.
    type: path
    default: /var/lib/edgefl/telemetry
  status_url:
    description: Address of the aggregator's status endpoint, as it is reached from the host.
    type: str
    default: http://127.0.0.1:8889
  selector:
    description: Labels of the pods that are looked at.
    type: str
    default: app.kubernetes.io/part-of=edgefl
  wait:
    description: Whether to wait until the run is done, and to show its rounds.
    type: bool
    default: false
  wait_timeout:
    description: Seconds until it fails when O(wait) is true.
    type: int
    default: 3600
  wait_sleep:
    description: Seconds between two reads when O(wait) is true. A read stays on the host for some seconds when there is nothing new.
    type: float
    default: 0.2
  offset:
    description:
      - Bytes that were read before; only what follows is returned.
      - When the file does not begin with what was read (O(sha256)), because the aggregator went back to an earlier round, all of it is returned.
    type: int
    default: 0
  sha256:
    description: Checksum of the first O(offset) bytes.
    type: str
    default: ""
  linger:
    description: Seconds that one read stays on the host for something new, so that it is seen at once.
    type: float
    default: 0.0
  pods:
    description: Whether the pods are looked at.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Show the rounds until the training is done
  edgefl.kubeedge.training_results:
    run: "20300101-120000"
    wait: true
  register: training

- name: Look once
  edgefl.kubeedge.training_results:
    run: "20300101-120000"
"""

RETURN = r"""
events:
  description: The lines from O(offset) on, parsed; with O(wait) all of them.
  returned: always
  type: list
  elements: dict
state:
  description: V(waiting) for clients, V(training), V(done) or V(failed).
  returned: always
  type: str
reason:
  description: What it waits for, or why it failed; empty when neither.
  returned: always
  type: str
status:
  description: What the aggregator says of itself, its C(/status); empty when it does not answer.
  returned: always
  type: dict
problems:
  description: >-
    Pods that are not ready, with C(pod), C(node), C(reason), C(message), C(restarts), C(terminal) (it will not pass by
    itself), C(text) (all of it in words) and C(log) (the last lines of its log when terminal).
  returned: always
  type: list
  elements: dict
now:
  description: What was noted last of each node, C(wanted) and C(ready) pods, C(cpu_cores) and C(memory_bytes) of its clients; empty when nothing was.
  returned: always
  type: dict
offset:
  description: Bytes of the file that were read.
  returned: always
  type: int
sha256:
  description: Checksum of these bytes.
  returned: always
  type: str
reset:
  description: Whether RV(events) begins again at the first line.
  returned: always
  type: bool
age:
  description: Seconds since the last line was written; null when there is none.
  returned: always
  type: float
summary:
  description: Figures of the run, of each loop and of each node.
  returned: with O(wait)
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, NAMESPACE, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.reader import Reader
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.status import fetcher
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    fetch = fetcher(options["status_url"], timeout=2)
    reader = Reader(Path(options["state_dir"]), options["run"], fetch, Path(options["telemetry_dir"]))
    kubectl = for_module(module, options["kubeconfig"]) if options["pods"] else None
    found = reader.read(
        options["offset"], options["sha256"], options["linger"], kubectl, options["namespace"], options["selector"]
    )
    return {"changed": False, **found}


def main() -> None:
    run_module(
        work,
        argument_spec={
            "state_dir": {"type": "path", "default": "/var/lib/edgefl/state"},
            "run": {"type": "str", "required": True},
            "telemetry_dir": {"type": "path", "default": "/var/lib/edgefl/telemetry"},
            "status_url": {"type": "str", "default": "http://127.0.0.1:8889"},
            "selector": {"type": "str", "default": "app.kubernetes.io/part-of=edgefl"},
            "wait": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 3600},
            "wait_sleep": {"type": "float", "default": 0.2},
            "offset": {"type": "int", "default": 0},
            "sha256": {"type": "str", "default": ""},
            "linger": {"type": "float", "default": 0.0},
            "pods": {"type": "bool", "default": True},
            **KUBECONFIG,
            **NAMESPACE,
        },
    )


if __name__ == "__main__":
    main()
