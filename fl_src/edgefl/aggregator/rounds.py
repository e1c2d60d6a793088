"""The rounds of any app, told from what passes the Grid: one line of rounds.jsonl each.

Messages of one round are those with the same number in their config (Flower's strategies put it there) or with the same group id; of an app
that has neither, each sending is a round.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from edgefl.aggregator.answers import is_number
from edgefl.aggregator.status import Status
from edgefl.common.journal import Journal, Line, line, printable, say

FIGURES = ("seconds", "cpu_seconds", "peak_rss_bytes")
MOST_METRICS = 100
"""Metrics of one answer that its line holds; an app has a few."""

Metrics = Callable[[], Mapping[str, Any]]
"""Reads the metrics of an answer, which not everybody wants."""


class Exchange:
    """Messages that were sent together, and what came back."""

    def __init__(self, kind: str, sent: int, size: int) -> None:
        self.kind, self.sent, self.bytes_sent = kind, sent, size
        self.answered = self.errors = self.bytes_received = 0
        self.began = self.ended = time.monotonic()

    def told(self) -> dict[str, Any]:
        return {
            "type": self.kind, "sent": self.sent, "answered": self.answered, "errors": self.errors,
            "missing": self.sent - self.answered - self.errors, "seconds": round(self.ended - self.began, 4),
            "bytes_sent": self.bytes_sent, "bytes_received": self.bytes_received,
        }  # fmt: skip


@dataclass(eq=False)
class Answer:
    """What a node answered in an exchange: its metrics by their own names, and what its end of the link measured (`note`)."""

    exchange: Exchange
    node: str
    pod: str
    note: Mapping[str, Any]
    metrics: Mapping[str, Any]


class Rounds:
    """Collects exchanges into rounds and writes their lines."""

    def __init__(self, run: str, journal: Journal, status: Status, sync: Callable[[], None] = lambda: None) -> None:
        """`sync` is called before a round's line is written: what led to the line must not be lost before the line is."""
        self._run, self._journal, self._status, self._sync = run, journal, status, sync
        self.loop, self.number = 1, 0
        self._mark: object = None
        self._open = False
        self._reset()

    def _reset(self) -> None:
        self._exchanges: list[Exchange] = []
        self._answers: list[Answer] = []
        self._clients: dict[tuple[str, str], dict[str, Any]] = {}
        self._lost: list[dict[str, str]] = []
        self._sums: dict[str, dict[str, list[float]]] = {}
        self._own: Mapping[str, Any] = {}
        self._began = time.monotonic()

    def begin_loop(self, loop: int) -> None:
        self.close()
        self.loop, self.number, self._mark = loop, 0, None

    def sent(self, mark: object, kind: str, count: int, size: int) -> Exchange:
        """Messages go out. `mark` tells which round they belong to; None: one of their own."""
        if not self._open or mark is None or mark != self._mark:
            self.close()
            self._open, self._mark = True, mark
            self.number += 1
            self._reset()
            self._status.update(state="training", loop=self.loop, round=self.number, waiting_for=None)
        exchange = Exchange(kind, count, size)
        self._exchanges.append(exchange)
        return exchange

    def answered(
        self, exchange: Exchange, node: str, pod: str, note: Mapping[str, Any], metrics: Metrics, size: int
    ) -> Answer:
        """A node's answer, which `refused` may take back until the round is closed. Raises what `metrics` raises."""
        named = list(metrics().items())[:MOST_METRICS]
        exchange.answered += 1
        exchange.bytes_received += size
        exchange.ended = time.monotonic()
        answer = Answer(exchange, node, pod, note, {printable(str(key), 100): value for key, value in named})
        self._answers.append(answer)
        return answer

    def refused(self, answer: Answer, reason: str) -> None:
        """An answer is of no use after all. That of a round which is closed stays in its line."""
        if answer in self._answers:
            self._answers.remove(answer)
            answer.exchange.answered -= 1
        self.lost(answer.exchange, answer.node, answer.pod, reason)

    def _count(self, answer: Answer) -> None:
        """Add an answer to what the line says of its node and of the round."""
        kind, node, pod, note = answer.exchange.kind, answer.node, answer.pod, answer.note
        index, count = _shard(note)
        client = self._clients.setdefault(
            (node, pod),
            {"node": node, "pod": pod, "shard": f"{index + 1}/{count}", "start": None, "stop": None, "examples": 0}
            | dict.fromkeys((*FIGURES, "loss", "accuracy"))
            | {"metrics": {}},
        )
        for name in FIGURES:
            value = note.get(name)
            if _plain(value) and is_number(value) and 0 <= value < 2**63:
                before = client[name] or 0
                client[name] = max(before, int(value)) if name.endswith("bytes") else round(before + value, 4)
        plain = {key: value for key, value in answer.metrics.items() if _plain(value)}
        client["metrics"].setdefault(kind, {}).update(plain)
        weight = plain.get("num-examples", 1)
        if kind == "train" or not client["examples"]:
            examples = plain.get("num-examples", 0)
            client["examples"] = int(examples) if math.isfinite(examples) and 0 <= examples < 2**53 else 0
        for key in ("loss", "accuracy"):
            value = _like(plain, key)
            client[key] = client[key] if value is None else round(value, 6)
        sums = self._sums.setdefault(kind, {})
        for key, value in plain.items():
            if key != "num-examples":
                total = sums.setdefault(key, [0.0, 0.0])
                total[0] += value * weight
                total[1] += weight

    def lost(self, exchange: Exchange, node: str, pod: str, reason: str) -> None:
        exchange.errors += 1
        exchange.ended = time.monotonic()
        reason = printable(reason)
        self._lost.append({"node": node, "pod": pod, "shard": "1/1", "reason": reason})
        self._status.count_lost(node)
        say(printable(f"round {self.number}: {node}/{pod} is lost: {reason}"))

    def found(self, own: Mapping[str, Any]) -> None:
        """The metrics that the aggregator's side of the app found in this round."""
        self._own = own

    def close(self) -> None:
        """The round is over. Nothing when none is open."""
        if not self._open:
            return
        self._open = False
        for answer in self._answers:
            self._count(answer)
        metrics = {kind: self._mean(kind) for kind in self._sums}
        if self._own:
            metrics["aggregator"] = {str(key): value for key, value in self._own.items() if _plain(value)}
        entry = self._line(metrics)
        if any(self._is(one) for one in self._journal.lines):  # done again after a restart
            return
        self._sync()
        self._journal.append(entry)
        self._status.round_done(entry["seconds"], entry["accuracy"], entry["loss"])
        share = ", ".join(f"{key} {entry[key]:.4f}" for key in ("accuracy", "loss") if entry[key] is not None)
        nodes = len({client["node"] for client in entry["clients"]})
        say(f"round {self.number}: {share or 'no accuracy or loss told'}, {entry['seconds']:.2f} s, {nodes} nodes")

    def diverged(self) -> None:
        """What is done from here on replaces what was done before the restart."""
        here = (self.loop, self.number)
        self._journal.keep(lambda one: one["event"] == "start" or (one["event"] == "round" and _place(one) < here))

    def _line(self, metrics: dict[str, dict[str, float]]) -> Line:
        order = ("aggregator", "evaluate", "train")
        best = {
            key: next((value for kind in order if (value := _like(metrics.get(kind, {}), key)) is not None), None)
            for key in ("accuracy", "loss")
        }
        trained = sum(one.ended - one.began for one in self._exchanges if one.kind.startswith("train"))
        return line(
            "round", self._run, self.loop, self.number,
            accuracy=_rounded(best["accuracy"]), loss=_rounded(best["loss"]),
            seconds=round(time.monotonic() - self._began, 4), train_seconds=round(trained, 4),
            clients=[self._clients[key] for key in sorted(self._clients)], lost=self._lost,
            exchanges=[one.told() for one in self._exchanges],
            metrics={kind: {key: _rounded(value) for key, value in found.items()} for kind, found in metrics.items()},
        )  # fmt: skip

    def _mean(self, kind: str) -> dict[str, float]:
        return {key: total / weight for key, (total, weight) in self._sums[kind].items() if weight}

    def _is(self, entry: Line) -> bool:
        return entry["event"] == "round" and _place(entry) == (self.loop, self.number)


def _place(entry: Line) -> tuple[int, int]:
    return entry["loop"], entry["round"]


def _shard(note: Mapping[str, Any]) -> tuple[int, int]:
    shard = note.get("shard")
    whole = isinstance(shard, list) and len(shard) == 2 and all(isinstance(one, int) for one in shard)
    if whole and isinstance(shard, list) and 0 <= shard[0] < shard[1] < 2**31:
        return shard[0], shard[1]
    return 0, 1


def _plain(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _like(metrics: Mapping[str, Any], what: str) -> float | None:
    """The metric that is called so, or the first whose name has it: eval_acc is an accuracy, train_loss a loss."""
    if what in metrics:
        return float(metrics[what])
    part = what[:3] if what == "accuracy" else what
    return next((float(value) for key, value in metrics.items() if part in key.lower()), None)


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 6)
