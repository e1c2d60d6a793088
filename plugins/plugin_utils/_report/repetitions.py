# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the figures of the same training under several settings. Each loop of each run is one repetition of its setting."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.events import Event
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import Run, Setting
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.text import MB, number
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._rounds import rounds, shares


@dataclass(frozen=True)
class Measure:
    """A figure of a repetition: its key, its name in tables with the unit, and the title of its plot."""

    key: str
    name: str
    title: str


MEASURES = (
    Measure("accuracy", "accuracy", "Accuracy after the last round"),
    Measure("seconds", "seconds", "Seconds of all rounds"),
    Measure("cpu_seconds", "CPU seconds", "CPU seconds of all clients"),
    Measure("peak_mb", "peak memory (MB)", "Peak memory of a client, in MB"),
    Measure("pods", "pods", "Pods that trained, at most in a round"),
)
# In tables only
FURTHER = (
    Measure("rounds", "rounds", ""),
    Measure("seconds_per_round", "seconds a round", ""),
    Measure("samples", "samples", ""),
    Measure("lost", "lost parts", ""),
)


def repetitions(setting: Setting) -> list[dict[str, Any]]:
    """The figures of each loop of each run, in the order in which they began; None where something was not measured."""
    found = []
    for run in setting.runs:
        every = rounds(run.events)
        for loop in sorted({event["loop"] for event in every}):
            mine = [event for event in every if event["loop"] == loop]
            found.append({"setting": setting.name, "run": run.name, "loop": loop, **_figures(mine)})
    return sorted(found, key=lambda each: each["time"])


def _figures(events: list[Event]) -> dict[str, Any]:
    clients = [client for event in events for client in event.get("clients", [])]
    seconds = round(sum(event.get("seconds") or 0 for event in events), 4)
    cpu = [client["cpu_seconds"] for client in clients if client.get("cpu_seconds") is not None]
    peak = max((client.get("peak_rss_bytes") or 0 for client in clients), default=0)
    return {
        "time": events[0]["time"] - (events[0].get("seconds") or 0),
        "rounds": len(events),
        "accuracy": events[-1].get("accuracy"),
        "loss": events[-1].get("loss"),
        "seconds": seconds,
        "seconds_per_round": round(seconds / len(events), 4),
        "cpu_seconds": round(sum(cpu), 4) if cpu else None,
        "peak_mb": round(peak / MB, 1) if peak else None,
        "pods": max(len({client["pod"] for client in event.get("clients", [])}) for event in events),
        "samples": sum(share.samples for event in events for share in shares(event).values()),
        "lost": sum(len(event.get("lost", [])) for event in events),
    }


def typical(setting: Setting) -> Run | None:
    """The run whose time is the median one (of two in the middle the shorter): the one that is shown in full."""
    done = [(sum(event.get("seconds") or 0 for event in rounds(run.events)), run) for run in setting.runs]
    ordered = sorted((item for item in done if rounds(item[1].events)), key=lambda item: item[0])
    return ordered[(len(ordered) - 1) // 2][1] if ordered else None


def values_of(setting: Setting, key: str) -> list[float]:
    """A figure of each repetition of a setting; those that lack it are left out."""
    return [each[key] for each in repetitions(setting) if each[key] is not None]


def summary(name: str, settings: Sequence[Setting]) -> dict[str, Any]:
    """The content of a comparison's summary.json: median, least and greatest of each figure of each setting."""
    return {
        "schema": 1,
        "run": name,
        "settings": {
            setting.name: {
                "runs": [run.name for run in setting.runs],
                "repetitions": len(repetitions(setting)),
                **{
                    each.key: {"median": median(values), "min": min(values), "max": max(values)}
                    for each in (*MEASURES, *FURTHER)
                    if (values := values_of(setting, each.key))
                },
            }
            for setting in settings
        },
    }


def csv_table(settings: Sequence[Setting]) -> str:
    """The content of comparison.csv: a row for each repetition."""
    every = [each for setting in settings for each in repetitions(setting)]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(every[0]) if every else ["setting"])
    writer.writeheader()
    writer.writerows(every)
    return out.getvalue()


def title(names: Sequence[str]) -> str:
    """What is compared.

    >>> title(["none", "hpa", "vpa"]), title(["a", "b", "c", "d", "e"])
    ('Comparison of none, hpa and vpa', 'Comparison of 5 settings')
    """
    if len(names) > 4:
        return f"Comparison of {len(names)} settings"
    return f"Comparison of {' and '.join(filter(None, [', '.join(names[:-1]), *names[-1:]]))}"


def words(found: dict[str, Any]) -> list[str]:
    """A comparison in a few lines for people."""
    text = [title(list(found["settings"]))]
    width = max(map(len, found["settings"]), default=0)
    for name, setting in found["settings"].items():
        figures = [
            f"{each.name} {number(setting[each.key]['median'])}"
            for each in MEASURES
            if each.key in setting and each.key in ("accuracy", "seconds", "pods")
        ]
        many = setting["repetitions"]
        text.append(f"  {name:<{width}}  {many} repetition{'s' * (many != 1)}; medians: {', '.join(figures) or '-'}")
    return text
