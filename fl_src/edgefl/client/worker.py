"""Trains and evaluates a classifier on the samples of this node."""

from __future__ import annotations

from functools import partial

from edgefl.apps import AppError, Classifier, Weights
from edgefl.client import limits
from edgefl.client.trainer import Trainer


class Worker:
    """Has samples `start` to `stop` (excluded) of the training set. Makes TensorFlow ready when it is made."""

    def __init__(self, app: Classifier, start: int, stop: int, epochs: int, batch_size: int, threads: int) -> None:
        total = app.sizes("train")
        if stop > total:
            raise AppError(
                f"--clients={stop} is beyond the {total} samples of app {app.name}: the slice must end there or before"
            )
        self.start, self.stop = start, stop
        self._app, self._epochs = app, epochs
        few = app.guarded(app.train, start, min(stop, start + batch_size + 1))
        make = partial(Trainer, batch_size=batch_size, threads=limits.threads(limits.cpu_limit(), threads))
        self._trainer: Trainer = app.guarded(make, app.build, *few)
        self._first: Weights = self._trainer.initial_weights()

    def initial_weights(self) -> Weights:
        return self._first

    def fit(
        self, weights: Weights, start: int, stop: int, seed: int, proximal_mu: float
    ) -> tuple[Weights, dict[str, float]]:
        """Train on samples `start` to `stop`; gives the new weights and figures. Raises ValueError when they are not this node's."""
        usage = limits.Usage()
        if not self.start <= start < stop <= self.stop:
            raise ValueError(f"asked for samples {start} to {stop}; this node has {self.start} to {self.stop}")
        samples = self._app.train(start, stop)
        weights, figures = self._trainer.fit(weights, *samples, self._epochs, seed, proximal_mu, key=(start, stop))
        return weights, figures | usage.figures()

    def evaluate(self, weights: Weights, start: int, stop: int) -> tuple[float, float]:
        """Loss and accuracy on samples `start` to `stop` of the test set."""
        return self._trainer.evaluate(weights, *self._app.test(start, stop))
