# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the plots and tables of one training."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.events import (
    Event,
    losses,
    newest_loop,
    nodes,
    rounds,
    shares,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import (
    Happening,
    Hpa,
    Limits,
    NodeUse,
    PodUse,
    Replicas,
    Run,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.plots import (
    SECONDS,
    Line,
    Panel,
    Plot,
    Sign,
    Stint,
    bars,
    given,
    lines,
    number,
    panels,
    timeline,
)

# More loops than this are drawn as their median and their span
LOOPS = 6
# Events are drawn from so long before the first round on, as a part of the time of all rounds
EARLY = 0.15
MB = 1e6

Table = tuple[list[str], list[list[str]]]


@dataclass(frozen=True)
class Part:
    """A part of a node's slice that a pod trained or lost in a round; times in seconds since the first round began."""

    loop: int
    round: int
    node: str
    pod: str
    shard: str
    begin: float
    end: float
    samples: int
    lost: str = ""


def in_order(names: Iterable[str]) -> list[str]:
    """Names of nodes as people sort them.

    >>> in_order(["edge10", "cloud", "edge2"])
    ['cloud', 'edge2', 'edge10']
    """
    return sorted(names, key=_parts)


def _parts(name: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def zero(events: list[Event]) -> float:
    """When the first round began: the aggregator writes a round's line at its end."""
    first = rounds(events)[0]
    return float(first["time"] - (first.get("seconds") or 0))


def parts(events: list[Event]) -> list[Part]:
    """Everything that pods trained and lost, in order.

    A pod tells how long it trained, not when it began: its bar begins with the round, and that of a second part after the first.
    """
    found: list[Part] = []
    every = rounds(events)
    first = zero(events) if every else 0
    for event in every:
        end = event["time"] - first
        begin = end - (event.get("seconds") or 0)
        free: dict[tuple[str, str], float] = {}
        for client in event.get("clients", []):
            key = client["node"], client["pod"]
            start = free.get(key, begin)
            free[key] = start + (client.get("seconds") or 0)
            found.append(
                Part(
                    event["loop"],
                    event["round"],
                    *key,
                    client.get("shard", ""),
                    start,
                    free[key],
                    client["examples"],
                )
            )
        for item in event.get("lost", []):
            found.append(
                Part(
                    event["loop"],
                    event["round"],
                    item["node"],
                    item["pod"],
                    item.get("shard", ""),
                    begin,
                    end,
                    0,
                    item["reason"],
                )
            )
    return found


def letters(run: Run) -> dict[tuple[str, str], str]:
    """A short name for each pod of a node, in the order in which they came: a, b, ... z, aa, ab, ..."""
    found: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = {}
    trained = [(part.node, part.pod) for part in parts(run.events)]
    for key in [*trained, *((each.node, each.pod) for each in run.of(PodUse))]:
        if key not in found:
            index = counts.get(key[0], 0)
            counts[key[0]] = index + 1
            high, low = divmod(index, 26)
            found[key] = (string.ascii_lowercase[high - 1] if high else "") + string.ascii_lowercase[low]
    return found


def lanes(every: Sequence[Part]) -> dict[tuple[str, str], int]:
    """A lane for each pod: the lowest of its node on which no other pod is between its first part and its last."""
    spans: dict[tuple[str, str], list[float]] = {}
    for part in every:
        span = spans.setdefault((part.node, part.pod), [part.begin, part.end])
        span[:] = min(span[0], part.begin), max(span[1], part.end)
    found: dict[tuple[str, str], int] = {}
    ends: dict[str, list[float]] = {}
    for key, (begin, end) in sorted(spans.items(), key=lambda item: item[1][0]):
        mine = ends.setdefault(key[0], [])
        lane = next((index for index, until in enumerate(mine) if until <= begin), len(mine))
        mine[lane : lane + 1] = [end]
        found[key] = lane
    return found


def learning(run: Run, prefix: str = "") -> list[Plot]:
    """Accuracy and loss after each round, a line for each loop."""
    start = next((event for event in run.events if event["event"] == "start"), {})
    every = rounds(run.events)
    numbers = sorted({event["loop"] for event in every})
    found = []
    for key in ("accuracy", "loss"):
        series = []
        for loop in numbers:
            values = {event["round"]: event.get(key) for event in every if event["loop"] == loop}
            # The model before the first round is evaluated once
            if loop == numbers[0] and start.get(key) is not None:
                values = {0: start[key], **values}
            series.append(Line(f"loop {loop}" if len(numbers) > 1 else key, list(values), list(values.values())))
        if any(value is not None for each in series for value in each.ys):
            shown = series if len(series) <= LOOPS else [band(f"median of {len(series)} loops, and their span", series)]
            title = f"{key.capitalize()} after each round"
            found.append(lines(f"{prefix}{key}", title, "round", key, shown, columns=("loop", key)))
    return found


def band(name: str, series: Iterable[Line]) -> Line:
    """The median of several lines at each place, and their least and greatest value."""
    values: dict[float, list[float]] = {}
    for each in series:
        for place, value in zip(each.xs, each.ys):
            if value is not None:
                values.setdefault(place, []).append(value)
    places = sorted(values)
    return Line(
        name,
        places,
        [median(values[place]) for place in places],
        [min(values[place]) for place in places],
        [max(values[place]) for place in places],
    )


def of_nodes(run: Run, prefix: str = "") -> list[Plot]:
    """What each node trained in each round of the last loop, and how long it took."""
    last = newest_loop(run.events)
    names = in_order(nodes(last))
    by_round = [shares(event) for event in last]
    xs = [event["round"] for event in last]
    many = len({event["loop"] for event in rounds(run.events)}) > 1
    of_loop = f" (loop {last[-1]['loop']})" if many else ""
    samples = [Line(name, xs, [share[name].samples if name in share else None for share in by_round]) for name in names]
    seconds = [Line(name, xs, [share[name].seconds if name in share else None for share in by_round]) for name in names]
    found = [
        bars(
            f"{prefix}samples",
            f"Samples trained by each node{of_loop}",
            "round",
            "samples",
            samples,
            ("node", "samples"),
        )
    ]
    if any(value is not None for each in seconds for value in each.ys):
        found.append(
            lines(
                f"{prefix}seconds",
                f"Seconds of each node's slowest pod{of_loop}",
                "round",
                "seconds",
                seconds,
                columns=("node", "seconds"),
                unit=" s",
            )
        )
    return found


def time_line(run: Run, prefix: str = "") -> Plot:
    """Which pod trained which part when, what was lost, and what happened meanwhile."""
    every = parts(run.events)
    short, lane = letters(run), lanes(every)
    first = zero(run.events)
    drawn = [
        Stint(
            part.node,
            lane[part.node, part.pod],
            part.begin,
            part.end,
            short[part.node, part.pod],
            part.shard,
            bool(part.lost),
            f"{part.node}, pod {part.pod}, loop {part.loop}, round {part.round}, part {part.shard}: "
            + (f"lost, {part.lost}" if part.lost else f"{part.samples} samples in {number(part.end - part.begin)} s"),
        )
        for part in every
    ]
    signs = [
        Sign(
            each.node,
            each.time - first,
            "restart" if "restart" in each.reason.lower() else "event",
            "",
            f"{each.node} {each.pod}: {each.reason} {each.text}".strip(),
        )
        for each in run.of(Happening)
    ]
    signs += [
        Sign(each.node, each.time - first, "scaling", str(place), f"{each.node}: {each.text}")
        for place, each in enumerate(run.details.scalings, 1)
    ]
    # What happened long before the rounds, as they were prepared, would leave little room for them
    length = max((event["time"] for event in rounds(run.events)), default=first) - first
    early = [sign for sign in signs if sign.at < -EARLY * length]
    signs = [sign for sign in signs if sign not in early]
    counts: dict[str, int] = {sign.node: 0 for sign in signs}
    for (node, _pod), index in lane.items():
        counts[node] = max(counts.get(node, 0), index + 1)
    loops = len({part.loop for part in every}) > 1
    spans = []
    for event in rounds(run.events):
        end = event["time"] - first
        label = f"{event['loop']}.{event['round']}" if loops else str(event["round"])
        spans.append((label, end - (event.get("seconds") or 0), end))
    rows = [
        [
            part.loop,
            part.round,
            part.node,
            part.pod,
            part.shard,
            round(part.begin, 4),
            round(part.end, 4),
            part.samples,
            part.lost,
        ]
        for part in every
    ]
    return timeline(
        f"{prefix}timeline",
        "Which pod trained which part of its node's slice, and when",
        [(node, counts[node]) for node in in_order(counts)],
        drawn,
        signs,
        spans,
        columns=["loop", "round", "node", "pod", "part", "begin", "end", "samples", "lost"],
        rows=rows,
        table=pods(run),
        note="A bar is as long as the pod trained, and is drawn from the beginning of its round. Letters name the pods of a node: see Data."
        + f" Not drawn: {len(early)} earlier events; they are in telemetry.jsonl." * bool(early),
    )


def pods(run: Run) -> Table:
    """What each pod did, and what it was given."""
    limits = {(each.node, each.pod): each for each in run.details.limits}
    clients: dict[tuple[str, str], list[Event]] = {}
    for event in rounds(run.events):
        for client in event.get("clients", []):
            clients.setdefault((client["node"], client["pod"]), []).append(client)
    every = parts(run.events)
    head = ["node", "letter", "pod", "parts", "samples", "CPU seconds", "peak memory", "lost"]
    rows = []
    for (node, pod), letter in sorted(
        letters(run).items(), key=lambda item: (_parts(item[0][0]), len(item[1]), item[1])
    ):
        mine = clients.get((node, pod), [])
        peak = max((client.get("peak_rss_bytes") or 0 for client in mine), default=0)
        row = [
            node,
            letter,
            pod,
            ", ".join(dict.fromkeys(client.get("shard", "") for client in mine)) or "-",
            number(sum(client["examples"] for client in mine)),
            number(float(sum(client.get("cpu_seconds") or 0 for client in mine))),
            f"{peak / MB:.0f} MB" if peak else "-",
            str(sum(bool(part.lost) and (part.node, part.pod) == (node, pod) for part in every)),
        ]
        if limits:
            limit = limits.get((node, pod), Limits(node, pod))
            row += [
                f"{given(limit.cpu_request)} / {given(limit.cpu_limit)}",
                f"{_mb(limit.memory_request)} / {_mb(limit.memory_limit)}",
            ]
        rows.append(row)
    return [*head, *(["CPU request / limit", "memory request / limit (MB)"] if limits else [])], rows


def _mb(value: float | None) -> str:
    return "-" if value is None else f"{value / MB:.0f}"


def _over_time(
    run: Run, kind: type[Any], node: str, value: Callable[[Any], float | None]
) -> tuple[list[float], list[Any]]:
    first = zero(run.events)
    mine: list[Any] = [each for each in run.of(kind) if each.node == node]
    return [round(each.time - first, 3) for each in mine], [value(each) for each in mine]


def use(run: Run, prefix: str = "") -> list[Plot]:
    """CPU and memory of pods and nodes over time, with requests and limits. Empty without telemetry."""
    found = []
    for key, unit, factor, title in (("cpu", "cores", 1.0, "CPU"), ("memory", "MB", MB, "Memory")):
        if run.of(PodUse):
            found.append(_pod_use(run, prefix, key, unit, factor, title))
    for key, unit, factor, title in (("cpu", "cores", 1.0, "CPU"), ("memory", "MB", MB, "Memory")):
        if run.of(NodeUse):
            found.append(_node_use(run, prefix, key, unit, factor, title))
    return found


def _of(each: Any, key: str) -> float:
    return float(each.cpu_cores if key == "cpu" else each.memory_bytes)


def _pod_use(run: Run, prefix: str, key: str, unit: str, factor: float, title: str) -> Plot:
    short = letters(run)
    first = zero(run.events)
    by_pod: dict[tuple[str, str], list[PodUse]] = {}
    for each in run.of(PodUse):
        by_pod.setdefault((each.node, each.pod), []).append(each)
    limits = {(each.node, each.pod): each for each in run.details.limits}
    drawings, table = [], []
    for node in in_order({node for node, _pod in by_pod}):
        series, levels = [], []
        for name, pod in sorted(by_pod, key=lambda item: (len(short[item]), short[item])):
            if name != node:
                continue
            mine = by_pod[name, pod]
            values = [_of(each, key) / factor for each in mine]
            series.append(Line(f"pod {short[name, pod]}", [round(each.time - first, 3) for each in mine], values))
            limit = limits.get((name, pod), Limits(name, pod))
            of_pod = [
                (word, value / factor if value is not None else None)
                for word, value in (
                    ("request", getattr(limit, f"{key}_request")),
                    ("limit", getattr(limit, f"{key}_limit")),
                )
            ]
            levels += [(word, value) for word, value in of_pod if value is not None]
            table.append(
                [
                    node,
                    short[name, pod],
                    pod,
                    number(median(values)),
                    number(max(values)),
                    *(given(value) for _word, value in of_pod),
                ]
            )
        drawings.append(Panel(node, series, list(dict.fromkeys(levels))))
    column = "cpu_cores" if key == "cpu" else "memory_bytes"
    return panels(
        f"{prefix}pod-{key}",
        f"{title} of each pod, in {unit}",
        SECONDS,
        unit,
        drawings,
        columns=["time", "seconds", "node", "pod", column],
        rows=[[each.time, round(each.time - first, 3), each.node, each.pod, _of(each, key)] for each in run.of(PodUse)],
        table=(["node", "letter", "pod", f"median ({unit})", "greatest", "request", "limit"], table),
    )


def _node_use(run: Run, prefix: str, key: str, unit: str, factor: float, title: str) -> Plot:
    capacity = {each.node: _of(each, key) / factor for each in run.details.capacity}
    first = zero(run.events)
    series, table = [], []
    for node in in_order({each.node for each in run.of(NodeUse)}):
        xs, ys = _over_time(run, NodeUse, node, lambda each: _of(each, key) / factor)
        series.append(Line(node, xs, ys))
        table.append([node, number(median(ys)), number(max(ys)), given(capacity.get(node))])
    plot = lines(
        f"{prefix}node-{key}",
        f"{title} of each node, in {unit}",
        SECONDS,
        unit,
        series,
        unit=f" {unit}",
        whole=False,
        table=(["node", f"median ({unit})", "greatest", "can give to pods"], table),
    )
    column = "cpu_cores" if key == "cpu" else "memory_bytes"
    rows = [[each.time, round(each.time - first, 3), each.node, _of(each, key)] for each in run.of(NodeUse)]
    return Plot(plot.name, plot.title, plot.svg, ["time", "seconds", "node", column], rows, plot.table)


def scaling(run: Run, prefix: str = "") -> list[Plot]:
    """Pods of each node over time, and what the autoscaler saw. Empty without telemetry."""
    first = zero(run.events)
    found = []
    wanted = run.of(Replicas)
    if wanted:
        drawings, table = [], []
        # Only what has changed is noted: the last number holds until the end
        end = round(max([each.time for each in run.telemetry] + [event["time"] for event in run.events]) - first, 3)
        for node in in_order({each.node for each in wanted}):
            xs, ready = _over_time(run, Replicas, node, lambda each: each.ready)
            _xs, asked = _over_time(run, Replicas, node, lambda each: each.wanted)
            held = [Line("wanted", [*xs, end], [*asked, asked[-1]]), Line("ready", [*xs, end], [*ready, ready[-1]])]
            drawings.append(Panel(node, held))
            table.append([node, str(min(ready)), str(max(ready)), str(max(asked)), str(ready[-1])])
        found.append(
            panels(
                f"{prefix}replicas",
                "Pods of each node",
                SECONDS,
                "pods",
                drawings,
                columns=["time", "seconds", "node", "wanted", "ready"],
                rows=[[each.time, round(each.time - first, 3), each.node, each.wanted, each.ready] for each in wanted],
                table=(["node", "least ready", "most ready", "most wanted", "ready at the end"], table),
                steps=True,
            )
        )
    seen = run.of(Hpa)
    if seen:
        drawings, table = [], []
        for node in in_order({each.node for each in seen}):
            mine = [each for each in seen if each.node == node]
            metrics = sorted({each.metric for each in mine})
            series = []
            for metric in metrics:
                of_metric = [each for each in mine if each.metric == metric]
                series.append(
                    Line(
                        f"{metric} use",
                        [round(each.time - first, 3) for each in of_metric],
                        [each.use_percent for each in of_metric],
                    )
                )
                used = [each.use_percent for each in of_metric if each.use_percent is not None]
                table.append(
                    [
                        node,
                        metric,
                        given(of_metric[-1].target_percent),
                        number(max(used, default=None)),
                        number(min(used, default=None)),
                        str(max(each.desired for each in of_metric)),
                    ]
                )
            levels = dict.fromkeys((f"{each.metric} target", each.target_percent) for each in mine)
            drawings.append(Panel(node, series, list(levels)))
        found.append(
            panels(
                f"{prefix}hpa",
                "What the autoscaler saw: use in percent of the pods' requests",
                SECONDS,
                "percent",
                drawings,
                columns=["time", "seconds", "node", "metric", "use_percent", "target_percent", "current", "desired"],
                rows=[
                    [
                        each.time,
                        round(each.time - first, 3),
                        each.node,
                        each.metric,
                        each.use_percent,
                        each.target_percent,
                        each.current,
                        each.desired,
                    ]
                    for each in seen
                ],
                table=(["node", "metric", "target (%)", "greatest use", "least use", "most pods wanted"], table),
            )
        )
    return found


def round_table(run: Run) -> Table:
    """One row for each round."""
    loops = len({event["loop"] for event in rounds(run.events)}) > 1
    rows = []
    for event in rounds(run.events):
        share = shares(event)
        rows.append(
            [
                *([str(event["loop"])] if loops else []),
                str(event["round"]),
                number(event.get("accuracy")),
                number(event.get("loss")),
                number(event.get("seconds")),
                str(sum(each.pods > 0 for each in share.values())),
                str(len(event.get("clients", []))),
                number(sum(each.samples for each in share.values())),
                "\n".join(losses(event)) or "-",
            ]
        )
    head = ["round", "accuracy", "loss", "seconds", "nodes", "pods", "samples", "lost or repeated"]
    return [*(["loop"] if loops else []), *head], rows


def node_table(found: dict[str, Any]) -> Table:
    """One row for each node, from the run's summary."""
    rows = [
        [
            name,
            str(node["rounds"]),
            str(node["pods"]),
            _slices(node["slices"]),
            number(node["samples"]),
            number(node["seconds"]),
            number(node["cpu_seconds"]),
            f"{node['peak_rss_bytes'] / MB:.0f} MB" if node["peak_rss_bytes"] else "-",
            str(node["lost"]),
        ]
        for name in in_order(found["nodes"])
        for node in [found["nodes"][name]]
    ]
    return [
        "node",
        "rounds",
        "pods at once",
        "slice",
        "samples",
        "seconds",
        "CPU seconds",
        "peak memory of a pod",
        "lost",
    ], rows


def _slices(pairs: Iterable[list[int]]) -> str:
    """Ranges of samples, joined where they touch or overlap: a node's slice is split in other ways as its pods come and go."""
    joined: list[list[int]] = []
    for start, stop in sorted(pairs):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([start, stop])
    return ", ".join(f"{start} to {stop}" for start, stop in joined) or "-"
