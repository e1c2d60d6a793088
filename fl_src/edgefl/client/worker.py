"""The built-in apps' ClientApp: trains and evaluates a Keras model on this node's samples."""

from __future__ import annotations

from functools import partial
from typing import Any

from edgefl import apps
from edgefl.apps import App, AppError, Weights
from edgefl.client import limits
from edgefl.client.trainer import Trainer
from edgefl.common.settings import ClientSettings
from edgefl.link import flower


class Worker:
    """Trains and evaluates an app's model on this node's samples. Makes TensorFlow ready when it is made."""

    def __init__(self, chosen: ClientSettings, app: App) -> None:
        total = app.sizes("train")
        if chosen.clients > total:
            raise AppError(
                f"--clients={chosen.clients} is beyond the {total} samples of app {app.name}: the slice must end there or before"
            )
        self._chosen, self._app = chosen, app
        few = apps.guarded(
            app.name, app.train, chosen.partition, min(chosen.clients, chosen.partition + chosen.batch_size + 1)
        )
        threads = limits.threads(limits.cpu_limit(), chosen.threads)
        make = partial(Trainer, batch_size=chosen.batch_size, threads=threads)
        self._trainer: Trainer = apps.guarded(app.name, make, app.build, *few)
        self._first: Weights = self._trainer.initial_weights()

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


def clientapp(worker: Worker) -> Any:
    """What the worker can do, as Flower calls it: `query` gives a fresh model, `train` and `evaluate` do what their config says."""
    app = flower.client_app()

    @app.query()
    def query(message: Any, _context: Any) -> Any:
        content = flower.RecordDict({"arrays": flower.arrays_record(worker.initial_weights())})
        return flower.Message(content, reply_to=message)

    @app.train()
    def train(message: Any, _context: Any) -> Any:
        weights, examples, figures = worker.fit(*_given(message))
        metrics = flower.MetricRecord(figures | {"num-examples": examples})
        content = flower.RecordDict({"arrays": flower.arrays_record(weights), "metrics": metrics})
        return flower.Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message: Any, _context: Any) -> Any:
        loss, examples, figures = worker.evaluate(*_given(message))
        metrics = flower.MetricRecord(figures | {"loss": loss, "num-examples": examples})
        return flower.Message(flower.RecordDict({"metrics": metrics}), reply_to=message)

    return app


def _given(message: Any) -> tuple[Weights, dict[str, Any]]:
    content = message.content
    return list(flower.ndarrays(content["arrays"]).values()), dict(content["config"].items())
