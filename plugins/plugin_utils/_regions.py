# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the regions of a training, from C(edgefl_regions) and the inventory's groups: which edges they have.

Each process that Ansible makes for a task imports it anew, so it imports next to nothing; what is wrong with regions is in _input_regions.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Regions = Mapping[str, Mapping[str, Any]]
Groups = Mapping[str, Sequence[str]]


def hosts(region: Mapping[str, Any], groups: Groups) -> list[str]:
    """The hosts that a region's C(edges) names, by groups or one by one."""
    given = region["edges"]
    names = [given] if isinstance(given, str) else given
    return list(dict.fromkeys(host for name in names for host in groups.get(name, [name])))


def of_hosts(regions: Regions, groups: Groups) -> dict[str, str]:
    """The region of each host that is in one."""
    return {host: str(name) for name, region in regions.items() for host in hosts(region, groups)}


def edges(regions: Regions, groups: Groups, variables: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """For the report: C(region) and C(edge) of each edge in one, and C(node), where the region's aggregator is. C(variables) are C(hostvars)."""

    def node(host: str) -> str:
        return str(variables[host].get("edgefl_node_name") or host)

    return [
        {"region": str(name), "node": node(region["node"]), "edge": node(host)}
        for name, region in regions.items()
        for host in hosts(region, groups)
    ]


def away(failed: Iterable[str], regions: Regions, groups: Groups) -> list[str]:
    """Hosts without which a training begins: those that failed, and all of a region whose node is among them."""
    failed = list(failed)
    lost = [host for region in regions.values() if region["node"] in failed for host in hosts(region, groups)]
    return list(dict.fromkeys([*failed, *lost]))


def root_clients(regions: Regions, groups: Groups, away_: Iterable[str]) -> list[str]:
    """Whom the root has as clients: edges in no region, then regions. Those of `away_`, hosts, are not there."""
    gone, in_region = set(away_), of_hosts(regions, groups)
    there = [host for host in groups["edges"] if host not in gone]
    own = [host for host in there if host not in in_region]
    return own + list(dict.fromkeys(in_region[host] for host in there if host in in_region))
