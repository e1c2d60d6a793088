"""Classifiers: Flower apps that are a model and its data, which this package trains in a way of its own. Those beside this file are found by name.

pyproject.toml
    As any Flower app's. `[tool.edgefl] classifier = "NAME"` names the package with the two modules below, in which the rounds find all they need; it is
    the name of the app and, among those beside this file, of the folder:
    then the aggregator chooses nodes, divides their samples among their pods, and keeps checkpoints (edgefl.aggregator.coordinator).
    Without that line, and on Flower's own engine, the ServerApp is called.
NAME/app.py
    The ServerApp and the ClientApp, which edgefl.apps.components makes of the two modules.
NAME/data.py
    train(start, stop), test(start, stop) -> (inputs, labels): samples start to stop (excluded; None: to the end).
    Inputs have shape (n, ...), labels (n,) and hold class numbers from 0.
NAME/model.py
    build() -> keras.Model that takes such inputs and gives class probabilities, shape (n, classes). It imports keras
    inside, for the aggregator has no TensorFlow. When the model is compiled, its optimizer and loss are used; else
    Adam and sparse categorical cross-entropy.
    initial_weights(seed) -> list of arrays, optional: without it the first client's fresh model is taken.
    evaluate(weights, inputs, labels) -> (loss, accuracy), optional, NumPy only: the aggregator then evaluates each
    round on the test set. Without it the clients do, each on its share of the test set.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:  # with NumPy come its threads, as many as the environment says at that moment: see edgefl.client.limits
    Array = Any

BEGAN = Path.cwd()
"""What relative paths of the environment are relative to; an app runs in another folder."""
Weights = list[Array]
Slice = tuple[Array, Array]


class AppError(Exception):
    """The app can't be used; the text names the file and line and what to change."""


@dataclass(frozen=True)
class Classifier:
    """What the modules give. Exceptions in them are told with a line of `folder`."""

    name: str
    train: Callable[[int, int | None], Slice]
    test: Callable[[int, int | None], Slice]
    build: Callable[[], Any]
    initial_weights: Callable[[int], Weights] | None
    evaluate: Callable[[Weights, Array, Array], tuple[float, float]] | None
    folder: Path = Path(__file__).parent

    def sizes(self, part: str) -> int:
        """The number of samples of "train" or "test". Raises AppError when inputs and labels don't fit together."""
        inputs, labels = self.guarded(getattr(self, part), 0, None)
        if len(inputs) != len(labels) or len(labels.shape) != 1:
            raise AppError(
                f"app {self.name}: data.{part}() gave inputs of shape {inputs.shape} with labels of shape {labels.shape}; one label per input is needed"
            )
        return len(labels)

    def guarded(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Call into the app; an exception there becomes an AppError that names the line in its folder."""
        try:
            return work(*arguments)
        except AppError:
            raise
        except Exception as err:
            raise AppError(f"app {self.name}: {where(err, self.folder)}{type(err).__name__}: {err}") from err

    def check_weights(self, weights: Any) -> Weights:
        """The weights as they came from the app, when they are arrays of numbers; else AppError."""
        import numpy as np

        if not isinstance(weights, (list, tuple)) or not weights:
            raise AppError(f"app {self.name}: the weights must be a list of arrays, got {type(weights).__name__}")
        arrays = [np.asarray(array) for array in weights]
        for index, array in enumerate(arrays):
            if not np.issubdtype(array.dtype, np.number):
                raise AppError(f"app {self.name}: weight {index} is of type {array.dtype}; numbers are needed")
        return arrays


def classifier(name: str, data: ModuleType, model: ModuleType) -> Classifier:
    """The app `name` of these modules. Raises AppError when a function is missing."""
    for module, needed in ((data, "train"), (data, "test"), (model, "build")):
        if not callable(getattr(module, needed, None)):
            raise AppError(f"app {name}: {module.__file__} defines no function {needed}(); add it")
    initial_weights, evaluate = (getattr(model, function, None) for function in ("initial_weights", "evaluate"))
    folder = Path(str(model.__file__)).parent
    return Classifier(name, data.train, data.test, model.build, initial_weights, evaluate, folder)


def where(err: BaseException, folder: Path) -> str:
    """The innermost line of a folder that an exception came through, for the beginning of a message; empty when there is none."""
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(err.__traceback__)]
    if isinstance(err, SyntaxError) and err.filename:
        places.append((err.filename, err.lineno))
    inside = [place for place in places if Path(place[0]).is_relative_to(folder)]
    return "{} line {}: ".format(*inside[-1]) if inside else ""
