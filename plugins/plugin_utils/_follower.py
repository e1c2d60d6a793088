# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: follows a training by one read after the other, and shows what is new."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable, shown
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import Outcome, done, failed, pending, wait
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes import pods
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _rounds

# Seconds that one read stays on the cloud node for news: fewer programs are started there while it trains
LINGER = 4.0
# Seconds without news after which a line says what is waited for
REPEAT_AFTER = 10.0
# A run that ended so many seconds ago ended while we came here: its rounds are news
RECENT = 60.0
# Characters of a line at most
LINE = 20_000
# kubectl takes CPU from the training: the pods are looked at when nothing comes, and when a part was lost
PODS_AFTER = 3.0
# And this often while rounds come, for edges that have no part in them
PODS_EVERY = 60.0


@dataclass
class Follower:
    """Follows until the run is done.

    `read(offset=, sha256=, linger=, pods=)` is a call of the module; `show(text, warn)` shows a line.
    """

    read: Callable[..., dict[str, Any]]
    show: Callable[[str, bool], None]
    timeout: float
    sleep: float
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    events: list[dict[str, Any]] = field(default_factory=list)

    def follow(self, first: dict[str, Any]) -> dict[str, Any]:
        """Returns the last read, with all events. Raises EdgeflError when the run failed, or can't go on, or time is up.

        Of a run that was done some time before the `first` read only pods that were told anew are shown.
        """
        if first["state"] == "done" and (first["age"] is None or first["age"] > RECENT):
            for text in first["told_anew"]:
                self._show(f"    {text}", True)
            return first
        begin = self._news_at = self._reported_at = self._looked_at = self.clock()
        self._shown: set[tuple[int, int]] = set()
        self._shown_usage = ""
        self._shown_problems: set[str] = set()
        self._lost = False
        self._lasting = pods.Lasting(clock=self.clock)
        self._lasting_problems: set[tuple[str, str]] = set()
        self._restarts: dict[str, int] = {}
        last = first
        fresh = self._pods_read = True

        def poll() -> Outcome:
            nonlocal last, fresh
            if not fresh:
                now = self.clock()
                looks = self._lost or now - self._news_at >= PODS_AFTER or now - self._looked_at >= PODS_EVERY
                self._looked_at = now if looks else self._looked_at
                left = max(0.0, self.timeout - (self.clock() - begin))
                self._pods_read = looks
                try:
                    last = self.read(offset=last["offset"], sha256=last["sha256"], linger=min(LINGER, left), pods=looks)
                except Transient as error:
                    self._wait_for(error.message)
                    return pending(error.message)
                if last.get("unreachable") or last.get("failed"):
                    return failed(str(last.get("msg", "the cloud node gave no answer")))
            fresh = False
            self._show_news(last)
            return self._judge(last)

        try:
            wait(poll, self.timeout, self.sleep, "the training", clock=self.clock, pause=self.pause)
        except EdgeflError as error:
            # What fails is shown whole
            told = {**_of_failure(last), "events": shown(self.events)}
            raise EdgeflError(error.message, **{**error.result, **told}) from error
        return last | {"events": self.events}

    def _show(self, text: str, warn: bool) -> None:
        """One line, whatever a node, a pod or the aggregator wrote into it; that of a round has a part for each node."""
        self.show(printable(text, LINE), warn)

    def _show_news(self, read: dict[str, Any]) -> None:
        if read["reset"]:
            self.events = []
            self._show("the aggregator went back to an earlier round", True)
            self._shown.clear()
        self.events += read["events"]
        rounds = [shown(event) for event in read["events"] if event["event"] == "round"]
        width = max(map(len, _rounds.nodes(self.events)), default=0)
        start = next((event for event in self.events if event["event"] == "start"), {})
        settings = start.get("settings", {})
        for event in rounds:
            key = (event["loop"], event["round"])
            if key not in self._shown:
                self._shown.add(key)
                self._show("  " + _rounds.line(event, settings.get("rounds"), width, settings.get("loops", 1)), False)
                for text in _rounds.losses(event):
                    self._show(f"    {text}", True)
        if rounds:
            self._restarts.clear()
        # Its pod may tell why
        self._lost = any(event.get("lost") for event in rounds)
        usage = usage_line(read["now"])
        if rounds and usage and usage != self._shown_usage:
            self._shown_usage = usage
            self._show(f"    {usage}", False)
        if read["events"] or read["reset"]:
            self._news_at = self._reported_at = self.clock()
        problems = {item["text"] for item in read["problems"] if item["reason"] not in ("Starting", "NotReady")}
        problems |= {*read["evicted"], *read["told_anew"]}
        for text in sorted(problems - self._shown_problems):
            self._show(f"    {text}", True)
        self._shown_problems |= problems
        self._wait_for(self._waits(read))

    def _wait_for(self, what: str) -> None:
        """Shows what is waited for: soon, and then every REPEAT_AFTER seconds."""
        now = self.clock()
        if now - self._reported_at >= (PODS_AFTER if self._reported_at == self._news_at else REPEAT_AFTER):
            self._reported_at = now
            self._show(f"  {what} ({now - self._news_at:.0f} s without news)", False)

    def _waits(self, read: dict[str, Any]) -> str:
        problems = "; ".join(item["text"] for item in read["problems"])
        status = read["status"]
        work = (
            f"round {status['round']} is being trained"
            if read["state"] == "training" and status.get("round")
            else "waits for the aggregator"
        )
        return "; ".join(part for part in (read["reason"] or work, problems) if part)

    def _judge(self, read: dict[str, Any]) -> Outcome:
        if read["state"] == "done":
            return done()
        if read["state"] == "failed":
            return failed(f"the run failed: {read['reason']}")
        broken = {
            (item["pod"], item["reason"]): item
            for item in read["problems"]
            if item["terminal"] and not self._has_worked(item)
        }
        if self._pods_read:
            self._lasting_problems = self._lasting(list(broken))
        terminal = [
            f"{item['text']}. {item['log']}".strip() for key, item in broken.items() if key in self._lasting_problems
        ]
        # While rounds still come the other nodes carry the training; the broken pod was shown, and is not worth ending it
        if terminal and (read["state"] == "waiting" or read["status"].get("waiting_for")):
            return failed("\n".join(terminal))
        return pending(self._waits(read))

    def _has_worked(self, problem: dict[str, Any]) -> bool:
        """Whether a pod that ended often may have done so for many reasons, one at a time: after a round came it has to end that often again."""
        if problem["reason"] != pods.CRASHES or not any(event["event"] == "round" for event in self.events):
            return False
        before: int = self._restarts.setdefault(problem["pod"], problem["restarts"])
        return bool(problem["restarts"] - before <= pods.MANY_RESTARTS)


def _of_failure(read: dict[str, Any]) -> dict[str, Any]:
    """The parts of a read that a failure hands on."""
    return {key: read[key] for key in ("state", "status", "problems") if key in read}


def usage_line(newest_figures: dict[str, Any]) -> str:
    """The newest figures of each node in one line; empty when there are none."""
    parts = []
    for node, each in newest_figures.get("nodes", {}).items():
        pods = f" {each['ready']} of {each['wanted']} pods" if "wanted" in each else ""
        use = f" {each['cpu_cores']:.2f} CPUs {each['memory_bytes'] / 1e6:.0f} MB" if "cpu_cores" in each else ""
        parts.append(f"{node}{pods}{use}")
    return "  | ".join(parts)
