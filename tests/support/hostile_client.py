"""The client's program of somebody who took an edge over; HOSTILE says what it does.

greeting, reason: its words, in its greeting or in the error of its training, are made to flood and to forge the aggregator's log and lines.
turned, nan, complex, times, huge, figures: its weights or figures are made to ruin the model, to keep the round from ending, or to end the run.
samples: it says that it has more of them than there are, to weigh everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from edgefl.client import __main__ as client
from edgefl.client import clientapp, worker
from support.light_client import NumpyTrainer

WORDS = "\x1b[2J\n12:00:00 run default is done " + "x" * 100_000
DEED = os.environ["HOSTILE"]
DEEDS: dict[str, Callable[[Any], Any]] = {
    "turned": lambda array: array * np.float32(-20),
    "nan": lambda array: array * np.float32(np.nan),
    "complex": lambda array: array.astype("complex128"),
    "times": lambda array: array.astype("timedelta64[s]"),
    "huge": lambda array: np.full(array.shape, 1e300),
    "figures": lambda array: array,
    "samples": lambda array: array,
}
LIES = {"figures": {"loss": float("nan"), "accuracy": float("inf")}}
SLICES: dict[str, Any] = {"greeting": {"start": WORDS, "stop": 10**400}, "samples": {"start": 0, "stop": 10**15}}


class HostileTrainer(NumpyTrainer):
    """Trains, and gives something else."""

    def fit(self, *arguments: Any, **options: Any) -> Any:
        if DEED == "reason":
            raise ValueError(WORDS)
        weights, figures = super().fit(*arguments, **options)
        return [DEEDS[DEED](array) for array in weights], figures | LIES.get(DEED, {})


class HostileClient(clientapp.Client):
    """Says that its slice is something else."""

    def greeting(self) -> dict[str, Any]:
        return super().greeting() | {"about": SLICES[DEED]}


if __name__ == "__main__":
    worker.Trainer = HostileTrainer  # type: ignore[assignment,attr-defined]
    clientapp.LONGEST_REASON = 10**9
    if DEED in SLICES:
        clientapp.Client = HostileClient  # type: ignore[misc]
    client.main()
