"""The client's program of somebody who took an edge over; HOSTILE says what it does.

greeting, reason: its words, in its greeting or in the error of its training, are made to flood and to forge the aggregator's log and lines.
turned, nan: its weights are made to ruin the model, or to keep the round from ending.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from edgefl.client import __main__ as client
from edgefl.client import clientapp, worker
from support.light_client import NumpyTrainer

WORDS = "\x1b[2J\n12:00:00 run default is done " + "x" * 100_000
DEED = os.environ["HOSTILE"]


class HostileTrainer(NumpyTrainer):
    """Trains, and gives something else."""

    def fit(self, *arguments: Any, **options: Any) -> Any:
        if DEED == "reason":
            raise ValueError(WORDS)
        weights, figures = super().fit(*arguments, **options)
        factor = {"turned": -20, "nan": np.nan}[DEED]
        return [array * np.float32(factor) for array in weights], figures


class HostileClient(clientapp.Client):
    """Says that its slice is all these words."""

    def greeting(self) -> dict[str, Any]:
        return super().greeting() | {"about": {"start": WORDS, "stop": 10**400}}


if __name__ == "__main__":
    worker.Trainer = HostileTrainer  # type: ignore[assignment,attr-defined]
    clientapp.LONGEST_REASON = 10**9
    if DEED == "greeting":
        clientapp.Client = HostileClient  # type: ignore[misc]
    client.main()
