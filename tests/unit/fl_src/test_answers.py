"""What a client may send, and what not: types that fit, numbers that can be calculated with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgefl.aggregator import answers
from edgefl.common.plan import Member, Task
from edgefl.link.protocol import BLOCK, Answer, Lost

TASK = Task(Member("edge1", "a", "i", "c", 0, 10, "fashion_mnist"), 0, 1, 0, 10)


def answer(*weights: Any) -> Answer:
    return Answer(TASK, 10, {"loss": 0.5}, list(weights))


@pytest.mark.parametrize(
    ("sent", "kind", "model"),
    [
        (1.5, "f8", "f4"),
        ([1, 2], "f2", "f4"),
        ([1, 2], "i8", "f4"),
        ([True, False], "?", "f4"),
        ([9_000], "f4", "f2"),
        ([[], []], "f4", "f4"),
    ],
)
def test_what_fits_is_taken_in_the_model_s_type(sent: Any, kind: str, model: str) -> None:
    array = np.array(sent, kind)
    taken = answers.trained(answer(array), [np.zeros(array.shape, model)])
    assert isinstance(taken, Answer)
    assert taken.weights[0].dtype == np.dtype(model)
    np.testing.assert_array_equal(taken.weights[0], array)


@pytest.mark.parametrize(
    ("sent", "kind", "model"),
    [
        ([1], "c16", "f4"),
        ([1e300], "f8", "f4"),
        ([1e30], "f4", "f4"),
        ([1.5], "f4", "i8"),
        ([2**40], "i8", "i4"),
        ([2], "i1", "?"),
        ([{}], "O", "f4"),
        ([(1, 2)], "i4,i4", "f4"),
        (["2026-01-01"], "M8[D]", "f4"),
        ([1], "m8[s]", "f4"),
        (["one"], "U3", "f4"),
    ],
)
def test_what_does_not_fit_is_lost(sent: Any, kind: str, model: str) -> None:
    taken = answers.trained(answer(np.array(sent, kind)), [np.zeros(1, model)])
    assert isinstance(taken, Lost) and taken.error and taken.reason.startswith("sent weights of")


@given(arrays.arrays(st.sampled_from([np.float16, np.float32, np.float64]), st.integers(0, 20)))
def test_what_is_taken_is_finite_squared_too(sent: Any) -> None:
    taken = answers.trained(answer(sent), [np.zeros(sent.shape, np.float32)])
    if isinstance(taken, Answer):
        assert np.isfinite(np.square(taken.weights[0].astype(np.float64))).all()
    else:
        assert not np.isfinite(sent).all() or np.abs(sent).max() > 1e19


@given(
    st.sampled_from(["f2", "f4", "f8", "c8", "i1", "u1", "i4", "i8", "?"]),
    st.sampled_from([0, 1, 5, BLOCK, BLOCK * 2 + 7]),
    st.integers(0, 2**32 - 1),
)
def test_the_distance_is_that_of_double_precision(kind: str, size: int, seed: int) -> None:
    """Also of whole numbers at both ends of what they can be."""
    rng = np.random.default_rng(seed)
    if np.dtype(kind).kind in "iu":
        ends = np.iinfo(kind)
        one, two = (rng.integers(ends.min, ends.max, size, kind, endpoint=True) for _either in range(2))
    else:
        one, two = ((rng.random(size) * 2 - 1).astype(kind) for _either in range(2))
    exact = np.asarray(one, np.result_type(kind, "f8")) - np.asarray(two, np.result_type(kind, "f8"))
    found = answers.distance([one.reshape(1, -1)], [two.reshape(1, -1)])
    assert found == pytest.approx(float(np.linalg.norm(exact)), rel=1e-2 if kind == "f2" else 1e-6)


def test_the_largest_weights_that_are_taken_have_a_distance() -> None:
    for kind in ("f2", "f4"):
        most = np.full(10, answers.largest(np.dtype(kind)), kind)
        assert np.isfinite(answers.distance([most], [-most]))


def test_further_figures_are_nobody_s_business() -> None:
    """They are in no line, so that they can do no harm."""
    taken = answers.trained(Answer(TASK, 10, {"colour": float("nan")}, [np.zeros(1)]), [np.zeros(1)])
    assert isinstance(taken, Answer)
