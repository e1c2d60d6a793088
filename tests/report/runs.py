"""Runs for the tests of the report: real lines of rounds.jsonl, and runs that are made of them.

data/*.jsonl are what the aggregator wrote on the lab. `extended` makes of them a run with more nodes and pods that lasts minutes,
with telemetry as it comes from a cluster whose autoscaler is at work: the numbers are made, their shape is real.
"""

from __future__ import annotations

import math
import random
import re
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.events import parse
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import data as model
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.html import TEMPLATES

DATA = Path(__file__).with_name("data")
MIB = 1024**2
REQUEST, LIMIT = 0.5, 1.0
# Node and pod -> when the pod began to answer, and when it last did
Spans = dict[tuple[str, str], list[float]]
# Custom properties of the page by scheme: name -> colour
PALETTES = {
    scheme: dict(re.findall(r"--(\w+): (#\w+);", text))
    for scheme, text in zip(("light", "dark"), (TEMPLATES / "style.css").read_text().split("prefers-color-scheme", 1))
}


def real(name: str) -> model.Run:
    """A run as the lab wrote it."""
    events = parse((DATA / f"{name}.jsonl").read_bytes()).events
    return model.Run(events[0]["run"], events)


def pods_in(round_: int, node: int, most: int) -> int:
    """1 in the beginning, up to `most` in the middle, 1 again at the end; every third node stays at 1."""
    return 1 if node % 3 == 2 else max(1, min(most, round_ - 2, 13 - round_))


def extended(
    nodes: int, *, seed: int = 1, most: int = 3, rounds: int = 12, loops: int = 1, slow: float = 1.0
) -> model.Run:
    """A run of `nodes` nodes whose autoscaler goes up to `most` pods and back to one, with every kind of record and detail."""
    source = real("four_nodes")
    start, lines = source.events[0], [event for event in source.events if event["event"] == "round"]
    chance = random.Random(seed)
    name = f"extended-{nodes}-{seed}-{most}"
    events: list[dict[str, Any]] = [
        start | {"run": name, "settings": start["settings"] | {"rounds": rounds, "loops": loops}}
    ]
    first = now = start["time"] + 20
    pods: Spans = {}
    for loop in range(1, loops + 1):
        for number in range(1, rounds + 1):
            line = lines[min(number, len(lines)) - 1]
            clients, lost = _answers(number, line["clients"], nodes, most, slow, chance)
            seconds = round(max(client["seconds"] for client in clients) + 1.2, 3)
            now += seconds
            for client in clients:
                span = pods.setdefault((client["node"], client["pod"]), [now - seconds, now])
                span[1] = now
            wave = 0.86 * (1 - math.exp(-number / 2.2)) + 0.004 * chance.random()
            events.append(
                line
                | {"run": name, "loop": loop, "round": number, "time": round(now, 3), "seconds": seconds}
                | {"accuracy": round(wave, 4), "loss": round(2.3 - 2.2 * wave, 4), "clients": clients, "lost": lost}
            )
    events.append(events[-1] | {"event": "done", "round": rounds, "clients": [], "lost": []})
    telemetry = [
        record
        for step in range(int((now + 45 - first) / 15))
        for index in range(nodes)
        for record in _records(step, round(first + 15 * step, 3), index, pods, chance)
    ]
    lost_at = next((event["time"] for event in events if event.get("lost")), now)
    restart = {"node": "edge2", "pod": "fashion-mnist-client-edge2", "reason": "Restarted", "text": "exit code 137"}
    telemetry.append({"time": lost_at, "kind": "event"} | restart)
    return model.Run(name, events, model.parse_telemetry(telemetry), model.parse_details(_details(nodes, first, pods)))


def _answers(
    number: int, models: list[dict[str, Any]], nodes: int, most: int, slow: float, chance: random.Random
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the pods of a round answered, after real answers, and which were lost."""
    clients, lost = [], []
    for index in range(nodes):
        node, count = f"edge{index + 1}", pods_in(number, index, most)
        size = 3000 * (1 + index % 4)
        for part in range(count):
            cut = [index * 12000 + size * place // count for place in (part, part + 1)]
            pod = f"fashion-mnist-client-{node}-7c44bcd648-{'bcdfghjklm'[part] * 5}"
            if (number, index, part) == (6, 1, 0):
                lost.append({"node": node, "pod": pod, "shard": f"1/{count}", "reason": "the connection was lost"})
                continue
            seconds = round(slow * (6 + 8 * (cut[1] - cut[0]) / 12000 + chance.random()), 3)
            clients.append(
                models[index % len(models)]
                | {"node": node, "pod": pod, "shard": f"{part + 1}/{count}", "start": cut[0], "stop": cut[1]}
                | {"examples": cut[1] - cut[0], "seconds": seconds, "cpu_seconds": round(seconds * 0.8, 3)}
            )
    return clients, lost


def _records(step: int, time: float, index: int, pods: Spans, chance: random.Random) -> list[dict[str, Any]]:
    """Telemetry of a node at a time: its pods, itself, its replicas and their autoscaler."""
    node = f"edge{index + 1}"
    about = {"time": time, "node": node}
    alive = [pod for (where, pod), (begin, end) in pods.items() if where == node and begin - 15 <= time <= end + 30]
    found = []
    for pod in alive:
        busy = pods[node, pod][0] <= time <= pods[node, pod][1]
        cpu = (0.75 if busy else 0.04) * (0.8 + 0.3 * chance.random())
        memory = (430 + 25 * chance.random()) * MIB
        found.append(about | {"kind": "pod", "pod": pod, "cpu_cores": round(cpu, 3), "memory_bytes": memory})
    count = len(alive)
    used = 0.15 + 0.6 * count * (0.8 + 0.3 * chance.random())
    percent = round(100 * used / REQUEST / max(1, count), 1)
    return [
        *found,
        about | {"kind": "node", "cpu_cores": round(used, 3), "memory_bytes": (600 + 60 * index + 440 * count) * MIB},
        about | {"kind": "replicas", "wanted": count, "ready": max(0, count - (step % 5 == 2))},
        about
        | {"kind": "hpa", "metric": "cpu", "use_percent": percent}
        | {"target_percent": 60, "current": count, "desired": count},
    ]


def _details(nodes: int, first: float, pods: Spans) -> dict[str, Any]:
    names = [f"edge{index + 1}" for index in range(nodes)]
    return {
        "limits": [
            {
                "node": node,
                "pod": pod,
                "cpu_request": REQUEST,
                "cpu_limit": LIMIT,
                "memory_request": 512 * MIB,
                "memory_limit": 2048 * MIB,
            }
            for node, pod in pods
        ],
        "capacity": [{"node": node, "cpu_cores": 4, "memory_bytes": 8192 * MIB} for node in names],
        "shipping": [
            {
                "node": node,
                "image": f"kubeedge/fashion-mnist-{kind}:1.0.0-0a1b2c3d",
                "reason": reason,
                "sent": sent,
                "relayed": 0,
                "saved": saved,
                "seconds": 0.4,
            }
            for node in names
            for kind, reason, sent, saved in (
                ("client", "2 of 9 layers differ", 19_800, 870e6),
                ("aggregator", "up to date", 0, 240e6),
            )
        ],
        "scalings": [
            {
                "time": first + 40 + 7 * place,
                "node": node,
                "text": "1 -> 3 pods: ceil(1 x 160 % / 60 %) = 3, no policy limits it.",
            }
            for place, node in enumerate(names)
            if place % 3 != 2
        ],
        "listings": [
            {
                "title": "Pods",
                "command": "kubectl --namespace edgefl get pods -o wide",
                "text": "NAME                                         READY   STATUS    RESTARTS   AGE   IP             NODE\n"
                + "".join(
                    f"{pod:<44} 1/1     Running   0          5m    10.244.0.{place:<5}  {node}\n"
                    for place, (node, pod) in enumerate(pods, 2)
                ),
            }
        ],
        "versions": {"Kubernetes": "1.34.4", "KubeEdge": "1.23.1", "collection": "1.0.0"},
        "variables": {"edgefl_rounds": 12, "edgefl_autoscale": "hpa"},
        "model": MODEL,
    }


MODEL: dict[str, Any] = {
    "app": "fashion_mnist", "loop": 1, "round": 12, "accuracy": 0.86, "work": ["work/curves.png"],
    "arrays": [{"name": "0000", "shape": [784, 10], "dtype": "float32"}, {"name": "0001", "shape": [10], "dtype": "float32"}],
    "keras": {"file": "model.keras"},
}  # fmt: skip


def kinds() -> list[model.Setting]:
    """Two kinds of workload under which the lab trained on two nodes."""
    return [
        model.Setting("Deployment", [real(name) for name in ("deployment_1", "deployment_2", "two_nodes")]),
        model.Setting("StatefulSet", [real(name) for name in ("stateful_1", "lost_part", "stateful_2")]),
    ]


def comparison(nodes: int) -> list[model.Setting]:
    """Three settings with three made runs each."""
    return [
        model.Setting(
            name, [extended(nodes, seed=10 * place + each, most=most, slow=slow + 0.05 * each) for each in range(3)]
        )
        for place, (name, most, slow) in enumerate((("none", 1, 1.0), ("hpa", 3, 0.8), ("vpa", 1, 0.9)), 1)
    ]
