# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the plots and tables of what happened in a training's rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.events import Event
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import regions, timeline
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.blocks import Plot, Table
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import ClusterEvent, Limits, Run
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.parts import (
    Part,
    first_begin,
    lanes,
    letters,
    parts,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.plots import Line, band, bars, lines
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.text import (
    exact,
    in_order,
    megabytes,
    natural,
    number,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._rounds import (
    losses,
    metric_names,
    metrics,
    newest_loop,
    nodes,
    rounds,
    shares,
)

# More loops than this are drawn as their median and their span
LOOPS = 6
# Metrics of an app that are drawn, and that have a column in the table of rounds
METRICS, COLUMNS = 24, 6
# Events are drawn from so long before the first round on, as a part of the time of all rounds
EARLY = 0.15


def learning_plots(run: Run, prefix: str = "") -> list[Plot]:
    """Accuracy and loss after each round, a line for each loop; and the app's own metrics."""
    found = []
    for key in ("accuracy", "loss"):
        series = _learning(run.events, key)
        if any(each.values for each in series):
            shown = series if len(series) <= LOOPS else [band(f"median of {len(series)} loops, and their span", series)]
            title = f"{key.capitalize()} after each round"
            found.append(lines(f"{prefix}{key}", title, "round", key, shown, columns=("loop", key)))
    for place, name in enumerate(_own_metrics(run.events)[:METRICS], 1):
        series = _learning(run.events, name, metrics)
        shown = series if len(series) <= LOOPS else [band(f"median of {len(series)} loops, and their span", series)]
        # Not by its name, in which an app may have what no file's name has
        found.append(
            lines(
                f"{prefix}metric-{place}",
                f"{name} after each round",
                "round",
                name,
                shown,
                columns=("loop", name),
                zero=False,
            )
        )
    return found


def _own_metrics(events: list[Event]) -> list[str]:
    """Names of an app's metrics, without those that are told as accuracy or loss."""
    every = rounds(events)
    return [
        name
        for name in metric_names(events)
        if not any(all(metrics(event).get(name) == event.get(key) for event in every) for key in ("accuracy", "loss"))
    ]


def _learning(events: list[Event], key: str, of: Callable[[Event], Mapping[str, Any]] = dict) -> list[Line]:
    start = next((event for event in events if event["event"] == "start"), {})
    every = rounds(events)
    loops = sorted({event["loop"] for event in every})
    found = []
    for loop in loops:
        values = {event["round"]: of(event).get(key) for event in every if event["loop"] == loop}
        # The model before the first round is evaluated once
        if loop == loops[0] and start.get(key) is not None:
            values = {0: start[key], **values}
        found.append(Line(f"loop {loop}" if len(loops) > 1 else key, list(values), list(values.values())))
    return found


def node_plots(run: Run, prefix: str = "") -> list[Plot]:
    """What each node trained in each round of the last loop, and how long it took."""
    last = newest_loop(run.events)
    names = in_order(nodes(last))
    by_round = [shares(event) for event in last]
    xs = [event["round"] for event in last]
    of_loop = f" (loop {last[-1]['loop']})" if _loops(run) > 1 else ""
    samples = [Line(name, xs, [share[name].samples if name in share else None for share in by_round]) for name in names]
    seconds = [Line(name, xs, [share[name].seconds if name in share else None for share in by_round]) for name in names]
    title = f"Samples trained by each node{of_loop}"
    found = [bars(f"{prefix}samples", title, "round", "samples", samples, ("node", "samples"))]
    if any(each.values for each in seconds):
        title, columns = f"Seconds of each node's slowest pod{of_loop}", ("node", "seconds")
        found.append(lines(f"{prefix}seconds", title, "round", "seconds", seconds, columns=columns, unit=" s"))
    return found


def _loops(run: Run) -> int:
    return len({event["loop"] for event in rounds(run.events)})


# Time line ------------------------------------------------------------------------------------------------------------


def time_line(run: Run, prefix: str = "") -> Plot:
    """Which pod trained which part when, what was lost, and what happened meanwhile."""
    every = parts(run.events)
    lane = lanes(every)
    events = _timeline_events(run)
    # What happened long before the rounds, as they were prepared, would leave little room for them
    length = max((event["time"] for event in rounds(run.events)), default=0) - first_begin(run.events)
    late = [event for event in events if event.at >= -EARLY * length]
    counts = {event.node: 0 for event in late}
    for (node, _pod), index in lane.items():
        counts[node] = max(counts.get(node, 0), index + 1)
    shown = timeline.TimeLine(
        lanes={node: counts[node] for node in in_order(counts)},
        bars=_timeline_bars(every, letters(run), lane),
        events=late,
        rounds=_timeline_rounds(run),
    )
    early = len(events) - len(late)
    note = "A bar is as long as the pod trained, and is drawn from the beginning of its round. Letters name the pods of a node: see Data."
    return timeline.plot(
        f"{prefix}timeline",
        "Which pod trained which part of its node's slice, and when",
        shown,
        columns=["loop", "round", "node", "pod", "part", "begin", "end", "samples", "lost"],
        rows=[_row(part) for part in every],
        table=pod_table(run),
        note=note + f" Not drawn: {early} earlier events; they are in telemetry.jsonl." * bool(early),
    )


def _timeline_bars(
    every: Sequence[Part], letter: dict[tuple[str, str], str], lane: dict[tuple[str, str], int]
) -> list[timeline.Bar]:
    found = []
    for part in every:
        key = part.node, part.pod
        what = f"lost, {part.lost}" if part.lost else f"{part.samples} samples in {number(part.end - part.begin)} s"
        tip = f"{part.node}, pod {part.pod}, loop {part.loop}, round {part.round}, part {part.shard}: {what}"
        found.append(
            timeline.Bar(part.node, lane[key], part.begin, part.end, letter[key], part.shard, bool(part.lost), tip)
        )
    return found


def _timeline_events(run: Run) -> list[timeline.Event]:
    zero = first_begin(run.events)
    found = []
    for each in run.records(ClusterEvent):
        kind = "restart" if "restart" in each.reason.lower() else "event"
        tip = f"{each.node} {each.pod}: {each.reason} {each.text}".strip()
        found.append(timeline.Event(each.node, each.time - zero, kind, "", tip))
    for place, scaling in enumerate(run.details.scalings, 1):
        tip = f"{scaling.node}: {scaling.text}"
        found.append(timeline.Event(scaling.node, scaling.time - zero, "scaling", str(place), tip))
    return found


def _timeline_rounds(run: Run) -> list[timeline.Round]:
    zero, loops = first_begin(run.events), _loops(run) > 1
    found = []
    for event in rounds(run.events):
        name = f"{event['loop']}.{event['round']}" if loops else str(event["round"])
        end = event["time"] - zero
        found.append(timeline.Round(name, end - (event.get("seconds") or 0), end))
    return found


def _row(part: Part) -> list[Any]:
    times = round(part.begin, 4), round(part.end, 4)
    return [part.loop, part.round, part.node, part.pod, part.shard, *times, part.samples, part.lost]


# Tables ---------------------------------------------------------------------------------------------------------------


def pod_table(run: Run) -> Table:
    """What each pod did, and what it was given."""
    limits = {(each.node, each.pod): each for each in run.details.limits}
    clients: dict[tuple[str, str], list[Event]] = {}
    for event in rounds(run.events):
        for client in event.get("clients", []):
            clients.setdefault((client["node"], client["pod"]), []).append(client)
    lost = [(part.node, part.pod) for part in parts(run.events) if part.lost]
    head = ["node", "letter", "pod", "parts", "samples", "CPU seconds", "peak memory", "lost"]
    head += ["CPU request / limit", "memory request / limit (MB)"] if limits else []
    rows = []
    for key, letter in sorted(letters(run).items(), key=lambda item: (natural(item[0][0]), len(item[1]), item[1])):
        row = [key[0], letter, key[1], *_trained(clients.get(key, [])), str(lost.count(key))]
        rows.append(row + (_given(limits.get(key, Limits(*key))) if limits else []))
    return Table("Pods", head, rows)


def _trained(clients: list[Event]) -> list[str]:
    """What a pod trained: its parts, samples, CPU seconds and peak memory."""
    peak = max((client.get("peak_rss_bytes") or 0 for client in clients), default=0)
    return [
        ", ".join(dict.fromkeys(client.get("shard", "") for client in clients)) or "-",
        number(sum(client["examples"] for client in clients)),
        number(float(sum(client.get("cpu_seconds") or 0 for client in clients))),
        megabytes(peak or None, " MB"),
    ]


def _given(limits: Limits) -> list[str]:
    """Request and limit of CPU and of memory."""
    return [
        f"{exact(limits.cpu_request)} / {exact(limits.cpu_limit)}",
        f"{megabytes(limits.memory_request)} / {megabytes(limits.memory_limit)}",
    ]


def round_table(run: Run) -> Table:
    """One row for each round."""
    loops = _loops(run) > 1
    every = rounds(run.events)
    own = _own_metrics(run.events)[:COLUMNS]
    # What nobody measured is left out where the app measures something else
    learnt = [
        key
        for key in ("accuracy", "loss")
        if not metric_names(every) or any(event.get(key) is not None for event in every)
    ]
    regional = any("parts" in client for event in every for client in event.get("clients", []))
    in_regions = {"parts": "parts in regions", "parts_lost": "lost there"} if regional else {}
    head = ["round", *learnt, *own, "seconds", "nodes", "pods", *in_regions.values(), "samples", "lost or repeated"]
    rows = []
    for event in every:
        share = shares(event)
        row = [
            str(event["round"]),
            *(number(event.get(key)) for key in learnt),
            *(number(metrics(event).get(name)) for name in own),
            number(event.get("seconds")),
            str(sum(each.pods > 0 for each in share.values())),
            str(len(event.get("clients", []))),
            *(str(regions.parts(event, key)) for key in in_regions),
            number(sum(each.samples for each in share.values())),
            "\n".join(losses(event)) or "-",
        ]
        rows.append([str(event["loop"]), *row] if loops else row)
    return Table("Rounds", ["loop", *head] if loops else head, rows)


def node_table(summary: dict[str, Any]) -> Table:
    """One row for each node, from the run's summary."""
    head = [
        "node",
        "rounds",
        "pods at once",
        "slice",
        "samples",
        "seconds",
        "CPU seconds",
        "peak memory of a pod",
        "lost",
    ]
    rows = []
    for name in in_order(summary["nodes"]):
        node = summary["nodes"][name]
        rows.append(
            [
                name,
                str(node["rounds"]),
                str(node["pods"]),
                joined_slices(node["slices"]),
                *(number(node[key]) for key in ("samples", "seconds", "cpu_seconds")),
                megabytes(node["peak_rss_bytes"] or None, " MB"),
                str(node["lost"]),
            ]
        )
    return Table("Nodes", head, rows)


def joined_slices(pairs: Iterable[list[int]]) -> str:
    """Ranges of samples, joined where they touch or overlap: a node's slice is split in other ways as its pods come and go.

    >>> joined_slices([[0, 5], [5, 10], [0, 10], [20, 30]])
    '0 to 10, 20 to 30'
    """
    joined: list[list[int]] = []
    for start, stop in sorted(pairs):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([start, stop])
    return ", ".join(f"{start} to {stop}" for start, stop in joined) or "-"
