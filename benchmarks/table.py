"""What the programs in this folder share: figures with their spread, ratios, goals, and how they are printed and kept.

    bench = Bench("Training", __doc__)
    options = bench.options()                      # --json FILE, and what the program added to bench.parser
    bench.add("five rounds", "ours", "s", 1.21)    # once for each repeat
    bench.ratio("five rounds", "tutorial", "ours")
    bench.goal("five rounds, tutorial / ours", bench.median("five rounds", "tutorial") / ..., at_least=5)
    bench.finish()

A figure is one kind of work done one way; ways are the columns (ours, the way of others, the floor), works the rows.
`--json` writes {"machine", "figures", "ratios", "goals"}. A program ends with 0 when it could measure, whatever it was.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """What the figures are measured on; `load` is what runs there already: processes that want a core."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 1e9, 1),
        "load": round(os.getloadavg()[0], 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def number(value: float, unit: str = "") -> str:
    """Three significant digits, without an exponent; below 1 three decimals."""
    digits = max(0, 3 - len(str(int(abs(value))))) if abs(value) >= 1 else 3
    return f"{value:.{digits}f}{' ' + unit if unit else ''}"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with its columns in line; the first column is text, the others are aligned right."""
    body = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in body) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    body.insert(1, rule)
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        )
        + " |"
        for row in body
    )


class Bench:
    """The figures of one program."""

    def __init__(self, title: str, about: str | None) -> None:
        self.title, self._machine = title, machine()
        self.parser = argparse.ArgumentParser(
            description=about, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        self.parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
        self._json: Path | None = None
        self._figures: dict[str, dict[str, list[float]]] = {}
        self._units: dict[str, str] = {}
        self._ratios: dict[str, float] = {}
        self._goals: dict[str, dict[str, Any]] = {}

    def options(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """Parse the command line."""
        parsed = self.parser.parse_args(arguments)
        self._json = parsed.json
        return parsed

    def add(self, work: str, way: str, unit: str, value: float) -> None:
        """One measurement; called once for each repeat."""
        if self._units.setdefault(work, unit) != unit:
            raise ValueError(f"{work} is measured in {self._units[work]}, not in {unit}")
        self._figures.setdefault(work, {}).setdefault(way, []).append(value)

    def median(self, work: str, way: str) -> float:
        return statistics.median(self._figures[work][way])

    def ratio(self, work: str, over: str, under: str) -> float:
        """Of two medians of one work; shown and kept as "work: over / under"."""
        value = self.median(work, over) / self.median(work, under)
        self._ratios[f"{work}: {over} / {under}"] = value
        return value

    def goal(
        self, name: str, value: float, *, at_most: float | None = None, at_least: float | None = None, unit: str = ""
    ) -> None:
        """What was to be reached; exactly one limit is given."""
        if (at_most is None) == (at_least is None):
            raise ValueError("a goal has one limit: at_most or at_least")
        if at_most is not None:
            limit, met, sign = at_most, value <= at_most, "<="
        else:
            assert at_least is not None
            limit, met, sign = at_least, value >= at_least, ">="
        self._goals[name] = {"value": value, "goal": limit, "met": met, "sign": sign, "unit": unit}

    def text(self) -> str:
        """The tables, as Markdown."""
        host = self._machine
        ways = list(dict.fromkeys(way for by_way in self._figures.values() for way in by_way))
        rows = [
            [f"{work}, {self._units[work]}" if self._units[work] else work]
            + [_cell(by_way[way]) if way in by_way else "" for way in ways]
            for work, by_way in self._figures.items()
        ]
        parts = [
            f"{self.title}: {host['cores']} cores ({host['processor']}), {host['memory_gb']} GB, load before {host['load']}; median (lowest to highest)",
            grid(["", *ways], rows),
        ]
        if self._ratios:
            parts.append(grid(["ratio", ""], [[name, number(value)] for name, value in self._ratios.items()]))
        if self._goals:
            goals = [
                [name, number(one["value"], one["unit"]), f"{one['sign']} {number(one['goal'], one['unit'])}", "yes" if one["met"] else "NO"]
                for name, one in self._goals.items()
            ]  # fmt: skip
            parts.append(grid(["goal", "measured", "wanted", "met"], goals))
        return "\n\n".join(parts)

    def finish(self) -> None:
        """Print the tables; write the JSON file when one was asked for."""
        print("\n" + self.text(), flush=True)
        if self._json is None:
            return
        figures = {
            work: {
                "unit": self._units[work],
                **{way: {"median": statistics.median(values), "values": values} for way, values in by_way.items()},
            }
            for work, by_way in self._figures.items()
        }
        goals = {name: {key: one[key] for key in ("value", "goal", "met")} for name, one in self._goals.items()}
        document = {"machine": self._machine, "figures": figures, "ratios": self._ratios, "goals": goals}
        self._json.write_text(json.dumps(document, indent=1) + "\n")


def _cell(values: list[float]) -> str:
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))} to {number(max(values))})"
