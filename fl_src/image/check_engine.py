"""Prove that the installed Flower works: what edgefl.link.flower uses of it, over a gRPC stream on loopback. Run by install.py."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from importlib import metadata
from typing import Any

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"

import grpc
import grpc.aio
import numpy as np
import prometheus_client
from flwr import client as of_before
from flwr import server as server_of_before
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp, mod
from flwr.common.config import unflatten_dict
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as Proto
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid, ServerApp, strategy
from flwr.supercore.task_identity import TaskIdentity

TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 2, 1
STRATEGIES = ("FedAvg", "FedAvgM", "FedProx", "FedAdagrad", "FedAdam", "FedYogi", "FedMedian", "FedTrimmedAvg")
client = ClientApp(mods=[mod.arrays_size_mod])
# Apps of before Flower 1.20 are written with these
assert (
    of_before.NumPyClient
    and server_of_before.ServerAppComponents
    and server_of_before.LegacyContext
    and DefaultWorkflow
)


# Apps read their configuration with it
assert unflatten_dict({"a.b": 1}) == {"a": {"b": 1}}


def lacks(part: Callable[[], Any]) -> str:
    try:
        part()
    except RuntimeError as err:
        return str(err)
    return ""


# Secure aggregation says what an app must bring, once it is used
assert "add its package to the app's dependencies" in lacks(secaggplus_mod) and lacks(SecAggPlusWorkflow)


@client.train()
def add_one(message: Message, context: Context) -> Message:
    (array,) = message.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"num-examples": message.content["config"]["examples"], "loss": 0.5})
    return Message(RecordDict({"arrays": ArrayRecord({"w": Array(array + 1)}), "metrics": metrics}), reply_to=message)


async def echo(_requests: Any, call: Any) -> None:
    while (frame := await call.read()) is not grpc.aio.EOF:
        await call.write(frame)


async def there_and_back(frame: bytes) -> bytes:
    """As edgefl.link does it: bytes over a stream of a server on asyncio."""
    server = grpc.aio.server()
    methods = {"Join": grpc.stream_stream_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("check.Link", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stream = channel.stream_stream("/check.Link/Join")()
        await stream.write(frame)
        return bytes(await stream.read())


def main() -> None:
    start = ArrayRecord({"w": Array(np.zeros((4, 4), np.float32))})
    content = RecordDict({"arrays": start, "config": ConfigRecord({"examples": 3})})
    sent = message_to_proto(Message(content, dst_node_id=5, message_type="train")).SerializeToString()
    message = message_from_proto(Proto.FromString(asyncio.run(there_and_back(sent))))
    context = Context(run_id=2, node_id=5, node_config={}, state=RecordDict(), run_config={})
    failed = message_from_proto(message_to_proto(Message(Error(2, "no"), reply_to=message)))
    assert failed.error.reason == "no" and issubclass(ServerApp, object) and issubclass(Grid, object)
    for name in STRATEGIES:
        made = getattr(strategy, name)()
        if hasattr(made, "current_arrays"):
            made.current_arrays = {"w": np.zeros((4, 4), np.float32)} if hasattr(made, "v_t") else start
        arrays, metrics = made.aggregate_train(1, [client(message, context)])  # some take the arrays out of the reply
        assert arrays is not None and metrics is not None and arrays.to_numpy_ndarrays()[0].shape == (4, 4), name
    np.linalg.norm(np.random.default_rng(1).random((64, 64)) @ np.ones(64))
    prometheus_client.generate_latest(prometheus_client.CollectorRegistry())
    print("Flower", metadata.version("flwr"), "works", flush=True)


main()
