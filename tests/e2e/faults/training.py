"""A training on the lab that goes on while faults come: what it wrote, what that proves, and the console of each node."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

from support.helpers import BIN, ROOT, environment, tail
from support.processes import until
from support.running_lab import values

PREFIX = "edgefl-lab-"
STATE = "/var/lib/edgefl/state"
TELEMETRY = "/var/lib/edgefl/telemetry"
ROUNDS = 30
# Distance of a training's last accuracy from that of an undisturbed one
SAME = 0.01
# A round that takes longer than this was disturbed, on whatever machine
LONG = 3.0
EVERYTHING = "nodes,pods,leases.coordination.k8s.io"

Line = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """What a fault cost; times in seconds."""

    fault: str
    lost: str
    rounds_after: float
    longest: float
    cluster_after: float
    proof: str


def console(host: str, command: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs a shell command as root on a node, whatever its network does, or for "" on this machine."""
    inside = ["docker", "exec", PREFIX + host] if host else []
    return subprocess.run(
        [*inside, "sh", "-c", command], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=seconds
    )  # fmt: skip


def processes(host: str, program: str) -> set[str]:
    """Ids of the processes whose command line matches."""
    return set(console(host, f"pgrep -f '{program}'").stdout.split())


def unwell(since: float) -> list[str]:
    """
    What of the cluster is not well: the API server that does not answer, pods and nodes that are not ready, and nodes that were not heard of since a
    time, neither by their status nor by their lease.
    """
    asked = console(
        "cloud", f"kubectl --kubeconfig=/etc/kubernetes/admin.conf get {EVERYTHING} --all-namespaces --output=json"
    )
    if asked.returncode != 0:
        return [f"the API server does not answer: {tail(asked.stderr, 1)}"]
    found: list[str] = []
    heard: dict[str, list[str | None]] = {}
    for item in json.loads(asked.stdout)["items"]:
        kind, name = item["kind"], item["metadata"]["name"]
        if kind == "Lease":
            heard.setdefault(name, []).append(item["spec"].get("renewTime"))
        # A pod that failed for good is replaced by another, and stays in the list
        elif "deletionTimestamp" not in item["metadata"] and item["status"].get("phase") != "Failed":
            ready = next(
                (one for one in item["status"].get("conditions", []) if one["type"] == "Ready"), {"status": "Unknown"}
            )
            if ready["status"] != "True":
                found.append(f"{kind} {name} is not ready")
            if kind == "Node":
                heard.setdefault(name, []).append(ready.get("lastHeartbeatTime"))
    nodes = {
        name: max(datetime.fromisoformat(one).timestamp() for one in times if one)
        for name, times in heard.items()
        if len(times) > 1
    }
    return [*found, *(f"Node {name} was not heard of" for name, last in nodes.items() if last < since)]


@dataclass
class Training:
    """Trainings of ROUNDS rounds, one after the other in one run (`loops`), deployed and followed by one ansible-playbook, whose output is in a file."""

    run: str
    loops: int
    log: Path
    variables: dict[str, Any] = field(default_factory=dict)
    tags: str = "preflight,ship_images,federation,results"
    accuracy: float = 0.0
    """That of an undisturbed training after its last round."""
    usual: float = LONG
    """Most seconds of a round that was not disturbed."""

    def __post_init__(self) -> None:
        given = {
            "edgefl_run": self.run,
            "edgefl_rounds": ROUNDS,
            "edgefl_loops": self.loops,
            "edgefl_report": False,
            "results_export": False,
            "results_timeout": 7200,
            "federation_telemetry_timeout": 7200,
        }
        words = ["site.yml", f"--tags={self.tags}", values(**{**given, **self.variables})]
        with self.log.open("w") as log:
            self.play = subprocess.Popen(
                [BIN / "ansible-playbook", *words], cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @classmethod
    def begin(cls, name: str, folder: Path, loops: int = 1000, tags: str = tags, **variables: Any) -> Training:
        """A new run; the playbook's output goes to `folder`."""
        return cls(f"{name}-{time.time():.0f}", loops, folder / "play.log", variables, tags)

    @property
    def state(self) -> str:
        return f"{self.variables.get('edgefl_state_dir', STATE)}/{self.run}"

    def lines(self, count: int = 4000) -> list[Line]:
        """The newest lines of rounds.jsonl; none while the cloud node is off."""
        text = console("cloud", f"tail -n {count} {self.state}/rounds.jsonl").stdout
        # What is being written at this moment has no end yet
        return [json.loads(row) for row in text.rpartition("\n")[0].splitlines()[-count:]]

    def place(self) -> tuple[int, int]:
        """Loop and round of the newest line; (0, 0) while there is none."""
        assert self.play.poll() in (None, 0), f"the playbook failed:\n{tail(self.log.read_text())}"
        newest = self.lines(1)
        return (newest[0]["loop"], newest[0]["round"]) if newest else (0, 0)

    def reach(self, loop: int, round_: int, seconds: float = 600) -> None:
        """Waits for a round."""
        until(lambda: self.place() >= (loop, round_), f"round {round_} of training {loop}", seconds, pause=0.5)

    def early(self) -> int:
        """Waits until a training is in its first half, so that what comes now comes in the middle of work; gives its loop."""
        until(lambda: 4 <= self.place()[1] <= ROUNDS // 2, "a training at its begin", 600, pause=0.3)
        return self.place()[0]

    def measure_undisturbed(self, loops: int = 2) -> None:
        """What the others are compared with: the first trainings, in which nothing fails."""
        self.reach(loops + 1, 0)
        lines = self.of(1, loops)
        self.prove(1, loops, compare=False)
        self.accuracy = mean(line["accuracy"] for line in lines if line["round"] == ROUNDS)
        self.usual = max(LONG, 2 * max(pauses(lines)))

    def of(self, first: int, last: int) -> list[Line]:
        """The rounds of some trainings."""
        return [line for line in self.lines(40_000) if line["event"] == "round" and first <= line["loop"] <= last]

    def prove(self, first: int, last: int, compare: bool = True) -> str:
        """
        That each round of whole trainings is there once, with every sample of each node once unless its part is told as lost, and that each came to
        the accuracy of an undisturbed one. Gives it in words.
        """
        lines = self.of(first, last)
        wanted = [(loop, round_) for loop in range(first, last + 1) for round_ in range(1, ROUNDS + 1)]
        assert [(line["loop"], line["round"]) for line in lines] == wanted, "rounds are missing, or there twice"
        samples = sum(trained_once(line, self.slices) for line in lines)
        ends = [line["accuracy"] for line in lines if line["round"] == ROUNDS]
        if not compare:
            return ""
        worst = max(ends, key=lambda value: abs(value - self.accuracy))
        assert abs(worst - self.accuracy) <= SAME, f"{worst} is not the {self.accuracy:.4f} of an undisturbed training"
        return f"{len(lines)} rounds, each once; {samples} samples, each once a round; accuracy {worst:.4f}, undisturbed {self.accuracy:.4f}"

    @property
    def slices(self) -> dict[str, tuple[int, int]]:
        """Node -> first sample and end of its slice, as the cluster's nodes have them in the first round, in which nothing was lost."""
        if not hasattr(self, "_slices"):
            found: dict[str, list[int]] = {}
            first = next(line for line in self.lines(40_000) if line["event"] == "round")
            assert not first["lost"], first
            for client in first["clients"]:
                found.setdefault(client["node"], []).extend((client["start"], client["stop"]))
            self._slices = {node: (min(ends), max(ends)) for node, ends in found.items()}
        return self._slices

    def wait(self, seconds: float = 1800) -> int:
        """The playbook's exit code, when it has ended."""
        return self.play.wait(seconds)

    def kill_when(self, shown: str) -> None:
        """Ends the playbook with kill -9, and all that it has started, as soon as it has shown something."""
        until(
            lambda: shown in self.log.read_text() or self.play.poll() is not None,
            f"{shown!r} in the playbook's output",
            600,
        )
        assert self.play.poll() is None, f"the playbook ended before:\n{tail(self.log.read_text())}"
        os.killpg(self.play.pid, signal.SIGKILL)
        self.play.wait(60)

    def end(self) -> None:
        """Ends who follows; the training goes with the next one."""
        if self.play.poll() is None:
            os.killpg(self.play.pid, signal.SIGTERM)
            self.play.wait(60)


def trained_once(line: Line, slices: dict[str, tuple[int, int]]) -> int:
    """Samples of a round. Fails unless each node's parts join to its slice without a gap and without one sample twice; a lost part may be missing."""
    missing = {part["node"] for part in line["lost"]}
    for node, (begin, end) in slices.items():
        parts = sorted((one["start"], one["stop"]) for one in line["clients"] if one["node"] == node)
        assert all(before[1] <= after[0] for before, after in pairwise(parts)), f"{node} trained samples twice: {line}"
        trained = sum(stop - start for start, stop in parts)
        assert trained == end - begin or (node in missing and trained < end - begin), f"{node} lacks samples: {line}"
    return int(sum(one["examples"] for one in line["clients"]))


def hole(training: Training) -> tuple[float, float]:
    """Most seconds of a run without a figure of the nodes' CPU and memory in its telemetry, and when they began."""
    text = console("cloud", f'grep -h \'"kind":"node"\' {TELEMETRY}/{training.run}.jsonl').stdout
    rounds = [line["time"] for line in training.lines(40_000)]
    times = [rounds[0], *sorted(json.loads(row)["time"] for row in text.splitlines()), rounds[-1]]
    return max((after - before, before) for before, after in pairwise(times))


def pauses(lines: Sequence[Line]) -> list[float]:
    """Seconds between the ends of neighbouring rounds."""
    return [after["time"] - before["time"] for before, after in pairwise(lines)]


def lost(lines: Sequence[Line]) -> str:
    """What was lost, in words."""
    parts = Counter(part["node"] for line in lines for part in line["lost"])
    words = [f"{count} part{'s' * (count > 1)} of {node}" for node, count in parts.items()]
    again = sum(line.get("repeated", 0) for line in lines)
    return ", ".join([*words, *([f"{again} round{'s' * (again > 1)} begun again"] if again else [])]) or "nothing"


def recovery(lines: Sequence[Line], begin: float, end: float, usual: float) -> tuple[float, float]:
    """
    Seconds from the end of a fault to the end of a whole round after the last one that it disturbed (0 when that was before), and the longest time
    between the ends of two rounds since it began. Disturbed is a round with a lost part, and one that took more than `usual` and began before the
    fault was over that long.
    """
    whole, longest = 0.0, 0.0
    for before, line in pairwise(lines):
        if line["time"] <= begin:
            continue
        pause = line["time"] - before["time"]
        longest = max(longest, pause)
        slow = pause > usual and before["time"] <= end + usual
        if line["lost"]:
            whole = 0.0
        elif slow or not whole:
            whole = line["time"]
    return max(0.0, whole - end), longest
