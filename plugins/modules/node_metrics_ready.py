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
  - Figures of an edge come through its tunnel to cloudcore, which KubeEdge 1.23.1 may leave dead when the API server was down. After a minute without
    figures the connection of an edge is ended on this host, so that the edge opens another. That needs C(become) and C(ss); without these it is left.
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
    description: There is nothing to show.
  idempotent:
    support: full
    description: Where all nodes have figures nothing is done.
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
reopened:
  description: Edges whose tunnel to cloudcore was ended so that they open another. The module has changed something when there are some.
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

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.command import runner
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, WAIT, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import Outcome, done, pending, wait
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import Figures, figures
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.tunnels import Tunnels, addresses


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    kubectl = for_module(module, options["kubeconfig"])

    if module.check_mode:
        try:
            now = figures(kubectl, options["nodes"])
        except Transient as error:
            now = Figures({}, options["nodes"], error.message)
        return {"changed": False, "nodes": now.of, "missing": now.missing, "reason": now.reason, "reopened": []}
    tunnels = Tunnels(runner(module))
    reopened: set[str] = set()

    def look() -> Outcome:
        now = figures(kubectl, options["nodes"])
        known = addresses(now.nodes.values())
        reopened.update(tunnels.reopen({name: known[name] for name in now.edges if name in known}))
        return pending(now.reason) if now.missing else done(now.of)

    what = "figures of the nodes in the metrics API (metrics-server)"
    found = wait(look, options["wait_timeout"], options["wait_sleep"], what)
    return {"changed": bool(reopened), "nodes": found, "missing": [], "reason": "", "reopened": sorted(reopened)}


def main() -> None:
    run_module(work, argument_spec={"nodes": {"type": "list", "elements": "str", "default": []}, **KUBECONFIG, **WAIT})


if __name__ == "__main__":
    main()
