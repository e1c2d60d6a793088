"""In the shapes of Flower before 1.20, which most apps are still written in: functions that make a NumPyClient, and a strategy of parameters."""

import os
import time

import numpy as np
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg


class Counting(NumPyClient):
    def __init__(self, pause: float) -> None:
        self._pause = pause

    def get_parameters(self, config):
        return [np.zeros(3, np.float32)]

    def fit(self, parameters, config):
        time.sleep(self._pause)
        if os.environ.get("SPOIL") and parameters[0][0] >= 1:
            size = int(os.environ["SPOIL"])
            return [np.full(size, np.nan if size == 3 else 1.0, np.float32)], 30, {}
        return [parameters[0] + 1], 30, {"train_loss": 0.5}

    def evaluate(self, parameters, config):
        return 0.25, 10, {"accuracy": float(parameters[0][0]) / 10}


def client_fn(context: Context):
    return Counting(float(context.run_config["pause"])).to_client()


def central(server_round, parameters, config):
    return 0.125, {"first": float(parameters[0][0])}


def server_fn(context: Context):
    config = context.run_config
    start = ndarrays_to_parameters([np.zeros(3, np.float32)]) if config["initial"] else None
    strategy = FedAvg(
        fraction_evaluate=float(config["fraction-evaluate"]),
        min_available_clients=2,
        initial_parameters=start,
        evaluate_fn=central,
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=int(config["num-server-rounds"])))


client = ClientApp(client_fn=client_fn)
server = ServerApp(server_fn=server_fn)
