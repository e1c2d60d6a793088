# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: pods that their edge has forgotten and the cluster takes for ready.

KubeEdge 1.23.1: a pod's status that an edge reports while cloudcore is there and the API server is not comes back as an empty pod, which the edge keeps in
place of its own. When edgecore is restarted before the next report it starts nothing, and the cluster goes on to show the pod as it was. A change of the
Pod object is sent to the edge, which then has it again.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes import pods
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl

# Of a client's pod
CLIENT = ("app", "federated-learning-client")
# A pod that its edge was told of anew, and when
TOLD = "edgefl.kubeedge/told-anew"


def suspects(items: list[dict[str, Any]], connected: Collection[str]) -> list[dict[str, Any]]:
    """Clients' pods that are ready by what the cluster shows, and that the aggregator does not know."""
    key, value = CLIENT
    return [
        pod
        for pod in pods.current(items)
        if pod["metadata"].get("labels", {}).get(key) == value
        and pod["metadata"]["name"] not in connected
        and pod.get("status", {}).get("phase") == "Running"
        and pods.problem(pod) is None
    ]


def tell_anew(kubectl: Kubectl, pod: dict[str, Any], namespace: str) -> str:
    """Has the edge of a pod told of it anew when it has forgotten it; gives that in words, or nothing. An edge that does not answer has not forgotten."""
    name, node = pod["metadata"]["name"], pod["spec"].get("nodeName", "")
    try:
        # An edge's kubelet says so as if it were the log
        if kubectl.logs(name, namespace, tail=1).strip() != f'pod "{name}" does not exist':
            return ""
        kubectl.call(["annotate", "pod", name, "-n", namespace, "--overwrite", f"{TOLD}={time.time():.0f}"])
    except EdgeflError:
        return ""
    return f"node {node} had forgotten pod {name}, which the cluster shows as ready: it was told of it anew"
