# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: pods that their edge has forgotten, and of which the cluster shows what is no longer so.

KubeEdge 1.23.1: a pod's status that an edge reports while cloudcore is there and the API server is not comes back as an empty pod, which the edge keeps in
place of its own. When edgecore is restarted before the next report it starts nothing, and the cluster goes on to show the pod as it was. When it is not, all
further reports are of the empty pod, which cloudcore drops: one that was started again goes on to be shown as not ready. Neither its log nor what the edge
says of itself tells that for sure. A change of the Pod object is sent to the edge, which then has it again, and tells of it after two minutes at most.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.deployed import REGION
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes import pods
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry.recorder import seconds

# Of pods that should be connected, the aggregators of regions among them
APPS = ("federated-learning-client", "federated-learning-region")
# The region of a client, which is what the root knows of it
OF_REGION = "edgefl.kubeedge/of-region"
# When the edge of a pod was told of it anew, in seconds since 1970
TOLD = "edgefl.kubeedge/told-anew"
# Seconds that the cluster shows something else than the aggregator, and after which the edge is told again
PATIENCE = 60.0


def suspects(items: list[dict[str, Any]], nodes: Mapping[str, Collection[str]], now: float) -> list[dict[str, Any]]:
    """Pods that are ready by what the cluster shows, and that the aggregator does not know, and those that it knows and that are not ready.

    C(nodes) are names of connected pods by node or region.
    """
    connected = {name for names in nodes.values() for name in names}

    def known(pod: dict[str, Any]) -> bool:
        labels = pod["metadata"]["labels"]
        region = labels.get(REGION) or labels.get(OF_REGION)
        return region in nodes if region else pod["metadata"]["name"] in connected

    return [
        pod
        for pod in pods.current(items)
        if pod["metadata"].get("labels", {}).get("app") in APPS
        and not pod["metadata"].get("deletionTimestamp")
        and pod.get("status", {}).get("phase") == "Running"
        and (not known(pod) if _is_ready(pod) else pod["metadata"]["name"] in connected)
        and now - max(_since(pod), _told_at(pod)) >= PATIENCE
    ]


def _is_ready(pod: dict[str, Any]) -> bool:
    return pods.problem(pod) is None


def _since(pod: dict[str, Any]) -> float:
    """When it became ready, or ceased to be, in seconds since 1970."""
    conditions = pod["status"].get("conditions", [])
    times = [each.get("lastTransitionTime") or "" for each in conditions if each["type"] == "Ready"]
    return seconds(times[0]) if times and times[0] else 0.0


def _told_at(pod: dict[str, Any]) -> float:
    try:
        return float(pod["metadata"].get("annotations", {}).get(TOLD, "0"))
    except ValueError:
        return 0.0


def tell_anew(kubectl: Kubectl, missed: list[dict[str, Any]], namespace: str, now: float) -> list[str]:
    """Has the edges of these pods told of them anew, and gives that in words. One that has its pod loses nothing by it."""
    names = [pod["metadata"]["name"] for pod in missed]
    try:
        kubectl.call(["annotate", "pod", *names, "-n", namespace, "--overwrite", f"{TOLD}={now:.0f}"])
    except EdgeflError:
        # One that has just gone, or no API server: the next look is soon
        return []
    return [
        f"pod {pod['metadata']['name']} on node {pod['spec'].get('nodeName', '')} is"
        f" {'ready by what the cluster shows, and not connected' if _is_ready(pod) else 'connected, and not ready by what the cluster shows'}:"
        " its edge is told of it anew, as it may have forgotten it"
        for pod in missed
    ]
