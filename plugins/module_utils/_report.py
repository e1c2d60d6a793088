# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: report.html, one file that needs no other: charts as SVG inside, light and dark, for a screen of any width.

The same events always give the same bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._training import (
    Event,
    figure,
    losses,
    newest_loop,
    nodes,
    rounds,
    shares,
    summary,
)

# Size of a chart in its own units; about as wide as a phone, so that its text is not made smaller there
WIDTH, HEIGHT = 380, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 34
COLORS = 10


@dataclass(frozen=True)
class Series:
    """A line or a row of bars: its name and a value for each place of the x axis; None leaves a gap."""

    name: str
    values: Sequence[float | None]


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that cover `low` to `high`, at least two."""
    span = high - low
    # Values that differ by less than can be written are drawn as equal ones
    if span <= 1e-9 * max(abs(low), abs(high), 1e-3):
        span = max(abs(high), 1e-9) if high else 1.0
    raw = span / max(1, about - 1)
    exponent = math.floor(math.log10(raw))
    step = next(10.0**exponent * factor for factor in (1, 2, 5, 10) if 10.0**exponent * factor >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 2 - exponent) for number in range(first, max(last, first + 1) + 1)]


def short(value: float) -> str:
    """A number for an axis.

    >>> [short(v) for v in (0.25, 2, 60000, 1500000)]
    ['0.25', '2', '60k', '1.5M']
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.6g}{letter}"
    return f"{value:.6g}"


@dataclass(frozen=True)
class Frame:
    """Where values come to lie in a chart with `count` places on its x axis and these marks on its y axis."""

    count: int
    marks: list[float]

    def x(self, place: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (place + 0.5) / self.count, 2)

    def y(self, value: float) -> float:
        low, high = self.marks[0], self.marks[-1]
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low), 2)

    @property
    def step(self) -> float:
        return (WIDTH - LEFT - RIGHT) / self.count


def _axes(frame: Frame, labels: Sequence[str], x_title: str) -> list[str]:
    parts = []
    for mark in frame.marks:
        y = frame.y(mark)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:g}" text-anchor="end">{short(mark)}</text>')
    every = max(1, math.ceil(len(labels) / 10))
    for place in range(0, len(labels), every):
        parts.append(
            f'<text x="{frame.x(place):g}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{escape(labels[place])}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_title)}</text>'
    )
    return parts


def _svg(identity: str, title: str, text: str, parts: list[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{identity}-t {identity}-d">'
    return f'{head}<title id="{identity}-t">{escape(title)}</title><desc id="{identity}-d">{escape(text)}</desc>{"".join(parts)}</svg>'


def _legend(series: Sequence[Series]) -> str:
    if len(series) < 2:
        return ""
    items = "".join(
        f'<li><i class="c{index % COLORS}"></i>{escape(each.name)}</li>' for index, each in enumerate(series)
    )
    return f'<ul class="legend">{items}</ul>'


def _told(series: Sequence[Series], unit: str) -> str:
    """The first and last value of each series in words, for those who don't see the chart."""
    parts = []
    for each in series:
        values = [value for value in each.values if value is not None]
        if values:
            parts.append(f"{each.name}: from {short(values[0])} to {short(values[-1])}{unit}")
    return "; ".join(parts) or "no values"


def lines(
    identity: str,
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    x_title: str,
    unit: str = "",
    zero: bool = True,
) -> str:
    """A figure with one line a series; `zero`: the y axis begins at 0."""
    values = [value for each in series for value in each.values if value is not None]
    if not values:
        return ""
    low = 0.0 if zero else min(values)
    frame = Frame(len(labels), ticks(low, max(values)))
    parts = _axes(frame, labels, x_title)
    dots = len(labels) <= 60
    for index, each in enumerate(series):
        points: list[list[str]] = [[]]
        for place, value in enumerate(each.values):
            if value is None:
                points.append([])
            else:
                points[-1].append(f"{frame.x(place):g},{frame.y(value):g}")
        parts += [f'<polyline class="c{index % COLORS}" points="{" ".join(run)}"/>' for run in points if len(run) > 1]
        for place, value in enumerate(each.values):
            # A value between two gaps has no line, only its dot
            beside = [*each.values[max(0, place - 1) : place], *each.values[place + 1 : place + 2]]
            if value is not None and (dots or all(other is None for other in beside)):
                tip = f"{each.name}, {x_title} {labels[place]}: {figure(value)}{unit}"
                parts.append(
                    f'<circle class="c{index % COLORS}" cx="{frame.x(place):g}" cy="{frame.y(value):g}" r="3"><title>{escape(tip)}</title></circle>'
                )
    return _figure(identity, title, _told(series, unit), parts, series)


def bars(
    identity: str, title: str, labels: Sequence[str], series: Sequence[Series], x_title: str, unit: str = ""
) -> str:
    """A figure with one bar a place of the x axis, in which the series stand on each other."""
    totals = [sum(each.values[place] or 0 for each in series) for place in range(len(labels))]
    if not any(totals):
        return ""
    frame = Frame(len(labels), ticks(0, max(totals)))
    parts = _axes(frame, labels, x_title)
    width = round(min(36, frame.step * 0.7), 2)
    below = [0.0] * len(labels)
    for index, each in enumerate(series):
        for place, value in enumerate(each.values):
            if value:
                top, bottom = frame.y(below[place] + value), frame.y(below[place])
                below[place] += value
                tip = f"{each.name}, {x_title} {labels[place]}: {short(value)}{unit}"
                box = f'x="{frame.x(place) - width / 2:g}" y="{top:g}" width="{width:g}" height="{bottom - top:g}"'
                parts.append(f'<rect class="c{index % COLORS}" {box}><title>{escape(tip)}</title></rect>')
    return _figure(identity, title, _told(series, unit), parts, series)


def _figure(identity: str, title: str, told: str, parts: list[str], series: Sequence[Series]) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{_svg(identity, title, told, parts)}{_legend(series)}</figure>"


def charts(events: list[Event]) -> str:
    """The four figures; those of the nodes are of the last loop."""
    every = rounds(events)
    if not every:
        return "<p>No round was finished.</p>"
    last = newest_loop(events)
    loops = sorted({event["loop"] for event in every})
    start = next((event for event in events if event["event"] == "start"), {})
    numbers = [
        *([0] if start.get("accuracy") is not None else []),
        *range(1, max(event["round"] for event in every) + 1),
    ]

    def of_loops(key: str) -> list[Series]:
        found = []
        for loop in loops:
            values = {event["round"]: event.get(key) for event in every if event["loop"] == loop}
            if loop == loops[0]:
                values[0] = start.get(key)
            found.append(Series(f"loop {loop}" if len(loops) > 1 else key, [values.get(number) for number in numbers]))
        return found

    names = nodes(last)
    labels = [str(event["round"]) for event in last]
    by_round = [shares(event) for event in last]
    samples = [Series(name, [share[name].samples if name in share else None for share in by_round]) for name in names]
    seconds = [Series(name, [share[name].seconds if name in share else None for share in by_round]) for name in names]
    of_loop = f" (loop {loops[-1]})" if len(loops) > 1 else ""
    text = [str(number) for number in numbers]
    return "".join(
        (
            lines("accuracy", "Accuracy after each round", text, of_loops("accuracy"), "round"),
            lines("loss", "Loss after each round", text, of_loops("loss"), "round"),
            bars("samples", f"Samples trained by each node{of_loop}", labels, samples, "round"),
            lines("seconds", f"Seconds of each node{of_loop}", labels, seconds, "round", " s"),
        )
    )


def _row(cells: Sequence[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(map(_row, rows))
    # Wide tables are scrolled inside their own box, which the keyboard reaches too
    return (
        f'<section><h2>{escape(title)}</h2><div class="wide" tabindex="0" role="region" aria-label="{escape(title)}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _tables(events: list[Event], found: dict[str, Any]) -> str:
    loops = found["loops"] > 1
    names = nodes(events)
    rows = []
    for event in rounds(events):
        share = shares(event)
        row = [str(event["loop"])] if loops else []
        row += [
            str(event["round"]),
            figure(event.get("accuracy")),
            figure(event.get("loss")),
            figure(event.get("seconds"), 2),
        ]
        row += [
            f"{share[name].samples} in {figure(share[name].seconds, 2)} s"
            if name in share and share[name].pods
            else "-"
            for name in names
        ]
        rows.append([*row, "; ".join(losses(event)) or "-"])
    head = [*(["loop"] if loops else []), "round", "accuracy", "loss", "seconds", *names, "lost or repeated"]
    by_node = [
        [
            name,
            str(node["rounds"]),
            str(node["pods"]),
            ", ".join(f"{start} to {stop}" for start, stop in node["slices"]) or "-",
            str(node["samples"]),
            figure(node["seconds"], 2),
            figure(node["cpu_seconds"], 2),
            f"{node['peak_rss_bytes'] / 1e6:.0f} MB" if node["peak_rss_bytes"] else "-",
            str(node["lost"]),
        ]
        for name, node in found["nodes"].items()
    ]
    settings = [[key, _plain(value)] for key, value in {**found["settings"], **found["engine"]}.items()]
    text = _table("Rounds", head, rows) if rows else ""
    if by_node:
        text += _table(
            "Nodes",
            ["node", "rounds", "pods", "slice", "samples", "seconds", "CPU seconds", "peak memory", "lost"],
            by_node,
        )
    return text + (_table("Settings", ["name", "value"], settings) if settings else "")


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items()) or "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _when(seconds: float | None) -> str:
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


# Ten colours that people with a colour vision deficiency can tell apart by lightness too; lighter ones on dark ground
LIGHT = ("#2563b8", "#c2410c", "#0f766e", "#9d3c9b", "#8a6d00", "#b3122f", "#3f7d20", "#5b4bc4", "#0e7490", "#6b5b4b")
DARK = ("#74a9ff", "#ff9a62", "#4fd1bd", "#e391e0", "#e0c14a", "#ff8093", "#93d36b", "#aa9dff", "#5fcbe6", "#c9b7a3")


def _palette(colors: Sequence[str]) -> str:
    return "".join(f"--c{index}:{color};" for index, color in enumerate(colors))


STYLE = (
    ":root{color-scheme:light dark;--ground:#fff;--card:#f6f7f9;--text:#1b1f24;--soft:#59636e;--line:#d5dae0;"
    + _palette(LIGHT)
    + "}@media(prefers-color-scheme:dark){:root{--ground:#14171b;--card:#1d2126;--text:#e6e9ed;--soft:#a3adb8;--line:#3a424b;"
    + _palette(DARK)
    + "}}*{box-sizing:border-box}body{margin:0 auto;max-width:1100px;padding:1rem;background:var(--ground);color:var(--text);"
    "font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5rem;margin:.5rem 0;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:1.5rem 0 .5rem}"
    "p{margin:.25rem 0;color:var(--soft)}.bad{color:var(--text);border-left:4px solid var(--c5);padding-left:.75rem}"
    "dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:.75rem;margin:1rem 0}"
    "dl div,figure{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.75rem}dt{color:var(--soft);font-size:.85rem}"
    "dd{margin:0;font-size:1.35rem;font-variant-numeric:tabular-nums}.charts{display:grid;"
    "grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:1rem}figure{margin:0}figcaption{font-weight:600;margin-bottom:.25rem}"
    "svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font:12px system-ui,sans-serif}.grid{stroke:var(--line);stroke-width:1}"
    "polyline{fill:none;stroke-width:2;stroke-linejoin:round}.legend{display:flex;flex-wrap:wrap;gap:.25rem 1rem;list-style:none;margin:.5rem 0 0;"
    "padding:0;font-size:.9rem}.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.95rem}"
    "th,td{text-align:left;padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}"
    "th{color:var(--soft);font-weight:600}@media print{body{max-width:none}}"
    + "".join(
        f"polyline.c{index}{{stroke:var(--c{index})}}circle.c{index},rect.c{index}{{fill:var(--c{index})}}i.c{index}{{background:var(--c{index})}}"
        for index in range(COLORS)
    )
)


def page(events: list[Event], run: str) -> str:
    """The content of report.html."""
    found = summary(events, run)
    facts = [
        ("State", found["state"]),
        ("Accuracy", figure(found["accuracy"])),
        ("Loss", figure(found["loss"])),
        ("Rounds", f"{found['rounds']}"),
        ("Seconds", figure(found["seconds"], 1)),
        ("Nodes", str(len(found["nodes"]))),
        ("Samples trained", short(found["samples"])),
        ("Lost tasks", str(found["lost"])),
    ]
    cards = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    reason = f'<p class="bad">It failed: {escape(found["reason"])}</p>' if found.get("reason") else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(run)}: federated training</title><style>{STYLE}</style></head><body><main>"
        f"<h1>Run {escape(run)}</h1><p>{escape(found['app'] or 'unknown app')}, {_when(found['started'])} to {_when(found['finished'])}</p>{reason}"
        f'<dl>{cards}</dl><div class="charts">{charts(events)}</div>{_tables(events, found)}</main></body></html>\n'
    )
