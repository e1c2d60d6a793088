# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the regions of a training: who was whose client, and what each region trained."""

from __future__ import annotations

from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.events import Event
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.blocks import Block, Table, Tree
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import Run
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.text import in_order, number
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._rounds import rounds

# Edges of a region that the tree names; of more it says how many there are
NAMED = 20


def parts(event: Event, key: str = "parts") -> int:
    """Parts of a round that edges in regions trained; with C(parts_lost) those that were lost there."""
    return sum(int(client.get(key) or 0) for client in event.get("clients", []))


def blocks(run: Run) -> list[Block]:
    """The tree of root, regions and edges, and a row for each region; nothing for a run without regions."""
    answers: dict[str, list[Event]] = {}
    own: dict[str, int] = {}
    for event in rounds(run.events):
        for client in event.get("clients", []):
            if "parts" in client:
                answers.setdefault(client["node"], []).append(client)
            else:
                own[client["node"]] = max(own.get(client["node"], 0), client["examples"])
    edges: dict[str, list[str]] = {}
    at = {}
    for each in run.details.regions:
        edges.setdefault(each.region, []).append(each.edge)
        at[each.region] = each.node
    names = in_order({*answers, *edges})
    if not names:
        return []
    branches = []
    for name in names:
        most = max((answer["examples"] for answer in answers.get(name, [])), default=0)
        where = f", its aggregator on {at[name]}" if name in at else ""
        branches.append((f"region {name}{where}: {number(most)} samples", _leaves(edges.get(name, []))))
    branches += [(f"edge {name}: {number(own[name])} samples", []) for name in in_order(own)]
    return [
        Tree("Who is whose client", "the aggregator on the cloud node", branches),
        _table(run, names, answers, edges),
    ]


def _leaves(edges: list[str]) -> list[str]:
    shown = [f"edge {name}" for name in in_order(edges)]
    return shown if len(shown) <= NAMED else [*shown[: NAMED - 1], f"and {len(shown) - NAMED + 1} more"]


def _table(run: Run, names: list[str], answers: dict[str, list[Event]], edges: dict[str, list[str]]) -> Table:
    lost = [item["node"] for event in rounds(run.events) for item in event.get("lost", [])]
    head = ["region", "edges", "rounds", "samples", "parts trained", "parts lost within", "lost as a whole"]
    rows: list[list[Any]] = []
    for name in names:
        mine = answers.get(name, [])
        figures = [sum(int(answer.get(key) or 0) for answer in mine) for key in ("examples", "parts", "parts_lost")]
        counted = str(len(edges[name])) if name in edges else "-"
        rows.append([name, counted, str(len(mine)), *map(number, figures), str(lost.count(name))])
    return Table("Regions", head, rows)
