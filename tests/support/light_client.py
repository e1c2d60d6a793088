"""The client's program with a trainer in NumPy: it starts in a second. All but the trainer is what runs in a pod."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from edgefl.apps import Array, Weights
from edgefl.apps.fashion_mnist.fashion_mnist import model
from edgefl.client import __main__ as client
from edgefl.client import worker


class NumpyTrainer:
    """Stands in for edgefl.client.trainer.Trainer; trains app fashion_mnist's net by gradient descent in batches of 50."""

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        self._pause = float(os.environ["LIGHT_CLIENT_FIT"])

    def initial_weights(self) -> Weights:
        return model.initial_weights(1)

    def fit(
        self, weights: Weights, inputs: Array, labels: Array, *_more: Any, **_options: Any
    ) -> tuple[Weights, dict[str, float]]:
        time.sleep(self._pause)
        kernel1, bias1, kernel2, bias2 = (array.copy() for array in weights)
        for begin in range(0, len(labels), 50):
            wanted = labels[begin : begin + 50]
            x = inputs[begin : begin + 50].reshape(len(wanted), -1).astype(np.float32) / 255
            hidden = np.maximum(x @ kernel1 + bias1, 0)
            logits = hidden @ kernel2 + bias2
            slope = np.exp(logits - logits.max(1, keepdims=True))
            slope /= slope.sum(1, keepdims=True)
            slope[np.arange(len(wanted)), wanted] -= 1
            slope *= np.float32(0.1 / len(wanted))
            back = (slope @ kernel2.T) * (hidden > 0)
            kernel2 -= hidden.T @ slope
            bias2 -= slope.sum(0)
            kernel1 -= x.T @ back
            bias1 -= back.sum(0)
        new = [kernel1, bias1, kernel2, bias2]
        return new, dict(zip(("loss", "accuracy"), self.evaluate(new, inputs, labels)))

    def evaluate(self, weights: Weights, inputs: Array, labels: Array) -> tuple[float, float]:
        return model.evaluate(weights, inputs, labels)


if __name__ == "__main__":
    worker.Trainer = NumpyTrainer  # type: ignore[assignment,attr-defined]
    client.main()
