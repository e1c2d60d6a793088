#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_metrics_ready
short_description: Wait until every node has figures in the metrics API
version_added: "1.0.0"
description:
  - Waits until the API C(metrics.k8s.io), which C(kubectl top) and autoscalers read, has CPU and memory of every node.
  - The figures themselves are asked for. The condition C(Available) of the APIService is no proof of them, and is not looked at.
author:
  - edgefl developers (@edgefl)
requirements:
  - The C(kubectl) command on the host.
attributes:
  check_mode:
    support: full
    description: Looks once and does not wait, as what it would wait for may not be installed in check mode. Figures that are missing are no failure then.
  diff_mode:
    support: none
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
options:
  kubeconfig:
    description: Kubeconfig on the host, with the right to read nodes and their metrics.
    type: path
    default: /etc/kubernetes/admin.conf
  nodes:
    description: Names of the nodes that need figures; all nodes of the cluster when empty.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds until it fails.
    type: int
    default: 180
  wait_sleep:
    description: Seconds between two looks.
    type: int
    default: 2
"""

EXAMPLES = r"""
- name: Wait for the figures of all nodes
  edgefl.kubeedge.node_metrics_ready:

- name: Wait for two nodes
  edgefl.kubeedge.node_metrics_ready:
    nodes: [cloud, edge1]
    wait_timeout: 300
"""

RETURN = r"""
nodes:
  description: Use of each node, C(cpu) in thousandths of a CPU and C(memory) in bytes, by name.
  returned: success
  type: dict
  sample:
    edge1:
      cpu: 32
      memory: 214958080
missing:
  description: Nodes without figures; always empty outside check mode.
  returned: success
  type: list
  elements: str
reason:
  description: What was missing in the end.
  returned: failure after waiting
  type: str
elapsed:
  description: Seconds that were waited.
  returned: failure after waiting
  type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import done, pending, wait
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import figures


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "wait_timeout": {"type": "int", "default": 180},
            "wait_sleep": {"type": "int", "default": 2},
        },
        supports_check_mode=True,
    )
    options = module.params
    kubectl = for_module(module, options["kubeconfig"])

    def look() -> Any:
        found, missing, reason = figures(kubectl, options["nodes"])
        return pending(reason) if missing else done(found)

    try:
        if module.check_mode:
            try:
                found, missing, _reason = figures(kubectl, options["nodes"])
            except Transient:
                found, missing = {}, options["nodes"]
            module.exit_json(changed=False, nodes=found, missing=missing)
        found = wait(
            look,
            options["wait_timeout"],
            options["wait_sleep"],
            "figures of the nodes in the metrics API (metrics-server)",
        )
    except EdgeflError as error:
        module.fail_json(msg=error.message, **error.result)
    module.exit_json(changed=False, nodes=found, missing=[])


if __name__ == "__main__":
    main()
