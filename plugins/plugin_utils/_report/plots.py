# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the kinds of plots of a report. Each is a drawing, the words for those who don't see it, and all of its data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.blocks import Plot, Rows, Table
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.svg import (
    CARD,
    COLORS,
    DASHES,
    HALF,
    HATCHES,
    MARKERS,
    PALETTE,
    SOFT,
    figure,
    label,
    style,
    svg,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.text import exact, number

try:
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator
except ImportError:
    # MATPLOTLIB_ERROR of svg.py tells it
    pass

# More points than this get a marker now and then only, which is enough to tell lines apart
FEW = 60
# What all axes of time begin with
SECONDS = "seconds since the first round began"


@dataclass(frozen=True)
class Line:
    """Values over something; None leaves a gap. `low` and `high`, when given, are a band around it."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    low: Sequence[float] = ()
    high: Sequence[float] = ()

    @property
    def points(self) -> list[tuple[float, float]]:
        """Where it has values: place and value."""
        return [(place, value) for place, value in zip(self.xs, self.ys) if value is not None]

    @property
    def values(self) -> list[float]:
        return [value for _place, value in self.points]


def band(name: str, series: Iterable[Line]) -> Line:
    """The median of several lines at each place, and their least and greatest value."""
    values: dict[float, list[float]] = {}
    for each in series:
        for place, value in each.points:
            values.setdefault(place, []).append(value)
    places = sorted(values)
    return Line(
        name,
        places,
        [median(values[place]) for place in places],
        [min(values[place]) for place in places],
        [max(values[place]) for place in places],
    )


@dataclass(frozen=True)
class Panel:
    """One of several drawings above each other: its lines, and levels (name, value) that are drawn across."""

    name: str
    series: Sequence[Line]
    levels: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True)
class Group:
    """What was measured under one of the settings, in the order of the runs."""

    name: str
    values: Sequence[float] = field(default_factory=tuple)


# What several kinds have ----------------------------------------------------------------------------------------------


def describe(series: Sequence[Line], unit: str = "") -> str:
    """First, last, least and greatest value of each series in words."""
    return "; ".join(
        f"{each.name}: from {number(values[0])} to {number(values[-1])}{unit}, "
        f"between {number(min(values))} and {number(max(values))}{unit}"
        for each in series
        if (values := each.values)
    )


def pivot(title: str, x: str, series: Sequence[Line]) -> Table:
    """A table of a row for each place of the x axis and a column for each series."""
    places = sorted({place for each in series for place in each.xs})
    columns = [dict(zip(each.xs, each.ys)) for each in series]
    rows = [[number(place), *(number(column.get(place)) for column in columns)] for place in places]
    return Table(title, [x, *(each.name for each in series)], rows)


def _draw_line(axes: Any, line: Line, index: int, drawstyle: str = "default") -> Any:
    """Draws the series of this index: no two of the first 70 are alike, and neighbours differ in colour, marker and dash."""
    (drawn,) = axes.plot(
        line.xs,
        [math.nan if value is None else value for value in line.ys],
        color=PALETTE[index % COLORS],
        marker=MARKERS[index % len(MARKERS)],
        linestyle=DASHES[index % len(DASHES)],
        markeredgecolor=CARD,
        markeredgewidth=0.6,
        markevery=None if len(line.xs) <= FEW else (index, max(1, len(line.xs) // 12)),
        drawstyle=drawstyle,
    )
    return drawn


def _legend_columns(longest: int, width: float) -> int:
    """How many names of up to `longest` letters fit beside each other in `width` inches."""
    return max(1, int(width * 72 / (longest * 5.6 + 40)))


def _legend(drawn: Any, handles: Sequence[Any], names: Sequence[str], width: float = HALF) -> None:
    """Below the figure, in as many columns as fit; of a single series there is none."""
    if len(names) > 1:
        columns = min(len(names), _legend_columns(max(map(len, names)), width))
        drawn.legend(handles, names, loc="outside lower center", ncols=columns, columnspacing=1.4)


def _legend_height(names: Sequence[str], width: float = HALF) -> float:
    """Inches that the legend takes."""
    return 0.19 * math.ceil(len(names) / _legend_columns(max(map(len, names)), width)) if len(names) > 1 else 0


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


# Lines ----------------------------------------------------------------------------------------------------------------


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
    table: Table | None = None,
    data: tuple[Sequence[str], Rows] | None = None,
) -> Plot:
    """One line a series; `whole`: the x axis counts, `zero`: the y axis begins at 0.

    `columns` name series and value in the CSV file, `data` is its head and rows where they are others than the points.
    """
    names = [each.name for each in series]
    with style(name):
        drawn, (axes,) = figure(2.9 + _legend_height(names))
        handles = []
        for index, each in enumerate(series):
            handles.append(_draw_line(axes, each, index))
            label(handles[-1], each.name)
            if each.low:
                axes.fill_between(each.xs, each.low, each.high, color=PALETTE[index % COLORS], alpha=0.18, linewidth=0)
        axes.set_xlabel(x)
        if whole:
            _whole_numbers(axes.xaxis)
        _y_axis(axes, y, [value for each in series for value in (*each.values, *each.high)], zero)
        _legend(drawn, handles, names)
        tips = {
            each.name: [f"{each.name}, {x} {number(place)}: {number(value)}{unit}" for place, value in each.points]
            for each in series
        }
        picture = svg(drawn, name, title, describe(series, unit), tips)
    head, rows = data or _line_rows(series, [columns[0] or "series", x, columns[1] or y])
    return Plot(name, title, picture, head, rows, table or pivot(title, x, series))


def _line_rows(series: Sequence[Line], head: list[str]) -> tuple[list[str], Rows]:
    """The points as rows of a CSV file, with the bands where there are some."""
    if any(each.low for each in series):
        rows = [[each.name, *row] for each in series for row in zip(each.xs, each.ys, each.low, each.high)]
        return [*head, "low", "high"], rows
    return head, [[each.name, *point] for each in series for point in each.points]


# Bars -----------------------------------------------------------------------------------------------------------------


def bars(name: str, title: str, x: str, y: str, series: Sequence[Line], columns: tuple[str, str]) -> Plot:
    """One bar a place of the x axis, in which the series stand on each other; the first is at the bottom. Of many places it is an area."""
    names = [each.name for each in series]
    with style(name):
        drawn, (axes,) = figure(2.9 + _legend_height(names))
        below: dict[float, float] = {}
        handles = []
        for index, each in enumerate(series):
            bottom = [below.get(place, 0) for place in each.xs]
            below |= {place: low + (value or 0) for place, low, value in zip(each.xs, bottom, each.ys)}
            draw = _draw_area if len(each.xs) > FEW else _draw_boxes
            handles.append(draw(axes, each, bottom, x, index))
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(False, axis="x")
        _whole_numbers(axes.xaxis)
        _legend(drawn, handles, names)
        picture = svg(drawn, name, title, describe(series), {})
    head, rows = _line_rows(series, [columns[0], x, columns[1]])
    return Plot(name, title, picture, head, rows, pivot(title, x, series))


def _fill(index: int) -> dict[str, Any]:
    return {"facecolor": PALETTE[index % COLORS], "edgecolor": CARD, "hatch": HATCHES[index % len(HATCHES)]}


def _draw_area(axes: Any, line: Line, bottom: Sequence[float], _x: str, index: int) -> Any:
    """Of bars that narrow nothing would be seen but their edges."""
    heights = [value or 0 for value in line.ys]
    top = [low + height for low, height in zip(bottom, heights)]
    area = axes.fill_between(line.xs, bottom, top, step="mid", linewidth=0, **_fill(index))
    label(area, line.name, f"{line.name}, {number(min(heights))} to {number(max(heights))}")
    axes.set_ylim(bottom=0)
    return area


def _draw_boxes(axes: Any, line: Line, bottom: Sequence[float], x: str, index: int) -> Any:
    heights = [value or 0 for value in line.ys]
    boxes = axes.bar(line.xs, heights, width=0.72, bottom=bottom, linewidth=0.6, **_fill(index))
    for place, value, box in zip(line.xs, line.ys, boxes):
        if value:
            label(box, line.name, f"{line.name}, {x} {number(place)}: {number(value)}")
    return boxes


# Panels ---------------------------------------------------------------------------------------------------------------


def panels(
    name: str,
    title: str,
    x: str,
    y: str,
    drawings: Sequence[Panel],
    *,
    columns: Sequence[str],
    rows: Rows,
    table: Table,
    steps: bool = False,
) -> Plot:
    """A panel for each node, with the same x axis. A level far above what was used is told at the panel's edge and not drawn.

    `columns` and `rows` are the CSV file's, `steps`: a value holds until the next.
    """
    # A series or a level of the same name looks the same in all panels
    names = list(dict.fromkeys(each.name for panel in drawings for each in panel.series))
    levels = list(dict.fromkeys(level for panel in drawings for level, _value in panel.levels))
    count = len(drawings)
    with style(name):
        drawn, all_axes = figure(0.55 + count * (1.25 if count > 3 else 1.5) + _legend_height([*names, *levels]), count)
        handles: dict[str, Any] = {}
        for axes, panel in zip(all_axes, drawings):
            top = max((value for each in panel.series for value in each.values), default=0.0)
            for each in panel.series:
                line = _draw_line(axes, each, names.index(each.name), "steps-post" if steps else "default")
                label(line, f"{panel.name} {each.name}")
                handles.setdefault(each.name, line)
            within = [(level, value) for level, value in panel.levels if value <= 3 * max(top, 1e-9)]
            for level, value in within:
                handles.setdefault(level, _draw_level(axes, panel.name, level, value, levels.index(level)))
            _panel_title(axes, panel, [each for each in panel.levels if each not in within])
            axes.set_ylim(0, max([top, *(value for _level, value in within), 1e-9]) * 1.12)
            axes.locator_params(axis="y", nbins=4, integer=steps)
        all_axes[-1].set_xlabel(x)
        drawn.supylabel(y, fontsize=9)
        _legend(drawn, list(handles.values()), list(handles))
        description = "; ".join(f"{panel.name}: {describe(panel.series)}" for panel in drawings)
        picture = svg(drawn, name, title, description, _panel_tips(drawings))
    return Plot(name, title, picture, columns, rows, table)


def _draw_level(axes: Any, panel: str, level: str, value: float, index: int) -> Any:
    dash = ((0, (6, 2)), (0, (1, 1.5)))[index % 2]
    line = axes.axhline(value, color=SOFT, linewidth=1.3, linestyle=dash)
    label(line, f"{panel} {level}", f"{panel}: {level} {number(value)}")
    return line


def _panel_title(axes: Any, panel: Panel, above: Sequence[tuple[str, float]]) -> None:
    """The node's name, and the levels that are above what is drawn."""
    axes.set_title(panel.name, pad=3)
    if above:
        limits = ", ".join(f"{level} {exact(value)} ↑" for level, value in above)
        axes.set_title(limits, loc="right", pad=3, color=SOFT, fontsize=8)


def _panel_tips(drawings: Sequence[Panel]) -> dict[str, list[str]]:
    found = {}
    for panel in drawings:
        for each in panel.series:
            key = f"{panel.name} {each.name}"
            found[key] = [f"{key}, {number(place)} s: {number(value)}" for place, value in each.points]
    return found


# Groups ---------------------------------------------------------------------------------------------------------------


def spread(name: str, title: str, y: str, groups: Sequence[Group], zero: bool) -> Plot:
    """Every value as a point, the median as a line, the span as a box, a column for each setting; `zero`: the y axis begins at 0."""
    with style(name):
        drawn, (axes,) = figure(2.9)
        for index, group in enumerate(groups):
            _draw_group(axes, group, index)
        axes.set_xlim(-0.5, len(groups) - 0.3)
        axes.set_xticks(range(len(groups)), [group.name for group in groups])
        if len(groups) > 4 or sum(len(group.name) for group in groups) > 40:
            axes.tick_params(axis="x", rotation=25)
        axes.grid(False, axis="x")
        _y_axis(axes, y, [value for group in groups for value in group.values], zero)
        description = "; ".join(
            f"{group.name}: median {number(median(group.values))}, from {number(min(group.values))} to {number(max(group.values))}"
            for group in groups
        )
        tips = {
            group.name: [
                f"{group.name}, repetition {place}: {number(value)}" for place, value in enumerate(group.values, 1)
            ]
            for group in groups
        }
        picture = svg(drawn, name, title, description, tips)
    rows = [[group.name, place, value] for group in groups for place, value in enumerate(group.values, 1)]
    figures = [
        [group.name, str(len(group.values)), *map(number, (median(group.values), min(group.values), max(group.values)))]
        for group in groups
    ]
    table = Table(title, ["setting", "repetitions", "median", "least", "greatest"], figures)
    return Plot(name, title, picture, ["setting", "repetition", y], rows, table)


def _draw_group(axes: Any, group: Group, index: int) -> None:
    values, color = list(group.values), PALETTE[index % COLORS]
    low, high, middle = min(values), max(values), median(values)
    span = Rectangle((index - 0.3, low), 0.6, high - low, facecolor=color, alpha=0.16, edgecolor=color, linewidth=0.8)
    axes.add_patch(span)
    axes.hlines(middle, index - 0.3, index + 0.3, color=color, linewidth=2.2)
    axes.annotate(number(middle), (index + 0.3, middle), xytext=(3, -3), textcoords="offset points", fontsize=8.5)
    # Beside each other in the order of the runs, so that equal ones are seen
    width = 0.36 / max(1, len(values) - 1)
    places = [index - 0.18 + width * place if len(values) > 1 else index for place in range(len(values))]
    (points,) = axes.plot(
        places,
        values,
        linestyle="none",
        marker=MARKERS[index % len(MARKERS)],
        color=color,
        markeredgecolor=CARD,
        markeredgewidth=0.6,
        markersize=6,
    )
    label(points, group.name)
