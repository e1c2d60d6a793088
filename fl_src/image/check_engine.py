"""Prove that the installed Flower works: a server and a client on loopback, one round. Run by install.py."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from importlib import metadata

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"

import grpc
import numpy as np
import prometheus_client
from flwr.common import (
    Code,
    FitIns,
    FitRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
    serde,
)
from flwr.proto.transport_pb2 import ClientMessage
from flwr.proto.transport_pb2_grpc import FlowerServiceStub
from flwr.server import Server, ServerConfig, SimpleClientManager, start_server, strategy

OK = Status(Code.OK, "")
logging.getLogger("flwr").setLevel(logging.CRITICAL)


def add_one() -> None:
    """A client as edgefl.link.client is one."""
    answers: queue.SimpleQueue[ClientMessage] = queue.SimpleQueue()
    for message in FlowerServiceStub(grpc.insecure_channel(ADDRESS)).Join(iter(answers.get, None)):
        if message.HasField("fit_ins"):
            (array,) = parameters_to_ndarrays(serde.fit_ins_from_proto(message.fit_ins).parameters)
            fitted = FitRes(OK, ndarrays_to_parameters([array + 1]), 3, {"loss": 0.5})
            answers.put(ClientMessage(fit_res=serde.fit_res_to_proto(fitted)))
        else:
            properties = serde.get_properties_res_to_proto(GetPropertiesRes(OK, {"node": "here"}))
            answers.put(ClientMessage(get_properties_res=properties))


class Once(Server):
    def fit(self, num_rounds: int, timeout: float | None) -> None:
        threading.Thread(target=add_one, daemon=True).start()
        while not self.client_manager().num_available():
            time.sleep(0.05)
        (proxy,) = self.client_manager().all().values()
        assert proxy.get_properties(GetPropertiesIns({}), 10, 0).properties["node"] == "here"
        sent = ndarrays_to_parameters([np.zeros((4, 4), np.float32)])
        result = proxy.fit(FitIns(sent, {"start": 0}), timeout=10, group_id=1)
        for name in ("FedAvg", "FedAvgM", "FedProx", "FedAdagrad", "FedAdam", "FedYogi", "FedMedian", "FedTrimmedAvg"):
            more = {"proximal_mu": 0.1} if name == "FedProx" else {}
            made = getattr(strategy, name)(initial_parameters=sent, fit_metrics_aggregation_fn=lambda _: {}, **more)
            combined, _dummy = made.aggregate_fit(1, [(proxy, result)], [])
            assert parameters_to_ndarrays(combined)[0].shape == (4, 4)
        with contextlib.suppress(Exception):
            proxy.fit(FitIns(sent, {}), timeout=0.001, group_id=1)  # the way of a client that is too slow
        np.linalg.norm(np.random.default_rng(1).random((64, 64)) @ np.ones(64))
        prometheus_client.generate_latest(prometheus_client.CollectorRegistry())
        print("Flower", metadata.version("flwr"), "works", flush=True)
        os._exit(0)


ADDRESS = "127.0.0.1:39475"
start_server(server_address=ADDRESS, server=Once(client_manager=SimpleClientManager()), config=ServerConfig(1))
