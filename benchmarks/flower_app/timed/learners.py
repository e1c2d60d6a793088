"""What the app of benchmarks/flower.py trains: a vector in NumPy, or a logistic regression of scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np

FEATURES, CLASSES = 20, 5
PASSES = 5
"""Of the solver in a round."""


class Vector:
    """A step towards 1: the work is nothing beside what the engine does. `size` is the numbers in it."""

    def __init__(self, size: int, node: int = 0) -> None:
        self.start = [np.zeros(size, np.float32)]
        self.samples = 10

    def train(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        return [(arrays[0] + (1 - arrays[0]) / 2).astype(np.float32)]

    def loss(self, arrays: list[np.ndarray]) -> float:
        return float(abs(1 - arrays[0]).mean())


class Regression:
    """A logistic regression on `size` samples of the node's own, the same each time."""

    def __init__(self, size: int, node: int = 0) -> None:
        self.start = [np.zeros((CLASSES, FEATURES)), np.zeros(CLASSES)]
        self.samples, self._node = size, node

    def train(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        from sklearn.exceptions import ConvergenceWarning

        model = self._model(arrays)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a round is a part of the way
            model.fit(*self._data())
        return [model.coef_, model.intercept_]

    def loss(self, arrays: list[np.ndarray]) -> float:
        from sklearn.metrics import log_loss

        data, labels = self._data()
        return float(log_loss(labels, self._model(arrays).predict_proba(data)))

    def _model(self, arrays: list[np.ndarray]):
        from sklearn.linear_model import LogisticRegression

        found = LogisticRegression(max_iter=PASSES, warm_start=True)
        found.coef_, found.intercept_ = arrays
        found.classes_ = np.arange(CLASSES)
        return found

    def _data(self) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.datasets import make_classification

        return make_classification(self.samples, FEATURES, n_informative=10, n_classes=CLASSES, random_state=self._node)


LEARNERS = {"numpy": Vector, "sklearn": Regression}
