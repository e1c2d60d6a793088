"""Training and evaluation with TensorFlow, for any Keras classifier. Knows nothing of Flower or the network.

A pass over the samples is one call into a TensorFlow graph: shuffling, gathering, gradients and updates run without
Python in between, which for a small model takes a third of the time of Model.fit. The graph is traced when the trainer
is made, so that the first round costs as much as the others.
"""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from edgefl.apps import Array, Weights
from edgefl.client import memory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

EVALUATED = 128
"""Samples that are evaluated at once."""


class Trainer:
    """Holds the model, its optimizer and the compiled passes.

    `build` gives the model. `inputs` and `labels` are a few samples of the data; they tell types and shapes.
    The optimizer's moments stay from round to round, as they do with Model.fit called again and again.
    """

    def __init__(
        self,
        build: Callable[[], Any],
        inputs: Array,
        labels: Array,
        batch_size: int = 32,
        threads: int = 1,
        seed: int = 1,
    ) -> None:
        self._tf, keras = tensorflow(threads)
        keras.utils.set_random_seed(seed)
        self.model = build()
        loss, optimizer = _loss_and_optimizer(keras, self.model)
        self._anchor = [self._tf.Variable(variable, trainable=False) for variable in self.model.trainable_variables]
        passes = _Passes(self._tf, self.model, loss, optimizer, self._anchor, inputs, labels)
        self._passes = {proximal: passes.training(batch_size, proximal) for proximal in (False, True)}
        self._score = passes.evaluation()
        self._held: tuple[Hashable, Any, Any] | None = None
        self._trace(inputs, labels, optimizer)
        memory.give_back()

    def _trace(self, inputs: Array, labels: Array, optimizer: Any) -> None:
        """Have the pass compiled, which takes a step, and put back what that changed."""
        weights, moments = self.model.get_weights(), [variable.numpy() for variable in optimizer.variables]
        self.fit(weights, inputs, labels)
        self.model.set_weights(weights)
        for variable, value in zip(optimizer.variables, moments):
            variable.assign(value)

    def initial_weights(self) -> Weights:
        """Of the model as `build` made it, before any training."""
        return list(self.model.get_weights())

    def fit(
        self,
        weights: Weights,
        inputs: Array,
        labels: Array,
        epochs: int = 1,
        seed: int = 0,
        proximal_mu: float = 0.0,
        key: Hashable = None,
    ) -> tuple[Weights, dict[str, float]]:
        """Train from `weights`; gives the new weights, and loss and accuracy over the last pass (dropout active).

        Samples given with the same `key` as last time are taken from memory. `proximal_mu` adds FedProx's term,
        mu/2 times the squared distance to `weights` (Li et al. 2020, arXiv:1812.06127, equation 2).
        Raises ValueError when the weights don't fit the model.
        """
        tf = self._tf
        if key is None or self._held is None or key != self._held[0]:
            self._held = None  # let go of the old samples first: both at once would double the memory
            self._held = (key, tf.constant(inputs), tf.constant(labels))
        self.model.set_weights(weights)
        if proximal_mu:
            for then, now in zip(self._anchor, self.model.trainable_variables):
                then.assign(now)
        loss = accuracy = tf.constant(0.0)
        for epoch in range(epochs):
            loss, accuracy = self._passes[bool(proximal_mu)](
                self._held[1], self._held[2], tf.constant([seed, epoch], tf.int32), tf.constant(proximal_mu, tf.float32)
            )
        return list(self.model.get_weights()), {"loss": float(loss), "accuracy": float(accuracy)}

    def evaluate(self, weights: Weights, inputs: Array, labels: Array) -> tuple[float, float]:
        """Mean loss and the share classified right, without dropout."""
        self.model.set_weights(weights)
        loss, accuracy = self._score(self._tf.constant(inputs), self._tf.constant(labels))
        return float(loss), float(accuracy)


class _Passes:
    """Makes the graphs of a pass over samples like `inputs`, shape (n, ...), and `labels`, shape (n,).

    `anchor` holds the weights that FedProx keeps the model near to.
    """

    def __init__(
        self, tf: Any, model: Any, loss: Any, optimizer: Any, anchor: list[Any], inputs: Array, labels: Array
    ) -> None:
        self._tf, self._model, self._loss, self._optimizer, self._anchor = tf, model, loss, optimizer, anchor
        self._variables = model.trainable_variables
        self._samples = [tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype), tf.TensorSpec((None,), labels.dtype)]

    def training(self, batch_size: int, proximal: bool) -> Callable[..., Any]:
        """A graph: samples, labels, seed (two numbers), FedProx's mu -> mean loss and share classified right, the model changed."""
        tf, variables, optimizer, scores, distance = (
            self._tf,
            self._variables,
            self._optimizer,
            self._scores,
            self._distance,
        )

        def run(images: Any, wanted: Any, seed: Any, mu: Any) -> Any:
            total = tf.shape(images)[0]
            order = tf.random.experimental.stateless_shuffle(tf.range(total), seed)
            loss, right = tf.constant(0.0), tf.constant(0.0)
            for begin in tf.range(0, total, batch_size):
                take = order[begin : begin + batch_size]
                classes = tf.cast(tf.gather(wanted, take), tf.int32)
                with tf.GradientTape() as tape:
                    mean, hits = scores(tf.gather(images, take), classes, True)
                    cost = mean + mu / 2 * distance() if proximal else mean
                optimizer.apply_gradients(zip(tape.gradient(cost, variables), variables))
                loss += mean * tf.cast(tf.shape(take)[0], tf.float32)
                right += hits
            return loss / tf.cast(total, tf.float32), right / tf.cast(total, tf.float32)

        signature = [*self._samples, tf.TensorSpec((2,), tf.int32), tf.TensorSpec((), tf.float32)]
        graph: Callable[..., Any] = tf.function(run, input_signature=signature)
        return graph

    def evaluation(self) -> Callable[..., Any]:
        """A graph: samples, labels -> mean loss and share classified right, without dropout."""
        tf, scores = self._tf, self._scores

        def run(images: Any, wanted: Any) -> Any:
            total = tf.shape(images)[0]
            loss, right = tf.constant(0.0), tf.constant(0.0)
            for begin in tf.range(0, total, EVALUATED):
                classes = tf.cast(wanted[begin : begin + EVALUATED], tf.int32)
                mean, hits = scores(images[begin : begin + EVALUATED], classes, False)
                loss += mean * tf.cast(tf.shape(classes)[0], tf.float32)
                right += hits
            return loss / tf.cast(total, tf.float32), right / tf.cast(total, tf.float32)

        graph: Callable[..., Any] = tf.function(run, input_signature=self._samples)
        return graph

    def _scores(self, images: Any, wanted: Any, training: bool) -> Any:
        """Mean loss of a batch, and how many of it are classified right."""
        tf = self._tf
        outputs = self._model(images, training=training)
        losses = tf.reshape(self._loss(wanted, outputs), (-1,))
        hits = tf.reduce_sum(tf.cast(tf.equal(tf.argmax(outputs, -1, tf.int32), wanted), tf.float32))
        return tf.reduce_mean(losses), hits

    def _distance(self) -> Any:
        """Squared distance of the model to the anchor."""
        tf = self._tf
        return tf.add_n([tf.reduce_sum(tf.square(now - then)) for now, then in zip(self._variables, self._anchor)])


def tensorflow(threads: int) -> tuple[Any, Any]:
    """TensorFlow and Keras, set up for `threads` compute threads. Takes seconds the first time."""
    found = importlib.util.find_spec("tensorflow")
    for folder in (found.submodule_search_locations or ()) if found else ():
        memory.load([Path(folder, f"libtensorflow_{part}.so.2") for part in ("framework", "cc")])
    # thousands of modules come, nothing goes: searching them for garbage would take a fifth of the time, again and again
    gc.disable()
    import tensorflow as tf

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # The steps depend on one another: there is nothing for a second operation to do at the same time.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    import keras

    gc.freeze()
    gc.enable()
    return tf, keras


class _FusedAdam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) by TensorFlow's kernel for it: one operation per variable, for ten.

    Keras' optimizer is put together of general operations; for a small model they take a quarter of a step. The formula
    is the same. `variables` holds all of its state.
    """

    def __init__(self, config: dict[str, Any], variables: list[Any]) -> None:
        import tensorflow as tf

        self._tf, self._config = tf, config
        self._step = tf.Variable(0.0, trainable=False)
        zeros = [tf.zeros(variable.shape, tf.float32) for variable in variables]
        self._moments = [(tf.Variable(zero, trainable=False), tf.Variable(zero, trainable=False)) for zero in zeros]
        self.variables = [self._step, *(moment for pair in self._moments for moment in pair)]

    def apply_gradients(self, pairs: Any) -> None:
        """Takes (gradient, variable) for every variable, in the order in which they were given."""
        tf, config = self._tf, self._config
        self._step.assign_add(1.0)
        powers = [tf.pow(tf.constant(config[name], tf.float32), self._step) for name in ("beta_1", "beta_2")]
        for (gradient, variable), (first, second) in zip(pairs, self._moments):
            if gradient is not None:  # a variable that the loss does not depend on
                tf.raw_ops.ResourceApplyAdam(
                    var=variable.value.handle, m=first.handle, v=second.handle, beta1_power=powers[0], beta2_power=powers[1],
                    lr=config["learning_rate"], beta1=config["beta_1"], beta2=config["beta_2"], epsilon=config["epsilon"],
                    grad=tf.convert_to_tensor(gradient),
                )  # fmt: skip


def _loss_and_optimizer(keras: Any, model: Any) -> tuple[Any, Any]:
    """Those that the model was compiled with; else cross-entropy and Adam. The loss takes (labels, outputs)."""
    compiled = getattr(model, "optimizer", None) is not None
    chosen = model.loss if compiled and model.loss else "sparse_categorical_crossentropy"
    optimizer = model.optimizer if compiled else keras.optimizers.Adam()
    # keras.losses.get gives an instance for an instance and a plain function for a name
    return keras.losses.get(chosen), _optimizer(keras, optimizer, model.trainable_variables)


def _optimizer(keras: Any, chosen: Any, variables: list[Any]) -> Any:
    """`chosen`, ready for `variables`; a plain Adam is replaced by one that does the same faster."""
    config = chosen.get_config()
    known = {"name", "learning_rate", "beta_1", "beta_2", "epsilon", "ema_momentum", "ema_overwrite_frequency"}
    # of a class made from it the formula may be another
    plain = chosen.__class__ == keras.optimizers.Adam and isinstance(config["learning_rate"], float)
    if (
        plain
        and not any(config[name] for name in config.keys() - known)
        and {v.dtype for v in variables} == {"float32"}
    ):
        return _FusedAdam(config, variables)
    chosen.build(variables)
    return chosen
