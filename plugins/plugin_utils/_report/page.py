# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: report.html of a training, and of a comparison of settings: one file that needs no other.

The same data always give the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.events import (
    figure,
    nodes,
    rounds,
    shares,
    summary,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import comparison as compare
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import html as html
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import run as of_run
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import Details, Run, Setting
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.html import Section
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.plots import Plot, number


@dataclass(frozen=True)
class Report:
    """A page, and the plots in it."""

    html: str
    plots: list[Plot]

    def files(self) -> dict[str, bytes]:
        """The files by their path in the run's folder."""
        found = {f"plots/{each.name}.csv": each.csv().encode() for each in self.plots}
        return {**found, "report.html": self.html.encode()}


class _Plots(list[Plot]):
    """Collects the plots of a page while its HTML is made."""

    def html(self, every: Iterable[Plot]) -> str:
        shown = list(every)
        self.extend(shown)
        return html.plots(shown)


def run_report(run: Run) -> Report:
    """The report of one training."""
    found = summary(run.events, run.name)
    plots = _Plots()
    sections = [
        *_training(run, plots, ""),
        *_shipping(run.details),
        Section("rounds", "Rounds", html.table("Rounds", *of_run.round_table(run))) if found["rounds"] else None,
        *_repeat(run.details, found["settings"], found["engine"]),
        *_listings(run.details),
    ]
    return Report(html.document(f"Run {run.name}", _headline(found), [each for each in sections if each]), plots)


def _headline(found: dict[str, Any]) -> str:
    facts = [
        ("Accuracy", figure(found["accuracy"])),
        ("Training time", f"{figure(found['seconds'], 1)} s"),
        ("Rounds", f"{found['rounds']}"),
        *([("Loops", str(found["loops"]))] if found["loops"] > 1 else []),
        ("Samples trained", number(found["samples"])),
        ("Nodes", str(len(found["nodes"]))),
        ("Lost parts", str(found["lost"])),
        ("State", found["state"]),
    ]
    chosen = ("selection", "strategy", "sample_fraction", "min_nodes", "tls")
    settings = ", ".join(f"{key} {html.plain(found['settings'][key])}" for key in chosen if key in found["settings"])
    reason = f'<p class="bad">It failed: {escape(found["reason"])}</p>' if found.get("reason") else ""
    return (
        f"<p>{escape(found['app'] or 'unknown app')}, {html.when(found['started'])} to {html.when(found['finished'])}"
        f"{f'; {escape(settings)}' if settings else ''}</p>{reason}{html.cards(facts)}"
    )


def _training(run: Run, plots: _Plots, prefix: str) -> list[Section | None]:
    """What happened in a run, over rounds and over time."""
    if not rounds(run.events):
        return [Section(f"{prefix}learning", "Learning", "<p>No round was finished.</p>")]
    found = summary(run.events, run.name)
    learned = plots.html(of_run.learning(run, prefix))
    by_node = plots.html([of_run.time_line(run, prefix), *of_run.of_nodes(run, prefix)])
    scaled = plots.html(of_run.scaling(run, prefix)) + _decisions(run)
    used = plots.html(of_run.use(run, prefix))
    return [
        Section(f"{prefix}learning", "Learning", learned) if learned else None,
        Section(f"{prefix}nodes", "Nodes", by_node + html.table("Nodes", *of_run.node_table(found))),
        Section(f"{prefix}scaling", "Scaling", scaled) if scaled else None,
        Section(f"{prefix}use", "CPU and memory", used) if used else None,
    ]


def _decisions(run: Run) -> str:
    """The autoscaler's decisions, numbered as in the time line."""
    if not run.details.scalings:
        return ""
    first = of_run.zero(run.events)
    items = "".join(
        f"<li>{each.time - first:.1f} s, {escape(each.node)}: {escape(each.text)}</li>" for each in run.details.scalings
    )
    return f"<h3>Each decision explained</h3><ol>{items}</ol>"


def _shipping(details: Details) -> list[Section]:
    if not details.shipping:
        return []
    rows = [
        [
            each.node,
            each.image,
            each.reason,
            *(f"{size / 1e6:.3f}" for size in (each.sent, each.saved)),
            f"{each.seconds:.2f}",
        ]
        for each in details.shipping
    ]
    head = ["node", "image", "reason", "sent (MB)", "saved (MB)", "seconds"]
    return [Section("shipping", "Images shipped", html.table("Images shipped", head, rows))]


def _repeat(details: Details, settings: dict[str, Any], engine: dict[str, Any]) -> list[Section]:
    """Versions, settings, and variables as a file to train again with."""
    text = ""
    if details.variables:
        file = json.dumps(details.variables, indent=2, sort_keys=True) + "\n"
        text += (
            f"<p>Save {html.save('variables.json', file, 'application/json')} and call: "
            f"<code>ansible-playbook site.yml -e @variables.json -e edgefl_run=new</code></p>{html.text_block('Variables', file)}"
        )
    for title, values in (("Settings of the training", settings), ("Versions", {**details.versions, **engine})):
        if values:
            rows = [[key, html.plain(value)] for key, value in values.items()]
            text += f"<h3>{title}</h3>{html.table(title, ['name', 'value'], rows)}"
    return [Section("repeat", "To repeat it", text)] if text else []


def _listings(details: Details) -> list[Section]:
    if not details.listings:
        return []
    text = "".join(
        f"<h3>{escape(each.title)}</h3><p><code>{escape(each.command)}</code></p>{html.text_block(each.title, each.text)}"
        for each in details.listings
    )
    return [Section("cluster", "In the cluster", text)]


def comparison_report(settings: Sequence[Setting], details: Details) -> Report:
    """The report of several settings: figures side by side, then a typical run of each."""
    plots = _Plots()
    compared, rest = compare.tables(settings)
    across = plots.html(compare.plots(settings))
    sections: list[Section | None] = [
        Section(
            "comparison",
            "Comparison",
            html.table("Comparison", *compared) + across + html.table("Further figures", *rest),
        ),
    ]
    for place, setting in enumerate(settings, 1):
        run = compare.typical(setting)
        if run:
            sections.append(_typical(place, setting, run, plots))
    first = settings[0].runs[0] if settings[0].runs else None
    found = summary(first.events, first.name) if first else {"settings": {}, "engine": {}}
    sections += [
        *_shipping(details),
        _runs(settings),
        *_repeat(details, found["settings"], found["engine"]),
        *_listings(details),
    ]
    return Report(
        html.document(
            compare.title([each.name for each in settings]), _across(settings), [each for each in sections if each]
        ),
        plots,
    )


def _typical(place: int, setting: Setting, run: Run, plots: _Plots) -> Section:
    # With its place: two names may differ in letters that no name of a file has
    slug = f"{place}-" + re.sub(r"[^a-z0-9]+", "-", setting.name.lower()).strip("-")
    parts = [each for each in _training(run, plots, f"{slug}-") if each]
    body = "".join(f'<h3 id="{each.name}">{escape(each.title)}</h3>{each.html}' for each in parts)
    lead = f'<p>Run <a href="../{escape(run.name)}/report.html">{escape(run.name)}</a>, whose time is the median one of {len(setting.runs)}.</p>'
    return Section(f"setting-{slug}", f"Setting {setting.name}", lead + body)


def _across(settings: Sequence[Setting]) -> str:
    every: list[Callable[[Run], Any]] = [
        lambda run: max((event["round"] for event in rounds(run.events)), default=0),
        lambda run: len(nodes(run.events)),
    ]
    runs = [run for setting in settings for run in setting.runs]
    at_most = [max((ask(run) for run in runs), default=0) for ask in every]
    samples = sum(share.samples for run in runs for event in rounds(run.events) for share in shares(event).values())
    times = [event["time"] for run in runs for event in run.events]
    facts = [
        ("Settings", str(len(settings))),
        ("Runs", str(len(runs))),
        ("Repetitions", str(sum(len(compare.repetitions(setting)) for setting in settings))),
        ("Rounds each", str(at_most[0])),
        ("Nodes", str(at_most[1])),
        ("Samples trained", number(samples)),
    ]
    span = f"<p>{html.when(min(times))} to {html.when(max(times))}</p>" if times else ""
    return span + html.cards(facts)


def _runs(settings: Sequence[Setting]) -> Section:
    every = sorted(
        (each for setting in settings for each in compare.repetitions(setting)), key=lambda each: float(each["time"])
    )
    head = ["began", "setting", "run", "loop", "accuracy", "seconds", "CPU seconds", "pods", "lost parts"]
    rows = [
        [
            html.when(each["time"]),
            each["setting"],
            each["run"],
            *(number(each[key]) for key in ("loop", "accuracy", "seconds", "cpu_seconds", "pods", "lost")),
        ]
        for each in every
    ]
    return Section("repetitions", "Repetitions", html.table("Repetitions", head, rows))
