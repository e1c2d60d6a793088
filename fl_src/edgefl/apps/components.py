"""The ServerApp and the ClientApp of a classifier: plain Flower, for Flower's own engine as well as for this package's link.

What a client needs to know is in its node_config, or else in the run's configuration: `start` and `stop`, the samples of its node (else part
`partition-id` of `num-partitions` of all), `data-path`, `epochs`, `batch-size`, `threads`. A message may ask for other samples, from `start` to `stop`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgefl import apps
from edgefl.apps import Classifier, Weights
from edgefl.common import plan
from edgefl.link import flower

if TYPE_CHECKING:
    from edgefl.client.worker import Worker

OPTIONS = {"epochs": 1, "batch-size": 32, "threads": 1}
"""Of a client, with what they are where nothing is said."""


class Node:
    """A classifier in one process: a worker for each node that this is, most often one."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._workers: dict[tuple[int, ...], Worker] = {}

    def worker(self, context: Any) -> Worker:
        """Makes TensorFlow ready when it is called first."""
        from edgefl.client.worker import Worker  # the aggregator has neither that nor TensorFlow

        node, given = context.node_config, OPTIONS | context.run_config | context.node_config
        if "data-path" in node:
            os.environ["EDGEFL_TRAINING_DIR"] = str(node["data-path"])
        bounds = self._samples(node, node, "train")
        options = (*bounds, *(int(given[name]) for name in OPTIONS))
        if options not in self._workers:
            self._workers[options] = Worker(self._classifier, *options)
        return self._workers[options]

    def trained(self, context: Any, config: dict[str, Any]) -> tuple[int, int]:
        """Samples that a message asks to be trained on: those that it names, or what is this pod's of the node's."""
        node, worker = context.node_config, self.worker(context)
        shard = int(node.get("shard-index", 0)), int(node.get("shard-count", 1))
        return self._named(config) or plan.part(worker.start, worker.stop, *shard)

    def tested(self, context: Any, config: dict[str, Any]) -> tuple[int, int]:
        """The same of the test set."""
        return self._samples(config, context.node_config, "test")

    def _samples(self, named: Any, node: Any, part: str) -> tuple[int, int]:
        share = int(node.get("partition-id", 0)), int(node.get("num-partitions", 1))
        return self._named(named) or plan.part(0, self._classifier.sizes(part), *share)

    def _named(self, config: Any) -> tuple[int, int] | None:
        return (int(config["start"]), int(config["stop"])) if "start" in config else None


def client(data: ModuleType, model: ModuleType) -> Any:
    """The ClientApp: `query` gives a fresh model, `train` and `evaluate` do what their config says."""
    app, node = flower.client_app(), Node(_classifier(data, model))

    @app.query()
    def query(message: Any, context: Any) -> Any:
        content = flower.RecordDict({"arrays": flower.arrays_record(node.worker(context).initial_weights())})
        return flower.Message(content, reply_to=message)

    @app.train()
    def train(message: Any, context: Any) -> Any:
        weights, config = _given(message)
        bounds = node.trained(context, config)
        seed = int(config.get("seed", 0)) + int(config.get("server-round", 0))
        new, figures = node.worker(context).fit(weights, *bounds, seed, float(config.get("proximal_mu", 0.0)))
        metrics = flower.MetricRecord(figures | {"num-examples": bounds[1] - bounds[0]})
        content = flower.RecordDict({"arrays": flower.arrays_record(new), "metrics": metrics})
        return flower.Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message: Any, context: Any) -> Any:
        weights, config = _given(message)
        bounds = node.tested(context, config)
        loss, accuracy = node.worker(context).evaluate(weights, *bounds)
        metrics = flower.MetricRecord({"accuracy": accuracy, "loss": loss, "num-examples": bounds[1] - bounds[0]})
        return flower.Message(flower.RecordDict({"metrics": metrics}), reply_to=message)

    return app


def server(data: ModuleType, model: ModuleType) -> Any:
    """The ServerApp: FedAvg over the nodes, the model evaluated here or by them. It writes final_model.npz."""
    app, classifier = flower.server_app(), _classifier(data, model)

    @app.main()
    def main(grid: Any, context: Any) -> None:
        config, make = context.run_config, classifier.initial_weights
        if "data-path" in context.node_config:
            os.environ["EDGEFL_DATA_DIR"] = str(context.node_config["data-path"])
        seed, nodes, evaluate = int(config["seed"]), int(config["min-nodes"]), _evaluation(classifier)
        shares = {"fraction_train": float(config["fraction-train"]), "fraction_evaluate": 0.0 if evaluate else 1.0}
        least = dict.fromkeys(("min_train_nodes", "min_evaluate_nodes", "min_available_nodes"), nodes)
        first = make(seed) if make else flower.asked_for_arrays(grid, nodes)
        result = flower.strategy("FedAvg", shares | least).start(
            grid=grid,
            initial_arrays=flower.arrays_record(first),
            num_rounds=int(config["num-server-rounds"]),
            train_config=flower.ConfigRecord({"seed": seed}),
            evaluate_fn=evaluate,
        )
        np.savez("final_model.npz", **flower.ndarrays(result.arrays))

    return app


def _evaluation(classifier: Classifier) -> Callable[[int, Any], Any] | None:
    """What Flower's strategies take for an evaluation on the test set; None when that is the clients' work."""
    if classifier.evaluate is None:
        return None
    call, test = classifier.evaluate, classifier.test(0, None)

    def evaluate(_number: int, arrays: Any) -> Any:
        loss, accuracy = call(list(flower.ndarrays(arrays).values()), *test)
        return flower.MetricRecord({"accuracy": accuracy, "loss": loss})

    return evaluate


def _classifier(data: ModuleType, model: ModuleType) -> Classifier:
    return apps.classifier(str(model.__package__), data, model)


def _given(message: Any) -> tuple[Weights, dict[str, Any]]:
    content = message.content
    return list(flower.ndarrays(content["arrays"]).values()), dict(content["config"].items())
