# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the time line of a training: a lane for each pod that a node had at once, what it trained there, and what happened."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.blocks import Plot, Rows, Table
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.plots import SECONDS
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.svg import (
    CARD,
    COLORS,
    GRID,
    HATCHES,
    PALETTE,
    SOFT,
    TEXT,
    WHOLE,
    figure,
    label,
    style,
    svg,
)

try:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle
except ImportError:
    # MATPLOTLIB_ERROR of svg.py tells it
    pass

# Heights of a lane, and of what is above a node's lanes for its events
LANE, HEAD = 1.0, 0.55
LOST_DASH = (0, (2, 1.5))
# Marker and name of each kind of event
EVENTS = {"restart": ("v", "restart"), "event": ("d", "other event"), "scaling": ("^", "scaling, by its number")}


@dataclass(frozen=True)
class Bar:
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
class Event:
    """Something that happened to a node at a time: C(restart), C(event), or a C(scaling) with its number as `text`."""

    node: str
    at: float
    kind: str
    text: str
    tip: str


@dataclass(frozen=True)
class Round:
    """A round behind the lanes: seconds `begin` to `end`."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True)
class TimeLine:
    """All that is drawn; `lanes` has the number of lanes of each node, in the order of the drawing. Times in seconds."""

    lanes: Mapping[str, int]
    bars: Sequence[Bar]
    events: Sequence[Event]
    rounds: Sequence[Round]

    @cached_property
    def begin(self) -> float:
        return min([each.begin for each in self.rounds] + [each.at for each in self.events])

    @cached_property
    def end(self) -> float:
        return max([each.end for each in self.rounds] + [each.at for each in self.events])

    @cached_property
    def span(self) -> float:
        return max(self.end - self.begin, 1e-3)

    @cached_property
    def tops(self) -> dict[str, float]:
        """Where each node begins, from above."""
        found, top = {}, 0.0
        for node, count in self.lanes.items():
            found[node] = top
            top += HEAD + count * LANE
        return found

    @property
    def height(self) -> float:
        return sum(HEAD + count * LANE for count in self.lanes.values())

    @cached_property
    def letters(self) -> list[str]:
        return sorted({mark.letter for mark in self.bars})

    def description(self) -> str:
        """In words."""
        return "; ".join(
            f"{node}: {sum(mark.node == node and not mark.lost for mark in self.bars)} parts trained by {count} pods at most at once, "
            f"{sum(mark.node == node and mark.lost for mark in self.bars)} lost"
            for node, count in self.lanes.items()
        )


def plot(
    name: str, title: str, shown: TimeLine, *, columns: Sequence[str], rows: Rows, table: Table, note: str
) -> Plot:
    """The time line as a plot as wide as the page; `columns` and `rows` are the CSV file's."""
    with style(name):
        drawn, (axes,) = figure(1.1 + 0.21 * shown.height, width=WHOLE)
        _draw_rounds(axes, shown)
        tops = shown.tops
        for top in list(tops.values())[1:]:
            axes.axhline(top, color=GRID, linewidth=0.9)
        for mark in shown.bars:
            _draw_bar(axes, mark, tops[mark.node], shown)
        for event in shown.events:
            _draw_event(axes, event, tops[event.node])
        _draw_axes(axes, shown)
        _draw_legend(drawn, shown)
        picture = svg(drawn, name, title, shown.description(), {})
    return Plot(name, title, picture, columns, rows, table, note, wide=True)


def _draw_rounds(axes: Any, shown: TimeLine) -> None:
    """Every other round has a ground; names stand where there is room for them."""
    labelled = -math.inf
    for index, each in enumerate(shown.rounds):
        if index % 2 == 0:
            axes.axvspan(each.begin, each.end, color=GRID, alpha=0.35, linewidth=0)
        middle = (each.begin + each.end) / 2
        if middle - labelled > 0.03 * shown.span:
            axes.annotate(
                each.name,
                (middle, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=SOFT,
            )
            labelled = middle


def _draw_bar(axes: Any, mark: Bar, top: float, shown: TimeLine) -> None:
    index = shown.letters.index(mark.letter)
    text = _bar_text(mark, (mark.end - mark.begin) / shown.span * WHOLE * 60 - 2)
    box = Rectangle(
        (mark.begin, top + HEAD + mark.lane * LANE + 0.1),
        max(mark.end - mark.begin, shown.span / 700),
        LANE - 0.2,
        facecolor="none" if mark.lost else PALETTE[index % COLORS],
        edgecolor=TEXT if mark.lost else CARD,
        hatch="" if mark.lost or text else HATCHES[index % len(HATCHES)],
        linewidth=1.1 if mark.lost else 0.5,
        linestyle=LOST_DASH if mark.lost else "-",
    )
    label(box, f"{mark.node} lost" if mark.lost else mark.node, mark.tip)
    axes.add_patch(box)
    axes.text(
        (mark.begin + mark.end) / 2,
        top + HEAD + (mark.lane + 0.53) * LANE,
        text,
        ha="center",
        va="center",
        fontsize=7.5,
        color=TEXT if mark.lost else CARD,
        clip_on=True,
    )


def _bar_text(mark: Bar, room: float) -> str:
    """As much of its name as there is room for, in points; a bar without any is told by its pattern.

    >>> _bar_text(Bar("edge1", 0, 0, 1, "a", "1/2", True, ""), 20)
    '× a'
    """
    names = [f"{mark.letter} {mark.shard}", mark.letter]
    if mark.lost:
        names = [*(f"× {name}" for name in names), "×"]
    return next((name for name in names if 4.7 * len(name) <= room), "")


def _draw_event(axes: Any, event: Event, top: float) -> None:
    y = top + HEAD * 0.55
    marker = EVENTS[event.kind][0]
    (point,) = axes.plot([event.at], [y], marker=marker, color=TEXT, markersize=5, linestyle="none", clip_on=False)
    label(point, f"{event.node} {event.kind}", event.tip)
    if event.text:
        axes.annotate(event.text, (event.at, y), xytext=(4, -3), textcoords="offset points", fontsize=8)


def _draw_axes(axes: Any, shown: TimeLine) -> None:
    """The nodes at the left, the time below."""
    axes.grid(False, axis="y")
    axes.set_xlim(shown.begin - 0.01 * shown.span, shown.end + 0.01 * shown.span)
    axes.set_ylim(shown.height, 0)
    middles = [shown.tops[node] + HEAD + count * LANE / 2 for node, count in shown.lanes.items()]
    axes.set_yticks(middles, list(shown.lanes))
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{SECONDS}; above: the {'loop and ' * any('.' in each.name for each in shown.rounds)}round")


def _draw_legend(drawn: Any, shown: TimeLine) -> None:
    entries: dict[str, Any] = {
        f"pod {letter}": Patch(facecolor=PALETTE[index % COLORS], edgecolor=CARD, hatch=HATCHES[index % len(HATCHES)])
        for index, letter in enumerate(shown.letters)
    }
    if any(mark.lost for mark in shown.bars):
        entries["× lost part"] = Patch(facecolor="none", edgecolor=TEXT, linestyle=LOST_DASH)
    kinds = {event.kind for event in shown.events}
    for kind, (marker, text) in EVENTS.items():
        if kind in kinds:
            entries[text] = Line2D([], [], marker=marker, color=TEXT, linestyle="none")
    columns = min(len(entries), 9)
    drawn.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns, columnspacing=1.4)
