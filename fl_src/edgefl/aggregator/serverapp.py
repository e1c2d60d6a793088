"""Runs the ServerApp of any Flower app: its main() is called with a Grid on the link, and again after a restart, where it finds its replies."""

from __future__ import annotations

import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from edgefl.aggregator import lines, model
from edgefl.aggregator.replies import Replies
from edgefl.aggregator.rounds import Rounds
from edgefl.aggregator.sieve import Sieve
from edgefl.aggregator.status import Status
from edgefl.apps import AppError
from edgefl.common import app_folder
from edgefl.common.app_folder import AppFolder
from edgefl.common.journal import Journal, line, printable, say
from edgefl.common.settings import AggregatorSettings
from edgefl.link import flower
from edgefl.link.endpoint import Endpoint, admission
from edgefl.link.grid import LinkGrid
from edgefl.link.hub import Hub, Pod
from edgefl.link.training import member

SETTINGS = ("loops", "min_num_clients", "min_nodes", "round_timeout", "seed", "tls")
"""Of the aggregator's options, those that shape a run of any app."""
REPORT_EVERY = 10.0
WORK = "work"
"""Folder beside the results in which the app runs: what it writes with a relative path is there."""


def stdout_for_lines() -> IO[str]:
    """Keep stdout for the lines: what else is printed, by the app or by what it starts, goes to stderr. Gives where the lines go."""
    sys.stdout.flush()
    kept = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return kept


@contextmanager
def linked(data: Path | None, work: Path) -> Iterator[None]:
    """What is in `data` is in `work`, too, meanwhile: apps look for datasets by a relative path such as owner/name, and write there."""
    links = {work / entry.name: entry for entry in (data.iterdir() if data else ())}
    for link, entry in links.items():
        if not os.path.lexists(link):
            link.symlink_to(entry)
    try:
        yield
    finally:
        for link in links:
            if link.is_symlink():
                link.unlink()


class AppRun:
    """One run of an app. Make it, `accept` the run, `open` the port, then `run` it."""

    def __init__(
        self, chosen: AggregatorSettings, app: AppFolder, status: Status, folder: Path | None, out: IO[str]
    ) -> None:
        self.settings, self.status, self.folder = chosen, status, folder
        self.app, self.config = app, app_folder.configured(app, chosen.app_config)
        self.journal = Journal(folder, out)
        self.number = flower.node_id(f"run {chosen.run}")
        self.replies = Replies(None if self.journal.complete else folder)
        self.rounds = Rounds(chosen.run, self.journal, status, self.replies.sync)
        self.hub = Hub(flower.node_id, flower.unavailable, shards=self.app.shards, most_of_a_node=chosen.max_pods)
        self._arrays: Any = None

    def accept(self) -> None:
        """Find out where the run stands. Raises AppError when it was begun with another app."""
        s = self.settings
        total = self.config.get("num-server-rounds", 0)
        self.status.update(
            run=s.run, app=self.app.name, loops=s.loops, rounds=total if isinstance(total, int) else 0,
            min_nodes=s.min_nodes, min_num_clients=s.min_num_clients,
        )  # fmt: skip
        begun = next((entry for entry in self.journal.lines if entry["event"] == "start"), None)
        before = (begun or {}).get("settings", {}).get("app")
        if begun and before != self.app.name:
            raise AppError(
                f"run {s.run} was begun with app {before}, not {self.app.name}: choose another --run for another app"
            )
        if self.journal.complete:
            last = self.journal.lines[-1]
            self.status.update(
                state="done", loop=last["loop"], round=last["round"], accuracy=last.get("accuracy"), loss=last.get("loss")
            )  # fmt: skip
            self.journal.replay()
            say(f"run {s.run} is complete: nothing is trained; another --run begins a new one")
            return
        self.journal.keep(lambda entry: entry["event"] in ("start", "round"))
        self.journal.replay()
        if self.replies.replayed:
            say(f"run {s.run} goes on: the app begins again, and gets its {self.replies.replayed} replies of before")

    def open(self) -> None:
        """Let clients connect."""
        s = self.settings
        welcome = {"run": self.number, "config": self.config}
        admit = admission(self.app.identity, self.hub, s.tls, s.client_settings)
        Endpoint(self.hub, s.server_address, s.tls, welcome, admit, self.folder)
        self.status.members = lambda: [member(pod) for pod in self.hub.pods()]

    def run(self) -> None:
        """Call the app's main() for each loop. Raises AppError, with file and line, for what it raises."""
        if self.journal.complete:
            return
        # In a folder of its own before it is imported: it may make files then
        work = (self.folder or Path(os.environ.get("TMPDIR", "/tmp"))) / WORK
        work.mkdir(parents=True, exist_ok=True)
        os.chdir(work)
        with linked(self.settings.data_dir, work):
            self._run()
        self._done()

    def _run(self) -> None:
        s = self.settings
        kind = dict(flower.components())["serverapp"]
        random.seed(s.seed)
        main = self.app.load("serverapp", kind)
        flower.watch_strategies(self._after_round, self._sieved)
        flower.watch_strategies_of_parameters(self._evaluated, self._sieved)
        if not self.journal.lines:
            self.journal.append(self._start_line())
        for loop in range(1, s.loops + 1):
            self._wait()
            self.rounds.begin_loop(loop)
            grid = LinkGrid(self.hub, self.number, self.replies, self.rounds, s.round_timeout)
            self._sieve = Sieve(grid)
            self._seed(loop)
            told = {"data-path": str(self.settings.data_dir)} if self.settings.data_dir else {}
            context = flower.context(self.number, flower.SERVER, told, self.config)
            self._guarded(main, grid, context)
            self.rounds.close()
            self._keep(self._arrays if self._arrays is not None else grid.arrays)

    def _guarded(self, main: Callable[..., Any], grid: LinkGrid, context: Any) -> None:
        try:
            main(grid, context)
        except OSError:
            raise
        except BaseException as err:  # SystemExit too: a ServerApp that exits ends the run, not the process
            traceback.print_exc()
            raise AppError(f"{self.app.where(err)}{type(err).__name__}: {err}") from err

    def _seed(self, loop: int) -> None:
        """The same random numbers after a restart: then the app sends the same messages, and its replies of before fit."""
        number = self.settings.seed + loop - 1
        random.seed(number)
        for name, seed in (("numpy", "random.seed"), ("torch", "manual_seed")):
            module = sys.modules.get(name)
            for part in seed.split("."):
                module = getattr(module, part, None)
            if callable(module):
                module(number % 2**32)

    def _wait(self) -> None:
        """Until enough clients are connected; says what is missing every ten seconds."""
        s, told = self.settings, 0.0

        def missing(pods: list[Pod]) -> str:
            nodes = len({pod.node for pod in pods})
            lacks = []
            if len(pods) < s.min_num_clients:
                lacks.append(f"{s.min_num_clients} clients (--min_num_clients; {len(pods)} there)")
            if nodes < s.min_nodes:
                lacks.append(f"{s.min_nodes} nodes (--min_nodes; {nodes} there)")
            return " and ".join(lacks)

        while text := missing(self.hub.pods()):
            self.status.update(state="waiting", waiting_for=text)
            if time.monotonic() - told >= REPORT_EVERY or not told:
                told = time.monotonic()
                there = ", ".join(sorted(map(str, self.hub.pods()))) or "none"
                say(printable(f"waiting for {text}; connected: {there}"))
            self.hub.until(lambda pods: not missing(pods), REPORT_EVERY)
        self.status.update(waiting_for=None)

    def _after_round(self, number: int, arrays: Any, metrics: dict[str, Any] | None) -> None:
        self._evaluated(arrays, metrics)
        if number:  # before the first, what the app asked is part of that one, or closed by it
            self.rounds.close()

    def _evaluated(self, arrays: Any, metrics: dict[str, Any] | None) -> None:
        self._arrays = arrays
        self.rounds.found(metrics or {})

    def _sieved(self, strategy: Any, kind: str, aggregate: Callable[..., Any]) -> Callable[..., Any]:
        return self._sieve.around(strategy, kind, aggregate)

    def _keep(self, record: Any) -> None:
        if self.folder is None or record is None:
            return
        try:
            model.keep_best(
                self.folder, flower.ndarrays(record), loop=self.rounds.loop, accuracy=self.status.get("accuracy"),
                for_pytorch="torch" in self.app.dependencies, round=self.rounds.number, app=self.app.name, run=self.settings.run,
            )  # fmt: skip
        except (ValueError, TypeError) as err:
            say(f"the model is not kept: {err}")

    def _start_line(self) -> dict[str, Any]:
        shaping = self.settings.shaping()
        settings: dict[str, Any] = {"app": self.app.name, "identity": self.app.identity, "config": self.config}
        settings |= {"rounds": self.status.get("rounds")} | {name: shaping[name] for name in SETTINGS}
        return line(
            "start", self.settings.run, 1, 0, accuracy=None, loss=None, settings=settings, engine=lines.versions()
        )

    def _done(self) -> None:
        rounds = [entry for entry in self.journal.lines if entry["event"] == "round"]
        self.journal.append(lines.done(self.settings.run, rounds))
        self.replies.finish()
        self.status.update(state="done", waiting_for=None)
        say(f"run {self.settings.run} is done; the port stays open, no work is given; another --run begins a new one")

    def fail(self, reason: str) -> None:
        """Write the `failed` line, and what there is of the model."""
        self.status.update(state="failed", reason=reason)
        self._keep(self._arrays)
        self.journal.append(line("failed", self.settings.run, self.rounds.loop, self.rounds.number, reason=reason))
