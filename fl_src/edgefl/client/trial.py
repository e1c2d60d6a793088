"""A classifier is trained on a few samples, before anything is deployed: takes seconds, and TensorFlow. See edgefl.common.check_app."""

from __future__ import annotations

import numpy as np

from edgefl.apps import AppError, Classifier, Slice
from edgefl.client.trainer import Trainer

FEW = 65
"""Samples that are tried: two batches and one more."""


def trial(app: Classifier) -> str:
    """Train and evaluate; gives what was found. Raises AppError for what would fail in the pods."""
    name = app.name
    sizes = {part: app.sizes(part) for part in ("train", "test")}
    train, test = _few(app, "train"), _few(app, "test")
    if train[0].shape[1:] != test[0].shape[1:] or train[0].dtype != test[0].dtype:
        raise AppError(
            f"app {name}: train() gives inputs of {train[0].dtype} {train[0].shape[1:]}, test() of {test[0].dtype} {test[0].shape[1:]}; they must be alike"
        )
    # made with class 0 only: what is wrong with the labels is told better here than by TensorFlow
    trainer = app.guarded(Trainer, app.build, train[0], np.zeros_like(train[1]))
    model_weights = trainer.initial_weights()
    classes, highest = trainer.model.output_shape[-1], int(max(app.train(0, None)[1].max(), app.test(0, None)[1].max()))
    if highest >= classes:
        raise AppError(
            f"app {name}: labels go up to {highest}, but the model has {classes} outputs; it needs {highest + 1}"
        )
    weights = model_weights
    if app.initial_weights:
        weights = app.check_weights(app.guarded(app.initial_weights, 1))
        shapes, wanted = [array.shape for array in weights], [array.shape for array in model_weights]
        if shapes != wanted:
            raise AppError(f"app {name}: initial_weights() gives shapes {shapes}; the model of build() has {wanted}")
    weights, figures = trainer.fit(weights, *train)
    loss, accuracy = trainer.evaluate(weights, *test)
    if not np.isfinite([loss, figures["loss"]]).all():
        raise AppError(
            f"app {name}: the loss is not finite after {FEW} samples; scale the inputs or lower the learning rate"
        )
    if app.evaluate:
        here = app.guarded(app.evaluate, weights, *test)
        if not np.allclose(here, (loss, accuracy), rtol=1e-3, atol=1e-3):
            raise AppError(
                f"app {name}: evaluate() gives loss {here[0]:.4f}, accuracy {here[1]:.4f}; the model of build() has {loss:.4f}, {accuracy:.4f}; they must agree"
            )
    return (
        f"app {name} works: {sizes['train']} samples to train on, {sizes['test']} to test, "
        f"{sum(array.size for array in weights)} weights, evaluated by the {'aggregator' if app.evaluate else 'clients'}"
    )


def _few(app: Classifier, part: str) -> Slice:
    inputs, labels = app.guarded(getattr(app, part), 0, FEW)
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise AppError(f"app {app.name}: data.{part}() gave labels of {labels.dtype}; class numbers from 0 are needed")
    return inputs, labels
