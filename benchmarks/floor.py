"""The least that a training can take: the same steps as aggregator and clients do, in one process, without Flower.

    floor.py --app=fashion_mnist --rounds=5 --slice=0:10000 --slice=10000:30000

Each slice has a model and a thread of its own, as each client has a process; the graph calls let go of Python's lock.
Prints one JSON object a line for each round, with its seconds and the accuracy after it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from edgefl.apps import Classifier, Weights
from edgefl.client.trainer import Trainer
from edgefl.common import app_folder, plan


class Floor:
    """A model for each slice, and the training of all of them."""

    def __init__(self, app: Classifier, slices: list[tuple[int, int]], seed: int) -> None:
        self.app, self.data, self.test = app, [app.train(*bounds) for bounds in slices], app.test(0, None)
        self.trainers = [Trainer(app.build, inputs[:33], labels[:33]) for inputs, labels in self.data]
        self.weights = app.initial_weights(seed) if app.initial_weights else self.trainers[0].initial_weights()
        self.share = [(stop - start) / sum(b - a for a, b in slices) for start, stop in slices]
        self.pool = ThreadPoolExecutor(len(slices))

    def each(self, work: Callable[[int], Any]) -> list[Any]:
        return list(self.pool.map(work, range(len(self.trainers))))

    def round(self, number: int) -> float:
        """Train on all slices, average by their sizes, evaluate; gives the accuracy."""

        def train(index: int) -> Weights:
            return self.trainers[index].fit(self.weights, *self.data[index], seed=number, key=index)[0]

        self.weights = [
            np.sum([array * part for array, part in zip(arrays, self.share)], axis=0)
            for arrays in zip(*self.each(train))
        ]
        images, labels = self.test
        if self.app.evaluate:
            return self.app.evaluate(self.weights, images, labels)[1]

        def right(index: int) -> float:
            start, stop = plan.part(0, len(labels), index, len(self.trainers))
            return self.trainers[index].evaluate(self.weights, images[start:stop], labels[start:stop])[1] * (
                stop - start
            )

        hits: list[float] = self.each(right)
        return sum(hits) / len(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", default="fashion_mnist")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slice", action="append", required=True, metavar="START:STOP")
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    slices = [(int(start), int(stop)) for start, _colon, stop in (text.partition(":") for text in a.slice)]
    floor = Floor(app_folder.read(a.app).classifier(), slices, a.seed)
    for number in range(1, a.rounds + 1):
        begin = time.time()
        accuracy = floor.round(number)
        line = {
            "event": "round",
            "round": number,
            "time": time.time(),
            "seconds": time.time() - begin,
            "accuracy": accuracy,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
