# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: requests and limits of the pods, scaled to the node that they run on."""

from __future__ import annotations

from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import Node
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.quantity import millicores, size

MEBI = 2**20
GIBI = 2**30

# KubeEdge's how-to for federated learning gives these to the aggregator and to every client: millicores, and bytes
REQUEST_CPU, REQUEST_MEMORY = 2000, 2 * GIBI
LIMIT_CPU, LIMIT_MEMORY = 4000, 4 * GIBI
# A node runs other pods too: ours ask for no more than this part of it, so that they are always scheduled
REQUEST_PART = 4
# Per cent of its memory that one pod may take: the kernel ends what the pod runs before the node itself is short
LIMIT_PART = 75

# What a pod may have in /tmp and in its log, whatever the size of the disk. None is asked for: a node that does not report its disk would refuse the pod
REQUEST_DISK, LIMIT_DISK = 0, 4 * GIBI

KEYS = ("cpu_request", "memory_request", "cpu_limit", "memory_limit", "disk_limit")
# Doc fragment edgefl.kubeedge.kubernetes.resources
RESOURCES: dict[str, Any] = {
    name: {"type": "dict", "default": {}, "options": {key: {"type": "str"} for key in KEYS}}
    for name in ("aggregator_resources", "client_resources")
}


def scale(given: dict[str, Any], node: Node) -> dict[str, dict[str, str]]:
    """The C(resources) of a pod specification on `node`: requests and limits of C(cpu), C(memory) and C(ephemeral-storage), each a Kubernetes quantity.

    A request is the how-to's or a quarter of the node, a limit the how-to's or all of the node's CPUs and three quarters of its memory, whichever is less.
    `given` replaces single values (keys: KEYS); what is not given follows, so that no request is above its limit because of one given value.
    Raises EdgeflError for an unknown key or a value that is no quantity.
    """
    _check(given)
    cpu_request, cpu_limit = _pair(
        min(REQUEST_CPU, node.cpu // REQUEST_PART),
        min(LIMIT_CPU, node.cpu),
        given.get("cpu_request"),
        given.get("cpu_limit"),
        millicores,
        _cpu,
    )
    memory_request, memory_limit = _pair(
        min(REQUEST_MEMORY, node.memory // REQUEST_PART),
        min(LIMIT_MEMORY, node.memory * LIMIT_PART // 100),
        given.get("memory_request"),
        given.get("memory_limit"),
        size,
        _memory,
    )
    disk_request, disk_limit = _pair(REQUEST_DISK, LIMIT_DISK, None, given.get("disk_limit"), size, _memory)
    return {
        "requests": {"cpu": cpu_request, "memory": memory_request, "ephemeral-storage": disk_request},
        "limits": {"cpu": cpu_limit, "memory": memory_limit, "ephemeral-storage": disk_limit},
    }


def problems(given: dict[str, Any], node: Node, variable: str) -> list[str]:
    """Why pods with the given values cannot run on `node`: one sentence each, naming `variable` and what to change; empty when they can."""
    try:
        resources = scale(given, node)
    except EdgeflError as error:
        return [f"{variable}: {error.message}"]
    found = []
    for what, parse, capacity, shown in (
        ("cpu", millicores, node.cpu, _cpu(node.cpu)),
        ("memory", size, node.memory, _memory(node.memory)),
    ):
        request, limit = resources["requests"][what], resources["limits"][what]
        if parse(request) > parse(limit):
            found.append(
                f"{variable}: {what}_request {request} is more than {what}_limit {limit}: lower the request or raise the limit."
            )
        if parse(request) > capacity:
            found.append(
                f"{variable}: {what}_request {request} is more than node {node.name} has ({shown}): set it to {shown} or less."
            )
    return found


def _check(given: dict[str, Any]) -> None:
    unknown = sorted(set(given) - set(KEYS))
    if unknown:
        raise EdgeflError(f"Unknown resource {', '.join(unknown)}: use {', '.join(KEYS)}.")


def _pair(request: int, limit: int, given_request: Any, given_limit: Any, parse: Any, show: Any) -> tuple[str, str]:
    """Request and limit as quantities, after the given values."""
    if given_request is not None:
        request = parse(given_request)
        if given_limit is None:
            limit = max(limit, request)
    if given_limit is not None:
        limit = parse(given_limit)
        if given_request is None:
            request = min(request, limit)
    return show(request), show(limit)


def _cpu(value: int) -> str:
    """Millicores as the API server itself writes them: a second apply then finds nothing to change."""
    return f"{value}m" if value % 1000 else str(value // 1000)


def _memory(value: int) -> str:
    """Bytes as the API server writes them, down to whole mebibytes."""
    mebi = value // MEBI
    if mebi == 0:
        return str(value)
    return f"{mebi}Mi" if mebi % 1024 else f"{mebi // 1024}Gi"
