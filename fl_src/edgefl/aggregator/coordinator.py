"""The run: waits for nodes, plans rounds, keeps or repeats them, writes lines and checkpoints, goes on after a restart.

Free of Flower and TensorFlow; clients are reached through a Link.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import numpy as np

from edgefl import __version__, apps
from edgefl.aggregator.checkpoint import Checkpoint, Store
from edgefl.aggregator.status import Status
from edgefl.apps import App, Weights
from edgefl.common import plan
from edgefl.common.journal import Journal, Line, line, say
from edgefl.common.plan import Member
from edgefl.common.settings import AggregatorSettings
from edgefl.link.protocol import Answer, Link, Lost

TELL_EVERY = 10.0
"""Seconds between two messages of the same kind."""
ERRORS_IN_A_ROW = 5
"""A round that ends in exceptions this many times, with nothing but exceptions, ends the run: the app is broken."""

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


class Coordinator:
    """One run, from the first round to the last. Make it, `accept` the run, then `run` it on a link."""

    def __init__(
        self, settings: AggregatorSettings, app: App, journal: Journal, store: Store | None, status: Status
    ) -> None:
        self.settings, self.app, self.journal, self.store, self.status = settings, app, journal, store, status
        self.position = Position()
        self._test = apps.guarded(app.name, app.test, 0, None) if app.evaluate else None
        self._test_size = app.sizes("test")
        self._told: dict[str, float] = {}

    # -- before the port opens -----------------------------------------------------------------------------------

    def accept(self) -> None:
        """Find out where the run stands, and bring results and checkpoint together. Raises RunError."""
        s = self.settings
        self.status.update(
            run=s.run,
            app=s.app,
            rounds=s.rounds,
            loops=s.loops,
            min_nodes=s.min_nodes,
            min_num_clients=s.min_num_clients,
            selection=s.selection,
        )
        begun = next((entry for entry in self.journal.lines if entry["event"] == "start"), None)
        if begun:
            before = begun.get("settings", {})
            if before.get("app") != s.app:
                raise RunError(
                    f"run {s.run} was begun with app {before.get('app')}, not {s.app}: choose another --run for another model"
                )
            changed = [
                f"{key} {before[key]} -> {value}"
                for key, value in self.settings.shaping().items()
                if key in before and before[key] != value
            ]
            if changed:
                say(f"run {s.run} goes on with changed settings: {', '.join(changed)}")
        if self.journal.complete:
            last = self.journal.lines[-1]
            self.status.update(
                state="done",
                loop=last["loop"],
                round=last["round"],
                accuracy=last.get("accuracy"),
                loss=last.get("loss"),
            )
            self.journal.replay()
            say(f"run {s.run} is complete: nothing is trained; another --run begins a new one")
            return
        point = self.store.load() if self.store else None
        if point:
            self.position = Position(point.loop, point.round_, point.weights, point.state)
            self._reconcile(point)
            say(f"run {s.run} goes on after round {point.round_} of loop {point.loop}")
        else:
            self.journal.keep(lambda entry: entry["event"] == "start")
            self.journal.replay()
        self.status.update(state="waiting", loop=self.position.loop, round=self.position.round_)

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
                self.journal.append(self._start_line(None, None))
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
            self.position = Position(loop + 1)
        self._done()

    def _begin(self, loop: int, link: Link) -> Weights:
        if self.position.weights is not None:
            link.restore(self.position.weights, self.position.state)
            return self.position.weights
        s = self.settings
        self.status.update(state="waiting", loop=loop, round=0)
        make = self.app.initial_weights
        weights = (
            apps.check_weights(s.app, apps.guarded(s.app, make, s.seed + loop - 1))
            if make
            else self._ask_for_weights(link)
        )
        link.restore(weights, {})
        if not self.journal.lines:
            self.journal.append(self._start_line(*self._evaluate_here(weights)))
        return weights

    def _ask_for_weights(self, link: Link) -> Weights:
        while True:
            for member in self._wait(link):
                try:
                    return apps.check_weights(
                        self.settings.app, link.initial_weights(member, self.settings.round_timeout)
                    )
                except ConnectionError as err:
                    say(f"{member.node}/{member.pod} gave no initial model: {err}")
            time.sleep(1)

    def _round(self, loop: int, round_: int, weights: Weights, link: Link) -> Weights:
        s = self.settings
        repeats: list[dict[str, Any]] = []
        attempts = errors = 0
        while True:
            members = self._wait(link)
            begin = time.perf_counter()
            rng = random.Random(f"{s.seed} {loop} {round_} {attempts}")
            choose = plan.by_node if s.selection == "node" else plan.by_pod
            tasks = choose(members, s.sample_fraction, s.min_sample_size, rng)
            if not tasks:
                continue
            self.status.update(state="training", loop=loop, round=round_, waiting_for=None)
            config = {"loop": loop, "round": round_, "seed": rng.randrange(2**31), **self._client_options()}
            answers, lost = link.train(weights, tasks, config, s.round_timeout)
            trained = time.perf_counter() - begin
            planned, back = sum(task.samples for task in tasks), sum(answer.task.samples for answer in answers)
            for item in lost:
                self.status.count_lost(item.task.member.node)
                say(
                    f"round {round_}: {item.task.member.node}/{item.task.member.pod} (part {item.task.shard}) is lost: {item.reason}"
                )
            if answers and back >= s.min_round_samples * planned:
                break
            reason = f"{back} of {planned} samples came back, less than the share {s.min_round_samples:g} of --min_round_samples"
            say(f"round {round_} is repeated with the model as it was: {reason}")
            attempts += 1
            del repeats[: 1 - REPEATS_TOLD]
            repeats.append({"reason": reason, "seconds": round(trained, 4), "lost": [_lost(item) for item in lost]})
            self.status.count_repeat()
            errors = errors + 1 if lost and all(item.error for item in lost) and not answers else 0
            if errors >= ERRORS_IN_A_ROW:
                raise RunError(
                    f"round {round_} failed {errors} times with an error in every client; the last: {lost[-1].reason}: "
                    "correct the app or the data and start again"
                )
            time.sleep(min(5.0, 0.25 * 2 ** min(attempts, 5)))
        new = apps.check_weights(s.app, link.combine(round_, weights, answers))
        if not all(np.isfinite(array).all() for array in new):
            raise RunError(
                f"round {round_}: {s.strategy} made weights that are not finite of what came back; "
                "choose smaller steps (--strategy_options, such as eta=0.01) and start again"
            )
        loss, accuracy = self._evaluate_here(new)
        if accuracy is None:
            loss, accuracy, missing = self._evaluate_there(new, link)
            lost += missing
        seconds = time.perf_counter() - begin
        entry = line(
            "round", s.run, loop, round_,
            accuracy=_rounded(accuracy), loss=_rounded(loss), seconds=round(seconds, 4), train_seconds=round(trained, 4),
            clients=sorted((_client(answer) for answer in answers), key=lambda item: (item["start"], item["node"], item["pod"])),
            lost=[_lost(item) for item in lost], **({"repeated": attempts, "repeats": repeats} if attempts else {}),
        )  # fmt: skip
        if self.store:
            self.store.save(Checkpoint(loop, round_, new, entry, link.state()))
        self.journal.append(entry)
        self.status.round_done(seconds, entry["accuracy"], entry["loss"])
        share = (
            f"accuracy {accuracy:.4f}, loss {loss:.4f}"
            if accuracy is not None and loss is not None
            else "not evaluated"
        )
        say(
            f"loop {loop}, round {round_} of {s.rounds}: {share}, {seconds:.2f} s, {back} samples on {len({a.task.member.node for a in answers})} nodes"
        )
        return new

    def _client_options(self) -> dict[str, float]:
        if self.settings.strategy != "FedProx":
            return {}
        return {"proximal_mu": self.settings.strategy_options.get("proximal_mu", 0.1)}

    def _wait(self, link: Link) -> list[Member]:
        """Members, as soon as there are enough; says what is missing every ten seconds."""
        while True:
            members = self._fitting(link.members())
            missing = self._missing(members)
            self.status.update(waiting_for=missing or None)
            if not missing:
                return members
            if self.status.state == "training":
                self.status.update(state="waiting")
            self._tell(
                "wait",
                f"waiting for {missing}; connected: {', '.join(sorted(f'{m.node}/{m.pod}' for m in members)) or 'none'}",
            )
            link.wait(lambda found: not self._missing(self._fitting(found)), TELL_EVERY)

    def _fitting(self, members: list[Member]) -> list[Member]:
        """Members that have the same app; others (an image not yet replaced) are named and left out."""
        fitting = []
        for member in members:
            if member.app == self.settings.app:
                fitting.append(member)
            else:
                self._tell(
                    member.instance,
                    f"{member.node}/{member.pod} has app {member.app}, not {self.settings.app}: left out; give it the same --app",
                )
        return fitting

    def _missing(self, members: list[Member]) -> str:
        """What there is too little of, in words; empty when the round can begin."""
        s = self.settings
        nodes = len({member.node for member in members})
        have, unit = (nodes, "nodes") if s.selection == "node" else (len(members), "clients")
        needed = plan.sample_size(have, s.sample_fraction, s.min_sample_size)
        lacks = []
        if len(members) < s.min_num_clients:
            lacks.append(f"{s.min_num_clients} clients (--min_num_clients; {len(members)} there)")
        if nodes < s.min_nodes:
            lacks.append(f"{s.min_nodes} nodes (--min_nodes; {nodes} there)")
        if have < needed:
            lacks.append(f"{needed} {unit} (--min_sample_size; {have} there)")
        return " and ".join(lacks)

    def _tell(self, kind: str, text: str) -> None:
        now = time.monotonic()
        if now - self._told.get(kind, -TELL_EVERY) >= TELL_EVERY:
            self._told[kind] = now
            say(text)

    # -- evaluation ----------------------------------------------------------------------------------------------

    def _evaluate_here(self, weights: Weights) -> tuple[float | None, float | None]:
        """(loss, accuracy) of the model on the test set; (None, None) when that is the clients' work."""
        if self._test is None or self.app.evaluate is None:
            return None, None
        loss, accuracy = apps.guarded(self.app.name, self.app.evaluate, weights, *self._test)
        return float(loss), float(accuracy)

    def _evaluate_there(self, weights: Weights, link: Link) -> tuple[float | None, float | None, list[Lost]]:
        """The same by the clients, each on its share of the test set; averaged over the samples that came back."""
        tasks = plan.shares(self._fitting(link.members()), self._test_size)
        answers, lost = link.evaluate(weights, tasks, self.settings.round_timeout)
        total = sum(answer.task.samples for answer in answers)
        if not total:
            return None, None, lost
        mean = {
            key: sum(answer.figures[key] * answer.task.samples for answer in answers) / total
            for key in ("loss", "accuracy")
        }
        return mean["loss"], mean["accuracy"], lost

    # -- first and last line -------------------------------------------------------------------------------------

    def _start_line(self, loss: float | None, accuracy: float | None) -> Line:
        versions = {"edgefl": __version__} | {name: _version(name) for name in ("flwr", "numpy")}
        return line(
            "start",
            self.settings.run,
            1,
            0,
            accuracy=_rounded(accuracy),
            loss=_rounded(loss),
            settings=self.settings.shaping(),
            engine=versions,
        )

    def _done(self) -> None:
        rounds = [entry for entry in self.journal.lines if entry["event"] == "round"]
        last = rounds[-1]
        entry = line(
            "done", self.settings.run, last["loop"], last["round"], accuracy=last["accuracy"], loss=last["loss"],
            seconds=round(sum(item["seconds"] for item in rounds), 4), train_seconds=round(sum(item["train_seconds"] for item in rounds), 4),
            rounds=len(rounds), examples=sum(client["examples"] for item in rounds for client in item["clients"]),
            lost_total=sum(len(item["lost"]) for item in rounds), repeats_total=sum(item.get("repeated", 0) for item in rounds),
        )  # fmt: skip
        self.journal.append(entry)
        self.status.update(state="done", waiting_for=None)
        say(f"run {self.settings.run} is done; the port stays open, no work is given; another --run begins a new one")

    def fail(self, reason: str) -> None:
        """Write the `failed` line."""
        self.status.update(state="failed", reason=reason)
        self.journal.append(
            line("failed", self.settings.run, self.status.get("loop"), self.status.get("round"), reason=reason)
        )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)


def _client(answer: Answer) -> dict[str, Any]:
    task, figures = answer.task, answer.figures
    entry: dict[str, Any] = {
        "node": task.member.node, "pod": task.member.pod, "shard": task.shard, "start": task.start, "stop": task.stop, "examples": answer.examples,
    }  # fmt: skip
    for key in ("seconds", "cpu_seconds", "peak_rss_bytes", "loss", "accuracy"):
        value = figures.get(key)
        entry[key] = None if value is None else int(value) if key.endswith("bytes") else round(float(value), 6)
    return entry


def _lost(item: Lost) -> dict[str, str]:
    return {"node": item.task.member.node, "pod": item.task.member.pod, "shard": item.task.shard, "reason": item.reason}
