"""A region: an aggregator that is one client to another one, the root. Its own clients do what the root asks, and the mean of their models is its answer.

The root decides of rounds, strategy and model. A region knows its clients, which the root does not, and keeps nothing: whatever it was at when it ended,
it joins again and has its part in the next round. Free of Flower and the network: who speaks to the root is aggregator/upstream.py.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgefl.aggregator import answers as examine
from edgefl.aggregator.roster import Roster
from edgefl.aggregator.spool import Spool
from edgefl.aggregator.status import Status
from edgefl.apps import Classifier, Weights
from edgefl.common import plan
from edgefl.common.journal import printable, say
from edgefl.common.plan import Member, Task
from edgefl.common.settings import AggregatorSettings, Upstream
from edgefl.link.protocol import Answer, Link, Lost


class NothingCameError(Exception):
    """A region has no answer; the text says why, `error` whether what its clients sent or raised is the reason."""

    def __init__(self, text: str, error: bool = False) -> None:
        super().__init__(text)
        self.error = error


@dataclass(frozen=True)
class Done:
    """What came of a task: of how many samples, figures, and the model of a training."""

    examples: int
    figures: dict[str, float]
    weights: Weights = field(default_factory=list)


class Region:
    """Stands where a coordinator does. Make it, `accept` the run, then `run` it on a link; spooled models go to `folder`."""

    def __init__(
        self,
        settings: AggregatorSettings,
        app: Classifier,
        identity: str,
        status: Status,
        folder: Path | None,
    ) -> None:
        assert settings.upstream is not None
        self.upstream: Upstream = settings.upstream
        self.settings, self.app, self.identity, self.status = settings, app, identity, status
        self._roster, self._folder = Roster(settings, app.name, status), folder

    def accept(self) -> None:
        """Nothing is left of what was before; the status tells what this is."""
        told = ("run", "min_nodes", "min_num_clients", "selection")
        self.status.update(app=self.app.name, **{name: getattr(self.settings, name) for name in told})

    def run(self, link: Link) -> None:
        """Answer the root for ever."""
        say(f"region {self.upstream.region} of the aggregator at {self.upstream.address}")
        from edgefl.aggregator.upstream import RegionClient  # with Flower and gRPC

        RegionClient(self, link).work()

    def fail(self, reason: str) -> None:
        self.status.update(state="failed", reason=reason)

    # -- who is there ------------------------------------------------------------------------------------------------

    def wait(self, link: Link) -> int:
        """Samples of all members, as soon as there are enough of them."""
        return _samples(self._tasks(self._roster.wait(link)))

    def samples(self, link: Link) -> int:
        """The same now; 0 where there are not enough."""
        members = self._roster.fitting(link.members())
        return 0 if self._roster.missing(members) else _samples(self._tasks(members))

    def _present(self, link: Link) -> list[Member]:
        members = self._roster.fitting(link.members())
        missing = self._roster.missing(members)
        if missing:
            raise NothingCameError(f"the region waits for {missing}")
        return members

    def _tasks(self, members: Iterable[Member]) -> list[Task]:
        """All of them: whom a round takes is the root's to decide."""
        choose = plan.by_node if self.settings.selection == "node" else plan.by_pod
        return choose(members, 1.0, 1, random.Random(0))

    # -- what the root asks ------------------------------------------------------------------------------------------

    def initial_weights(self, link: Link, seconds: float) -> Weights:
        """A client's fresh model."""
        weights = examine.first_model(self.app, link, self._present(link), seconds)
        if weights is None:
            raise NothingCameError("no client of the region gave an initial model that can be used", error=True)
        return weights

    def train(self, link: Link, weights: Weights, config: dict[str, int | float], most: int, seconds: float) -> Done:
        """The mean of what the clients train, on `most` samples at most: those that came since the root was told have a part later."""
        tasks = self._tasks(self._present(link))
        while _samples(tasks) > most:
            tasks.pop()
        begin = time.perf_counter()
        self.status.update(state="training", **{name: config[name] for name in ("loop", "round") if name in config})
        try:
            outcomes = link.train(weights, tasks, config, seconds)
            answers, lost = examine.collected(outcomes, weights, Spool(self._folder), self.settings.norm_bound)
        finally:
            self.status.update(state="waiting")
        figures = self._told(answers, lost)
        self.status.round_done(time.perf_counter() - begin, figures.get("accuracy"), figures.get("loss"))
        examples = sum(answer.examples for answer in answers)
        new = link.combine(int(config.get("round", 0)), weights, answers)
        say(
            f"{examples} samples trained in {len(answers)} parts, {len(lost)} lost, {time.perf_counter() - begin:.2f} s"
        )
        return Done(examples, figures, new)

    def evaluate(self, link: Link, weights: Weights, start: int, stop: int, seconds: float) -> Done:
        """Loss and accuracy on samples `start` to `stop` of the test set."""
        outcomes = link.evaluate(weights, plan.shares(self._present(link), start, stop), seconds)
        answers, lost = examine.separated(map(examine.evaluated, outcomes))
        figures = self._told(answers, lost)
        return Done(sum(answer.examples for answer in answers), figures)

    def _told(self, answers: Sequence[Answer], lost: Sequence[Lost]) -> dict[str, float]:
        """Figures of all answers together, and in the log who is lost. Raises NothingCameError where all are."""
        for item in lost:
            member = item.task.member
            self.status.count_lost(member.node)
            say(printable(f"{member.node}/{member.pod} (part {item.task.shard}) is lost: {item.reason}"))
        if not answers:
            last = f"; the last: {lost[-1].reason}" if lost else ""
            raise NothingCameError(
                f"none of {len(lost)} parts of the region came back{last}",
                bool(lost) and all(item.error for item in lost),
            )
        figures = examine.averaged(answers, ("loss", "accuracy"))
        for name, whole in (("seconds", max), ("cpu_seconds", sum), ("peak_rss_bytes", max)):
            values = [answer.figures[name] for answer in answers if name in answer.figures]
            if values:
                figures[name] = whole(values)
        return figures | {"parts": len(answers), "parts_lost": len(lost)}


def _samples(tasks: Iterable[Task]) -> int:
    return sum(task.samples for task in tasks)
