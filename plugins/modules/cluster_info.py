#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: Read what a training needs to know of a cluster
version_added: "1.0.0"
description:
  - Reads state, container runtime, architecture, address and allocatable CPU and memory of every node from the Kubernetes API.
  - Gives, for every node, the requests and limits of an aggregator and of a client that would run there.
    A request is that of KubeEdge's how-to for federated learning (2 CPUs, 2Gi) or a quarter of the node, whichever is less;
    a limit is that of the how-to (4 CPUs, 4Gi) or all of the node, whichever is less.
  - With O(namespace) it tells what is deployed of a training there.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.kubernetes.resources
  - edgefl.kubeedge.node
  - edgefl.kubeedge.only_reads
options:
  namespace:
    description: Namespace of a training; its Deployments, StatefulSets, pods, Services, Secrets and NetworkPolicies are read too. Empty for the nodes alone.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Read the nodes
  edgefl.kubeedge.cluster_info:
    namespace: edgefl
    client_resources:
      memory_limit: 1Gi
  register: cluster

- name: Show what runs the pods of a node
  ansible.builtin.debug:
    msg: "{{ cluster.nodes['edge1'].runtime }} {{ cluster.nodes['edge1'].runtime_version }}"
"""

RETURN = r"""
nodes:
  description: The nodes by name.
  returned: always
  type: dict
  sample:
    edge1:
      ready: true
      reason: ""
      runtime: containerd
      runtime_version: 1.6.20
      arch: amd64
      internal_ip: 172.30.0.3
      edge: true
      allocatable:
        cpu: 2000
        memory: 4018819072
      aggregator_resources: &sample
        requests:
          cpu: 500m
          memory: 958Mi
        limits:
          cpu: "2"
          memory: 3832Mi
      client_resources: *sample
  contains:
    ready:
      description: Whether the node takes pods.
      type: bool
    reason:
      description: Why the node is not ready; empty when it is.
      type: str
    runtime:
      description: What runs its containers, such as V(containerd) or V(docker).
      type: str
    runtime_version:
      description: Version of the runtime.
      type: str
    arch:
      description: Architecture, such as V(amd64).
      type: str
    internal_ip:
      description: Its address in the cluster; empty when it has none.
      type: str
    edge:
      description: Whether KubeEdge's edgecore runs the node.
      type: bool
    allocatable:
      description: What pods may use, C(cpu) in thousandths of a CPU and C(memory) in bytes.
      type: dict
    aggregator_resources:
      description: C(resources) of the container of an aggregator on this node.
      type: dict
    client_resources:
      description: C(resources) of the container of a client on this node.
      type: dict
training:
  description: What is deployed in O(namespace).
  returned: when O(namespace) is given
  type: dict
  contains:
    there:
      description: Whether the namespace is there.
      type: bool
    ours:
      description: Whether it was made for the training.
      type: bool
    aggregator:
      description: Name of its aggregator's Deployment; empty when none is deployed.
      type: str
    aggregator_pod:
      description: >-
        Of a pod of its aggregator that runs and has not failed, which can take another run: C(image), and C(run), the one that it began with.
      type: dict
    run:
      description: Name of the run; empty when none is deployed.
      type: str
    settings:
      description: Checksum of all that shapes the run.
      type: str
    engine:
      description: What runs the app in the images of the run, the part of their tag that says so and a checksum; empty where that is not known.
      type: str
    certificates:
      description: Fingerprints of the certificates in the Secrets of its clients and its aggregator, by the names of these.
      type: dict
    failed_pods:
      description: Names of pods of its aggregator that will never run, such as one that was evicted.
      type: list
      elements: str
    broken_pods:
      description: >-
        Names of pods of its clients that were evicted, or whose app, or the one before, could not be used. Kubernetes lets them wait, whatever comes then.
      type: list
      elements: str
    regions:
      description: Deployments of the aggregators of regions, each with C(name), C(region) and C(node).
      type: list
      elements: dict
    clients:
      description: >-
        Workloads of clients, their Service and NetworkPolicy among them, each with C(kind), C(name), C(node), C(settings), a checksum of all that its
        pods are made of, and C(image), that of its pods when all of them run.
      type: list
      elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import deployed
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.resources import RESOURCES


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    resources = {name: options[name] for name in RESOURCES}
    return {
        "changed": False,
        **deployed.info(for_module(module, options["kubeconfig"]), options["namespace"], resources),
    }


def main() -> None:
    run_module(
        work,
        argument_spec={
            "namespace": {"type": "str", "default": ""},
            **RESOURCES,
            **KUBECONFIG,
        },
    )


if __name__ == "__main__":
    main()
