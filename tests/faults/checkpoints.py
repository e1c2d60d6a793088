"""A run in one process, on an in-process link, that may be killed at any moment: for tests of checkpoint and results.

`python -m faults.checkpoints FOLDER ROUNDS` runs it to its end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from edgefl.aggregator.checkpoint import Store
from edgefl.aggregator.coordinator import Coordinator
from edgefl.aggregator.status import Status
from edgefl.apps import Classifier, Weights
from edgefl.common import settings
from edgefl.common.journal import Journal
from edgefl.common.plan import Member, Task
from edgefl.link.protocol import Answer, Lost

MEMBER = Member("edge1", "a", "i", "c", 0, 10, "fashion_mnist")
WRITERS = ("journal.py", "checkpoint.py")
"""Where lines and checkpoints are written."""
PURE = ("_finite", "dump", "line", "printable", "say")
"""What in there touches no file."""


def samples(start: int, stop: int | None) -> tuple[Any, Any]:
    return np.zeros((10, 1))[start:stop], np.zeros(10, np.uint8)[start:stop]


class CountingLink:
    """The model is the number of rounds that it went through: it tells whether a round was lost or done twice."""

    def members(self) -> list[Member]:
        return [MEMBER]

    def wait(self, enough: Callable[[list[Member]], bool], seconds: float) -> bool:
        return enough([MEMBER])

    def initial_weights(self, member: Member, timeout: float) -> Weights:
        return [np.zeros(20_000)]

    def train(
        self, weights: Weights, tasks: Sequence[Task], config: dict[str, int | float], timeout: float
    ) -> list[Answer | Lost]:
        return [Answer(task, task.samples, {}, weights) for task in tasks]

    def evaluate(self, weights: Weights, tasks: Sequence[Task], timeout: float) -> list[Answer | Lost]:
        return []

    def combine(self, round_: int, weights: Weights, answers: Sequence[Answer]) -> Weights:
        return [weights[0] + 1]

    def state(self) -> dict[str, Weights]:
        return {"m_t": [np.ones(1000)]}

    def restore(self, weights: Weights, state: dict[str, Weights]) -> None:
        pass


def run(folder: Path, rounds: int) -> Weights:
    """Go on with the run in `folder` up to its last round; gives the model."""
    app = Classifier(MEMBER.app, samples, samples, lambda: None, lambda seed: [np.zeros(20_000)], lambda *_: (0.0, 0.0))
    chosen = settings.aggregator([f"--rounds={rounds}", "--min_num_clients=1", "--min_sample_size=1"])
    store = Store(folder)
    with open(os.devnull, "w") as nowhere:
        coordinator = Coordinator(chosen, app, Journal(folder, nowhere), store, Status())
        coordinator.accept()
        coordinator.run(CountingLink())
    point = store.load()
    assert point
    return point.weights


def kill_at(step: int) -> None:
    """Die by SIGKILL before the `step`-th line of code from now that writes results or checkpoints."""
    left = step

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(WRITERS) or frame.f_code.co_name in PURE:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
