# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what a report consists of: sections, and in them blocks. How a block looks is the macro of its name in templates/blocks.html.j2."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Rows = Sequence[Sequence[Any]]

# A table of more rows is read better in a spreadsheet: the page shows the first of them, its CSV file has all
ROWS = 200
_NUMBER = re.compile(r"-|(× )?-?\d[\d ]*(\.\d+)?( MB)?(\n.*)?")


class Block:
    """A part of a section."""

    @property
    def macro(self) -> str:
        """The macro that renders it.

        >>> Decisions([]).macro
        'decisions'
        """
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Heading(Block):
    """A title within a section; `name`, where given, is what links point to."""

    title: str
    name: str = ""


@dataclass(frozen=True)
class Paragraph(Block):
    """A text of its own."""

    text: str


@dataclass(frozen=True)
class Failure(Block):
    """Why a run failed."""

    reason: str


@dataclass(frozen=True)
class Facts(Block):
    """The figures of the headline: name and value."""

    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table(Block):
    """A table; `head` names its columns, a row has a text or a number for each of them."""

    title: str
    head: Sequence[str]
    rows: Rows

    @property
    def shown(self) -> list[list[str]]:
        """The rows that the page shows."""
        return [[str(cell) for cell in row] for row in self.rows[:ROWS]]

    @property
    def numeric(self) -> list[bool]:
        """For each column, whether all that is in it are numbers, which are then below each other."""
        columns: list[list[str]] = [[str(row[place]) for row in self.rows] for place in range(len(self.head))]
        return [all(map(_NUMBER.fullmatch, column)) and any(cell != "-" for cell in column) for column in columns]


@dataclass(frozen=True)
class Plot:
    """A plot: `name` is that of its CSV file, `svg` an SVG element, `head` and `rows` are the data, `table` is what is shown beside it."""

    name: str
    title: str
    svg: str
    head: Sequence[str]
    rows: Rows
    table: Table
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
class Plots(Block):
    """Plots, beside each other where there is room."""

    plots: Sequence[Plot]


@dataclass(frozen=True)
class Decisions(Block):
    """An autoscaler's decisions, numbered as in the time line: seconds since the first round began, node, sentence."""

    decisions: Sequence[tuple[float, str, str]]


@dataclass(frozen=True)
class Tree(Block):
    """What belongs to what: a root, its branches, and the leaves of each."""

    title: str
    root: str
    branches: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class Variables(Block):
    """Variables as the text of a JSON file to save and train again with."""

    json: str


@dataclass(frozen=True)
class Listing(Block):
    """What a command printed, as a terminal shows it."""

    title: str
    command: str
    text: str


@dataclass(frozen=True)
class Typical(Block):
    """Leads to the report of the run that stands for the `runs` runs of its setting."""

    run: str
    runs: int


@dataclass(frozen=True)
class Section:
    """A part of a report: `name` is what links point to."""

    name: str
    title: str
    blocks: Sequence[Block]


def plots_of(sections: Iterable[Section]) -> list[Plot]:
    """All plots, in the order of the page."""
    blocks = [block for section in sections for block in section.blocks]
    return [plot for block in blocks if isinstance(block, Plots) for plot in block.plots]
