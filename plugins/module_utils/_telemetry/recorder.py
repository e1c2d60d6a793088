# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what the cluster says of itself during a run, a JSON object a line. What has not changed is not written again.

The kinds C(pod), C(node), C(replicas) and C(event) have the fields of docs/report.md; C(hpa), C(hpa_spec), C(vpa), C(pod_state), C(capacity),
C(problem) and C(recorder) are what L(records) makes the rest of. Times are seconds since 1970 UTC on this host's clock, CPU is in cores,
memory in bytes.
"""

from __future__ import annotations

import calendar
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Dict

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core import foreign
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.deployed import RUN
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import METRICS, parse_nodes
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.quantity import quantity
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.tunnels import Tunnels, addresses

Line = Dict[str, Any]

# On the cloud node, where nobody names another
FOLDER = "/var/lib/edgefl/telemetry"
# What kubectl is asked for the credentials, once
CONFIG = ["config", "view", "--raw", "--flatten", "--minify", "--output=json"]
CLIENT = "edgefl.kubeedge/workload"
# Figures that are this far from our clock come from a host whose clock is wrong; they are placed at the time when they were seen
SKEW = 60.0
# Seconds after which an API that was not there is asked for again
RETRY_ABSENT = 60.0
# Seconds between two checks whether the run has ended
END_POLL = 0.5


@dataclass
class Recorder:
    """
    What is new in the cluster with each snapshot. Asks the API server with `get(path)`, which gives a JSON document, or None for an unknown path.
    With `tunnels` those of edges that give no figures are opened anew.
    """

    get: Callable[[str], Any]
    namespace: str
    run: str
    clock: Callable[[], float] = time.time
    tunnels: Tunnels | None = None
    _was_deployed: bool = False
    _is_deployed: bool = False
    _last: dict[tuple[str, ...], Any] = field(default_factory=dict)
    _absent: dict[str, float] = field(default_factory=dict)
    _pods: dict[str, Line] = field(default_factory=dict)
    _workloads: dict[str, Line] = field(default_factory=dict)
    _use: dict[str, Line] = field(default_factory=dict)
    # Of pods that have gone too: their last events come later
    _nodes: dict[str, str] = field(default_factory=dict)
    # Address of each edge
    _edges: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._begin = self.clock()

    def snapshot(self) -> list[Line]:
        """The lines that are new. An API server that does not answer is a line, too."""
        found: list[Line] = []
        parts = (
            self._capacity,
            self._pod_states,
            self._replicas,
            self._hpas,
            self._vpas,
            self._node_use,
            self._pod_use,
            self._events,
        )
        for part in parts:
            try:
                found += part()
            except Transient as error:
                # The rest would not be answered either
                return found + self._problem(error.message)
            except EdgeflError as error:
                found += self._problem(error.message)
        if not any(line["kind"] == "problem" for line in found):
            self._last.pop(("problem",), None)
        return found

    @property
    def gone(self) -> bool:
        """Whether the run was deployed and is no more: stopped, or another was begun. It will never tell its end then."""
        return self._was_deployed and not self._is_deployed

    def newest(self) -> dict[str, Any]:
        """For each node with clients: pods C(wanted) and C(ready) of its workload, and C(cpu_cores) and C(memory_bytes) of its client pods."""
        nodes: dict[str, Line] = {}
        for line in self._workloads.values():
            nodes.setdefault(line["node"], {}).update(wanted=line["wanted"], ready=line["ready"])
        for name, use in self._use.items():
            if name in self._pods and self._pods[name]["client"]:
                node = nodes.setdefault(use["node"], {})
                for key in ("cpu_cores", "memory_bytes"):
                    node[key] = round(node.get(key, 0) + use[key], 4)
        return {"time": self.clock(), "nodes": dict(sorted(nodes.items()))}

    # -- one kind each ----------------------------------------------------------------------------------------------

    def _capacity(self) -> list[Line]:
        # A Node object is large, and what it can give does not change in a run
        if ("capacity",) in self._last:
            return []
        found = []
        items = self._list("/api/v1/nodes")
        self._edges = addresses(parse_nodes(items).values())
        for item in items:
            status = item.get("status", {})
            cpu, memory = _amounts(status.get("allocatable", {}))
            line = {"node": item["metadata"]["name"], "cpu_cores": cpu, "memory_bytes": memory}
            found.append(self._line("capacity", {**line, "versions": _versions(status.get("nodeInfo", {}))}))
        self._last["capacity",] = True
        return found

    def _pod_states(self) -> list[Line]:
        found, present = [], {}
        for item in self._list(f"/api/v1/namespaces/{self.namespace}/pods"):
            state = _pod_state(item)
            present[state["pod"]] = state
            self._nodes[state["pod"]] = state["node"]
            before = self._pods.get(state["pod"])
            if before and state["restarts"] > before["restarts"]:
                event = {"node": state["node"], "pod": state["pod"], "reason": "Restarted", "text": _last_exit(item)}
                found.append(self._line("event", {**event, "type": "Warning"}))
            if before != state:
                found.append(self._line("pod_state", state))
        for name in set(self._pods) - set(present):
            found.append(self._line("pod_state", {**self._pods[name], "phase": "Gone", "ready": False}))
            self._use.pop(name, None)
        self._pods = present
        return found

    def _replicas(self) -> list[Line]:
        found, present = [], {}
        runs = set()
        for kind in ("deployments", "statefulsets"):
            for item in self._list(f"/apis/apps/v1/namespaces/{self.namespace}/{kind}"):
                runs.add(item["metadata"].get("annotations", {}).get(RUN))
                if item["metadata"].get("labels", {}).get(CLIENT) != "client":
                    continue
                line = {
                    "node": item["spec"]["template"]["spec"].get("nodeName", ""),
                    "wanted": item["spec"].get("replicas", 1),
                    "ready": item.get("status", {}).get("readyReplicas", 0),
                }
                present[item["metadata"]["name"]] = line
                if self._workloads.get(item["metadata"]["name"]) != line:
                    found.append(self._line("replicas", line))
        self._workloads, self._is_deployed = present, self.run in runs
        self._was_deployed = self._was_deployed or self._is_deployed
        return found

    def _hpas(self) -> list[Line]:
        found = []
        for item in self._list(f"/apis/autoscaling/v2/namespaces/{self.namespace}/horizontalpodautoscalers"):
            node = self._node_of(item["spec"]["scaleTargetRef"]["name"])
            for kind, part in (("hpa_spec", "spec"), ("hpa", "status")):
                content = item.get(part, {})
                if self._changed((kind, item["metadata"]["name"]), content):
                    found.append(self._line(kind, {"node": node, "name": item["metadata"]["name"], part: content}))
        return found

    def _vpas(self) -> list[Line]:
        found = []
        for item in self._list(f"/apis/autoscaling.k8s.io/v1/namespaces/{self.namespace}/verticalpodautoscalers"):
            content = {
                "mode": item["spec"].get("updatePolicy", {}).get("updateMode", "Auto"),
                "recommendation": item.get("status", {}).get("recommendation", {}).get("containerRecommendations", []),
            }
            if self._changed(("vpa", item["metadata"]["name"]), content):
                node = self._node_of(item["spec"].get("targetRef", {}).get("name", ""))
                found.append(self._line("vpa", {"node": node, "name": item["metadata"]["name"], **content}))
        return found

    def _node_use(self) -> list[Line]:
        items = self._list(METRICS)
        found = self._reopened({item["metadata"]["name"] for item in items}) if items else []
        for item in items:
            node = item["metadata"]["name"]
            if self._changed(("node", node), item["timestamp"]):
                cpu, memory = _amounts(item["usage"])
                line = {"node": node, "cpu_cores": cpu, "memory_bytes": memory}
                found.append(self._line("node", line, item["timestamp"]))
        return found

    def _reopened(self, told: set[str]) -> list[Line]:
        if not self.tunnels:
            return []
        text = "without figures for a minute: its tunnel to cloudcore was ended, so that it opens another"
        return [
            self._line("event", {"node": name, "pod": "", "reason": "TunnelReopened", "text": text, "type": "Warning"})
            for name in self.tunnels.reopen({name: at for name, at in self._edges.items() if name not in told})
        ]

    def _pod_use(self) -> list[Line]:
        found = []
        for item in self._list(f"/apis/metrics.k8s.io/v1beta1/namespaces/{self.namespace}/pods"):
            pod = item["metadata"]["name"]
            if pod in self._pods and self._changed(("pod", pod), item["timestamp"]):
                each = [_amounts(container["usage"]) for container in item["containers"]]
                line = {
                    "node": self._pods[pod]["node"],
                    "pod": pod,
                    "cpu_cores": round(sum(cpu for cpu, _memory in each), 6),
                    "memory_bytes": sum(memory for _cpu, memory in each),
                }
                self._use[pod] = line
                found.append(self._line("pod", line, item["timestamp"]))
        return found

    def _events(self) -> list[Line]:
        found = []
        for item in self._list(f"/api/v1/namespaces/{self.namespace}/events"):
            timestamp = (
                item.get("lastTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp", "")
            )
            # Without its fraction, a second's event is before one's own begin in that second
            if not self._changed(("event", item["metadata"]["name"]), item.get("count", 1)) or (
                seconds(timestamp) < self._begin - 1
            ):
                continue
            about = item.get("involvedObject", {})
            name, is_pod = about.get("name", ""), about.get("kind") == "Pod"
            line = {
                "node": self._nodes.get(name, "") if is_pod else self._node_of(name),
                "pod": name if is_pod else "",
                "reason": printable(item.get("reason", "")),
                "text": printable(" ".join(item.get("message", "").split())),
                "type": item.get("type", "Normal"),
            }
            found.append(self._line("event", line, timestamp))
        return found

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _list(self, path: str) -> list[Any]:
        if self.clock() < self._absent.get(path, 0):
            return []
        answer = self.get(path)
        if answer is None:
            # An addon that is not installed, or not yet
            self._absent[path] = self.clock() + RETRY_ABSENT
            return []
        items: list[Any] = answer.get("items") or []
        return items

    def _node_of(self, workload: str) -> str:
        return str(self._workloads.get(workload, {}).get("node", ""))

    def _changed(self, key: tuple[str, ...], content: Any) -> bool:
        if self._last.get(key) == content:
            return False
        self._last[key] = content
        return True

    def _problem(self, text: str) -> list[Line]:
        return [self._line("problem", {"text": text})] if self._changed(("problem",), text) else []

    def _line(self, kind: str, content: Line, timestamp: str = "") -> Line:
        now = self.clock()
        at = seconds(timestamp) if timestamp else now
        return {"time": round(at if now - SKEW <= at <= now + 1 else now, 3), "kind": kind, **content}


def seconds(text: str) -> float:
    """The time of the API (RFC 3339, UTC) in seconds since 1970."""
    whole, _point, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + (float(f"0.{fraction}") if fraction else 0.0)


def _amounts(given: dict[str, str]) -> tuple[float, int]:
    """CPU in cores and memory in bytes, of what the API calls a list of resources."""
    return round(float(quantity(given.get("cpu", "0"))), 6), int(quantity(given.get("memory", "0")))


def _versions(info: dict[str, str]) -> str:
    """A node's programs in a line, of its nodeInfo; an edge's kubelet names KubeEdge too."""
    parts = [
        info.get(key, "")
        for key in ("kubeletVersion", "containerRuntimeVersion", "osImage", "kernelVersion", "architecture")
    ]
    return ", ".join(part for part in parts if part)


def _pod_state(item: Any) -> Line:
    spec, status = item["spec"], item.get("status", {})
    conditions = {each["type"]: each["status"] for each in status.get("conditions", [])}
    found: Line = {
        "node": spec.get("nodeName", ""),
        "pod": item["metadata"]["name"],
        "client": item["metadata"].get("labels", {}).get("app") == "federated-learning-client",
        "phase": "Terminating" if item["metadata"].get("deletionTimestamp") else status.get("phase", "Pending"),
        "ready": conditions.get("Ready") == "True",
        "restarts": sum(each.get("restartCount", 0) for each in status.get("containerStatuses", [])),
    }
    for what in ("request", "limit"):
        each = [container.get("resources", {}).get(f"{what}s", {}) for container in spec["containers"]]
        for resource, place in (("cpu", 0), ("memory", 1)):
            if any(resource in given for given in each):
                found[f"{resource}_{what}"] = sum(_amounts(given)[place] for given in each)
    return found


def _last_exit(item: Any) -> str:
    for each in item.get("status", {}).get("containerStatuses", []):
        end = each.get("lastState", {}).get("terminated")
        if end:
            return f"{printable(end.get('reason', 'Error'))}, exit code {end.get('exitCode')}"
    return ""


# The file ----------------------------------------------------------------------------------------------------------


def ended(rounds: Path) -> bool:
    """Whether the last line of an aggregator's rounds.jsonl says that the run is over."""
    try:
        with foreign.open_file(rounds.parent.parent, rounds.parent.name, rounds.name) as file:
            # The line of an end is short
            file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
            last = file.read(2 * 65536).splitlines()[-1:]
        return bool(last) and json.loads(last[0])["event"] in ("done", "failed")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, EdgeflError):
        # Not there yet, or not written to its end; who follows the run tells what else is wrong with it
        return False


def paths(folder: Path, run: str) -> tuple[Path, Path]:
    """Where the telemetry of a run is, and where its newest figures."""
    return folder / f"{run}.jsonl", folder / f"{run}.now.json"


@dataclass(frozen=True)
class Schedule:
    """Seconds between two snapshots, for which they go on after the run, and after which they end in any case."""

    interval: float
    timeout: float
    after: float = 0.0


def record(
    connect: Callable[[], Callable[[str], Any]],
    folder: Path,
    run: str,
    namespace: str,
    schedule: Schedule,
    until: Callable[[], bool],
    tunnels: Tunnels | None = None,
) -> dict[str, Any]:
    """Records a run until `until()` has been true, or the run gone, or time is up; and once more.

    `connect` gives the function that asks the API server. The file is locked meanwhile, which tells others that the recording has not ended;
    when it is locked already, nothing is done (no snapshots). Returns C(snapshots), C(lines), C(seconds), C(cpu_seconds) of this process, and
    C(share), the CPU of recording alone as a part of a core.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, newest = paths(folder, run)
    with open(path, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return {"snapshots": 0, "lines": 0, "seconds": 0.0, "cpu_seconds": 0.0, "share": 0.0}
        _end_line(file)
        begin, cpu = time.monotonic(), time.process_time()
        figures = {"snapshots": 0, "lines": 0}
        try:
            recorder = Recorder(connect(), namespace, run, tunnels=tunnels)
            for lines in _snapshots(recorder, schedule, until):
                _append(file, lines)
                _replace(newest, recorder.newest())
                figures["snapshots"] += 1
                figures["lines"] += len(lines)
        except EdgeflError as error:
            _append(file, [{"time": round(time.time(), 3), "kind": "problem", "text": error.message}])
            raise
        took = max(time.monotonic() - begin, 1e-9)
        own = time.process_time()
        found = {
            **figures,
            "seconds": round(took, 3),
            "cpu_seconds": round(own, 3),
            "share": round((own - cpu) / took, 5),
        }
        _append(file, [{"time": round(time.time(), 3), "kind": "recorder", **found}])
    return found


def _snapshots(recorder: Recorder, schedule: Schedule, until: Callable[[], bool]) -> Iterator[list[Line]]:
    """The lines of each snapshot, when it is due; the last one is taken at the end."""
    last, over = time.monotonic() + schedule.timeout, False
    while True:
        yield recorder.snapshot()
        now = time.monotonic()
        if now >= last:
            return
        due = now + schedule.interval
        while now < min(due, last):
            if not over and (recorder.gone or until()):
                over, last = True, min(last, now + schedule.after)
            time.sleep(max(0.0, min(END_POLL, due - now, last - now)))
            now = time.monotonic()


def _end_line(file: BinaryIO) -> None:
    """A recorder that was there before may have been ended, with its host, while it wrote."""
    if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n":
        file.write(b"\n")


def _append(file: BinaryIO, lines: list[Line]) -> None:
    file.write("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode())
    file.flush()


def _replace(path: Path, content: Any) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content))
    os.replace(temporary, path)
