# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the kinds of plots of a report. Each is a drawing, the words for those who don't see it, and all of its data."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.svg import (
    CARD,
    COLORS,
    DASHES,
    GRID,
    HALF,
    HATCHES,
    MARKERS,
    PALETTE,
    SOFT,
    TEXT,
    WHOLE,
    figure,
    mark,
    style,
    svg,
)

try:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle
    from matplotlib.ticker import MaxNLocator
except ImportError:
    # MATPLOTLIB_ERROR of _report_svg tells it
    pass

Rows = Sequence[Sequence[Any]]
# More points than this get a marker now and then only, which is enough to tell lines apart
FEW = 60
# What all axes of time begin with
SECONDS = "seconds since the first round began"


@dataclass(frozen=True)
class Plot:
    """A plot: `name` is that of its CSV file, `head` and `rows` are the data, `table` is what is shown beside it."""

    name: str
    title: str
    svg: str
    head: Sequence[str]
    rows: Rows
    table: tuple[Sequence[str], Rows]
    note: str = ""
    wide: bool = False

    def csv(self) -> str:
        """The content of the CSV file (RFC 4180); nothing is an empty field."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(self.head)
        writer.writerows(self.rows)
        return out.getvalue()


@dataclass(frozen=True)
class Line:
    """Values over something; None leaves a gap. `low` and `high`, when given, are a band around it."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def number(value: float | None) -> str:
    """A number for people, its last place at the thousandth part of it or so; a dash where there is none.

    >>> [number(v) for v in (0.8558, 0.37, 12.3456, 20000, 1234567, None)]
    ['0.8558', '0.3700', '12.35', '20 000', '1 234 567', '-']
    """
    if value is None:
        return "-"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.{4 - len(str(int(abs(value)))) + (abs(value) < 1)}f}"


def given(value: float | None) -> str:
    """A number that somebody has set, with the digits that it needs; a dash where there is none.

    >>> [given(v) for v in (0.5, 2.0, 2147.48, None)]
    ['0.5', '2', '2147', '-']
    """
    return "-" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.4g}"


def _look(index: int) -> dict[str, Any]:
    """How the line of a series looks: no two of the first 70 are alike, and neighbours differ in colour, marker and dash."""
    return {
        "color": PALETTE[index % COLORS],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index % len(DASHES)],
        "markeredgecolor": CARD,
        "markeredgewidth": 0.6,
    }


def _legend(drawn: Any, handles: Sequence[Any], names: Sequence[str], width: float = HALF) -> None:
    """Below the figure, in as many columns as fit."""
    longest = max(map(len, names), default=1)
    columns = max(1, min(len(names), int(width * 72 / (longest * 5.6 + 40))))
    if len(names) > 1:
        drawn.legend(handles, names, loc="outside lower center", ncols=columns, columnspacing=1.4)


def _legend_height(count: int, longest: int, width: float = HALF) -> float:
    columns = max(1, int(width * 72 / (longest * 5.6 + 40)))
    return 0.19 * math.ceil(count / columns) if count > 1 else 0


def told(series: Sequence[Line], unit: str = "") -> str:
    """First, last, least and greatest value of each series in words."""
    parts = []
    for each in series:
        values = [value for value in each.ys if value is not None]
        if values:
            parts.append(
                f"{each.name}: from {number(values[0])} to {number(values[-1])}{unit}, "
                f"between {number(min(values))} and {number(max(values))}{unit}"
            )
    return "; ".join(parts)


def pivot(x: str, series: Sequence[Line]) -> tuple[Sequence[str], Rows]:
    """A table of a row for each place of the x axis and a column for each series."""
    places = sorted({place for each in series for place in each.xs})
    columns = [dict(zip(each.xs, each.ys)) for each in series]
    return [x, *(each.name for each in series)], [
        [number(place), *(number(column.get(place)) for column in columns)] for place in places
    ]


def _whole_numbers(axis: Any) -> None:
    axis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))


def _y_axis(axes: Any, name: str, values: Sequence[float], zero: bool) -> None:
    """Its name and its range, with room for a point above the highest; values that are counts are counted."""
    if zero:
        axes.set_ylim(0, max([*values, 0]) * 1.08 or 1)
    else:
        axes.margins(y=0.1)
    axes.set_ylabel(name if zero else f"{name} (axis does not begin at 0)")
    if all(isinstance(value, int) for value in values):
        _whole_numbers(axes.yaxis)


def lines(
    name: str,
    title: str,
    x: str,
    y: str,
    series: Sequence[Line],
    *,
    columns: tuple[str, str] = ("", ""),
    unit: str = "",
    whole: bool = True,
    zero: bool = True,
    table: tuple[Sequence[str], Rows] | None = None,
) -> Plot:
    """One line a series; `columns` name series and value in the CSV, `whole`: the x axis counts, `zero`: the y axis begins at 0."""
    with style(name):
        longest = max(len(each.name) for each in series)
        drawn, (axes,) = figure(2.9 + _legend_height(len(series), longest))
        handles, tips = [], {}
        for index, each in enumerate(series):
            few = len(each.xs) <= FEW
            every = None if few else (index, max(1, len(each.xs) // 12))
            values = [math.nan if value is None else value for value in each.ys]
            (line,) = axes.plot(each.xs, values, **_look(index), markevery=every)
            mark(line, each.name)
            handles.append(line)
            if each.low:
                axes.fill_between(each.xs, each.low, each.high, color=PALETTE[index % COLORS], alpha=0.18, linewidth=0)
            tips[each.name] = [
                f"{each.name}, {x} {number(place)}: {number(value)}{unit}"
                for place, value in zip(each.xs, each.ys)
                if value is not None
            ]
        axes.set_xlabel(x)
        if whole:
            _whole_numbers(axes.xaxis)
        _y_axis(axes, y, [value for each in series for value in (*each.ys, *each.high) if value is not None], zero)
        _legend(drawn, handles, [each.name for each in series])
        picture = svg(drawn, name, title, told(series, unit), tips)
    head = [columns[0] or "series", x, columns[1] or y]
    rows: list[list[Any]] = [
        [each.name, place, value] for each in series for place, value in zip(each.xs, each.ys) if value is not None
    ]
    bands = [each for each in series if each.low]
    if bands:
        head += ["low", "high"]
        rows = [[each.name, *row] for each in series for row in zip(each.xs, each.ys, each.low, each.high)]
    return Plot(name, title, picture, head, rows, table or pivot(x, series))


def bars(name: str, title: str, x: str, y: str, series: Sequence[Line], columns: tuple[str, str]) -> Plot:
    """One bar a place of the x axis, in which the series stand on each other; the first is at the bottom. Of many places it is an area."""
    with style(name):
        longest = max(len(each.name) for each in series)
        drawn, (axes,) = figure(2.9 + _legend_height(len(series), longest))
        below: dict[float, float] = {}
        handles: list[Any] = []
        for index, each in enumerate(series):
            heights = [value or 0 for value in each.ys]
            bottom = [below.get(place, 0) for place in each.xs]
            below |= {place: low + high for place, low, high in zip(each.xs, bottom, heights)}
            look: dict[str, Any] = {
                "facecolor": PALETTE[index % COLORS],
                "edgecolor": CARD,
                "hatch": HATCHES[index % len(HATCHES)],
            }
            if len(each.xs) > FEW:
                # Of bars that narrow nothing would be seen but their edges
                top = [below[place] for place in each.xs]
                area = axes.fill_between(each.xs, bottom, top, step="mid", linewidth=0, **look)
                mark(area, each.name, f"{each.name}, {number(min(heights))} to {number(max(heights))}")
                handles.append(area)
                axes.set_ylim(bottom=0)
                continue
            boxes = axes.bar(each.xs, heights, width=0.72, bottom=bottom, linewidth=0.6, **look)
            handles.append(boxes)
            for place, value, box in zip(each.xs, each.ys, boxes):
                if value:
                    mark(box, each.name, f"{each.name}, {x} {number(place)}: {number(value)}")
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(False, axis="x")
        _whole_numbers(axes.xaxis)
        _legend(drawn, handles, [each.name for each in series])
        picture = svg(drawn, name, title, told(series), {})
    rows = [[each.name, place, value] for each in series for place, value in zip(each.xs, each.ys) if value is not None]
    return Plot(name, title, picture, [columns[0], x, columns[1]], rows, pivot(x, series))


@dataclass(frozen=True)
class Panel:
    """One of several drawings above each other: its lines, and levels (name -> value) that are drawn across."""

    name: str
    series: Sequence[Line]
    levels: Sequence[tuple[str, float]] = ()


def panels(
    name: str,
    title: str,
    x: str,
    y: str,
    drawings: Sequence[Panel],
    *,
    columns: Sequence[str],
    rows: Rows,
    table: tuple[Sequence[str], Rows],
    steps: bool = False,
    note: str = "",
) -> Plot:
    """A panel for each node, with the same x axis. A level far above what was used is told at the panel's edge and not drawn."""
    with style(name):
        count = len(drawings)
        # A series or a level of the same name looks the same in all panels
        names = list(dict.fromkeys(each.name for panel in drawings for each in panel.series))
        levels = list(dict.fromkeys(level for panel in drawings for level, _value in panel.levels))
        longest = max(map(len, [*names, *levels]))
        height = 0.55 + count * (1.25 if count > 3 else 1.5) + _legend_height(len(names) + len(levels), longest)
        drawn, all_axes = figure(height, count)
        handles: dict[str, Any] = {}
        tips: dict[str, list[str]] = {}
        for axes, panel in zip(all_axes, drawings):
            top = 0.0
            for each in panel.series:
                index = names.index(each.name)
                every = None if len(each.xs) <= FEW else (index, max(1, len(each.xs) // 12))
                (line,) = axes.plot(
                    each.xs,
                    [math.nan if value is None else value for value in each.ys],
                    **_look(index),
                    markevery=every,
                    drawstyle="steps-post" if steps else "default",
                )
                key = f"{panel.name} {each.name}"
                mark(line, key)
                tips[key] = [
                    f"{key}, {number(place)} s: {number(value)}"
                    for place, value in zip(each.xs, each.ys)
                    if value is not None
                ]
                handles.setdefault(each.name, line)
                top = max([top, *(value for value in each.ys if value is not None)])
            above = []
            drawn_levels = [value for _level, value in panel.levels if value <= 3 * max(top, 1e-9)]
            for level, value in panel.levels:
                index = levels.index(level)
                if value in drawn_levels:
                    line = axes.axhline(
                        value, color=SOFT, linewidth=1.3, linestyle=((0, (6, 2)), (0, (1, 1.5)))[index % 2]
                    )
                    mark(line, f"{panel.name} {level}", f"{panel.name}: {level} {number(value)}")
                    handles.setdefault(level, line)
                else:
                    above.append(f"{level} {given(value)} ↑")
            axes.set_title(panel.name, pad=3)
            if above:
                axes.set_title(", ".join(above), loc="right", pad=3, color=SOFT, fontsize=8)
            axes.set_ylim(0, max([top, *drawn_levels, 1e-9]) * 1.12)
            axes.locator_params(axis="y", nbins=4, integer=steps)
        all_axes[-1].set_xlabel(x)
        drawn.supylabel(y, fontsize=9)
        _legend(drawn, list(handles.values()), list(handles))
        words = "; ".join(f"{panel.name}: {told(panel.series)}" for panel in drawings)
        picture = svg(drawn, name, title, words, tips)
    return Plot(name, title, picture, columns, rows, table, note)


@dataclass(frozen=True)
class Stint:
    """A pod at work: seconds `begin` to `end`, on the lane `lane` of its node; a `lost` part came to nothing."""

    node: str
    lane: int
    begin: float
    end: float
    letter: str
    shard: str
    lost: bool
    tip: str


@dataclass(frozen=True)
class Sign:
    """Something that happened to a node at a time: C(restart), C(event), or a C(scaling) with its number."""

    node: str
    at: float
    kind: str
    text: str
    tip: str


SIGNS = {"restart": ("v", "restart"), "event": ("d", "other event"), "scaling": ("^", "scaling, by its number")}


def timeline(
    name: str,
    title: str,
    lanes: Sequence[tuple[str, int]],
    stints: Sequence[Stint],
    signs: Sequence[Sign],
    rounds: Sequence[tuple[str, float, float]],
    *,
    columns: Sequence[str],
    rows: Rows,
    table: tuple[Sequence[str], Rows],
    note: str,
) -> Plot:
    """A lane for each pod that a node had at once (`lanes`: node and their number), and `rounds` (name, begin, end) behind them."""
    height, head = 1.0, 0.55
    tops, place = {}, 0.0
    for node, count in lanes:
        tops[node] = place
        place += head + count * height
    begin = min([item[1] for item in rounds] + [sign.at for sign in signs])
    end = max([item[2] for item in rounds] + [sign.at for sign in signs])
    span = max(end - begin, 1e-3)
    with style(name):
        letters = sorted({stint.letter for stint in stints})
        drawn, (axes,) = figure(0.9 + 0.21 * place + 0.2, width=WHOLE)
        axes.grid(False, axis="y")
        labelled = -math.inf
        for index, (label, first, last) in enumerate(rounds):
            if index % 2 == 0:
                axes.axvspan(first, last, color=GRID, alpha=0.35, linewidth=0)
            middle = (first + last) / 2
            if middle - labelled > 0.03 * span:
                axes.annotate(
                    label,
                    (middle, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(0, 3),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=SOFT,
                )
                labelled = middle
        for node, _count in lanes[1:]:
            axes.axhline(tops[node], color=GRID, linewidth=0.9)
        for stint in stints:
            index = letters.index(stint.letter)
            # As much of its name as there is room for; a bar without any is told by its pattern
            room = (stint.end - stint.begin) / span * WHOLE * 60 - 2
            names = [f"× {stint.letter} {stint.shard}", f"× {stint.letter}", "×"]
            names = names if stint.lost else [name.removeprefix("× ") for name in names[:2]]
            text = next((name for name in names if 4.7 * len(name) <= room), "")
            box = Rectangle(
                (stint.begin, tops[stint.node] + head + stint.lane * height + 0.1),
                max(stint.end - stint.begin, span / 700),
                height - 0.2,
                facecolor="none" if stint.lost else PALETTE[index % COLORS],
                edgecolor=TEXT if stint.lost else CARD,
                hatch="" if stint.lost or text else HATCHES[index % len(HATCHES)],
                linewidth=1.1 if stint.lost else 0.5,
                linestyle=(0, (2, 1.5)) if stint.lost else "-",
            )
            mark(box, f"{stint.node} lost" if stint.lost else stint.node, stint.tip)
            axes.add_patch(box)
            axes.text(
                (stint.begin + stint.end) / 2,
                tops[stint.node] + head + (stint.lane + 0.53) * height,
                text,
                ha="center",
                va="center",
                fontsize=7.5,
                color=TEXT if stint.lost else CARD,
                clip_on=True,
            )
        for sign in signs:
            y = tops[sign.node] + head * 0.55
            marker = SIGNS[sign.kind][0]
            (point,) = axes.plot(
                [sign.at], [y], marker=marker, color=TEXT, markersize=5, linestyle="none", clip_on=False
            )
            mark(point, f"{sign.node} {sign.kind}", sign.tip)
            if sign.text:
                axes.annotate(sign.text, (sign.at, y), xytext=(4, -3), textcoords="offset points", fontsize=8)
        axes.set_xlim(begin - 0.01 * span, end + 0.01 * span)
        axes.set_ylim(place, 0)
        axes.set_yticks(
            [(tops[node] + head + count * height / 2) for node, count in lanes], [node for node, _c in lanes]
        )
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"{SECONDS}; above: the {'loop and ' * any('.' in each[0] for each in rounds)}round")
        handles: list[Any] = [
            Patch(facecolor=PALETTE[index % COLORS], edgecolor=CARD, hatch=HATCHES[index % len(HATCHES)])
            for index in range(len(letters))
        ]
        names = [f"pod {letter}" for letter in letters]
        if any(stint.lost for stint in stints):
            handles.append(Patch(facecolor="none", edgecolor=TEXT, linestyle=(0, (2, 1.5))))
            names.append("× lost part")
        for kind, (marker, text) in SIGNS.items():
            if any(sign.kind == kind for sign in signs):
                handles.append(Line2D([], [], marker=marker, color=TEXT, linestyle="none"))
                names.append(text)
        drawn.legend(handles, names, loc="outside lower center", ncols=min(len(names), 9), columnspacing=1.4)
        words = "; ".join(
            f"{node}: {sum(stint.node == node and not stint.lost for stint in stints)} parts trained by {count} pods at most at once, "
            f"{sum(stint.node == node and stint.lost for stint in stints)} lost"
            for node, count in lanes
        )
        picture = svg(drawn, name, title, words, {})
    return Plot(name, title, picture, columns, rows, table, note, wide=True)


@dataclass(frozen=True)
class Group:
    """What was measured under one of the settings, in the order of the runs."""

    name: str
    values: Sequence[float] = field(default_factory=tuple)


def spread(name: str, title: str, y: str, groups: Sequence[Group], zero: bool) -> Plot:
    """Every value as a point, the median as a line, the span as a box, a column for each setting; `zero`: the y axis begins at 0."""
    with style(name):
        drawn, (axes,) = figure(2.9)
        tips = {}
        for index, group in enumerate(groups):
            values = list(group.values)
            axes.add_patch(_box(index, values))
            middle = median(values)
            axes.hlines(middle, index - 0.3, index + 0.3, color=PALETTE[index % COLORS], linewidth=2.2)
            axes.annotate(
                number(middle), (index + 0.3, middle), xytext=(3, -3), textcoords="offset points", fontsize=8.5
            )
            # Beside each other in the order of the runs, so that equal ones are seen
            width = 0.36 / max(1, len(values) - 1)
            places = [index - 0.18 + width * place if len(values) > 1 else index for place in range(len(values))]
            (points,) = axes.plot(
                places,
                values,
                linestyle="none",
                marker=MARKERS[index % len(MARKERS)],
                color=PALETTE[index % COLORS],
                markeredgecolor=CARD,
                markeredgewidth=0.6,
                markersize=6,
            )
            mark(points, group.name)
            tips[group.name] = [
                f"{group.name}, repetition {place}: {number(value)}" for place, value in enumerate(values, 1)
            ]
        axes.set_xlim(-0.5, len(groups) - 0.3)
        axes.set_xticks(range(len(groups)), [group.name for group in groups])
        if len(groups) > 4 or sum(len(group.name) for group in groups) > 40:
            axes.tick_params(axis="x", rotation=25)
        axes.grid(False, axis="x")
        _y_axis(axes, y, [value for group in groups for value in group.values], zero)
        words = "; ".join(
            f"{group.name}: median {number(median(group.values))}, from {number(min(group.values))} to {number(max(group.values))}"
            for group in groups
        )
        picture = svg(drawn, name, title, words, tips)
    rows = [[group.name, place, value] for group in groups for place, value in enumerate(group.values, 1)]
    table = (
        ["setting", "repetitions", "median", "least", "greatest"],
        [
            [
                group.name,
                str(len(group.values)),
                *map(number, (median(group.values), min(group.values), max(group.values))),
            ]
            for group in groups
        ],
    )
    return Plot(name, title, picture, ["setting", "repetition", y], rows, table)


def _box(index: int, values: Sequence[float]) -> Any:
    color = PALETTE[index % COLORS]
    low, high = min(values), max(values)
    return Rectangle((index - 0.3, low), 0.6, high - low, facecolor=color, alpha=0.16, edgecolor=color, linewidth=0.8)
