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
  - With O(wait) it shows each round as it comes, until the run is done. It fails early when the run failed, or when training waits for a pod that can't
    start; while SSH to the host is gone it goes on trying.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.kubernetes.namespace
  - edgefl.kubeedge.node
attributes:
  check_mode:
    support: full
    description: Only reads. Else it may annotate pods that are missed (RV(told_anew)).
  diff_mode:
    support: none
    description: Changes nothing of the training.
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
    description: Folder on the host in which M(edgefl.kubeedge.cluster_telemetry) keeps its records; the newest figures are shown with the rounds.
    type: path
    default: /var/lib/edgefl/telemetry
  telemetry:
    description:
      - Options of M(edgefl.kubeedge.cluster_telemetry), such as C(interval), with which it is begun again where no new snapshot has come for 30 seconds
        and three intervals, since a recorder ends when its host restarts. Those that both modules have are taken from here. Nothing is begun when it is empty.
      - Only used with O(wait).
    type: dict
    default: {}
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
    description: Seconds between two reads when O(wait) is true. A read stays on the host for up to 4 seconds when there is nothing new.
    type: float
    default: 0.2
  offset:
    description:
      - Bytes that were read before; only what follows is returned. Not used with O(wait).
      - When the file does not begin with what was read (O(sha256)), because the aggregator went back to an earlier round, all of it is returned.
    type: int
    default: 0
  sha256:
    description: Checksum of the first O(offset) bytes. Not used with O(wait).
    type: str
    default: ""
  linger:
    description: Seconds that one read stays on the host for something new, so that it is seen at once. Not used with O(wait).
    type: float
    default: 0.0
  pods:
    description: Whether the pods are looked at, which needs C(kubectl). Not used with O(wait), which looks at them when no round comes.
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
  returned: success, and when it fails while it waits
  type: list
  elements: dict
state:
  description: V(waiting) for the aggregator or its clients, V(training), V(done) or V(failed).
  returned: success, and when it fails while it waits
  type: str
reason:
  description: What the run waits for, or why it failed; empty when neither.
  returned: success, and when it fails while it waits
  type: str
status:
  description: What the aggregator says of itself, its C(/status); empty when it does not answer.
  returned: success, and when it fails while it waits
  type: dict
problems:
  description: >-
    Pods that are not ready, with C(pod), C(node), C(reason), C(message), C(restarts), C(terminal) (it will not pass by
    itself), C(text) (all of it in words) and C(log) (the last lines of its log when terminal, else empty).
    Empty when the run is done, when the API server does not answer, and with O(pods=false).
  returned: success, and when it fails while it waits
  type: list
  elements: dict
evicted:
  description: Of each pod that the kubelet ended to spare its node, in words, why it did. Empty as RV(problems) is.
  returned: success
  type: list
  elements: str
told_anew:
  description: >-
    In words, clients' pods that the cluster has shown as ready for a minute and that are not connected, or as not ready while they are. KubeEdge's edges may
    forget a pod when the API server is down at the wrong moment; they were told of these anew, by an annotation of the pod, also when the run is
    done. Empty when the API server does not answer, with O(pods=false), and in check mode.
  returned: success
  type: list
  elements: str
now:
  description: >-
    The newest telemetry: C(time), and C(nodes), by node C(wanted) and C(ready) pods, and C(cpu_cores) and C(memory_bytes) of its clients where they were
    measured. Empty when nothing was recorded.
  returned: success
  type: dict
offset:
  description: Bytes of the file that were read; a line that is not written to its end is left for later.
  returned: success
  type: int
sha256:
  description: Checksum of these bytes.
  returned: success
  type: str
reset:
  description: Whether RV(events) begins again at the first line, as the file does not begin with what was read before.
  returned: success
  type: bool
age:
  description: Seconds since the last line was written, by the host's clock; V(null) when there is none.
  returned: success
  type: float
summary:
  description: Figures of the run, of each loop and of each node, as in C(summary.json).
  returned: success with O(wait)
  type: dict
elapsed:
  description: Seconds that it waited.
  returned: when it fails while it waits
  type: float
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, NAMESPACE, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.reader import Reader
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.status import fetcher
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry import recorder


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    fetch = fetcher(options["status_url"], timeout=2)
    folders = Path(options["state_dir"]), Path(options["telemetry_dir"])
    reader = Reader(folders[0], options["run"], fetch, folders[1], check_mode=module.check_mode)
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
            "telemetry_dir": {"type": "path", "default": recorder.FOLDER},
            "telemetry": {"type": "dict", "default": {}},
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
