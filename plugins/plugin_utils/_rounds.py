# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the rounds of a training in figures: for the report, for files, and for people who watch."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable, shown
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.events import SCHEMA, Event, failure, state_of

# Metrics of an app that a line of text has room for
TOLD = 3


def rounds(events: list[Event]) -> list[Event]:
    """The rounds, in order, fit to be shown; of one that was written twice, the later one."""
    found = {(event["loop"], event["round"]): shown(event) for event in events if event["event"] == "round"}
    return [found[key] for key in sorted(found)]


def newest_loop(events: list[Event]) -> list[Event]:
    """The rounds of the last loop, in order."""
    every = rounds(events)
    return [event for event in every if event["loop"] == every[-1]["loop"]]


@dataclass(frozen=True)
class Share:
    """What a node did in a round: samples trained, seconds of its slowest pod (None when not known), pods, tasks lost."""

    samples: int
    seconds: float | None
    pods: int
    lost: int


def shares(event: Event) -> dict[str, Share]:
    """By node, sorted by name; nodes that only lost a task are there too."""
    by_node: dict[str, list[Event]] = {}
    for client in event.get("clients", []):
        by_node.setdefault(client["node"], []).append(client)
    lost = [item["node"] for item in event.get("lost", [])]
    found = {}
    for node in sorted({*by_node, *lost}):
        clients = by_node.get(node, [])
        seconds = [client["seconds"] for client in clients if client.get("seconds") is not None]
        found[node] = Share(
            sum(client["examples"] for client in clients), max(seconds, default=None), len(clients), lost.count(node)
        )
    return found


def metrics(event: Event) -> dict[str, float]:
    """An app's own metrics in a round, as C(train NAME), C(evaluate NAME), C(aggregator NAME); none where the app is one of the sources' own."""
    found = event.get("metrics")
    return {
        f"{kind} {name}": float(value)
        for kind, values in (found.items() if isinstance(found, dict) else ())
        for name, value in (values.items() if isinstance(values, dict) else ())
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def metric_names(events: list[Event]) -> list[str]:
    """The names of all metrics of a run, as they came."""
    return list({name: None for event in rounds(events) for name in metrics(event)})


def nodes(events: list[Event]) -> list[str]:
    """The names of all nodes that took part, or were to, sorted."""
    return sorted({node for event in rounds(events) for node in shares(event)})


def summary(events: list[Event], run: str) -> dict[str, Any]:
    """The content of summary.json: figures of the run as a whole, of each loop, and of each node. Seconds, bytes, accuracy from 0 to 1.

    `accuracy` and `loss` are those of the last round; None where nothing was evaluated.
    """
    every = rounds(events)
    start = shown(next((event for event in events if event["event"] == "start"), {}))
    last: Event = every[-1] if every else {}
    evaluated = [event for event in every if event.get("accuracy") is not None]
    best = max(evaluated, key=lambda event: event["accuracy"], default=None)
    end = events[-1] if events else {}
    found = {
        "schema": SCHEMA,
        "run": run,
        "state": state_of(events, None, run),
        "app": start.get("settings", {}).get("app"),
        "rounds": len(every),
        "loops": len({event["loop"] for event in every}),
        "accuracy": last.get("accuracy"),
        "loss": last.get("loss"),
        "metrics": metrics(last),
        "initial_accuracy": start.get("accuracy"),
        "best": {key: best[key] for key in ("loop", "round", "accuracy", "loss")} if best else None,
        "seconds": _sum(every, "seconds"),
        "train_seconds": _sum(every, "train_seconds"),
        "samples": sum(share.samples for event in every for share in shares(event).values()),
        "lost": sum(len(event.get("lost", [])) for event in every),
        "repeated": sum(event.get("repeated", 0) for event in every),
        "started": start.get("time"),
        "finished": end.get("time"),
        "per_loop": [
            _loop(loop, [event for event in every if event["loop"] == loop])
            for loop in sorted({event["loop"] for event in every})
        ],
        "nodes": {node: _node(node, every) for node in nodes(events)},
        "settings": start.get("settings", {}),
        "engine": start.get("engine", {}),
    }
    if found["state"] == "failed":
        found["reason"] = printable(failure(events, None))
    return found


def _sum(events: list[Event], key: str) -> float:
    return round(sum(event.get(key) or 0 for event in events), 4)


def _loop(loop: int, events: list[Event]) -> dict[str, Any]:
    last = events[-1]
    return {
        "loop": loop,
        "rounds": len(events),
        "accuracy": last.get("accuracy"),
        "loss": last.get("loss"),
        "seconds": _sum(events, "seconds"),
    }


def _node(node: str, events: list[Event]) -> dict[str, Any]:
    mine = [share for event in events for name, share in shares(event).items() if name == node]
    clients = [client for event in events for client in event.get("clients", []) if client["node"] == node]
    slices = sorted({(client["start"], client["stop"]) for client in clients if client.get("start") is not None})
    return {
        "rounds": sum(share.pods > 0 for share in mine),
        "pods": max((share.pods for share in mine), default=0),
        "samples": sum(share.samples for share in mine),
        "seconds": round(sum(share.seconds or 0 for share in mine), 4),
        "cpu_seconds": round(sum(client.get("cpu_seconds") or 0 for client in clients), 4),
        "peak_rss_bytes": max(
            (client["peak_rss_bytes"] for client in clients if client.get("peak_rss_bytes")), default=None
        ),
        "lost": sum(share.lost for share in mine),
        "slices": [list(pair) for pair in slices],
    }


def table(events: list[Event]) -> str:
    """The content of rounds.csv (RFC 4180): one row a round; two columns a node, its samples and seconds; one a metric. Nothing is an empty field."""
    names, own = nodes(events), metric_names(events)
    out = io.StringIO()
    writer = csv.writer(out)
    head = [
        "run",
        "loop",
        "round",
        "time",
        "accuracy",
        "loss",
        "seconds",
        "train_seconds",
        "samples",
        "nodes",
        "clients",
        "lost",
        "repeated",
    ]
    writer.writerow(head + [f"{name} {what}" for name in names for what in ("samples", "seconds")] + own)
    for event in rounds(events):
        share = shares(event)
        trained = [name for name in names if name in share and share[name].pods]
        row = [event[key] for key in ("run", "loop", "round", "time")]
        row += [event.get(key) for key in ("accuracy", "loss", "seconds", "train_seconds")]
        row += [
            sum(item.samples for item in share.values()),
            len(trained),
            len(event.get("clients", [])),
            len(event.get("lost", [])),
            event.get("repeated", 0),
        ]
        row += [
            value
            for name in names
            for value in ((share[name].samples, share[name].seconds) if name in trained else (None, None))
        ]
        writer.writerow(row + [metrics(event).get(name) for name in own])
    return out.getvalue()


def figure(value: float | None, digits: int = 4) -> str:
    """A number for people; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def line(event: Event, total: int | None, width: int = 0, loops: int = 1) -> str:
    """A round in one line of text, in columns: round, accuracy, loss, seconds, and what each node did.

    `total` is the number of rounds of a loop, of which there are `loops`; `width` is that of the longest node name, so that columns agree.
    """
    of = f"{event['round']}/{total}" if total else str(event["round"])
    loop = f"loop {event['loop']}/{loops}  " if loops > 1 else ""
    parts = []
    for node, share in shares(event).items():
        if share.pods:
            parts.append(f"{node:<{width}} {share.samples:>6} samples {figure(share.seconds, 2):>6} s")
        else:
            parts.append(f"{node:<{width}} {'lost':>23}")
    learnt = f"accuracy {figure(event.get('accuracy')):>6}  loss {figure(event.get('loss')):>7}"
    if event.get("accuracy") is None and event.get("loss") is None and metrics(event):
        learnt = told_metrics(metrics(event))
    head = f"{loop}round {of:>7}  {learnt}  {figure(event.get('seconds'), 2):>7} s"
    return "  | ".join([head, *parts])


def told_metrics(found: dict[str, float]) -> str:
    """The first of an app's own metrics, in words."""
    return ", ".join(f"{name} {figure(value)}" for name, value in list(found.items())[:TOLD])


def losses(event: Event) -> list[str]:
    """What a round lost, one line each, with the reason."""
    found = [
        f"{item['node']}/{item['pod']} (part {item['shard']}) is lost: {item['reason']}"
        for item in event.get("lost", [])
    ]
    if event.get("repeated"):
        why = "; ".join(item["reason"] for item in event.get("repeats", []))
        found.append(
            f"the round was repeated {event['repeated']} time{'s' * (event['repeated'] > 1)}"
            + (f": {why}" if why else "")
        )
    return found


def words(found: dict[str, Any]) -> list[str]:
    """A summary in a few lines for people."""
    many = found["rounds"]
    if found["accuracy"] is not None or found["loss"] is not None:
        share = f"accuracy {figure(found['accuracy'])}, loss {figure(found['loss'])}"
    else:
        share = told_metrics(found["metrics"]) or "not evaluated"
    text = [
        f"Run {found['run']} ({found['app'] or 'unknown app'}): {found['state']}; {many} round{'s' * (many != 1)}, {share}, {found['seconds']:.1f} s"
    ]
    if found.get("reason"):
        text.append(f"It failed: {found['reason']}")
    width = max(map(len, found["nodes"]), default=0)
    for name, node in found["nodes"].items():
        memory = f", {node['peak_rss_bytes'] / 1e6:.0f} MB" if node["peak_rss_bytes"] else ""
        lost = f", {node['lost']} lost" if node["lost"] else ""
        text.append(
            f"  {name:<{width}}  {node['rounds']} rounds, {node['samples']} samples, {node['seconds']:.1f} s{memory}{lost}"
        )
    return text
