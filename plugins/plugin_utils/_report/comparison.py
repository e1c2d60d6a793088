# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the tables and plots that show settings side by side."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.blocks import Plot, Table
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import Setting
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.plots import Group, Line, band, lines, spread
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.repetitions import (
    FURTHER,
    MEASURES,
    Measure,
    repetitions,
    values_of,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.text import number, utc
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._rounds import rounds


def tables(settings: Sequence[Setting]) -> tuple[Table, Table]:
    """A row for each setting with median and span: of what is compared, with the time against that of the first; of the rest."""
    compared, further = (
        _table(title, settings, measures)
        for title, measures in (("Comparison", MEASURES), ("Further figures", FURTHER))
    )
    base = values_of(settings[0], "seconds")
    rows = []
    for setting, row in zip(settings, compared.rows):
        seconds = values_of(setting, "seconds")
        rows.append([*row, f"× {median(seconds) / median(base):.2f}" if seconds and base and median(base) else "-"])
    return Table(compared.title, [*compared.head, f"time against {settings[0].name}"], rows), further


def _table(title: str, settings: Sequence[Setting], measures: Sequence[Measure]) -> Table:
    rows = [
        [setting.name, str(len(repetitions(setting))), *(_span(values_of(setting, each.key)) for each in measures)]
        for setting in settings
    ]
    return Table(title, ["setting", "repetitions", *(each.name for each in measures)], rows)


def repetition_table(settings: Sequence[Setting]) -> Table:
    """A row for each repetition, in the order in which they ran."""
    every = [each for setting in settings for each in repetitions(setting)]
    rows = [
        [
            utc(each["time"]),
            each["setting"],
            each["run"],
            *(number(each[key]) for key in ("loop", "accuracy", "seconds", "cpu_seconds", "pods", "lost")),
        ]
        for each in sorted(every, key=lambda each: float(each["time"]))
    ]
    head = ["began", "setting", "run", "loop", "accuracy", "seconds", "CPU seconds", "pods", "lost parts"]
    return Table("Repetitions", head, rows)


def _span(values: Sequence[float]) -> str:
    """Median, and from least to greatest where they differ."""
    if not values:
        return "-"
    low, middle, high = number(min(values)), number(median(values)), number(max(values))
    return middle if low == high else f"{middle}\n{low} to {high}"


def plots(settings: Sequence[Setting]) -> list[Plot]:
    """Each figure with its spread, accuracy by round, and time by repetition. A figure that nobody measured is left out."""
    return [*_spread_plots(settings), *_accuracy_plot(settings), *_order_plot(settings)]


def _spread_plots(settings: Sequence[Setting]) -> list[Plot]:
    found = []
    for measure in MEASURES:
        groups = [Group(setting.name, values) for setting in settings if (values := values_of(setting, measure.key))]
        if groups:
            name, zero = f"compare-{measure.key}", measure.key != "accuracy"
            found.append(spread(name, measure.title, measure.name, groups, zero))
    return found


def _accuracy_plot(settings: Sequence[Setting]) -> list[Plot]:
    curves = [curve for setting in settings if (curve := _accuracy_band(setting)).xs]
    if not curves:
        return []
    title = "Accuracy after each round: median and span of the repetitions"
    return [lines("compare-rounds", title, "round", "accuracy", curves, columns=("setting", "accuracy"), zero=False)]


def _accuracy_band(setting: Setting) -> Line:
    values: dict[tuple[str, int], dict[float, float | None]] = {}
    for run in setting.runs:
        for event in rounds(run.events):
            values.setdefault((event["run"], event["loop"]), {})[event["round"]] = event.get("accuracy")
    return band(setting.name, [Line("", list(values[key]), list(values[key].values())) for key in sorted(values)])


def _order_plot(settings: Sequence[Setting]) -> list[Plot]:
    series = []
    for setting in settings:
        values = values_of(setting, "seconds")
        series.append(Line(setting.name, list(range(1, len(values) + 1)), values))
    if not any(len(each.xs) > 1 for each in series):
        return []
    title = "Seconds of each repetition, in the order in which they ran"
    shown = [each for each in series if each.xs]
    columns = ("setting", "seconds")
    return [lines("compare-order", title, "repetition", "seconds", shown, columns=columns, unit=" s")]
