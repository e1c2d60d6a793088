"""The run: waits for nodes, plans rounds, keeps or repeats them, writes lines and checkpoints, goes on after a restart.

Free of Flower and TensorFlow; clients are reached through a Link.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgefl.aggregator import answers as examine
from edgefl.aggregator import lines, model
from edgefl.aggregator.aside import IN_A_ROW, Aside, Division
from edgefl.aggregator.checkpoint import Checkpoint, Store
from edgefl.aggregator.roster import Roster
from edgefl.aggregator.spool import Spool
from edgefl.aggregator.status import Status
from edgefl.apps import Classifier, Weights
from edgefl.common import plan
from edgefl.common.journal import Journal, line, printable, say
from edgefl.common.plan import Task
from edgefl.common.settings import AggregatorSettings
from edgefl.link.protocol import Answer, Link, Lost

ERRORS_IN_A_ROW = 5
"""A round that fails this often, with nothing but errors and in every node, ends the run: the app is broken."""
REPEATS_TOLD = 20
"""A line tells this many repeats of its round, the last ones; `repeated` has the number of all."""


class RunError(Exception):
    """The run can't go on; the text says what to change."""


@dataclass
class Position:
    """Where the run stands: `round_` of `loop` is finished, `weights` came out of it (None: not begun)."""

    loop: int = 1
    round_: int = 0
    weights: Weights | None = None
    state: dict[str, Weights] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """One try of a round: what was planned, and what became of it; `seconds` from its beginning until all had answered."""

    begin: float
    division: Division
    tasks: list[Task]
    answers: list[Answer]
    lost: list[Lost]
    seconds: float

    @property
    def planned(self) -> int:
        """Samples of all tasks."""
        return sum(task.samples for task in self.tasks)

    @property
    def returned(self) -> int:
        """Samples that were trained; of a region's task that may be some."""
        return sum(answer.examples for answer in self.answers)

    @property
    def suspect(self) -> int:
        """Samples that came to nothing by nodes that would be set aside if enough others were left."""
        flawed = [item.task for item in self.lost if item.error and item.task.member.node in self.division.suspect]
        return sum(task.samples for task in flawed)

    @property
    def nodes(self) -> set[str]:
        """Nodes that have answered."""
        return {answer.task.member.node for answer in self.answers}


@dataclass
class Repeats:
    """The attempts of one round that did not suffice. `errors` is how many ended in nothing but errors, one after the other; `failing` where."""

    count: int = 0
    last: list[dict[str, Any]] = field(default_factory=list)
    errors: int = 0
    failing: set[str] = field(default_factory=set)

    def add(self, attempt: Attempt, reason: str) -> None:
        self.count += 1
        self.last.append({"reason": reason, "seconds": round(attempt.seconds, 4), "lost": lines.lost(attempt.lost)})
        del self.last[:-REPEATS_TOLD]
        if attempt.lost and all(item.error for item in attempt.lost) and not attempt.answers:
            self.errors += 1
            self.failing |= {item.task.member.node for item in attempt.lost}
        else:
            self.errors = 0
            self.failing.clear()

    def told(self) -> dict[str, Any]:
        """What the round's line says of them."""
        return {"repeated": self.count, "repeats": self.last} if self.count else {}


class Coordinator:
    """One run, from the first round to the last. Make it, `accept` the run, then `run` it on a link."""

    def __init__(
        self, settings: AggregatorSettings, app: Classifier, journal: Journal, store: Store | None, status: Status
    ) -> None:
        self.settings, self.app, self.journal, self.store, self.status = settings, app, journal, store, status
        self.position = Position()
        self._test = app.guarded(app.test, 0, None) if app.evaluate else None
        self._test_size = app.sizes("test")
        self._roster = Roster(settings, app.name, status)
        self._aside = Aside()

    # -- before the port opens -----------------------------------------------------------------------------------

    def accept(self) -> None:
        """Find out where the run stands, and bring results and checkpoint together. Raises RunError."""
        s = self.settings
        told = ("run", "rounds", "loops", "min_nodes", "min_num_clients", "selection")
        self.status.update(app=self.app.name, **{name: getattr(s, name) for name in told})
        self._compare_settings()
        if self.journal.complete:
            self._report_completion()
            return
        point = self.store.load() if self.store else None
        if point:
            self.position = Position(point.loop, point.round_, point.weights, point.state)
            if point.flaws:
                self._aside.remember(point.flaws)
            self._reconcile(point)
            say(f"run {s.run} goes on after round {point.round_} of loop {point.loop}")
        else:
            self.journal.keep(lambda entry: entry["event"] == "start")
            self.journal.replay()
        self.status.update(state="waiting", loop=self.position.loop, round=self.position.round_)

    def _compare_settings(self) -> None:
        """With those that the run was begun with: another app is refused, other changes are told."""
        s = self.settings
        begun = next((entry for entry in self.journal.lines if entry["event"] == "start"), None)
        if not begun:
            return
        before = begun.get("settings", {})
        if before.get("app") != self.app.name:
            raise RunError(
                f"run {s.run} was begun with app {before.get('app')}, not {self.app.name}: choose another --run for another model"
            )
        changed = [
            f"{key} {before[key]} -> {value}"
            for key, value in (s.shaping() | {"app": self.app.name}).items()
            if key in before and before[key] != value
        ]
        if changed:
            say(f"run {s.run} goes on with changed settings: {', '.join(changed)}")

    def _report_completion(self) -> None:
        last = self.journal.lines[-1]
        figures = {"accuracy": last.get("accuracy"), "loss": last.get("loss")}
        self.status.update(state="done", loop=last["loop"], round=last["round"], **figures)
        self.journal.replay()
        say(f"run {self.settings.run} is complete: nothing is trained; another --run begins a new one")

    def _reconcile(self, point: Checkpoint) -> None:
        """Make the lines end with the checkpoint's (a kill may have come between the two writes), and print them."""
        here = (point.loop, point.round_)
        dropped = self.journal.keep(
            lambda entry: (
                entry["event"] == "start" or (entry["event"] == "round" and (entry["loop"], entry["round"]) <= here)
            )
        )
        redone = [f"{entry['loop']}/{entry['round']}" for entry in dropped if entry["event"] == "round"]
        if redone:
            say(f"round {', '.join(redone)} (loop/round) has no whole checkpoint and is done again")
        self.journal.replay()
        rounds = [entry for entry in self.journal.lines if entry["event"] == "round"]
        if not rounds or (rounds[-1]["loop"], rounds[-1]["round"]) < here:
            if not self.journal.lines:
                self.journal.append(lines.start(self.settings, None, None))
            self.journal.append(point.line)

    # -- the run -------------------------------------------------------------------------------------------------

    def run(self, link: Link) -> None:
        """Train until the last round of the last loop. Returns at once when the run is complete."""
        if self.journal.complete:
            return
        s = self.settings
        for loop in range(self.position.loop, s.loops + 1):
            weights = self._begin(loop, link)
            for round_ in range(self.position.round_ + 1, s.rounds + 1):
                weights = self._round(loop, round_, weights, link)
            self._keep(loop, weights)
            self.position = Position(loop + 1)
        self._done()

    def _begin(self, loop: int, link: Link) -> Weights:
        """The model that a loop goes on from, or a new one; the first line when there is none yet."""
        if self.position.weights is not None:
            link.restore(self.position.weights, self.position.state)
            return self.position.weights
        s = self.settings
        self.status.update(state="waiting", loop=loop, round=0)
        weights = self._initial_weights(loop, link)
        link.restore(weights, {})
        if not self.journal.lines:
            self.journal.append(lines.start(s, *self._evaluate_here(weights)))
        return weights

    def _initial_weights(self, loop: int, link: Link) -> Weights:
        make = self.app.initial_weights
        if make is None:
            return self._ask_for_weights(link)
        return self.app.check_weights(self.app.guarded(make, self.settings.seed + loop - 1))

    def _ask_for_weights(self, link: Link) -> Weights:
        """The fresh model of the first client that gives a usable one."""
        while True:
            members = self._roster.wait(link)
            weights = examine.first_model(self.app, link, members, self.settings.round_timeout)
            if weights is not None:
                return weights
            time.sleep(1)

    def _round(self, loop: int, round_: int, weights: Weights, link: Link) -> Weights:
        """One round: train, combine, evaluate, keep. Gives the new model. Raises RunError when no model can come of it."""
        attempt, repeats = self._train(loop, round_, weights, link)
        new = self._combine(round_, weights, attempt.answers, link)
        loss, accuracy, missing = self._evaluate(new, link)
        seconds = time.perf_counter() - attempt.begin
        entry = line(
            "round", self.settings.run, loop, round_,
            accuracy=lines.rounded(accuracy), loss=lines.rounded(loss), seconds=round(seconds, 4), train_seconds=round(attempt.seconds, 4),
            clients=lines.clients(attempt.answers), lost=lines.lost([*attempt.division.aside, *attempt.lost, *missing]), **repeats.told(),
        )  # fmt: skip
        if self.store:
            self.store.save(Checkpoint(loop, round_, new, entry, link.state(), self._aside.memory()))
        self.journal.append(entry)
        self.status.round_done(seconds, entry["accuracy"], entry["loss"])
        figures = "not evaluated" if loss is None or accuracy is None else f"accuracy {accuracy:.4f}, loss {loss:.4f}"
        say(
            f"loop {loop}, round {round_} of {self.settings.rounds}: {figures}, {seconds:.2f} s, {attempt.returned} samples on {len(attempt.nodes)} nodes"
        )
        return new

    def _train(self, loop: int, round_: int, weights: Weights, link: Link) -> tuple[Attempt, Repeats]:
        """Try, with the same model, until enough samples come back; gives that attempt, and what is to be told of those before."""
        repeats = Repeats()
        while True:
            members = self._roster.wait(link)
            division = self._aside.divide(members, self._roster.suffice)
            attempt = self._attempt(loop, round_, repeats.count, division, weights, link)
            if attempt is None:
                continue
            self._aside.note(attempt.answers, attempt.lost)
            for item in attempt.lost:
                member = item.task.member
                self.status.count_lost(member.node)
                say(
                    printable(
                        f"round {round_}: {member.node}/{member.pod} (part {item.task.shard}) is lost: {item.reason}"
                    )
                )
            share = self.settings.min_round_samples
            if attempt.answers and attempt.returned >= share * attempt.planned:
                return attempt, repeats
            reason = f"{attempt.returned} of {attempt.planned} samples came back, less than the share {share:g} of --min_round_samples"
            say(f"round {round_} is repeated with the model as it was: {reason}")
            self.status.count_repeat()
            repeats.add(attempt, reason)
            if repeats.errors >= ERRORS_IN_A_ROW and repeats.failing >= {member.node for member in members}:
                raise RunError(
                    f"round {round_} failed {repeats.errors} times with an error in every client; the last: {printable(attempt.lost[-1].reason, 300)}: "
                    "correct the app or the data and start again"
                )
            if attempt.planned - attempt.suspect < share * attempt.planned and not division.all_suspect:
                raise RunError(self._too_few_left(round_, attempt))
            time.sleep(min(5.0, 0.25 * 2 ** min(repeats.count, 5)))

    def _too_few_left(self, round_: int, attempt: Attempt) -> str:
        """Why the run can't go on: nodes send what can't be used, and without them the round has too few."""
        suspect = attempt.division.suspect
        last = next(item.reason for item in attempt.lost if item.error and item.task.member.node in suspect)
        return (
            f"round {round_} can't be done: more than {IN_A_ROW} answers in a row of {printable(', '.join(sorted(suspect)), 100)} can't be used, and "
            f"without those nodes there are fewer than --min_sample_size={self.settings.min_sample_size}: mend these nodes or replace them, or ask "
            f"for fewer, and start again; the last: {printable(last, 150)}"
        )

    def _attempt(
        self, loop: int, round_: int, number: int, division: Division, weights: Weights, link: Link
    ) -> Attempt | None:
        """Plan a round, have it trained, and examine what comes back; None when there is nobody to train any more."""
        s = self.settings
        begin = time.perf_counter()
        rng = random.Random(f"{s.seed} {loop} {round_} {number}")
        # Not what is left of `rng` after the choice: it is the same whether nodes are edges or regions
        seed = random.Random(f"training {s.seed} {loop} {round_} {number}").randrange(2**31)
        choose = plan.by_node if s.selection == "node" else plan.by_pod
        tasks = choose(division.asked, s.sample_fraction, s.min_sample_size, rng)
        if not tasks:
            return None
        self.status.update(state="training", loop=loop, round=round_, waiting_for=None)
        config = {"loop": loop, "round": round_, "seed": seed, **self._client_options()}
        outcomes = link.train(weights, tasks, config, s.round_timeout)
        answers, lost = examine.collected(
            outcomes, weights, Spool(self.store.folder if self.store else None), s.norm_bound
        )
        return Attempt(begin, division, tasks, answers, lost, time.perf_counter() - begin)

    def _combine(self, round_: int, weights: Weights, answers: list[Answer], link: Link) -> Weights:
        new = self.app.check_weights(link.combine(round_, weights, answers))
        if not all(np.isfinite(array).all() for array in new):
            raise RunError(
                f"round {round_}: {self.settings.strategy} made weights that are not finite of what came back; "
                "choose smaller steps (--strategy_options, such as eta=0.01) and start again"
            )
        return new

    def _client_options(self) -> dict[str, float]:
        if self.settings.strategy != "FedProx":
            return {}
        return {"proximal_mu": self.settings.strategy_options.get("proximal_mu", 0.1)}

    def _keep(self, loop: int, weights: Weights) -> None:
        """The model that a loop ended with, as a result of the run; arrays are named by their place in the model."""
        if not self.store:
            return
        last = self.journal.lines[-1]
        arrays = {f"{place:04d}": array for place, array in enumerate(weights)}
        about = {"app": self.app.name, "run": self.settings.run, "loop": loop, "round": last["round"]}
        model.keep_best(self.store.folder, arrays, accuracy=last["accuracy"], **about)

    # -- evaluation ----------------------------------------------------------------------------------------------

    def _evaluate(self, weights: Weights, link: Link) -> tuple[float | None, float | None, list[Lost]]:
        """(loss, accuracy) of a model, and whose part of the test set is missing in them."""
        if self._test is None:
            return self._evaluate_there(weights, link)
        return *self._evaluate_here(weights), []

    def _evaluate_here(self, weights: Weights) -> tuple[float | None, float | None]:
        """(loss, accuracy) of the model on the test set; (None, None) when that is the clients' work."""
        if self._test is None or self.app.evaluate is None:
            return None, None
        loss, accuracy = self.app.guarded(self.app.evaluate, weights, *self._test)
        return float(loss), float(accuracy)

    def _evaluate_there(self, weights: Weights, link: Link) -> tuple[float | None, float | None, list[Lost]]:
        """The same by the clients, each on its share of the test set; averaged over the samples that came back."""
        tasks = plan.shares(self._roster.fitting(link.members()), 0, self._test_size)
        outcomes = link.evaluate(weights, tasks, self.settings.round_timeout)
        answers, lost = examine.separated(map(examine.evaluated, outcomes))
        figures = examine.averaged(answers, ("loss", "accuracy"))
        return figures.get("loss"), figures.get("accuracy"), lost

    # -- the end -------------------------------------------------------------------------------------------------

    def _done(self) -> None:
        self.journal.append(
            lines.done(self.settings.run, [entry for entry in self.journal.lines if entry["event"] == "round"])
        )
        self.status.update(state="done", waiting_for=None)
        say(f"run {self.settings.run} is done; the port stays open, no work is given; another --run begins a new one")

    def fail(self, reason: str) -> None:
        """Write the `failed` line."""
        self.status.update(state="failed", reason=reason)
        self.journal.append(
            line("failed", self.settings.run, self.status.get("loop"), self.status.get("round"), reason=reason)
        )
