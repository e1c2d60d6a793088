"""A client: `python -m edgefl.client`. See `--help`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

from edgefl import apps
from edgefl.apps import App, AppError, Weights
from edgefl.client import limits
from edgefl.client.trainer import Trainer
from edgefl.common import settings
from edgefl.common.idx import DataError
from edgefl.common.journal import say
from edgefl.common.settings import ClientSettings


class Worker:
    """Trains and evaluates an app's model on this node's samples. Makes TensorFlow ready when it is made."""

    def __init__(self, chosen: ClientSettings, app: App) -> None:
        total = app.sizes("train")
        if chosen.clients > total:
            raise AppError(
                f"--clients={chosen.clients} is beyond the {total} samples of app {app.name}: the slice must end there or before"
            )
        self._chosen, self._app = chosen, app
        self._instance = uuid.uuid4().hex
        few = apps.guarded(
            app.name, app.train, chosen.partition, min(chosen.clients, chosen.partition + chosen.batch_size + 1)
        )
        threads = limits.threads(limits.cpu_limit(), chosen.threads)
        make = partial(Trainer, batch_size=chosen.batch_size, threads=threads)
        self._trainer: Trainer = apps.guarded(app.name, make, app.build, *few)
        self._first: Weights = self._trainer.initial_weights()

    def properties(self) -> dict[str, str | int]:
        c = self._chosen
        return {
            "node": c.node,
            "pod": c.pod,
            "instance": self._instance,
            "start": c.partition,
            "stop": c.clients,
            "app": c.app,
            "settings": c.settings,
        }

    def initial_weights(self) -> Weights:
        return self._first

    def fit(self, weights: Weights, config: dict[str, Any]) -> tuple[Weights, int, dict[str, float]]:
        """Train on samples config["start"] to config["stop"]; raises ValueError when they are not this node's."""
        usage = limits.Usage()
        start, stop = int(config["start"]), int(config["stop"])
        if not self._chosen.partition <= start < stop <= self._chosen.clients:
            raise ValueError(
                f"asked for samples {start} to {stop}; this node has {self._chosen.partition} to {self._chosen.clients}"
            )
        inputs, labels = self._app.train(start, stop)
        weights, figures = self._trainer.fit(
            weights,
            inputs,
            labels,
            self._chosen.epochs,
            int(config.get("seed", 0)),
            float(config.get("proximal_mu", 0.0)),
            key=(start, stop),
        )
        return weights, stop - start, figures | usage.figures()

    def evaluate(self, weights: Weights, config: dict[str, Any]) -> tuple[float, int, dict[str, float]]:
        """Evaluate on samples config["start"] to config["stop"] of the test set."""
        inputs, labels = self._app.test(int(config["start"]), int(config["stop"]))
        loss, accuracy = self._trainer.evaluate(weights, inputs, labels)
        return loss, len(labels), {"accuracy": accuracy}


def _work(chosen: ClientSettings) -> None:
    begin = time.perf_counter()
    code = 1
    try:
        worker = Worker(chosen, apps.load(chosen.app))
        from edgefl.link import client

        say(
            f"TensorFlow is ready after {time.perf_counter() - begin:.1f} s; samples {chosen.partition} to {chosen.clients} of {chosen.app}"
        )
        client.serve(chosen.server_address, worker, chosen.tls)
    except (AppError, DataError) as err:
        say(f"failed: {err}")
        code = os.EX_DATAERR  # it will be the same next time: who follows the training need not wait for that
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Work until SIGTERM or SIGINT. Exit code 1 when app or data are unusable, 2 when an option is wrong."""
    chosen = settings.client(arguments)
    ends = {signal.SIGTERM, signal.SIGINT}
    # The main thread only waits for signals: a handler would run after the graph call in progress, minutes later
    # perhaps. Blocked before other threads begin, which inherit it. As process 1 nothing else would end us.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    threading.Thread(target=_work, args=(chosen,), name="work", daemon=True).start()
    number = signal.sigwait(ends)
    say(f"{signal.Signals(number).name}: the client ends")
    os._exit(0)


if __name__ == "__main__":
    main()
