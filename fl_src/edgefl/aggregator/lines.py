"""What the lines of rounds.jsonl say: of a run's start, of a round, of its end."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

from edgefl import __version__
from edgefl.aggregator.answers import FIGURES, PARTS
from edgefl.common import app_folder
from edgefl.common.journal import Line, line
from edgefl.common.settings import AggregatorSettings
from edgefl.link.protocol import Answer, Lost


def start(settings: AggregatorSettings, loss: float | None, accuracy: float | None) -> Line:
    """The first line: settings, versions, and how good the untrained model is (None when the clients evaluate)."""
    app = app_folder.read(settings.app)
    shaping = settings.shaping() | {"app": app.name, "identity": app.identity}
    about = {"accuracy": rounded(accuracy), "loss": rounded(loss)}
    return line("start", settings.run, 1, 0, **about, settings=shaping, engine=versions())


def versions() -> dict[str, str | None]:
    """Of what a training's result may depend on."""
    return {"edgefl": __version__} | {name: _version(name) for name in ("flwr", "numpy")}


def client(answer: Answer) -> dict[str, Any]:
    """What a round's line says of one client's work, or of a region's."""
    task = answer.task
    entry: dict[str, Any] = {
        "node": task.member.node, "pod": task.member.pod, "shard": task.shard, "start": task.start, "stop": task.stop, "examples": answer.examples,
    }  # fmt: skip
    for name in FIGURES:
        value = answer.figures.get(name)
        entry[name] = None if value is None else int(value) if name.endswith("bytes") else round(float(value), 6)
    if task.member.region:
        entry |= {name: int(answer.figures.get(name, 0)) for name in PARTS}
    return entry


def clients(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """All of them, in the order of their samples."""
    return sorted(map(client, answers), key=lambda entry: (entry["start"], entry["node"], entry["pod"]))


def lost(items: Sequence[Lost]) -> list[dict[str, str]]:
    """What a round's line says of tasks that came to nothing."""
    return [
        {"node": item.task.member.node, "pod": item.task.member.pod, "shard": item.task.shard, "reason": item.reason}
        for item in items
    ]


def done(run: str, rounds: Sequence[Line]) -> Line:
    """The last line: the totals over the lines of all rounds."""
    last: Line = (
        rounds[-1] if rounds else {"loop": 1, "round": 0, "accuracy": None, "loss": None}
    )  # an app may have sent nothing
    return line(
        "done", run, last["loop"], last["round"], accuracy=last["accuracy"], loss=last["loss"],
        seconds=round(sum(item["seconds"] for item in rounds), 4), train_seconds=round(sum(item["train_seconds"] for item in rounds), 4),
        rounds=len(rounds), examples=sum(client["examples"] for item in rounds for client in item["clients"]),
        lost_total=sum(len(item["lost"]) for item in rounds), repeats_total=sum(item.get("repeated", 0) for item in rounds),
    )  # fmt: skip


def rounded(value: float | None) -> float | None:
    """Six decimals are enough for a figure."""
    return None if value is None else round(float(value), 6)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
