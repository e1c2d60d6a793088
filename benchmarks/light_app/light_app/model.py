"""Two arrays of 32-bit floats, LIGHT_APP_NUMBERS together."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from edgefl.apps import Array, Weights


def build() -> Any:
    """There is nothing for Keras."""
    raise NotImplementedError("app light_app is for light clients")


def initial_weights(seed: int) -> Weights:
    """Uniform, 0 to 1."""
    rng, numbers = np.random.default_rng(seed), int(os.environ["LIGHT_APP_NUMBERS"])
    return [rng.random(numbers - numbers // 10, np.float32), rng.random(numbers // 10, np.float32)]


def evaluate(weights: Weights, _inputs: Array, _labels: Array) -> tuple[float, float]:
    """The mean of all numbers as the loss."""
    return float(np.mean([array.mean() for array in weights])), 0.0
