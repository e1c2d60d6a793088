"""What a trained model needs on its way, made of its arrays: `python -m edgefl.serve.export APP [CONFIG] <model.npz >made.zip`.

CONFIG is the configuration of the run, as JSON. The zip holds about.json and, where the app tells how its Keras model is made, model.keras:
    keras       {"variables": names of the model's variables in the order of the arrays}, when there is a model.keras
    example     {"request": a request of the Open Inference Protocol, "outputs": what the model answers}, when there is a way to predict
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgefl.apps import AppError, Array
from edgefl.common import app_folder
from edgefl.common.journal import printable
from edgefl.serve import protocol
from edgefl.serve.predictor import KERAS, ModelError, built, from_app, of_model

MADE = "about.json"
MOST_NUMBERS = 100_000
"""An example of more numbers is left out."""


def export(app: str, arrays: dict[str, Array], config: Mapping[str, Any]) -> dict[str, bytes]:
    """The files by their names. Raises ModelError or AppError."""
    files: dict[str, bytes] = {}
    about: dict[str, Any] = {}
    found = app_folder.read(app) if app_folder.is_there(app) else None
    # First: an app that is imported may begin with TensorFlow, which is to be set up by then
    model = built(found, list(arrays.values()), 1, {**found.config, **config}) if found and found.has_keras else None
    predictor = from_app(found, arrays)
    if model is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / KERAS
            model.save(path)
            files[KERAS] = path.read_bytes()
        # Kernel and bias of two layers have the same name: the path has the layer's, too
        about["keras"] = {"variables": [variable.path for variable in model.weights]}
        keras = of_model(model, "keras")
        if predictor:
            _agree(app, predictor.predict(predictor.example()), keras.predict(predictor.example()))
        predictor = predictor or keras
    if predictor:
        batch = predictor.example()
        outputs = predictor.predict(batch)
        if batch.size + outputs.size <= MOST_NUMBERS:
            about["example"] = {
                "request": protocol.request(batch),
                "outputs": [protocol.tensor(protocol.OUTPUT, outputs)],
            }
    files[MADE] = json.dumps(about, allow_nan=False).encode()
    return files


def _agree(app: str, own: Array, keras: Array) -> None:
    if own.shape != keras.shape or not np.allclose(own, keras, rtol=1e-3, atol=1e-3):
        raise ModelError(
            f"app {app}: predict() and the Keras model give different outputs for the same input; they must agree"
        )


def main() -> None:
    """Reads the arrays from stdin, writes the zip to stdout. Exit code 1 with one message when it can't be done."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m edgefl.serve.export APP [CONFIG] <model.npz >made.zip")
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the app prints must not come into the zip
    try:
        with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        files = export(sys.argv[1], arrays, json.loads(sys.argv[2]) if sys.argv[2:] else {})
    except (AppError, ModelError, ValueError, OSError) as err:
        print(f"failed: {printable(str(err))}", file=sys.stderr, flush=True)
        os._exit(1)
    with out, zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    os._exit(0)  # TensorFlow's threads have nothing to tidy up


if __name__ == "__main__":
    main()
