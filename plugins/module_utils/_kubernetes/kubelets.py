# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: whether the kubelets of a cluster, and cloudcore's tunnel in front of edges, prove who they are to who trusts the cluster's CA."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import parse_node

# What every pod gets as the CA of the API server, and metrics-server checks kubelets with
CA = "kube-root-ca.crt"
TIMEOUT = 5.0
AT_ONCE = 32


def refused(kubectl: Kubectl, timeout: float = TIMEOUT) -> tuple[dict[str, str], dict[str, str]]:
    """Nodes whose certificate does not prove their address, with the reason; and those that did not answer within `timeout` (seconds), with theirs.

    Connects to the address and port that metrics-server uses. Raises Transient while the cluster has not yet published its CA.
    """
    published = kubectl.get("configmap", CA, "kube-system")
    if published is None:
        raise Transient(f"the cluster has not yet published its CA (ConfigMap {CA} of kube-system)")
    # Not the default context: from Python 3.13 on that one asks for more than Kubernetes' own libraries do
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=published["data"]["ca.crt"])
    except (KeyError, ssl.SSLError, ValueError) as error:
        raise EdgeflError(
            f"The ConfigMap {CA} of kube-system holds no certificate in PEM ({error}): restart kube-controller-manager, which writes it."
        ) from error
    nodes = kubectl.get("nodes")

    def ask(item: dict[str, Any]) -> tuple[str, bool, str]:
        node = parse_node(item)
        port = item.get("status", {}).get("daemonEndpoints", {}).get("kubeletEndpoint", {}).get("Port", 0)
        reason, answered = _handshake(context, node.internal_ip, port, timeout)
        return node.name, answered, reason

    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = [one for one in pool.map(ask, nodes) if one[2]]
    return (
        {name: reason for name, answered, reason in told if answered},
        {name: reason for name, answered, reason in told if not answered},
    )


def _handshake(context: ssl.SSLContext, address: str, port: int, timeout: float) -> tuple[str, bool]:
    """Why who answers is not trusted (empty when it is), and whether somebody answered."""
    if not address or not port:
        return "the node has not yet told address and port of its kubelet", False
    try:
        with socket.create_connection((address, port), timeout) as connection, context.wrap_socket(
            connection, server_hostname=address
        ):
            return "", True
    except ssl.SSLCertVerificationError as error:
        return f"{address}:{port}: {error.verify_message}", True
    except OSError as error:
        return f"{address}:{port}: {error}", False
