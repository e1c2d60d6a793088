"""Lines of rounds.jsonl for tests, made by the aggregator's own code."""

from __future__ import annotations

from typing import Any

from edgefl.common import journal

RUN = "r1"


def client(node: str, examples: int, seconds: float | None = 0.5, pod: str = "a") -> dict[str, Any]:
    return {
        "node": node,
        "pod": f"{node}-{pod}",
        "shard": "1/1",
        "start": 0,
        "stop": examples,
        "examples": examples,
        "seconds": seconds,
        "cpu_seconds": 1.0,
        "peak_rss_bytes": 400_000_000,
        "loss": 0.5,
        "accuracy": 0.8,
    }


def lost(node: str, reason: str = "the connection was lost") -> dict[str, Any]:
    return {"node": node, "pod": f"{node}-a", "shard": "1/1", "reason": reason}


def round_(number: int, loop: int = 1, accuracy: float | None = 0.8, **more: Any) -> dict[str, Any]:
    values = {
        "accuracy": accuracy,
        "loss": None if accuracy is None else 1 - accuracy,
        "seconds": 1.25,
        "train_seconds": 1.0,
        "clients": [client("edge1", 10000), client("edge2", 20000)],
        "lost": [],
    }
    return journal.line("round", RUN, loop, number, **(values | more))


def start(**settings: Any) -> dict[str, Any]:
    given_ = {"app": "fashion_mnist", "rounds": 2, "loops": 1} | settings
    return journal.line("start", RUN, 1, 0, accuracy=0.1, loss=2.3, settings=given_, engine={"flwr": "1"})


def done(number: int = 2, loop: int = 1) -> dict[str, Any]:
    return journal.line(
        "done", RUN, loop, number, accuracy=0.8, loss=0.2, seconds=2.5, train_seconds=2.0, rounds=number
    )


def data(*events: dict[str, Any]) -> bytes:
    """As the aggregator writes it."""
    return "".join(journal.dump(event) + "\n" for event in events).encode()


WHOLE = [start(), round_(1), round_(2, accuracy=0.9), done()]
FAILED = journal.line("failed", RUN, 1, 1, reason="no data")


class Clock:
    """Time that passes only in pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.work: list[Any] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
        if self.work:
            self.work.pop(0)()
