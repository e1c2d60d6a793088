# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what is deployed of a training, read from the namespace it runs in."""

from __future__ import annotations

from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes import pods
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import Node, parse_nodes
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.resources import scale

PART_OF = "app.kubernetes.io/part-of"
OURS = "edgefl"
# Label of the aggregator, whose name follows the app
AGGREGATOR = ("app", "federated-learning")
# The run that a workload was made for, and a checksum of all that shapes it
RUN = "edgefl.kubeedge/run"
SETTINGS = "edgefl.kubeedge/settings"
# What runs the app in the images: the part of their tag that says so, and the checksum of what that was built from
ENGINE = "edgefl.kubeedge/engine"
# The edge of a workload and its pods
NODE = "edgefl.kubeedge/node"
# The region of an aggregator that is one client of the root
REGION = "edgefl.kubeedge/region"
# What a Secret says of the certificate in it
FINGERPRINT = "edgefl.kubeedge/certificate"


def info(kubectl: Kubectl, namespace: str, resources: dict[str, Any]) -> dict[str, Any]:
    """What the module cluster_info returns; `resources` are its C(aggregator_resources) and C(client_resources). Raises what Kubectl raises."""
    nodes, training = read(kubectl, namespace)
    found = {
        name: {**node.as_dict(), **{key: scale(of, node) for key, of in resources.items()}}
        for name, node in nodes.items()
    }
    return {"nodes": found, **({} if training is None else {"training": training})}


def read(kubectl: Kubectl, namespace: str) -> tuple[dict[str, Node], dict[str, Any] | None]:
    """The nodes of the cluster, and what is C(deployed) in `namespace` (None without one): one question, as each kubectl takes its time to start.

    Raises what Kubectl raises.
    """
    if not namespace:
        return parse_nodes(kubectl.get("nodes")), None
    items = kubectl.get(
        "nodes,namespaces,deployments,statefulsets,pods,services,secrets,networkpolicies", namespace=namespace
    )
    return parse_nodes([item for item in items if item["kind"] == "Node"]), deployed(items, namespace)


def deployed(found: list[dict[str, Any]], namespace: str) -> dict[str, Any]:
    """The namespace (C(there), C(ours)), the C(run), C(settings) and C(engine) of its aggregator, its C(aggregator_pod) when nothing holds that back, its
    C(clients): kind, name, settings, its C(regions): name, region, node, its C(failed_pods), its C(broken_pods), and C(certificates): fingerprints.

    `found` are objects of the cluster, what is in other namespaces left out.
    """
    spaces = [item for item in found if item["kind"] == "Namespace" and item["metadata"]["name"] == namespace]
    items = [item for item in found if item["kind"] != "Namespace" and _labels(item).get(PART_OF) == OURS]
    aggregator = [item for item in items if item["kind"] == "Deployment" and AGGREGATOR in _labels(item).items()]
    notes: dict[str, str] = aggregator[0]["metadata"].get("annotations", {}) if aggregator else {}
    return {
        "there": bool(spaces),
        "ours": any(_labels(space).get(PART_OF) == OURS for space in spaces),
        "aggregator": aggregator[0]["metadata"]["name"] if aggregator else "",
        "aggregator_pod": _aggregator_pod(aggregator[0], items) if aggregator else {},
        "run": notes.get(RUN, ""),
        "settings": notes.get(SETTINGS, ""),
        "engine": notes.get(ENGINE, ""),
        "certificates": {
            item["metadata"]["name"]: item["metadata"].get("annotations", {})[FINGERPRINT]
            for item in items
            if item["kind"] == "Secret" and FINGERPRINT in item["metadata"].get("annotations", {})
        },
        "failed_pods": [
            item["metadata"]["name"]
            for item in items
            if item["kind"] == "Pod"
            and (AGGREGATOR in _labels(item).items() or REGION in _labels(item))
            and pods.has_failed(item)
        ],
        "broken_pods": [
            item["metadata"]["name"]
            for item in items
            if item["kind"] == "Pod" and NODE in _labels(item) and (pods.was_broken(item) or pods.has_failed(item))
        ],
        "clients": [
            _client(item, items) for item in items if _labels(item).get("edgefl.kubeedge/workload") == "client"
        ],
        "regions": [
            {
                "name": item["metadata"]["name"],
                "region": _labels(item)[REGION],
                "node": item.get("spec", {}).get("template", {}).get("spec", {}).get("nodeName", ""),
            }
            for item in items
            if item["kind"] == "Deployment" and REGION in _labels(item)
        ],
    }


def _labels(item: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = item["metadata"].get("labels", {})
    return labels


def _aggregator_pod(deployment: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, str]:
    """C(image) and C(run), the one it began with, of a pod that can take another run: it runs, and has not failed; else nothing."""
    pods_here = [item for item in items if item["kind"] == "Pod" and AGGREGATOR in _labels(item).items()]
    containers = [each for pod in pods_here for each in pod.get("status", {}).get("containerStatuses", [])]
    template = deployment.get("spec", {}).get("template", {})
    images = [container["image"] for container in template.get("spec", {}).get("containers", [])]
    ends = [each.get("lastState", {}).get("terminated", {}).get("exitCode", 0) for each in containers]
    if not images or not containers or any(ends) or not all("running" in each.get("state", {}) for each in containers):
        return {}
    return {"image": images[0], "run": template.get("metadata", {}).get("annotations", {}).get(RUN, "")}


def _client(item: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, str]:
    """Its C(image) is the one of its pods, empty when they have none or one of them is held back: who comes back from that needs a new pod."""
    here = [each for each in items if each["kind"] == "Pod" and _labels(each).get(NODE, "-") == _labels(item).get(NODE)]
    spec = item.get("spec", {})
    containers = spec.get("template", {}).get("spec", spec).get("containers", [])
    return {
        "kind": item["kind"],
        "name": item["metadata"]["name"],
        "node": _labels(item).get(NODE, ""),
        "settings": _labels(item).get(SETTINGS, ""),
        "image": containers[0]["image"] if containers and here and all(map(_runs, here)) else "",
    }


def _runs(pod: dict[str, Any]) -> bool:
    """Whether nothing holds it back; one that was started again after its app was broken may be, in a moment."""
    containers = pod.get("status", {}).get("containerStatuses", [])
    return (
        bool(containers) and all("running" in each.get("state", {}) for each in containers) and not pods.was_broken(pod)
    )
