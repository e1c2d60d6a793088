"""Nodes whose answers can't be used, time after time: they are set aside, so that the others can go on, and tried again later."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from edgefl.common.journal import printable, say
from edgefl.common.plan import Member, Task, nodes_of
from edgefl.link.protocol import Answer, Lost

IN_A_ROW = 3
"""Flawed answers of a node, one after the other, after which it is set aside."""
PAUSE = 10
"""Tries of a round that a node which was set aside has no part in; then it is tried again."""


@dataclass(frozen=True)
class Division:
    """Who is asked in a try of a round, and who is not.

    `suspect` are the nodes that would be set aside, too, if enough others were left; `all_suspect`: no node is without a flaw.
    """

    asked: list[Member]
    aside: list[Lost]
    suspect: set[str]
    all_suspect: bool


class Aside:
    """Remembers the flaws of nodes, from one answer that can be used to the next. A lost connection is none."""

    def __init__(self) -> None:
        self._flaws: dict[str, int] = {}
        self._last: dict[str, str] = {}
        self._since: dict[str, int] = {}
        self._trial: set[str] = set()
        self._try = 0

    def memory(self) -> dict[str, Any]:
        """All that it remembers, as JSON takes it: a restart must not give a node that is set aside its part again."""
        return {
            "flaws": self._flaws,
            "last": self._last,
            "since": self._since,
            "trial": sorted(self._trial),
            "try": self._try,
        }

    def remember(self, memory: dict[str, Any]) -> None:
        """Go on with what `memory` gave."""
        self._flaws, self._last, self._since = (dict(memory[name]) for name in ("flaws", "last", "since"))
        self._trial, self._try = set(memory["trial"]), memory["try"]

    def divide(self, members: list[Member], enough: Callable[[list[Member]], bool]) -> Division:
        """Set nodes aside, those with most samples first, as long as `enough` others are left."""
        self._try += 1
        nodes = nodes_of(members)
        self._begin_trials()
        flawed = {node for node in nodes if self._flaws.get(node, 0) >= IN_A_ROW}
        aside: set[str] = set()
        for node in sorted(flawed - self._trial, key=lambda one: (nodes[one][0].start - nodes[one][0].stop, one)):
            if enough([member for member in members if member.node not in aside | {node}]):
                aside.add(node)
        for node in aside - self._since.keys():
            self._since[node] = self._try
            count, last = self._flaws[node], self._last[node]
            say(
                printable(
                    f"{node} is set aside for {PAUSE} rounds: its last {count} answers can't be used; the last: {last}"
                )
            )
        asked = [member for member in members if member.node not in aside]
        left_out = [self._left_out(member) for node in sorted(aside) for member in nodes[node]]
        return Division(asked, left_out, flawed - aside - self._trial, flawed == nodes.keys())

    def note(self, answers: Iterable[Answer], lost: Iterable[Lost]) -> None:
        """What came of those that were asked."""
        flawed = {item.task.member.node: item.reason for item in lost if item.error}
        for node, reason in flawed.items():
            self._flaws[node] = self._flaws.get(node, 0) + 1
            self._last[node] = reason
            self._trial.discard(node)
        for node in {answer.task.member.node for answer in answers} - flawed.keys():
            if node in self._trial:
                say(f"{node} takes part again: its answer can be used")
                self._trial.discard(node)
            self._flaws.pop(node, None)
            self._since.pop(node, None)

    def _begin_trials(self) -> None:
        for node in [node for node, since in self._since.items() if self._try - since >= PAUSE]:
            del self._since[node]
            self._trial.add(node)

    def _left_out(self, member: Member) -> Lost:
        """What the round's line says of a pod that was not asked."""
        left = self._since[member.node] + PAUSE - self._try
        reason = f"set aside: {self._flaws[member.node]} answers in a row can't be used; tried again in {left} rounds; the last: {self._last[member.node]}"
        return Lost(Task(member, 0, 1, member.start, member.stop), printable(reason))
