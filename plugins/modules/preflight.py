#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Find what is wrong before anything is changed
version_added: "1.0.0"
description:
  - Runs on the cloud node and compares the settings of a training with the cluster.
  - Fails with all problems in one message; each says what to change.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.kubernetes.namespace
  - edgefl.kubeedge.node
  - edgefl.kubeedge.only_reads
options:
  cloud_node:
    description: Name of the node that the aggregator runs on.
    type: str
    required: true
  edges:
    description: What each edge contributes.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description: Name in the inventory.
        type: str
        required: true
      node:
        description: Name of its node in the cluster.
        type: str
        required: true
      name:
        description: Name of its workload.
        type: str
        required: true
      slice_start:
        description: First sample of its slice of the data.
        type: int
        required: true
      slice_stop:
        description: End of its slice, the first sample that is not in it.
        type: int
        required: true
      replicas:
        description: Number of its pods.
        type: int
        default: 1
      kind:
        description: Kind of its workload.
        type: str
        default: Deployment
      runtime:
        description: What runs its pods; V(auto) for what the node reports.
        type: str
        default: auto
      architecture:
        description: Architecture of its image; V(auto) for that of its node.
        type: str
        default: auto
      autoscale:
        description: Who scales its pods, V(none), V(hpa) or V(vpa).
        type: str
        default: none
      data:
        description: Its folder with data; empty when it trains on the image's.
        type: str
        default: ""
      node_config:
        description: What an app finds in its node_config, values by name.
        type: raw
        default: {}
      training:
        description: Values of O(training_options) that are its own.
        type: dict
        default: {}
      resources: &resources
        description: Requests and limits that replace the scaled ones (cpu_request, memory_request, cpu_limit, memory_limit, disk_limit).
        type: dict
        default: {}
      region:
        description: The region that it is in; empty for none.
        type: str
        default: ""
      region_node:
        description: Name of the node that the aggregator of its region is on.
        type: str
        default: ""
  server_port:
    description: Port of the aggregator for clients.
    type: int
    default: 8888
  status_port:
    description: Port of the aggregator for its status.
    type: int
    default: 8889
  samples:
    description: Number of samples that the data has for training.
    type: int
    default: 60000
  app_packages:
    description: Debian packages that the app needs; there are none for another architecture than that of O(cloud_node).
    type: list
    elements: str
    default: []
  app_shards:
    description: Whether the app divides a node's data among the node's pods.
    type: bool
    default: true
  training:
    description: Values of the training's variables.
    type: dict
    default: {}
  training_options:
    description: What the values of O(training) may be, as the filter P(edgefl.kubeedge.training_options#filter) gives it.
    type: list
    elements: dict
    default: []
  aggregator_resources: *resources
  run:
    description: Name that the training is to have; empty or V(new) for one that is made of the time.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Settings and cluster fit together
  edgefl.kubeedge.preflight:
    cloud_node: cloud
    edges:
      - {host: edge1, node: edge1, name: app-client-edge1, slice_start: 0, slice_stop: 10000}
      - {host: edge2, node: edge2, name: app-client-edge2, slice_start: 10000, slice_stop: 30000}
"""

RETURN = r"""
problems:
  description: What is wrong; empty when nothing is.
  returned: always
  type: list
  elements: str
  sample:
    - "edge3: edg3 is not a node of the cluster, which has cloud, edge1, edge2, edge3: let it join, or set edgefl_node_name of this host. Did you mean edge3?"
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, NAMESPACE, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import preflight
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import parse_nodes

EDGE = {
    "host": {"type": "str", "required": True},
    "node": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "slice_start": {"type": "int", "required": True},
    "slice_stop": {"type": "int", "required": True},
    "replicas": {"type": "int", "default": 1},
    "kind": {"type": "str", "default": "Deployment"},
    "runtime": {"type": "str", "default": "auto"},
    "architecture": {"type": "str", "default": "auto"},
    "autoscale": {"type": "str", "default": "none"},
    "data": {"type": "str", "default": ""},
    "node_config": {"type": "raw", "default": {}},
    "training": {"type": "dict", "default": {}},
    "resources": {"type": "dict", "default": {}},
    "region": {"type": "str", "default": ""},
    "region_node": {"type": "str", "default": ""},
}


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    found = preflight.settings(options) + preflight.taken(options)
    try:
        nodes = parse_nodes(for_module(module, options["kubeconfig"]).get("nodes"))
    except EdgeflError as error:
        found.append(error.message)
    else:
        found += preflight.fit(options, nodes)
    if found:
        raise EdgeflError(preflight.message(found), problems=found)
    return {"changed": False, "problems": []}


def main() -> None:
    run_module(
        work,
        argument_spec={
            "cloud_node": {"type": "str", "required": True},
            "edges": {"type": "list", "elements": "dict", "required": True, "options": EDGE},
            "run": {"type": "str", "default": ""},
            "server_port": {"type": "int", "default": 8888},
            "status_port": {"type": "int", "default": 8889},
            "samples": {"type": "int", "default": 60000},
            "app_packages": {"type": "list", "elements": "str", "default": []},
            "app_shards": {"type": "bool", "default": True},
            "training": {"type": "dict", "default": {}},
            "training_options": {"type": "list", "elements": "dict", "default": []},
            "aggregator_resources": {"type": "dict", "default": {}},
            **KUBECONFIG,
            **NAMESPACE,
        },
    )


if __name__ == "__main__":
    main()
