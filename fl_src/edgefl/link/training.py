"""The coordinator's Link over the Grid: tasks become Flower messages, replies become answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from edgefl.apps import Array, Weights
from edgefl.common.journal import say
from edgefl.common.plan import Member, Task
from edgefl.common.settings import AggregatorSettings
from edgefl.link import flower
from edgefl.link.grid import LinkGrid
from edgefl.link.hub import Hub, Pod
from edgefl.link.protocol import BLOCK, Answer, Lost

REMEMBERED = ("m_t", "v_t", "momentum_vector")
"""What Flower's strategies with an optimizer carry from round to round: arrays, by name or as a list."""
EACH = ("FedMedian", "FedTrimmedAvg")
"""Flower's strategies that need what each client sent; the others take its mean, which is made here from arrays that were read already."""
COST_OF_EACH = 4
"""Times the size of all models that Flower's way to combine them takes of memory (benchmarks/strategies.py)."""
PLAIN = ("FedAvg", "FedProx")
"""Those that the mean is all of."""


class TrainingLink:
    """A Link over a LinkGrid whose nodes are pods."""

    def __init__(self, settings: AggregatorSettings, hub: Hub, grid: LinkGrid) -> None:
        self._settings, self._hub, self._grid = settings, hub, grid
        self._strategy: Any = None
        self._told = False

    def members(self) -> list[Member]:
        return [member(pod) for pod in self._hub.pods()]

    def wait(self, enough: Callable[[list[Member]], bool], seconds: float) -> bool:
        return self._hub.until(lambda pods: enough([member(pod) for pod in pods]), seconds)

    def initial_weights(self, member: Member, timeout: float) -> Weights:
        message = flower.Message(flower.RecordDict(), int(member.id), "query")
        for reply in self._grid.stream([message], timeout=timeout):
            if reply.has_error():
                raise ConnectionError(reply.error.reason)
            return list(flower.ndarrays(reply.content["arrays"]).values())
        raise ConnectionError(f"it did not answer within {timeout:g} s")

    def train(
        self, weights: Weights, tasks: Sequence[Task], config: dict[str, int | float], timeout: float
    ) -> Iterator[Answer | Lost]:
        record = flower.arrays_record(weights)

        def read(task: Task, content: Any) -> Answer:
            received = [flower.values(array, copy=False) for array in content["arrays"].values()]
            figures = flower.numbers(content)
            return Answer(task, figures.pop("num-examples"), figures, received)

        return self._all("train", record, config, tasks, timeout, read)

    def evaluate(self, weights: Weights, tasks: Sequence[Task], timeout: float) -> Iterator[Answer | Lost]:
        def read(task: Task, content: Any) -> Answer:
            figures = flower.numbers(content)
            return Answer(task, figures.pop("num-examples"), figures)

        return self._all("evaluate", flower.arrays_record(weights), {}, tasks, timeout, read)

    def _all(
        self,
        kind: str,
        record: Any,
        config: dict[str, int | float],
        tasks: Sequence[Task],
        timeout: float,
        read: Callable[[Task, Any], Answer],
    ) -> Iterator[Answer | Lost]:
        """Have all tasks done at the same time, and give each answer as it comes; whatever it is, it is that task's affair alone."""
        left = {int(task.member.id): task for task in tasks}
        messages = []
        for node, task in left.items():
            part = flower.ConfigRecord(config | {"start": task.start, "stop": task.stop})
            messages.append(flower.Message(flower.RecordDict({"arrays": record, "config": part}), node, kind))
        told = "evaluation: " if kind == "evaluate" else ""
        for reply in self._grid.stream(messages, timeout=timeout):
            task = left.pop(reply.metadata.src_node_id)
            if reply.has_error():
                raised = reply.error.code == flower.RAISED
                yield Lost(task, f"{told if raised else ''}{reply.error.reason}", error=raised)
                continue
            try:
                outcome: Answer | Lost = read(task, reply.content)
            except Exception as err:
                outcome = Lost(task, f"{told}its answer can't be used: {type(err).__name__}: {err}", error=True)
            del reply
            yield outcome
            del outcome
        late = f"no answer within --round_timeout={timeout:g} s; raise it if the work takes longer"
        yield from [Lost(task, late) for task in left.values()]

    def combine(self, round_: int, weights: Weights, answers: Sequence[Answer]) -> Weights:
        came = [(answer.examples, answer.weights) for answer in answers]
        name = (
            "FedAvg" if self._settings.upstream else self._settings.strategy
        )  # which is the root's, of what its regions send
        bodies: list[tuple[int, Weights]] = [(examples, list(each)) for examples, each in came if name in EACH]
        if name in EACH and not self._told:
            self._told = True
            megabytes = COST_OF_EACH * len(came) * sum(array.nbytes for array in weights) / 1e6
            say(
                f"{name} needs all {len(came)} models of a round at the same time, and about {megabytes:.0f} MB of memory to combine them; "
                "FedAvg needs that of two models, however many there are"
            )
        bodies = bodies or [(sum(examples for examples, _dummy in came), mean(came))]
        combined = bodies[0][1] if name in PLAIN else flower.combine(self._strategy, round_, weights, bodies)
        # The mean and Flower's adaptive strategies are calculated in double precision; the model keeps its own
        with np.errstate(over="ignore"):  # infinite then, which the coordinator tells
            return [new.astype(old.dtype) for new, old in zip(combined, weights)]

    def state(self) -> dict[str, Weights]:
        found = {name: getattr(self._strategy, name, None) for name in REMEMBERED}
        return {
            name: list(value.values() if isinstance(value, dict) else value) for name, value in found.items() if value
        }

    def restore(self, weights: Weights, state: dict[str, Weights]) -> None:
        s = self._settings
        try:
            self._strategy = flower.strategy(s.strategy, s.strategy_options)
        except TypeError as err:
            raise ValueError(f"--strategy_options does not fit --strategy={s.strategy}: {err}") from err
        names = flower.arrays_record(weights).keys()
        for name, arrays in state.items():
            setattr(self._strategy, name, arrays if name == "momentum_vector" else dict(zip(names, arrays)))


def member(pod: Pod) -> Member:
    """A pod as the coordinator and the status know it."""
    about = pod.about
    start, stop = about.get("start", 0), about.get("stop", 0)
    app, region = about["app"].partition("@")[0], about.get("region") is True
    return Member(pod.node, pod.name, pod.instance, str(pod.id), start, stop, app, region)


def mean(bodies: Sequence[tuple[int, Sequence[Array]]]) -> Weights:
    """The mean of models, weighted by their numbers of samples: FedAvg (McMahan et al. 2017, algorithm 1). One array of one model is read at a time."""
    total = sum(examples for examples, _dummy in bodies)
    sums: Weights = [np.zeros(array.shape, np.result_type(array, np.float64)) for array in bodies[0][1]]
    for examples, arrays in bodies:
        for into, array in zip(sums, arrays):
            ours, theirs = into.reshape(-1), np.ravel(array)
            for at in range(0, ours.size, BLOCK):
                ours[at : at + BLOCK] += np.multiply(theirs[at : at + BLOCK], examples, dtype=into.dtype)
    for into in sums:
        into /= total
    return sums
