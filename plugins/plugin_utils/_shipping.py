# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: which image goes where, and what was sent, as a table."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.layers import full_name
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.platforms import MACHINES

# Why a chunk did not come from a neighbour, and what to do about it
_REFUSED = {
    "away": "{node} did not reach {neighbour}, or lost it: open TCP port ship_images_relay_port between the edges of their edgefl_site.",
    "slow": "{node} got chunks from {neighbour} too slowly, so the cloud node sent them: see to the network between the two, or take one out of edgefl_site.",
    "false": "{node} got something else from {neighbour} than was built, and refused it: see to the disk and memory of {neighbour}, and who has access to it.",
}

# More rows of a table are summed up
MOST_ROWS = 20


def targets(
    hosts: Iterable[str],
    variables: Mapping[str, Mapping[str, Any]],
    cloud: str,
    images: Mapping[str, str],
    runtime: str,
    ssh_dir: str,
    regions: Iterable[str] = (),
    others: Iterable[str] = (),
) -> list[dict[str, Any]]:
    """
    What M(edgefl.kubeedge.image_ship) takes: the aggregator's image for the cloud node itself, the clients' for an edge, with the way to it; both for the
    node of a region.

    :param variables: host -> its variables (C(hostvars)); of an edge with C(edgefl_address), of the cloud node perhaps with C(edgefl_cluster)
    :param cloud: host of the cloud node
    :param images: names for C(aggregator) and C(client), this for the cloud node's architecture; none where the app goes alone
    :param runtime: of hosts that name none; C(auto) for what the cluster is known to have, else the module asks
    :param ssh_dir: folder on the cloud node with its key and known hosts
    :param regions: hosts on which the aggregator of a region runs
    :param others: architectures for which the clients' image was built, too; without any all nodes are as the cloud node
    """
    known = (variables[cloud].get("edgefl_cluster") or {}).get("nodes", {})
    at_both = set(regions)
    found: list[dict[str, Any]] = []
    for host in hosts:
        values = variables[host]
        kinds = ["aggregator"] if host == cloud else ["client", *(["aggregator"] if host in at_both else [])]
        node = values.get("edgefl_node_name") or host
        wanted = values.get("edgefl_runtime") or runtime
        target: dict[str, Any] = {
            "name": host,
            "node": node,
            "runtime": (known.get(node, {}).get("runtime") or "auto") if wanted == "auto" else wanted,
            "images": [images[kind] for kind in kinds] if images else [],
        }
        if host != cloud:
            given = values.get("edgefl_architecture") or "auto"
            if others:
                target["architecture"] = (known.get(node, {}).get("arch") or "auto") if given == "auto" else given
            target |= {**values["edgefl_address"], "known_hosts": f"{ssh_dir}/known_hosts.d/{node}"}
        found.append(target)
    near = _neighbours(found)
    return [
        {**target, "site": near.get(target["name"], "")} if target.get("site") == "auto" else target for target in found
    ]


def _neighbours(targets: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Target -> network that it has in common with another one, of those whose site nobody named."""
    near = [target for target in targets if target.get("site") == "auto"]
    # An address of several is that of a router, behind which each has another one
    hosts = Counter(target["host"] for target in near)
    networks = {target["name"]: network(target["host"]) for target in near if hosts[target["host"]] == 1}
    sizes = Counter(networks.values())
    return {name: site for name, site in networks.items() if sizes[site] > 1}


def network(host: str) -> str:
    """
    The network that an address is taken to be in where nobody tells: the /24 of IPv4, the /64 of IPv6; empty for a name.

    >>> network("192.0.2.21"), network("2001:db8::21"), network("edge1.example.com")
    ('192.0.2.0-24', '2001:db8::-64', '')
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    length = 24 if address.version == 4 else 64
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False)).replace("/", "-")


def _summed(table: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows that can be read: all of a few; of many those of nodes that failed, and one for all nodes with the same image and reason."""
    failed = [row for row in table if row["reason"].startswith("failed: ")]
    others = [row for row in table if not row["reason"].startswith("failed: ")]
    if len(table) <= MOST_ROWS:
        return failed + others
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in others:
        groups.setdefault((row["image"], row["reason"]), []).append(row)
    return failed + [
        {
            **rows[0],
            "node": rows[0]["node"] if len(rows) == 1 else f"{len(rows)} nodes",
            **{name: sum(row[name] for row in rows) for name in ("sent", "relayed", "saved")},
            "seconds": max(row["seconds"] for row in rows),
        }
        for rows in groups.values()
    ]


def lines(result: Mapping[str, Any]) -> list[str]:
    """
    What M(edgefl.kubeedge.image_ship) did, a line for each image that a node shall have, and one for each that was removed. What failed is first, and
    many nodes with which the same was done have one line for all: their bytes together, and the seconds of the slowest.
    """
    titles = ("node", "image", "reason", "MB sent", "MB relayed", "MB saved", "seconds")
    rows = [
        (
            row["node"],
            row["image"],
            row["reason"],
            f"{row['sent'] / 1e6:.2f}",
            f"{row['relayed'] / 1e6:.2f}",
            f"{row['saved'] / 1e6:.1f}",
            f"{row['seconds']:.1f}",
        )
        for row in _summed(result["table"])
    ]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    shown = "  ".join(f"{{:{'<' if number < 3 else '>'}{width}}}" for number, width in enumerate(widths)).format
    removed = [*(name for node in result["nodes"].values() for name in node.get("removed", [])), *result["removed"]]
    # An image has a second name, its digest
    named = [name for name in dict.fromkeys(removed) if not name.startswith("sha256:")]
    return [
        *(shown(*row) for row in (titles, *rows)),
        *(
            _REFUSED[why].format(node=name, neighbour=neighbour)
            for name, node in result["nodes"].items()
            for neighbour, why in node["refused"].items()
        ),
        *(f"removed: {name}" for name in named),
    ]


def removals(lines: Iterable[str], repository: str) -> list[list[str]]:
    """
    Commands, as lists of words, that remove the training's images from a node's runtimes.

    :param lines: C(containerd NAME DIGEST) or C(docker NAME) for each image that a runtime has
    :param repository: of the aggregator's and the client's image, without their endings
    """
    ends = ("aggregator", "client", *(f"client-{name}" for name in MACHINES))
    prefixes = tuple(f"{full_name(f'{repository}-{end}:x')[:-1]}" for end in ends)
    found = [line.split() for line in lines]
    containerd = {name: digest for runtime, name, *rest in found for digest in rest if runtime == "containerd"}
    ours = {name for name in containerd if name.startswith(prefixes)}
    # An image has a second name, its digest, which keeps its layers as well; somebody else's tag of the same image keeps both
    kept = {digest for name, digest in containerd.items() if name not in ours and not name.startswith("sha256:")}
    wanted = {containerd[name] for name in ours} - kept
    seconds = {name for name, digest in containerd.items() if name.startswith("sha256:") and digest in wanted}
    docker = sorted(
        name for runtime, name, *_rest in found if runtime == "docker" and full_name(name).startswith(prefixes)
    )
    commands = [["ctr", "--namespace", "k8s.io", "images", "rm", "--sync", name] for name in sorted(ours | seconds)]
    return commands + [["docker", "image", "rm", "--force", name] for name in docker]
