"""Apps: a model and its data. Each is a folder here, with model.py and data.py and nothing else.

data.py
    train(start, stop), test(start, stop) -> (inputs, labels): samples start to stop (excluded; None: to the end).
    Inputs have shape (n, ...), labels (n,) and hold class numbers from 0.
model.py
    build() -> keras.Model that takes such inputs and gives class probabilities, shape (n, classes). It imports keras
    inside, for the aggregator has no TensorFlow. When the model is compiled, its optimizer and loss are used; else
    Adam and sparse categorical cross-entropy.
    initial_weights(seed) -> list of arrays, optional: without it the first client's fresh model is taken.
    evaluate(weights, inputs, labels) -> (loss, accuracy), optional, NumPy only: the aggregator then evaluates each
    round on the test set. Without it the clients do, each on its share of the test set.
    predict(weights, inputs) -> outputs, optional, NumPy only: an endpoint then needs no TensorFlow to predict. With it goes
    INPUT = (shape of one input, name of its type).
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Weights = list[Array]
Slice = tuple[Array, Array]


class AppError(Exception):
    """The app can't be used; the text names the file and line and what to change."""


@dataclass(frozen=True)
class App:
    """An app: its name, and what its modules give."""

    name: str
    train: Callable[[int, int | None], Slice]
    test: Callable[[int, int | None], Slice]
    build: Callable[[], Any]
    initial_weights: Callable[[int], Weights] | None
    evaluate: Callable[[Weights, Array, Array], tuple[float, float]] | None

    def sizes(self, part: str) -> int:
        """The number of samples of "train" or "test". Raises AppError when inputs and labels don't fit together."""
        inputs, labels = guarded(self.name, getattr(self, part), 0, None)
        if len(inputs) != len(labels) or len(labels.shape) != 1:
            raise AppError(
                f"app {self.name}: data.{part}() gave inputs of shape {inputs.shape} with labels of shape {labels.shape}; one label per input is needed"
            )
        return len(labels)


def names() -> list[str]:
    """The apps that are here."""
    return sorted({path.parent.name for place in __path__ for path in Path(place).glob("*/model.py")})


def folder(name: str) -> Path:
    """Where an app is: beside this file, or where one of its name comes first."""
    return next(Path(place, name) for place in __path__ if Path(place, name).is_dir())


def load(name: str) -> App:
    """Import an app. Raises AppError with the file and line when it is broken."""
    model = guarded(name, importlib.import_module, f"{__name__}.{name}.model")
    data = guarded(name, importlib.import_module, f"{__name__}.{name}.data")
    for module, needed in ((data, "train"), (data, "test"), (model, "build")):
        if not callable(getattr(module, needed, None)):
            raise AppError(f"app {name}: {module.__file__} defines no function {needed}(); add it")
    return App(
        name,
        data.train,
        data.test,
        model.build,
        getattr(model, "initial_weights", None),
        getattr(model, "evaluate", None),
    )


def guarded(name: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """Call into an app; an exception there becomes an AppError that names the line in the app's folder."""
    try:
        return work(*arguments)
    except AppError:
        raise
    except Exception as err:
        place = ""
        if isinstance(err, SyntaxError):
            place = f"{err.filename} line {err.lineno}: "
        for frame in traceback.extract_tb(err.__traceback__):
            if any(Path(frame.filename).is_relative_to(Path(folder, name)) for folder in __path__):
                place = f"{frame.filename} line {frame.lineno}: "
        raise AppError(f"app {name}: {place}{type(err).__name__}: {err}") from err


def check_weights(name: str, weights: Any) -> Weights:
    """The weights as they came from the app, when they are arrays of numbers; else AppError."""
    if not isinstance(weights, (list, tuple)) or not weights:
        raise AppError(f"app {name}: the weights must be a list of arrays, got {type(weights).__name__}")
    arrays = [np.asarray(array) for array in weights]
    for index, array in enumerate(arrays):
        if not np.issubdtype(array.dtype, np.number):
            raise AppError(f"app {name}: weight {index} is of type {array.dtype}; numbers are needed")
    return arrays
