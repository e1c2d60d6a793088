"""The how-to's way, as its reader would write it: a Flower server and NumPyClients around Keras' fit and evaluate.

    tutorial.py server --server_address=HOST:PORT --rounds=5
    tutorial.py client --server_address=HOST:PORT --partition=0 --clients=10000

Nothing is tuned: the whole data set is read and scaled to floats, the server evaluates with Keras after each round and
so do the clients. What was added are the lines on stdout, one JSON object each, that tell when a round begins and ends.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import flwr
import keras
import numpy as np
from flwr.client import NumPyClient, start_client
from flwr.server import ServerConfig, start_server
from flwr.server.strategy import FedAvg

from edgefl.common import idx

CLIENTS = 2


def load(part: str) -> tuple[Any, Any]:
    """Images from 0 to 1, shape (n, 28, 28), and their classes, shape (n,)."""
    images, labels = idx.read(f"{part}-images-idx3-ubyte"), idx.read(f"{part}-labels-idx1-ubyte")
    return np.array(images) / 255.0, np.array(labels)


def build() -> Any:
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def tell(event: str, round_: int, **more: float) -> None:
    print(json.dumps({"event": event, "round": round_, "time": time.time(), **more}), flush=True)


class Told(FedAvg):
    """FedAvg that tells when a round begins and ends."""

    def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> Any:
        client_manager.wait_for(CLIENTS)
        tell("begin", server_round)
        return super().configure_fit(server_round, parameters, client_manager)

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
        tell("trained", server_round)
        return super().aggregate_fit(server_round, results, failures)

    def aggregate_evaluate(self, server_round: int, results: Any, failures: Any) -> Any:
        combined = super().aggregate_evaluate(server_round, results, failures)
        tell("end", server_round)
        return combined


def server(address: str, rounds: int) -> None:
    images, labels = load("t10k")
    model = build()

    def evaluate(server_round: int, weights: Any, config: Any) -> tuple[float, dict[str, Any]]:
        model.set_weights(weights)
        loss, accuracy = model.evaluate(images, labels, verbose=0)
        tell("evaluated", server_round, accuracy=accuracy)
        return loss, {"accuracy": accuracy}

    strategy = Told(
        min_fit_clients=CLIENTS,
        min_evaluate_clients=CLIENTS,
        min_available_clients=CLIENTS,
        evaluate_fn=evaluate,
        initial_parameters=flwr.common.ndarrays_to_parameters(model.get_weights()),
    )
    start_server(server_address=address, config=ServerConfig(num_rounds=rounds), strategy=strategy)


def client(address: str, start: int, stop: int) -> None:
    images, labels = load("train")
    images, labels = images[start:stop], labels[start:stop]
    test_images, test_labels = load("t10k")
    model = build()

    class Client(NumPyClient):
        def get_parameters(self, config: Any) -> Any:
            return model.get_weights()

        def fit(self, parameters: Any, config: Any) -> Any:
            model.set_weights(parameters)
            model.fit(images, labels, epochs=1, batch_size=32, verbose=0)
            return model.get_weights(), len(images), {}

        def evaluate(self, parameters: Any, config: Any) -> Any:
            model.set_weights(parameters)
            loss, accuracy = model.evaluate(test_images, test_labels, verbose=0)
            return loss, len(test_images), {"accuracy": accuracy}

    start_client(server_address=address, client=Client().to_client())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=("server", "client"))
    parser.add_argument("--server_address", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--partition", type=int, default=0)
    parser.add_argument("--clients", type=int, default=1000)
    a = parser.parse_args()
    if a.role == "server":
        server(a.server_address, a.rounds)
    else:
        client(a.server_address, a.partition, a.clients)


if __name__ == "__main__":
    main()
