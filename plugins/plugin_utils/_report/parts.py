# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: which pod trained which part of its node's slice, and when. Times are in seconds since the first round began."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.events import Event
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import PodUse, Run
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._rounds import rounds


@dataclass(frozen=True)
class Part:
    """A part of a node's slice that a pod trained in a round, or `lost` for that reason."""

    loop: int
    round: int
    node: str
    pod: str
    shard: str
    begin: float
    end: float
    samples: int
    lost: str = ""


def first_begin(events: list[Event]) -> float:
    """When the first round began, in seconds since 1970: the aggregator writes a round's line at its end."""
    first = rounds(events)[0]
    return float(first["time"] - (first.get("seconds") or 0))


def parts(events: list[Event]) -> list[Part]:
    """Everything that pods trained and lost, in order.

    A pod tells how long it trained, not when it began: its bar begins with the round, and that of a second part after the first.
    """
    every = rounds(events)
    zero = first_begin(events) if every else 0
    return [part for event in every for part in (*_trained(event, zero), *_lost(event, zero))]


def _trained(event: Event, zero: float) -> list[Part]:
    found = []
    begin = event["time"] - zero - (event.get("seconds") or 0)
    ends: dict[tuple[str, str], float] = {}
    for client in event.get("clients", []):
        node, pod = key = client["node"], client["pod"]
        start = ends.get(key, begin)
        end = ends[key] = start + (client.get("seconds") or 0)
        shard, samples = client.get("shard", ""), client["examples"]
        found.append(Part(event["loop"], event["round"], node, pod, shard, start, end, samples))
    return found


def _lost(event: Event, zero: float) -> list[Part]:
    end = event["time"] - zero
    begin = end - (event.get("seconds") or 0)
    loop, number = event["loop"], event["round"]
    return [
        Part(loop, number, item["node"], item["pod"], item.get("shard", ""), begin, end, 0, item["reason"])
        for item in event.get("lost", [])
    ]


def letters(run: Run) -> dict[tuple[str, str], str]:
    """A short name for each pod of a node, by (node, pod), in the order in which they came: a, b, ... z, aa, ab, ..."""
    found: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = {}
    trained = [(part.node, part.pod) for part in parts(run.events)]
    for key in [*trained, *((each.node, each.pod) for each in run.records(PodUse))]:
        if key not in found:
            index = counts.get(key[0], 0)
            counts[key[0]] = index + 1
            high, low = divmod(index, 26)
            found[key] = (string.ascii_lowercase[high - 1] if high else "") + string.ascii_lowercase[low]
    return found


def lanes(every: Sequence[Part]) -> dict[tuple[str, str], int]:
    """A lane for each pod, by (node, pod): the lowest of its node on which no other pod is between its first part and its last."""
    spans: dict[tuple[str, str], list[float]] = {}
    for part in every:
        span = spans.setdefault((part.node, part.pod), [part.begin, part.end])
        span[:] = min(span[0], part.begin), max(span[1], part.end)
    found: dict[tuple[str, str], int] = {}
    ends: dict[str, list[float]] = {}
    for key, (begin, end) in sorted(spans.items(), key=lambda item: item[1][0]):
        taken = ends.setdefault(key[0], [])
        lane = next((index for index, until in enumerate(taken) if until <= begin), len(taken))
        taken[lane : lane + 1] = [end]
        found[key] = lane
    return found
