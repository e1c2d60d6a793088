"""Is what a client sent back usable? Whatever an answer is made of, it costs that client its task and nothing else.

Free of Flower and the network: a transport hands over arrays and numbers as they came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgefl.aggregator.spool import Spool
from edgefl.apps import AppError, Array, Classifier, Weights
from edgefl.common.journal import printable, say
from edgefl.common.plan import Member
from edgefl.link.protocol import BLOCK, Answer, Link, Lost

FIGURES = ("seconds", "cpu_seconds", "peak_rss_bytes", "loss", "accuracy")
"""What a client tells of its work; further figures are left out of the lines."""
PARTS = ("parts", "parts_lost")
"""What a region tells beside these: how many parts its task had that were answered, and that were lost."""

ANOTHER_SHAPE = "sent weights of another shape than the model's; is its image of this version?"
NOT_FINITE = "sent weights that are not finite; lower the learning rate"
LEAST_FOR_MEDIAN = 3
"""Nodes that a median needs, to say which of them is unlike the others: of two nobody knows."""


def separated(outcomes: Iterable[Answer | Lost]) -> tuple[list[Answer], list[Lost]]:
    """Answers and lost tasks, each in order; what the reasons can't show is replaced, and they are cut to 500 characters."""
    answers: list[Answer] = []
    lost: list[Lost] = []
    for outcome in outcomes:
        if isinstance(outcome, Answer):
            answers.append(outcome)
        else:
            lost.append(replace(outcome, reason=printable(outcome.reason)))
    return answers, lost


def collected(
    outcomes: Iterable[Answer | Lost], model: Weights, spool: Spool, factor: float
) -> tuple[list[Answer], list[Lost]]:
    """What came of a training that began with `model`: answers that can be used, their weights in the spool, and lost tasks. `factor` is --norm_bound."""

    def received(outcome: Answer | Lost) -> Answer | Lost:
        if isinstance(outcome, Answer):
            outcome = trained(outcome, model)
        if isinstance(outcome, Lost):
            return outcome
        norm = distance(outcome.weights, model) if factor else 0.0
        return replace(outcome, norm=norm, weights=spool.keep(list(outcome.weights)))

    answers, lost = separated(map(received, outcomes))
    answers, refused = separated(bounded(answers, factor))
    return answers, [*lost, *refused]


def first_model(app: Classifier, link: Link, members: Iterable[Member], timeout: float) -> Weights | None:
    """The fresh model of the first member that gives a usable one."""
    for member in members:
        try:
            weights = app.check_weights(link.initial_weights(member, timeout))
            flaw = flaw_of_weights(weights, weights)
        except (ConnectionError, AppError) as err:
            flaw = str(err)
        if not flaw:
            return weights
        say(printable(f"{member.node}/{member.pod} gave no initial model: {flaw}"))
    return None


def averaged(answers: Sequence[Answer], names: Iterable[str]) -> dict[str, float]:
    """The figures of these names, averaged over the samples of those that have them; empty of no answer."""
    found = {}
    for name in names:
        told = [(answer.examples, answer.figures[name]) for answer in answers if name in answer.figures]
        if told:
            found[name] = sum(examples * figure for examples, figure in told) / sum(
                examples for examples, _figure in told
            )
    return found


def trained(answer: Answer, model: Weights) -> Answer | Lost:
    """The answer with its weights in the model's types, or lost with what is wrong. `model` is what was sent out."""
    flaw = _flaw_of_count(answer) or _flaw_of_figures(answer) or flaw_of_weights(answer.weights, model)
    if flaw:
        return Lost(answer.task, flaw, error=True)
    return replace(answer, weights=[np.asarray(array, ours.dtype) for array, ours in zip(answer.weights, model)])


def evaluated(answer: Answer | Lost) -> Answer | Lost:
    """The answer, when it holds a loss and an accuracy of as many samples as were given (of a region, of some); else lost with what is wrong."""
    if isinstance(answer, Lost):
        return answer
    missing = [name for name in ("loss", "accuracy") if name not in answer.figures]
    flaw = f"sent no {' and no '.join(missing)}" if missing else _flaw_of_count(answer) or _flaw_of_figures(answer)
    return Lost(answer.task, f"evaluation: {flaw}", error=True) if flaw else answer


def bounded(answers: Sequence[Answer], factor: float) -> list[Answer | Lost]:
    """The answers, but lost those whose update is too large: its L2 norm is more than `factor` times the median of the nodes' norms.

    Who trains more samples than the median node makes more steps, and may differ that much more. The median counts nodes, each with the
    median of its pods, so that many pods of one node don't make it. With fewer than three nodes, a factor of 0, or a median of 0 (most have
    changed nothing) there is nothing to compare with, and all are taken.
    """
    if not factor or len({answer.task.member.node for answer in answers}) < LEAST_FOR_MEDIAN:
        return list(answers)
    norms = [answer.norm for answer in answers]
    usual, size = _of_median_node(answers, norms), _of_median_node(answers, [answer.task.samples for answer in answers])
    outcomes: list[Answer | Lost] = []
    for answer, norm in zip(answers, norms):
        allowed = factor * max(1.0, answer.task.samples / size)
        if not usual or norm <= usual * allowed:
            outcomes.append(answer)
            continue
        reason = (
            f"sent weights that differ {norm / usual:.3g} times as much from the model as those of the median node; "
            f"{allowed:.3g} are allowed (--norm_bound={factor:g})"
        )
        outcomes.append(Lost(answer.task, reason, error=True))
    return outcomes


def _of_median_node(answers: Sequence[Answer], figures: Sequence[float]) -> float:
    """The median over the nodes; of each its answers' median."""
    of_node: dict[str, list[float]] = {}
    for answer, figure in zip(answers, figures):
        of_node.setdefault(answer.task.member.node, []).append(figure)
    return float(np.median([np.median(own) for own in of_node.values()]))


def distance(weights: Sequence[Array], model: Weights) -> float:
    """L2 norm of the difference, over all arrays together."""
    squares = 0.0
    for array, ours in zip(weights, model):
        theirs, own = np.ravel(array), np.ravel(ours)
        precise = np.result_type(ours, np.float64)
        # What is taken differs by no more than a float can hold, so floats are subtracted as they are; whole numbers might not fit
        kind = own.dtype if own.dtype.kind in "fc" else precise
        room = np.empty(min(own.size, BLOCK), precise)  # one for all blocks: the kernel would make each anew
        for at in range(0, own.size, BLOCK):
            block = own[at : at + BLOCK]
            change = np.subtract(theirs[at : at + BLOCK], block, out=room[: block.size], dtype=kind)
            # Not by BLAS, whose threads wait for each other: beside other work that takes many times as long
            squares += abs(np.einsum("i,i", change, change.conj()))
    return math.sqrt(squares)


def flaw_of_weights(received: Sequence[Array], model: Weights) -> str:
    """Why `received` can't stand in for `model`; empty when it can."""
    if [array.shape for array in received] != [array.shape for array in model]:
        return ANOTHER_SHAPE
    for index, (array, ours) in enumerate(zip(received, model)):
        if not np.can_cast(array.dtype, ours.dtype, "same_kind"):
            return f"sent weights of type {array.dtype}, the model's weight {index} is of {ours.dtype}; is its image of this version?"
        if not array.size:
            continue
        low, high = array.min(), array.max()  # not-a-number when one of all is
        if not (np.isfinite(low) and np.isfinite(high)):
            return NOT_FINITE
        if max(abs(float(low)), abs(float(high))) > largest(ours.dtype):
            return f"sent weights of more than {largest(ours.dtype):.0e}, which nothing can be calculated with; lower the learning rate"
    return ""


def largest(dtype: np.dtype[Any]) -> float:
    """The largest weight that is taken: for floats its square can still be represented (or 1e4 in half precision)."""
    if np.issubdtype(dtype, np.floating):
        most = float(np.finfo(dtype).max)
        return max(math.sqrt(most), min(most, 1e4))
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def finite(array: Array) -> bool:
    """Without an array of its own: least and largest are not-a-number when one of all is."""
    return not array.size or bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def _flaw_of_count(answer: Answer) -> str:
    samples = answer.task.samples
    if answer.examples == samples or (
        answer.task.member.region and isinstance(answer.examples, int) and 0 < answer.examples <= samples
    ):
        return ""
    return f"worked on {answer.examples} samples instead of the {answer.task.samples} of its part"


def _flaw_of_figures(answer: Answer) -> str:
    for name, value in answer.figures.items():
        if name in (*FIGURES, *PARTS) and not is_number(value):
            return f"sent a figure that is no finite number: {name} {value!r}"
    return ""


def is_number(value: object) -> bool:
    """Whether a client's figure is a finite number."""
    try:
        return isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False
