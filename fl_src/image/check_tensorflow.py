"""Prove that the installed TensorFlow trains, the ways that apps use it. Run by install.py."""

from __future__ import annotations

import os
import tempfile
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf

tf.config.threading.set_inter_op_parallelism_threads(1)
layers = keras.layers
rng = np.random.default_rng(1)
images = rng.integers(0, 255, (256, 28, 28), np.uint8)
labels = (images.reshape(256, -1).mean(1) > 127).astype(np.uint8)

model = keras.Sequential(
    [
        keras.Input((28, 28)),
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(16, "relu"),
        layers.Dropout(0.2),
        layers.Dense(2, "softmax"),
    ]
)
optimizer = keras.optimizers.Adam()
optimizer.build(model.trainable_variables)
loss_of = keras.losses.get("sparse_categorical_crossentropy")


@tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.uint8), tf.TensorSpec((None,), tf.uint8)])
def one_pass(inputs: Any, wanted: Any) -> Any:
    total = tf.shape(inputs)[0]
    order = tf.random.experimental.stateless_shuffle(tf.range(total), tf.constant([1, 2]))
    loss = tf.constant(0.0)
    for begin in tf.range(0, total, 32):
        take = order[begin : begin + 32]
        classes = tf.cast(tf.gather(wanted, take), tf.int32)
        with tf.GradientTape() as tape:
            mean = tf.reduce_mean(loss_of(classes, model(tf.gather(inputs, take), training=True)))
        optimizer.apply_gradients(zip(tape.gradient(mean, model.trainable_variables), model.trainable_variables))
        loss += mean
    return loss


assert np.isfinite(float(one_pass(images, labels)))
for kind in (keras.optimizers.SGD(0.1, momentum=0.9), keras.optimizers.RMSprop(), keras.optimizers.AdamW()):
    cnn = keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Rescaling(1 / 255),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(2, "softmax"),
        ]
    )
    cnn.compile(kind, "sparse_categorical_crossentropy", metrics=["accuracy"])
    cnn.fit(images, labels, epochs=1, batch_size=64, verbose=0)
assert np.isfinite(cnn.evaluate(images, labels, verbose=0)[0])
lstm = keras.Sequential([keras.Input((28, 28)), layers.LSTM(4), layers.Dense(2, "softmax")])
lstm.compile("adam", "sparse_categorical_crossentropy")
lstm.fit(
    tf.data.Dataset.from_tensor_slices((images[:64].astype(np.float32), labels[:64])).batch(32).prefetch(1), verbose=0
)
with tempfile.TemporaryDirectory() as folder:
    cnn.save(f"{folder}/model.keras")
    keras.models.load_model(f"{folder}/model.keras")
    cnn.save_weights(f"{folder}/model.weights.h5")
print("TensorFlow", tf.__version__, "works", flush=True)
