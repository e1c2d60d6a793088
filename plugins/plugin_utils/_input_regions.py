# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what is wrong with regions (C(edgefl_regions)), known on the controller before any host is reached."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import preflight
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _regions

# A label of a DNS name, as it is in certificates: no two of them give workloads the same name. YAML takes none for a number
NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
KEYS = ("edges", "node", "min_nodes")
_EXAMPLE = "use regions by name, each with edges and node, such as {north: {edges: north_edges, node: edge1}}"


def rule(value: Any) -> str:
    """What to write in place of a value of C(edgefl_regions), a mapping, that is wrong in itself; empty for one that is right."""
    for name, region in value.items():
        if not NAME.fullmatch(str(name)):
            return f"the name of a region has small letters, digits and dashes, 40 at most, and begins with a letter; {_EXAMPLE}."
        if not isinstance(region, Mapping) or not {"edges", "node"} <= set(region) <= set(KEYS):
            return f"each region has {', '.join(KEYS[:-1])} and, where less than all of its edges are enough, {KEYS[-1]}; {_EXAMPLE}."
        edges = [region["edges"]] if isinstance(region["edges"], str) else region["edges"]
        if not isinstance(edges, list) or not edges or not all(isinstance(one, str) and one for one in edges):
            return f"the edges of a region are a group of the inventory, or a list of groups and hosts; {_EXAMPLE}."
        if not isinstance(region["node"], str):
            return f"the node of a region is one of its hosts; {_EXAMPLE}."
        least = region.get("min_nodes", 1)
        if isinstance(least, bool) or not isinstance(least, int) or least < 1:
            return "min_nodes of a region is a whole number, 1 or more."
    return ""


def problems(
    regions: _regions.Regions, groups: _regions.Groups, edges: Iterable[Mapping[str, Any]], cloud_node: str
) -> list[str]:
    """What of C(edgefl_regions) does not fit to the inventory, whose C(edges) are rows; sentences that say what to change."""
    nodes = {row["host"]: row["node"] for row in edges}
    taken = {
        **{host: f"the host {host} is" for host in nodes},
        **{node: f"the node of {host} is" for host, node in nodes.items() if node != host},
        cloud_node: "the node of the cloud is",
    }
    known = [*nodes, *(name for name in groups if name not in ("all", "ungrouped", "cloud"))]
    found: list[str] = []
    owner: dict[str, str] = {}
    for name, region in regions.items():
        given = [region["edges"]] if isinstance(region["edges"], str) else region["edges"]
        unknown = [one for one in given if one not in groups and one not in nodes]
        found += [
            f"edgefl_regions: {name} has the edges {preflight.quoted(one)}, which is neither a group nor an edge of the inventory:"
            f" correct it.{preflight.near(one, known)}"
            for one in unknown
        ]
        mine = [host for host in _regions.hosts(region, groups) if host not in unknown]
        strangers = [host for host in mine if host not in nodes]
        if strangers:
            found.append(
                f"edgefl_regions: {name} has {', '.join(strangers)}, which is not in the group edges: name groups or hosts that are edges alone."
            )
        for host in mine:
            if owner.setdefault(host, name) != name:
                found.append(f"{host} is in the regions {owner[host]} and {name} (edgefl_regions): leave it in one.")
        if not mine and not unknown:
            found.append(
                f"edgefl_regions: {name} has no edges: {', '.join(given)} is empty; put edges there, or take the region out."
            )
        elif mine and not unknown and region["node"] not in mine:
            found.append(
                f"edgefl_regions: {name} has the node {preflight.quoted(region['node'])}, which is none of its edges: name the one whose machine"
                f" is to run its aggregator,"
                f" {', '.join(mine[:3])}{' ...' if mine[3:] else ''}.{preflight.near(region['node'], mine)}"
            )
        elif int(region.get("min_nodes") or 1) > len(mine) and not unknown:
            found.append(
                f"edgefl_regions: {name} has min_nodes {region['min_nodes']}, but only {len(mine)} edges: it would never join;"
                f" set it to {len(mine)} at most, or leave it out."
            )
        if name in taken:
            found.append(
                f"edgefl_regions: {name} is called as {taken[name]}, and each could speak for the other: give the region another name."
            )
    return found


def fit(regions: _regions.Regions, selection: str, app: Mapping[str, Any], ports: Mapping[str, int]) -> list[str]:
    """What cannot be together with regions: another selection, an app whose rounds are its own, a port of theirs that an endpoint has.

    :param app: C(edgefl_app_info)
    :param ports: variable -> port, C(edgefl_serve_port) the last
    """
    if not regions:
        return []
    found = []
    if selection != "node":
        found.append(
            f"edgefl_selection is {selection}, but the root of regions (edgefl_regions) takes regions, not pods: set it to node, or train without regions."
        )
    if not app["classifier"] and not app["problems"]:
        found.append(
            f"edgefl_regions is set, but app {app['name']} has rounds of its own: its ServerApp talks to its clients itself, and nobody else knows how their"
            " answers are combined. Take edgefl_regions out, or give a classifier."
        )
    *own, (serve, port) = ports.items()
    found += [
        f"{serve} and {name} are both {port}, and the aggregator of a region is on an edge: give each its own port."
        for name, taken in own
        if taken == port
    ]
    return found
