# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: report.html of a training, and of a comparison of settings: one file that needs no other.

The same data always give the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _model
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import (
    comparison,
    regions,
    repetitions,
    training,
    usage,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.blocks import (
    Block,
    Decisions,
    Facts,
    Failure,
    Heading,
    Listing,
    Paragraph,
    Plot,
    Plots,
    Section,
    Table,
    Typical,
    Variables,
    plots_of,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import Details, Run, Setting
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.html import render
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.parts import first_begin
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.text import number, plain, utc
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._rounds import (
    TOLD,
    figure,
    nodes,
    rounds,
    shares,
    summary,
)


@dataclass(frozen=True)
class Report:
    """A page, and the plots in it."""

    html: str
    plots: list[Plot]

    def files(self) -> dict[str, bytes]:
        """The files by their path in the run's folder."""
        found = {f"plots/{each.name}.csv": each.csv().encode() for each in self.plots}
        return {**found, "report.html": self.html.encode()}


def _report(title: str, lead: Sequence[Block], sections: Sequence[Section]) -> Report:
    shown = [section for section in sections if section.blocks]
    return Report(render(title, lead, shown), plots_of(shown))


def run_report(run: Run) -> Report:
    """The report of one training. A section without data is left out."""
    found = summary(run.events, run.name)
    sections = [
        *_training(run, ""),
        _shipping(run.details),
        Section("rounds", "Rounds", [training.round_table(run)] if found["rounds"] else []),
        _model_section(run.details),
        _repeat(run.details, found["settings"], found["engine"]),
        _listings(run.details),
    ]
    return _report(f"Run {run.name}", _run_lead(found), sections)


def comparison_report(settings: Sequence[Setting], details: Details) -> Report:
    """The report of several settings: figures side by side, then a typical run of each."""
    compared, further = comparison.tables(settings)
    first = settings[0].runs[0] if settings[0].runs else None
    found = summary(first.events, first.name) if first else {"settings": {}, "engine": {}}
    sections = [
        Section("comparison", "Comparison", [compared, *_plots(comparison.plots(settings)), further]),
        *(_typical(place, setting) for place, setting in enumerate(settings, 1)),
        _shipping(details),
        Section("repetitions", "Repetitions", [comparison.repetition_table(settings)]),
        _repeat(details, found["settings"], found["engine"]),
        _listings(details),
    ]
    return _report(repetitions.title([each.name for each in settings]), _comparison_lead(settings), sections)


# Headlines ------------------------------------------------------------------------------------------------------------


def _run_lead(found: dict[str, Any]) -> list[Block]:
    learnt = [(key.capitalize(), figure(found[key])) for key in ("accuracy", "loss") if found[key] is not None][:1]
    if not learnt:
        learnt = [(name, figure(value)) for name, value in found["metrics"].items()][:TOLD] or [("Accuracy", "-")]
    facts = [
        *learnt,
        ("Training time", f"{figure(found['seconds'], 1)} s"),
        ("Rounds", f"{found['rounds']}"),
        *([("Loops", str(found["loops"]))] if found["loops"] > 1 else []),
        ("Samples trained", number(found["samples"])),
        ("Nodes", str(len(found["nodes"]))),
        ("Lost parts", str(found["lost"])),
        ("State", found["state"]),
    ]
    chosen = ("selection", "strategy", "sample_fraction", "min_nodes", "tls")
    settings = ", ".join(f"{key} {plain(found['settings'][key])}" for key in chosen if key in found["settings"])
    what = f"{found['app'] or 'unknown app'}, {utc(found['started'])} to {utc(found['finished'])}"
    failure = [Failure(found["reason"])] if found.get("reason") else []
    return [Paragraph(f"{what}; {settings}" if settings else what), *failure, Facts(facts)]


def _comparison_lead(settings: Sequence[Setting]) -> list[Block]:
    runs = [run for setting in settings for run in setting.runs]
    every = [event for run in runs for event in rounds(run.events)]
    samples = sum(share.samples for event in every for share in shares(event).values())
    times = [event["time"] for run in runs for event in run.events]
    facts = [
        ("Settings", str(len(settings))),
        ("Runs", str(len(runs))),
        ("Repetitions", str(sum(len(repetitions.repetitions(setting)) for setting in settings))),
        ("Rounds each", str(max((event["round"] for event in every), default=0))),
        ("Nodes", str(max((len(nodes(run.events)) for run in runs), default=0))),
        ("Samples trained", number(samples)),
    ]
    return [*([Paragraph(f"{utc(min(times))} to {utc(max(times))}")] if times else []), Facts(facts)]


# Sections -------------------------------------------------------------------------------------------------------------


def _plots(every: Sequence[Plot]) -> list[Block]:
    return [Plots(every)] if every else []


def _training(run: Run, prefix: str) -> list[Section]:
    """What happened in a run, over rounds and over time; names begin with `prefix`."""
    if not rounds(run.events):
        return [Section(f"{prefix}learning", "Learning", [Paragraph("No round was finished.")])]
    by_node = Plots([training.time_line(run, prefix), *training.node_plots(run, prefix)])
    return [
        Section(f"{prefix}learning", "Learning", _plots(training.learning_plots(run, prefix))),
        Section(f"{prefix}nodes", "Nodes", [by_node, training.node_table(summary(run.events, run.name))]),
        Section(f"{prefix}regions", "Regions", regions.blocks(run)),
        Section(f"{prefix}scaling", "Scaling", [*_plots(usage.scaling_plots(run, prefix)), *_decisions(run)]),
        Section(f"{prefix}use", "CPU and memory", _plots(usage.usage_plots(run, prefix))),
    ]


def _decisions(run: Run) -> list[Block]:
    scalings, zero = run.details.scalings, first_begin(run.events)
    return [Decisions([(each.time - zero, each.node, each.text) for each in scalings])] if scalings else []


def _typical(place: int, setting: Setting) -> Section:
    """The run that stands for a setting, as its own report shows it."""
    # With its place: two names may differ in letters that no name of a file has
    slug = f"{place}-" + re.sub(r"[^a-z0-9]+", "-", setting.name.lower()).strip("-")
    blocks: list[Block] = []
    run = repetitions.typical(setting)
    if run:
        blocks.append(Typical(run.name, len(setting.runs)))
        for section in _training(run, f"{slug}-"):
            blocks += [Heading(section.title, section.name), *section.blocks] if section.blocks else []
    return Section(f"setting-{slug}", f"Setting {setting.name}", blocks)


def _shipping(details: Details) -> Section:
    rows = [
        [each.node, each.image, each.reason]
        + [f"{size / 1e6:.3f}" for size in (each.sent, each.relayed, each.saved)]
        + [f"{each.seconds:.2f}"]
        for each in details.shipping
    ]
    head = ["node", "image", "reason", "sent (MB)", "relayed (MB)", "saved (MB)", "seconds"]
    return Section("shipping", "Images shipped", [Table("Images shipped", head, rows)] if rows else [])


def _model_section(details: Details) -> Section:
    """How to load the model, in Python called in the folder of the report, and what is in it."""
    how = [list(line) for line in _model.loads(details.model, _model.FOLDER)]
    how += [[f"{_model.FOLDER}/{path}", "written by the app"] for path in details.model.get("work", [])]
    arrays = [[each["name"], plain(each["shape"]), each["dtype"]] for each in details.model.get("arrays", [])]
    blocks: list[Block] = [Table("Loaded by", ["call", "gives"], how)] if how else []
    if arrays:
        blocks += [Heading("Arrays"), Table("Arrays", ["name", "shape", "type"], arrays)]
    return Section("model", "Model", blocks)


def _repeat(details: Details, settings: dict[str, Any], engine: dict[str, Any]) -> Section:
    """Versions, settings, and variables as a file to train again with."""
    blocks: list[Block] = []
    if details.variables:
        blocks.append(Variables(json.dumps(details.variables, indent=2, sort_keys=True) + "\n"))
    for title, values in (("Settings of the training", settings), ("Versions", {**details.versions, **engine})):
        if values:
            rows = [[key, plain(value)] for key, value in values.items()]
            blocks += [Heading(title), Table(title, ["name", "value"], rows)]
    return Section("repeat", "To repeat it", blocks)


def _listings(details: Details) -> Section:
    blocks = [Listing(each.title, each.command, each.text) for each in details.listings]
    return Section("cluster", "In the cluster", blocks)
