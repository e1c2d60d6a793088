"""What the coordinator needs of a transport: a few types and one protocol, so that it can be used with any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgefl.apps import Array, Weights
from edgefl.common.plan import Member, Task

BLOCK = 32 * 1024
"""Weights that are calculated with at a time, in double precision: no second model in memory, and all in the processor's cache."""


@dataclass(frozen=True)
class Answer:
    """What a client sent back for a task, as it came: aggregator/answers.py finds out whether it is usable.

    `examples` is the number of samples that it says it worked on, `figures` are its numbers (seconds, loss, ...); `weights`, for a
    training only, the new model's arrays, and `norm` how far they are from the model that was sent out.
    """

    task: Task
    examples: int
    figures: dict[str, float]
    weights: Sequence[Array] = field(default_factory=list, repr=False)
    norm: float = 0.0


@dataclass(frozen=True)
class Lost:
    """A task that came to nothing, and why. `error` tells an exception in the client from a lost connection."""

    task: Task
    reason: str
    error: bool = False


class Link(Protocol):
    """The connections to the clients."""

    def members(self) -> list[Member]:
        """Who is connected now."""

    def wait(self, enough: Callable[[list[Member]], bool], seconds: float) -> bool:
        """Block until `enough(members())` or the time is over; says which."""

    def initial_weights(self, member: Member, timeout: float) -> Weights:
        """The fresh model of one client. Raises ConnectionError when it does not answer."""

    def train(
        self, weights: Weights, tasks: Sequence[Task], config: dict[str, int | float], timeout: float
    ) -> Iterable[Answer | Lost]:
        """Have all tasks done at the same time; an outcome for each, as they come."""

    def evaluate(self, weights: Weights, tasks: Sequence[Task], timeout: float) -> Iterable[Answer | Lost]:
        """Have the model evaluated on shares of the test set, likewise; `figures` has loss and accuracy."""

    def combine(self, round_: int, weights: Weights, answers: Sequence[Answer]) -> Weights:
        """One model of what came back, checked and in the types of `weights`, the model that was sent out."""

    def state(self) -> dict[str, Weights]:
        """What the combining remembers from round to round."""

    def restore(self, weights: Weights, state: dict[str, Weights]) -> None:
        """Begin a training from `weights`; `state` as `state()` gave it, empty for a new training."""
