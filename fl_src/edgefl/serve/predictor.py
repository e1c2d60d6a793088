"""A trained model that predicts, from the folder of its files.

What is in it decides how:
* an app of its own that offers predict(): with NumPy alone, without TensorFlow;
* model.keras;
* model.npz, and an app that tells how its Keras model is made: a classifier, or one with [tool.edgefl] keras in its pyproject.toml.

An app offers predict() by [tool.edgefl.serve] in its pyproject.toml: predict = "module:function", called with the arrays by name, in the order of the
model, and a batch of inputs; input-shape = [4] and input-type = "FP32" tell what an input is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgefl.apps import AppError, Array
from edgefl.common import app_folder
from edgefl.common.app_folder import AppFolder

ABOUT, ARRAYS, KERAS = "model.json", "model.npz", "model.keras"
TYPES = app_folder.TYPES
NAMES = {value: key for key, value in TYPES.items()}


class ModelError(Exception):
    """The model can't be used; the text says what to change."""


@dataclass(frozen=True)
class Predictor:
    """`call` takes a batch of inputs, shape (n, *shape), of the type `dtype`, and gives the outputs, shape (n, ...)."""

    call: Callable[[Array], Array]
    shape: tuple[int, ...]
    dtype: str
    platform: str

    def predict(self, inputs: Array) -> Array:
        """Outputs of a batch. Raises ModelError for outputs that are no array with a row for each input."""
        try:
            outputs = np.asarray(self.call(inputs))
        except Exception as err:  # of the app's code, which may raise anything
            raise ModelError(f"the model fails: {type(err).__name__}: {err}") from err
        if outputs.dtype.name not in NAMES or not outputs.shape or len(outputs) != len(inputs):
            raise ModelError(
                f"the model gives {outputs.dtype} of shape {outputs.shape} for {len(inputs)} inputs; numbers, a row for each, are needed"
            )
        return outputs

    def example(self) -> Array:
        """One input that is the same everywhere: numbers from 0 to 250, again and again."""
        size = int(np.prod(self.shape, dtype=np.int64))
        return (np.arange(size) % 251).reshape(1, *self.shape).astype(self.dtype)


def load(folder: Path, app: str, threads: int = 1) -> Predictor:
    """The model in a folder. Raises ModelError when a file is missing or damaged, or there is no way to predict with it."""
    about = read_about(folder)
    arrays = read_arrays(folder / ARRAYS, about)
    own = app_folder.read(app) if app_folder.is_there(app) else None
    found = from_app(own, arrays)
    if found:
        return found
    if (folder / KERAS).exists():
        intact(folder / KERAS, about.get("keras", {}).get("sha256", ""))
        return from_keras(folder / KERAS, threads)
    if own is None or not own.has_keras:
        raise ModelError(
            f"there is no {KERAS} in {folder}, and app {app} offers no predict(): let its pyproject.toml name one ([tool.edgefl.serve] predict), "
            "or what makes its Keras model ([tool.edgefl] keras)"
        )
    return of_model(built(own, list(arrays.values()), threads, own.config), "keras")


def read_about(folder: Path) -> dict[str, Any]:
    """What model.json says."""
    try:
        about = json.loads((folder / ABOUT).read_bytes())
        if not isinstance(about, dict) or not isinstance(about["sha256"], str):
            raise ValueError("it has no sha256")
    except (OSError, ValueError, LookupError) as err:
        raise ModelError(f"{folder / ABOUT} can't be read ({err}): deploy the model again") from err
    return about


def read_arrays(path: Path, about: dict[str, Any]) -> dict[str, Array]:
    """The arrays of model.npz by their names, in their order."""
    intact(path, about["sha256"])
    with np.load(path, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def intact(path: Path, sha256: str) -> None:
    """Raises ModelError when a file is not the one with this checksum."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise ModelError(f"{path} can't be read ({err.strerror}): deploy the model again") from err
    if found != sha256:
        raise ModelError(f"{path} is damaged (its SHA-256 is not that in {ABOUT}): deploy the model again")


def from_app(app: AppFolder | None, arrays: dict[str, Array]) -> Predictor | None:
    """By the app's own predict(); None when it has none."""
    if app is None or not app.serve:
        return None
    function = app.predict()
    shape, dtype = tuple(app.serve["input-shape"]), TYPES[app.serve["input-type"]]
    return Predictor(lambda batch: function(arrays, batch), shape, dtype, "numpy")


def from_keras(path: Path, threads: int) -> Predictor:
    """By Keras. What it holds is data: a file that would bring code is refused by Keras."""
    from edgefl.client.trainer import tensorflow

    _dummy, keras = tensorflow(threads)
    try:
        return of_model(keras.models.load_model(path, compile=False, safe_mode=True), "keras")
    except (OSError, ValueError, TypeError) as err:
        raise ModelError(f"{path} is no model that Keras loads: {err}") from err


def built(app: AppFolder, weights: list[Array], threads: int, config: Mapping[str, Any]) -> Any:
    """The Keras model of an app in a run with this configuration, with these weights. Raises ModelError when they are not of that model."""
    from edgefl.client.trainer import tensorflow

    tensorflow(threads)
    try:
        model = app.keras_model(config)
    except AppError as err:
        raise ModelError(str(err)) from err
    shapes, wanted = [array.shape for array in weights], [array.shape for array in model.get_weights()]
    if shapes != wanted:
        raise ModelError(
            f"the arrays have shapes {shapes}, the model of {app.keras or 'build()'} in app {app.name} has {wanted}: "
            "the app was edited since this run, or configured otherwise"
        )
    model.set_weights(weights)
    return model


def of_model(model: Any, platform: str) -> Predictor:
    """Predictions of a Keras model of one input and one output."""
    if len(model.inputs) != 1 or len(model.outputs) != 1 or None in model.inputs[0].shape[1:]:
        raise ModelError("the model must have one input of a fixed shape and one output")
    (given,) = model.inputs
    return Predictor(
        lambda batch: model(batch, training=False).numpy(), tuple(given.shape[1:]), str(given.dtype), platform
    )
