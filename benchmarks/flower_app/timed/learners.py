"""What the app of benchmarks/flower.py trains: a vector in NumPy, a logistic regression of scikit-learn, or a net in Keras, made anew for each message."""

from __future__ import annotations

import itertools
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


class Net:
    """A dense net on `size` made-up pictures of the node's own."""

    LAYERS = (784, 128, 10)

    def __init__(self, size: int, node: int = 0) -> None:
        random = np.random.default_rng(0)
        self.start = []
        for inputs, outputs in itertools.pairwise(self.LAYERS):
            self.start.append(random.normal(0, inputs**-0.5, (inputs, outputs)).astype(np.float32))
            self.start.append(np.zeros(outputs, np.float32))
        self.samples, self._node = size, node

    def train(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        model = self._model(arrays)
        model.fit(*self._data(), batch_size=32, verbose=0)
        return list(model.get_weights())

    def loss(self, arrays: list[np.ndarray]) -> float:
        return float(self._model(arrays).evaluate(*self._data(), batch_size=128, verbose=0))

    def _model(self, arrays: list[np.ndarray]):
        import keras

        keras.backend.clear_session()
        inputs, *hidden, outputs = self.LAYERS
        layers = [keras.layers.Dense(units, "relu") for units in hidden]
        model = keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(outputs, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.set_weights(arrays)
        return model

    def _data(self) -> tuple[np.ndarray, np.ndarray]:
        """Classes that a line in the pictures tells."""
        random = np.random.default_rng(self._node)
        labels = random.integers(0, self.LAYERS[-1], self.samples)
        data = random.random((self.samples, self.LAYERS[0]), np.float32)
        data[np.arange(self.samples), labels * 50] += 2
        return data, labels


LEARNERS = {"numpy": Vector, "sklearn": Regression, "tensorflow": Net}
