# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what the collection needs to know of a node, read from its Kubernetes object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl, NotFound
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.quantity import millicores, size

# What can run the pods of a node
RUNTIMES = ("containerd", "docker")
EDGE_LABEL = "node-role.kubernetes.io/edge"
METRICS = "/apis/metrics.k8s.io/v1beta1/nodes"


@dataclass(frozen=True)
class Node:
    """A node of the cluster; `cpu` (millicores) and `memory` (bytes) are what pods may use of it."""

    name: str
    ready: bool
    reason: str
    runtime: str
    runtime_version: str
    arch: str
    internal_ip: str
    edge: bool
    cpu: int
    memory: int

    @property
    def unsupported(self) -> str:
        """Why its runtime cannot be used, for a message; empty when it can."""
        if self.runtime in RUNTIMES:
            return ""
        supported = " and ".join(RUNTIMES)
        return f"node {self.name} runs its pods with {self.runtime or 'an unknown runtime'}: {supported} are supported."

    def as_dict(self) -> dict[str, Any]:
        """The node as `cluster_info` returns it."""
        return {
            "ready": self.ready,
            "reason": self.reason,
            "runtime": self.runtime,
            "runtime_version": self.runtime_version,
            "arch": self.arch,
            "internal_ip": self.internal_ip,
            "edge": self.edge,
            "allocatable": {"cpu": self.cpu, "memory": self.memory},
        }


def parse_node(item: dict[str, Any]) -> Node:
    """Reads a Node object of the API; fields that a node has not yet reported are empty, or zero."""
    status = item.get("status", {})
    info = status.get("nodeInfo", {})
    allocatable = status.get("allocatable", {})
    runtime, _separator, version = info.get("containerRuntimeVersion", "").partition("://")
    condition = next((each for each in status.get("conditions", []) if each["type"] == "Ready"), None)
    ready = condition is not None and condition["status"] == "True"
    told = condition or {"message": "has not reported its state"}
    reason = told.get("message") or told.get("reason") or "gives no reason"
    return Node(
        name=item["metadata"]["name"],
        ready=ready,
        reason="" if ready else reason,
        runtime=runtime,
        runtime_version=version,
        arch=info.get("architecture", ""),
        internal_ip=next((each["address"] for each in status.get("addresses", []) if each["type"] == "InternalIP"), ""),
        edge=EDGE_LABEL in item["metadata"].get("labels", {}),
        cpu=millicores(allocatable.get("cpu", "0")),
        memory=size(allocatable.get("memory", "0")),
    )


def parse_nodes(items: list[dict[str, Any]]) -> dict[str, Node]:
    """Node objects of the API by name, sorted."""
    nodes = [parse_node(item) for item in items]
    return {node.name: node for node in sorted(nodes, key=lambda node: node.name)}


@dataclass(frozen=True)
class Figures:
    """What the metrics API says: use of each node, nodes without figures and why; and those of them that are edges and ready. `nodes` are the cluster's."""

    of: dict[str, dict[str, int]]
    missing: list[str]
    reason: str = ""
    edges: list[str] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)


def figures(kubectl: Kubectl, wanted: list[str]) -> Figures:
    """What the metrics API says now: C(cpu) in millicores, C(memory) in bytes.

    All nodes of the cluster are wanted when the list is empty. Raises EdgeflError when one of them is not a node of the cluster.
    """
    nodes = parse_nodes(kubectl.get("nodes"))
    strangers = sorted(set(wanted) - set(nodes))
    if strangers:
        raise EdgeflError(
            f"No node of this cluster: {', '.join(strangers)}. Its nodes are {', '.join(nodes)}: correct the names, or let them join first."
        )
    names = wanted or list(nodes)
    try:
        answer = kubectl.raw(METRICS)
    except NotFound:
        return Figures({}, names, "the API metrics.k8s.io is not there, or metrics-server does not answer yet")
    if not isinstance(answer, dict) or answer.get("kind") != "NodeMetricsList":
        # Something other than metrics-server answered at its address
        return Figures({}, names, "what answers for metrics.k8s.io is not metrics-server")
    found = {
        item["metadata"]["name"]: {"cpu": millicores(item["usage"]["cpu"]), "memory": size(item["usage"]["memory"])}
        for item in answer.get("items", [])
        if {"cpu", "memory"} <= set(item.get("usage", {}))
    }
    missing = [name for name in names if name not in found]
    notes = [name if nodes[name].ready else f"{name} (not ready: {nodes[name].reason})" for name in missing]
    reason = f"no figures of {', '.join(notes)}" if missing else ""
    edges = [name for name in missing if nodes[name].edge and nodes[name].ready]
    if edges:
        reason += "; tunnels of edges to cloudcore that are dead are opened anew after a minute; if that does not help, restart edgecore on these edges"
    return Figures({name: found[name] for name in names if name in found}, missing, reason, edges, nodes)
