# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the plots of telemetry: CPU and memory of pods and nodes, and what an autoscaler made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.blocks import Plot, Table
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import (
    Capacity,
    Hpa,
    Limits,
    NodeUse,
    PodUse,
    Replicas,
    Run,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.parts import first_begin, letters
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.plots import SECONDS, Line, Panel, lines, panels
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.text import MB, exact, in_order, number


@dataclass(frozen=True)
class Resource:
    """CPU or memory: its name in records, the unit in which it is shown, and how much of a record's unit that is."""

    key: str
    title: str
    field: str
    unit: str
    factor: float

    def shown(self, record: PodUse | NodeUse | Capacity) -> float:
        return self.raw(record) / self.factor

    def raw(self, record: PodUse | NodeUse | Capacity) -> float:
        """In cores or bytes."""
        return float(getattr(record, self.field))

    def levels(self, limits: Limits) -> list[tuple[str, float | None]]:
        """Request and limit, in the unit shown; None where it has none."""
        given = [(level, getattr(limits, f"{self.key}_{level}")) for level in ("request", "limit")]
        return [(level, None if value is None else value / self.factor) for level, value in given]


CPU = Resource("cpu", "CPU", "cpu_cores", "cores", 1.0)
MEMORY = Resource("memory", "Memory", "memory_bytes", "MB", MB)


def _seconds(
    run: Run, records: Sequence[PodUse] | Sequence[NodeUse] | Sequence[Replicas] | Sequence[Hpa]
) -> list[float]:
    """When they were made, since the first round began."""
    zero = first_begin(run.events)
    return [round(each.time - zero, 3) for each in records]


def usage_plots(run: Run, prefix: str = "") -> list[Plot]:
    """CPU and memory of pods and nodes over time, with requests and limits. Empty without telemetry."""
    pods = [_pod_plot(run, prefix, resource) for resource in (CPU, MEMORY) if run.records(PodUse)]
    return pods + [_node_plot(run, prefix, resource) for resource in (CPU, MEMORY) if run.records(NodeUse)]


def _pod_plot(run: Run, prefix: str, resource: Resource) -> Plot:
    letter = letters(run)
    records = run.records(PodUse)
    by_pod: dict[tuple[str, str], list[PodUse]] = {}
    for each in records:
        by_pod.setdefault((each.node, each.pod), []).append(each)
    limits = {(each.node, each.pod): each for each in run.details.limits}
    drawings, rows = [], []
    for node in in_order({node for node, _pod in by_pod}):
        series, drawn_levels = [], []
        for key in sorted((key for key in by_pod if key[0] == node), key=lambda key: (len(letter[key]), letter[key])):
            values = [resource.shown(each) for each in by_pod[key]]
            series.append(Line(f"pod {letter[key]}", _seconds(run, by_pod[key]), values))
            levels = resource.levels(limits.get(key, Limits(*key)))
            drawn_levels += [(level, value) for level, value in levels if value is not None]
            figures = [number(median(values)), number(max(values)), *(exact(value) for _level, value in levels)]
            rows.append([node, letter[key], key[1], *figures])
        drawings.append(Panel(node, series, list(dict.fromkeys(drawn_levels))))
    title = f"{resource.title} of each pod, in {resource.unit}"
    head = ["node", "letter", "pod", f"median ({resource.unit})", "greatest", "request", "limit"]
    return panels(
        f"{prefix}pod-{resource.key}",
        title,
        SECONDS,
        resource.unit,
        drawings,
        columns=["time", "seconds", "node", "pod", resource.field],
        rows=[
            [each.time, seconds, each.node, each.pod, resource.raw(each)]
            for each, seconds in zip(records, _seconds(run, records))
        ],
        table=Table(title, head, rows),
    )


def _node_plot(run: Run, prefix: str, resource: Resource) -> Plot:
    capacity = {each.node: resource.shown(each) for each in run.details.capacity}
    records = run.records(NodeUse)
    series, rows = [], []
    for node in in_order({each.node for each in records}):
        of_node = [each for each in records if each.node == node]
        values = [resource.shown(each) for each in of_node]
        series.append(Line(node, _seconds(run, of_node), values))
        rows.append([node, number(median(values)), number(max(values)), exact(capacity.get(node))])
    title = f"{resource.title} of each node, in {resource.unit}"
    data = [
        [each.time, seconds, each.node, resource.raw(each)] for each, seconds in zip(records, _seconds(run, records))
    ]
    return lines(
        f"{prefix}node-{resource.key}",
        title,
        SECONDS,
        resource.unit,
        series,
        unit=f" {resource.unit}",
        whole=False,
        table=Table(title, ["node", f"median ({resource.unit})", "greatest", "can give to pods"], rows),
        data=(["time", "seconds", "node", resource.field], data),
    )


def scaling_plots(run: Run, prefix: str = "") -> list[Plot]:
    """Pods of each node over time, and what the autoscaler saw. Empty without telemetry."""
    found = [_replicas_plot(run, prefix)] if run.records(Replicas) else []
    return found + ([_hpa_plot(run, prefix)] if run.records(Hpa) else [])


def _replicas_plot(run: Run, prefix: str) -> Plot:
    records = run.records(Replicas)
    # Only what has changed is recorded: the last number holds until the end
    last = max([each.time for each in run.telemetry] + [event["time"] for event in run.events])
    end = round(last - first_begin(run.events), 3)
    drawings, rows = [], []
    for node in in_order({each.node for each in records}):
        of_node = [each for each in records if each.node == node]
        xs = [*_seconds(run, of_node), end]
        wanted, ready = [each.wanted for each in of_node], [each.ready for each in of_node]
        drawings.append(
            Panel(node, [Line("wanted", xs, [*wanted, wanted[-1]]), Line("ready", xs, [*ready, ready[-1]])])
        )
        rows.append([node, *map(str, (min(ready), max(ready), max(wanted), ready[-1]))])
    title = "Pods of each node"
    return panels(
        f"{prefix}replicas",
        title,
        SECONDS,
        "pods",
        drawings,
        columns=["time", "seconds", "node", "wanted", "ready"],
        rows=[
            [each.time, seconds, each.node, each.wanted, each.ready]
            for each, seconds in zip(records, _seconds(run, records))
        ],
        table=Table(title, ["node", "least ready", "most ready", "most wanted", "ready at the end"], rows),
        steps=True,
    )


def _hpa_plot(run: Run, prefix: str) -> Plot:
    records = run.records(Hpa)
    drawings, rows = [], []
    for node in in_order({each.node for each in records}):
        of_node = [each for each in records if each.node == node]
        series = []
        for metric in sorted({each.metric for each in of_node}):
            of_metric = [each for each in of_node if each.metric == metric]
            uses = [each.use_percent for each in of_metric]
            series.append(Line(f"{metric} use", _seconds(run, of_metric), uses))
            rows.append([node, metric, *_hpa_figures(of_metric)])
        levels = dict.fromkeys((f"{each.metric} target", each.target_percent) for each in of_node)
        drawings.append(Panel(node, series, list(levels)))
    title = "What the autoscaler saw: use in percent of the pods' requests"
    fields = ("node", "metric", "use_percent", "target_percent", "current", "desired")
    return panels(
        f"{prefix}hpa",
        title,
        SECONDS,
        "percent",
        drawings,
        columns=["time", "seconds", *fields],
        rows=[
            [each.time, seconds, *(getattr(each, name) for name in fields)]
            for each, seconds in zip(records, _seconds(run, records))
        ],
        table=Table(title, ["node", "metric", "target (%)", "greatest use", "least use", "most pods wanted"], rows),
    )


def _hpa_figures(records: Sequence[Hpa]) -> list[str]:
    """Target, greatest and least use, and most pods wanted, for people."""
    used = [each.use_percent for each in records if each.use_percent is not None]
    return [
        exact(records[-1].target_percent),
        number(max(used, default=None)),
        number(min(used, default=None)),
        str(max(each.desired for each in records)),
    ]
