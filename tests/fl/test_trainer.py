"""The trainer's own way to do what Keras does."""

from __future__ import annotations

import os
import subprocess

from support.processes import PYTHON, SOURCE, measured

PROGRAM = """
import keras, numpy as np
from edgefl.client.trainer import Trainer, _FusedAdam
from edgefl.common import app_folder

class Other(keras.optimizers.Adam):
    pass

app = app_folder.read("fashion_mnist").classifier()
def build(kind):
    model = keras.Sequential([one for one in app.build().layers if not isinstance(one, keras.layers.Dropout)])
    model.compile(kind(0.002, epsilon=1e-5), "sparse_categorical_crossentropy")
    return model
inputs, labels = app.train(0, 3_000)
results = []
for kind in (keras.optimizers.Adam, Other):
    trainer = Trainer(lambda: build(kind), inputs[:33], labels[:33])
    weights = app.initial_weights(1)
    for seed in range(2):
        weights, figures = trainer.fit(weights, inputs, labels, seed=seed)
    results.append(weights)
    print(kind.__name__, figures)
assert figures["accuracy"] > 0.75
for fused, general in zip(*results):
    np.testing.assert_allclose(fused, general, atol=2e-4)
"""


def test_the_fused_adam_is_adam() -> None:
    """Against Keras' own update, which a subclass of its Adam gets: two passes, from the same weights and order."""
    said = subprocess.run(
        [PYTHON, "-c", PROGRAM],
        env=measured(os.environ | {"PYTHONPATH": str(SOURCE)}),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 0, said.stderr
