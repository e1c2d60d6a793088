"""Ten samples for each of a thousand clients, and one to evaluate; all of them are zeros."""

from __future__ import annotations

import numpy as np

from edgefl.apps import Slice

SAMPLES = 10


def train(start: int, stop: int | None) -> Slice:
    """Inputs, shape (n, 1), and labels, shape (n,)."""
    return np.zeros((100_000, 1), np.uint8)[start:stop], np.zeros(100_000, np.uint8)[start:stop]


def test(start: int, stop: int | None) -> Slice:
    """The same, of one sample."""
    return np.zeros((1, 1), np.uint8)[start:stop], np.zeros(1, np.uint8)[start:stop]
