"""Many small clients in one process, and what they are compared with; the programs that clients.py starts.

    many.py ours --server_address=HOST:PORT --first=0 --count=25     clients 0 to 24 on edgefl's link
    many.py plain --server_address=HOST:PORT --first=0 --count=25    the same as Flower's NumPyClients
    many.py server --server_address=HOST:PORT --count=50 --rounds=5  a plain Flower server for 50 of those
    many.py floor --count=50 --rounds=5                              the same steps in one process, without Flower

A client trains app fashion_mnist's net in NumPy on 100 samples of its own. The last two print one JSON object a line
when a round ends.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from typing import Any

os.environ["LIGHT_CLIENT_FIT"] = "0"
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # many processes share the cores

import numpy as np

from edgefl.apps import Weights, components
from edgefl.apps.fashion_mnist.fashion_mnist import data, model
from edgefl.client import clientapp, worker
from edgefl.common import app_folder, settings
from support.light_client import NumpyTrainer

# isort: split
import flwr
from flwr.client import NumPyClient, start_client
from flwr.server import ServerConfig, start_server
from flwr.server.strategy import FedAvg

SAMPLES = 100
SLICES = 600
"""Of the 60,000 samples there are; with more clients than that some train on the same."""


def own(index: int) -> tuple[int, int]:
    """First sample of a client, and the one after its last."""
    first = index % SLICES * SAMPLES
    return first, first + SAMPLES


class Trainer(NumpyTrainer):
    """One trains after the other in a process: dozens at once would only take the interpreter from each other."""

    turn = threading.Lock()

    def fit(self, *arguments: Any, **options: Any) -> tuple[Weights, dict[str, float]]:
        with self.turn:
            return super().fit(*arguments, **options)


def ours(address: str, index: int) -> None:
    start, stop = own(index)
    slice_ = (f"--partition={start}", f"--clients={stop}")
    chosen = settings.client([f"--server_address={address}", f"--node=node{index}", "--batch_size=50", *slice_])
    app, call = app_folder.read("fashion_mnist"), components.client(data, model)
    clientapp.prepare(chosen, app, call)
    clientapp.Client(chosen, app, call).work()


def plain(address: str, index: int) -> None:
    inputs, labels = data.train(*own(index))
    trainer = Trainer()

    class Client(NumPyClient):
        def fit(self, parameters: Weights, config: Any) -> tuple[Weights, int, dict[str, float]]:
            weights, figures = trainer.fit(parameters, inputs, labels)
            return weights, SAMPLES, figures

    start_client(server_address=address, client=Client().to_client())


def tell(round_: int, begin: float, accuracy: float) -> None:
    now = time.time()
    line = {"event": "round", "round": round_, "time": now, "seconds": now - begin, "accuracy": accuracy}
    print(json.dumps(line), flush=True)


def server(address: str, count: int, rounds: int) -> None:
    images, labels = data.test(0, None)
    begin = 0.0

    class Told(FedAvg):
        def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> Any:
            nonlocal begin
            client_manager.wait_for(count)
            begin = time.time()
            return super().configure_fit(server_round, parameters, client_manager)

    def evaluate(round_: int, weights: Any, config: Any) -> tuple[float, dict[str, Any]]:
        loss, accuracy = model.evaluate(weights, images, labels)
        if round_:
            tell(round_, begin, accuracy)
        return loss, {"accuracy": accuracy}

    strategy = Told(
        fraction_evaluate=0,
        min_fit_clients=count,
        min_available_clients=count,
        evaluate_fn=evaluate,
        initial_parameters=flwr.common.ndarrays_to_parameters(model.initial_weights(1)),
    )
    start_server(server_address=address, config=ServerConfig(num_rounds=rounds), strategy=strategy)


def floor(count: int, rounds: int) -> None:
    trainer, test = Trainer(), data.test(0, None)
    slices = [data.train(*own(index)) for index in range(count)]
    weights = model.initial_weights(1)
    for round_ in range(1, rounds + 1):
        begin = time.time()
        results = [trainer.fit(weights, *one)[0] for one in slices]
        weights = [np.mean(arrays, axis=0) for arrays in zip(*results)]
        tell(round_, begin, model.evaluate(weights, *test)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=("ours", "plain", "server", "floor"))
    parser.add_argument("--server_address", default="")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    a = parser.parse_args()
    if a.role == "server":
        return server(a.server_address, a.count, a.rounds)
    if a.role == "floor":
        return floor(a.count, a.rounds)
    setattr(worker, "Trainer", Trainer)  # noqa: B010 (mypy minds an assignment)
    work = ours if a.role == "ours" else plain
    threads = [
        threading.Thread(target=work, args=(a.server_address, index)) for index in range(a.first, a.first + a.count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return None


if __name__ == "__main__":
    main()
