"""What a strategy of Flower gets to aggregate: an answer that it can't take, or that would spoil the model, costs that client its part of the round.

Nobody but the app knows what its answers mean, so little is judged beforehand: an array that is not finite where what was sent is; a weight of the
mean that is no number; and, where the strategy is Flower's own and answers usually have the arrays that were sent, arrays of another shape. All else is
looked into only when the strategy raises, by what it can take: answers that it can't take alone, or that most others are unlike, are lost, and it is
called again. A lost answer is one with an error, as of a client that raised. The same answers lead to the same decision, also after a restart.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np

from edgefl.aggregator.answers import ANOTHER_SHAPE, NOT_FINITE, finite, is_number
from edgefl.common.journal import printable, say
from edgefl.link import flower

Flaws = dict[int, str]
"""What is wrong with answers, by their places."""
MOST_TOLD = 3
"""Differences between two answers that a reason names, of each."""
CALCULATING = {"edgefl", "flwr", "json", "numpy"}
"""Packages that know nothing of an app: what they raise of its answers is the answers' fault."""


class Link(Protocol):
    """Where the answers come from: link.grid.LinkGrid. `arrays` are those that were sent last."""

    arrays: Any

    def refuse(self, message: Any, reason: str) -> None: ...


class Sieve:
    """Puts itself between the strategies of an app and what they get from the link."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def around(self, strategy: Any, kind: str, aggregate: Callable[..., Any]) -> Callable[..., Any]:
        """What is called in place of `aggregate`, the strategy's method for answers of this kind: train, evaluate."""
        fitted = worked = False

        def sieved(server_round: int, replies: Any) -> Any:
            nonlocal fitted, worked
            sent = self._link.arrays if kind == "train" else None
            batch = _Batch(strategy, partial(aggregate, server_round), list(replies), sent)
            if flower.is_flowers(aggregate):
                fitted |= batch.usually_fits
                batch.refuse_other_shapes(fitted)
            result = batch.result(worked)
            worked |= bool(batch.left)
            for at, reason in sorted(batch.lost.items()):
                self._link.refuse(batch.replies[at], reason)
            return result

        return sieved


class _Batch:
    """The answers of one round, and the strategy that gets them."""

    def __init__(
        self, strategy: Any, aggregate: Callable[[list[Any]], Any], replies: list[Any], sent: Any | None
    ) -> None:
        self._aggregate, self._sent, self.replies = aggregate, sent, replies
        self._kept = flower.Kept(strategy, replies)
        self._reasons_to_end = flower.reasons_to_end()
        self._known: dict[int, tuple[Any, bool]] = {}
        self.lost: Flaws = {}
        self._fits: dict[int, bool] = {}
        weights = flower.weights_of(strategy)
        for at in self.left:
            content = replies[at].content
            flaw, self._fits[at] = self._values(content)
            flaw = flaw or _flaw_of_weights(content, weights)
            if flaw:
                self.lost[at] = flaw
        self._known.clear()

    @property
    def left(self) -> list[int]:
        """Places of the answers that are good so far."""
        return [at for at, reply in enumerate(self.replies) if not reply.has_error() and at not in self.lost]

    @property
    def usually_fits(self) -> bool:
        """Whether half of the answers have the arrays that were sent, in the same shapes."""
        fitting = sum(self._fits.values())
        return fitting > 0 and 2 * fitting >= len(self._fits)

    def refuse_other_shapes(self, expected: bool) -> None:
        if expected:
            self.lost |= {at: ANOTHER_SHAPE for at in self.left if not self._fits[at]}

    def _values(self, content: Any) -> tuple[str, bool]:
        """What is wrong with the arrays' values, and whether they are the arrays that were sent."""
        record = flower.arrays_of(content)
        pairs = flower.counterparts(record, self._sent) if record is not None and self._sent is not None else []
        flaw, fits = "", bool(pairs)
        for array, own in pairs:
            values, (ours, sound) = flower.as_numpy(array), self._own(own)
            if values is None or ours is None:
                fits = False
                continue
            fits &= values.shape == ours.shape
            if sound and np.issubdtype(values.dtype, np.floating) and not finite(values):
                flaw = NOT_FINITE
        return flaw, fits

    def _own(self, array: Any) -> tuple[Any, bool]:
        """The values of an array that was sent, and whether they are finite floats."""
        if id(array) not in self._known:
            values = flower.as_numpy(array)
            sound = values is not None and np.issubdtype(values.dtype, np.floating) and finite(values)
            self._known[id(array)] = values, sound
        return self._known[id(array)]

    def result(self, worked: bool) -> Any:
        """What the strategy makes of the answers that it can take. Raises what it raises of all, when it can take none and never could."""
        try:
            return self._call()
        except self._reasons_to_end:
            raise
        except Exception as err:
            told = printable(f"{type(err).__name__}: {err}")
            say(
                f"the strategy can't aggregate these {len(self.left)} answers ({told}): looking for those that it can't take"
            )
            before = dict(self.lost)
            for sift in (self._refused_alone, partial(self._unlike, False), partial(self._unlike, True)):
                self._kept.restore()
                found = sift()
                if not found or len(found) == len(self.left):
                    continue
                self.lost |= found
                again = self._again()
                if again is not None:
                    return again[0]
            if worked and _is_of_answers(err):
                self.lost |= dict.fromkeys(self.left, f"the strategy can't take it: {told}")
                again = self._again()
                if again is not None:
                    return again[0]
            self.lost = before
            raise

    def _call(self) -> Any:
        spoiled = {at: flower.spoiled(self.replies[at], reason) for at, reason in self.lost.items()}
        return self._aggregate([spoiled.get(at, reply) for at, reply in enumerate(self.replies)])

    def _again(self) -> tuple[Any] | None:
        """The result, or None when the strategy still raises."""
        self._kept.restore()
        try:
            return (self._call(),)
        except self._reasons_to_end:
            raise
        except Exception:
            return None

    def _refused_alone(self) -> Flaws:
        """The answers that the strategy can't even take alone."""
        found: Flaws = {}
        for at in self.left:
            try:
                self._aggregate([self.replies[at]])
            except self._reasons_to_end:
                raise
            except Exception as err:
                found[at] = f"the strategy can't take it: {type(err).__name__}: {err}"
            self._kept.restore()
        return found

    def _unlike(self, sizes: bool) -> Flaws:
        """The answers that are not made as most are; where none are most, not as what was sent."""
        forms = {at: flower.form(self.replies[at].content, sizes) for at in self.left}
        counts = Counter(forms.values())
        if len(counts) < 2:
            return {}

        def weight(at: int) -> tuple[int, bool, int]:
            record = flower.arrays_of(self.replies[at].content)
            alike = None not in (record, self._sent) and (
                flower.form_of_arrays(record, sizes) == flower.form_of_arrays(self._sent, sizes)
            )
            return counts[forms[at]], alike, -self.replies[at].metadata.src_node_id

        usual = forms[max(forms, key=weight)]
        return {at: _difference(form, usual) for at, form in forms.items() if form != usual}


def _flaw_of_weights(content: Any, weights: dict[str, bool]) -> str:
    for record in content.metric_records.values():
        for name, positive in weights.items():
            value = record.get(name, 0)
            if not isinstance(value, list) and not (is_number(value) and (value >= 0 or not positive)):
                return f"sent a figure that nothing can be calculated with: {name} {value!r}"
    return ""


def _difference(form: tuple[str, ...], usual: tuple[str, ...]) -> str:
    """In words, how an answer differs from the others."""
    more, less = ([one for one in own if one not in other][:MOST_TOLD] for own, other in ((form, usual), (usual, form)))
    parts = [f"has {', '.join(more)}" if more else "", f"lacks {', '.join(less)}" if less else ""]
    return f"its answer is not as the others': it {' and '.join(filter(None, parts)) or 'has another order'}"


def _is_of_answers(err: Exception) -> bool:
    """Whether nothing of the app itself was at work when this was raised."""
    frames = traceback.walk_tb(err.__traceback__)
    return all(str(frame.f_globals.get("__name__")).partition(".")[0] in CALCULATING for frame, _line in frames)
