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
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.node
  - edgefl.kubeedge.wait
attributes:
  check_mode:
    support: full
    description: >-
      Looks once and does not wait, as what it would wait for may not be installed in check mode. Figures that are missing are no failure then,
      nor is an API server that does not answer; what can never be, such as the name of a node that the cluster does not have, is one.
  diff_mode:
    support: none
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
options:
  nodes:
    description: Names of the nodes that need figures; all nodes of the cluster when empty.
    type: list
    elements: str
    default: []
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
  description: >-
    Nodes without figures; always empty outside check mode. When the API server does not answer in check mode, the nodes of O(nodes) as given.
  returned: success
  type: list
  elements: str
reason:
  description: Why figures are missing; empty when none are.
  returned: success, or failure after waiting
  type: str
elapsed:
  description: Seconds that were waited.
  returned: failure after waiting
  type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, WAIT, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import Outcome, done, pending, wait
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import figures


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    kubectl = for_module(module, options["kubeconfig"])

    def look() -> Outcome:
        found, missing, reason = figures(kubectl, options["nodes"])
        return pending(reason) if missing else done(found)

    if module.check_mode:
        try:
            found, missing, reason = figures(kubectl, options["nodes"])
        except Transient as error:
            found, missing, reason = {}, options["nodes"], error.message
        return {"changed": False, "nodes": found, "missing": missing, "reason": reason}
    what = "figures of the nodes in the metrics API (metrics-server)"
    found = wait(look, options["wait_timeout"], options["wait_sleep"], what)
    return {"changed": False, "nodes": found, "missing": [], "reason": ""}


def main() -> None:
    run_module(work, argument_spec={"nodes": {"type": "list", "elements": "str", "default": []}, **KUBECONFIG, **WAIT})


if __name__ == "__main__":
    main()
