# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the telemetry of a run, as L(recorder) wrote it, as the report takes it (docs/report.md)."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import Outcome, done, pending, wait
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry import hpa, recorder
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry.recorder import Line

# Of what is no warning: that a pod was made and started, its own line tells already
REPORTED = ("Killing", "SuccessfulRescale", "EvictedByVPA", "EvictedPod", "InPlaceResizedByVPA", "ResizeCompleted")
AMOUNTS = ("cpu_request", "cpu_limit", "memory_request", "memory_limit")


def read(folder: Path, run: str, timeout: float) -> dict[str, Any]:
    """What the module C(cluster_telemetry_info) returns, as soon as nobody records any more, or after `timeout` seconds."""
    path, _newest = recorder.paths(folder, run)
    problems: list[str] = []
    text = ""
    try:
        with open(path, "rb") as file:
            try:
                wait(lambda: _free(file), timeout, 0.1, "the end of the recording")
            except EdgeflError as error:
                problems.append(error.message)
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        problems.append(f"Nothing was recorded of run {run}: {path} is not there.")
    except OSError as error:
        raise EdgeflError(
            f"{path} can't be read ({error.strerror}): run this on the cloud node with become."
        ) from error
    lines, damaged = parse(text)
    problems += [f"While it was recorded: {line['text']}." for line in lines if line["kind"] == "problem"] + damaged
    found = {"telemetry": report_records(lines), "details": details(lines), "problems": problems, "text": text}
    return {**found, "recorder": next((line for line in reversed(lines) if line["kind"] == "recorder"), {})}


def _free(file: Any) -> Outcome:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return pending("it goes on")
    fcntl.flock(file, fcntl.LOCK_UN)
    return done()


def newest(folder: Path, run: str) -> dict[str, Any]:
    """What L(recorder.Recorder.newest) wrote last; empty when there is nothing."""
    try:
        found: dict[str, Any] = json.loads(recorder.paths(folder, run)[1].read_text())
    except (OSError, ValueError):
        return {}
    return found


def parse(text: str) -> tuple[list[Line], list[str]]:
    """The lines, and a sentence when some of them are damaged: the cloud node may have lost its power."""
    lines, damaged = [], 0
    for row in text.splitlines():
        try:
            line = json.loads(row)
            line["time"], line["kind"]
        except (ValueError, KeyError, TypeError):
            damaged += 1
            continue
        lines.append(line)
    return lines, [f"{damaged} lines of the telemetry are damaged, and were left out."] if damaged else []


def report_records(lines: Iterable[Line]) -> list[Line]:
    """The records that the report draws."""
    found: list[Line] = []
    targets: dict[str, Mapping[str, float]] = {}
    for line in lines:
        kind = line["kind"]
        if kind == "hpa_spec":
            targets[line["name"]] = hpa.spec_of(line["spec"]).targets
        elif not line.get("node"):
            continue
        elif kind in ("node", "pod", "replicas"):
            found.append(line)
        elif kind == "event" and (line["type"] == "Warning" or line["reason"] in REPORTED):
            found.append({key: line[key] for key in ("time", "kind", "node", "pod", "reason", "text")})
        elif kind == "hpa":
            snapshot = hpa.snapshot_of(line["time"], line["status"])
            for metric, target in targets.get(line["name"], {}).items():
                state = {
                    "metric": metric,
                    "target_percent": target,
                    "current": snapshot.current,
                    "desired": snapshot.desired,
                }
                if snapshot.uses.get(metric) is not None:
                    state["use_percent"] = snapshot.uses[metric]
                found.append({"time": line["time"], "kind": "hpa", "node": line["node"], **state})
    return found


def details(lines: Iterable[Line]) -> dict[str, Any]:
    """Limits, capacity, versions of the nodes' programs and explained scalings, of the report's details."""
    lines = list(lines)
    limits: dict[tuple[str, str], Line] = {}
    capacity: dict[str, Line] = {}
    versions: dict[str, str] = {}
    for line in lines:
        if line["kind"] == "pod_state" and line["node"]:
            given = {key: line[key] for key in AMOUNTS if key in line}
            limits[line["node"], line["pod"]] = {"node": line["node"], "pod": line["pod"], **given}
        elif line["kind"] == "capacity":
            capacity[line["node"]] = {key: line[key] for key in ("node", "cpu_cores", "memory_bytes")}
            if line.get("versions"):
                versions[f"node {line['node']}"] = line["versions"]
    return {
        "limits": [limits[key] for key in sorted(limits)],
        "capacity": [capacity[key] for key in sorted(capacity)],
        "versions": dict(sorted(versions.items())),
        "scalings": scalings(lines),
    }


def scalings(lines: Iterable[Line]) -> list[Line]:
    """Each decision of each HorizontalPodAutoscaler, and why others were not made, in the order of their time."""
    specs: dict[str, hpa.Spec] = {}
    snapshots: dict[str, list[hpa.Snapshot]] = {}
    nodes: dict[str, str] = {}
    ready: dict[str, int] = {}
    for line in lines:
        if line["kind"] in ("hpa_spec", "hpa") and line["node"]:
            # Not known in the first lines: an autoscaler is made before its clients
            nodes[line["name"]] = line["node"]
        if line["kind"] == "replicas":
            ready[line["node"]] = line["ready"]
        elif line["kind"] == "hpa_spec":
            specs[line["name"]] = hpa.spec_of(line["spec"])
        elif line["kind"] == "hpa" and line["name"] in specs:
            status = line["status"]
            # Pods that it takes away at this moment were ready when it decided
            shrinks = status.get("desiredReplicas", 0) < status.get("currentReplicas", 0)
            snapshot = hpa.snapshot_of(line["time"], status, None if shrinks else ready.get(line["node"]))
            snapshots.setdefault(line["name"], []).append(snapshot)
    found = [
        {"time": time, "node": nodes[name], "text": text}
        for name, seen in snapshots.items()
        for time, text in hpa.explain(specs[name], seen)
        if name in nodes
    ]
    return sorted(found, key=lambda each: (each["time"], each["node"]))
