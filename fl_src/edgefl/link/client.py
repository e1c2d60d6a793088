"""The client's side of Flower's gRPC API, kept going for ever.

Flower's messages (flwr.proto), their serialisation (flwr.common.serde) and its service Join are used, not its start_client, which does the
same: that loads a database, a web server and a command line, which its successor SuperNode needs, and takes three times as long.
The API is deprecated since 1.13 in favour of SuperNode; the pin in requirements-client.in, this file and image/ are all that depends on it.
"""

from __future__ import annotations

import queue
import random
import time
import traceback
from typing import Protocol

import grpc

from edgefl.apps import Weights
from edgefl.common.journal import say
from edgefl.common.settings import Tls
from edgefl.link import channel, flower

# isort: split
from flwr.common import (
    Code,
    EvaluateRes,
    FitRes,
    GetParametersRes,
    GetPropertiesRes,
    Parameters,
    Scalar,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
    serde,
)
from flwr.proto.transport_pb2 import ClientMessage, ServerMessage
from flwr.proto.transport_pb2_grpc import FlowerServiceStub

flower.quiet()
SHORTEST, LONGEST = 0.3, 2.0
"""Seconds between two tries, doubling from one to the other; each is drawn at random below that (jitter)."""
OK = Status(Code.OK, "")


class Work(Protocol):
    """What a client can do, free of Flower."""

    def properties(self) -> dict[str, str | int]:
        """Who it is and what it has: node, pod, instance, start, stop, app, settings."""

    def initial_weights(self) -> Weights:
        """A fresh model."""

    def fit(self, weights: Weights, config: dict[str, Scalar]) -> tuple[Weights, int, dict[str, float]]:
        """Train; gives weights, number of samples and figures."""

    def evaluate(self, weights: Weights, config: dict[str, Scalar]) -> tuple[float, int, dict[str, float]]:
        """Evaluate; gives loss, number of samples and figures."""


class Adapter:
    """Translates Flower's messages; an exception becomes an answer that says so, and the client lives on."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def answer(self, message: ServerMessage) -> ClientMessage:
        """What the aggregator gets back; raises ValueError for a message that Flower's API does not have."""
        if message.HasField("get_properties_ins"):
            say("joined the aggregator")
            properties = GetPropertiesRes(OK, dict(self._work.properties()))
            return ClientMessage(get_properties_res=serde.get_properties_res_to_proto(properties))
        if message.HasField("get_parameters_ins"):
            return ClientMessage(get_parameters_res=serde.get_parameters_res_to_proto(self._parameters()))
        if message.HasField("fit_ins"):
            return ClientMessage(fit_res=serde.fit_res_to_proto(self._fit(message.fit_ins)))
        if message.HasField("evaluate_ins"):
            return ClientMessage(evaluate_res=serde.evaluate_res_to_proto(self._evaluate(message.evaluate_ins)))
        raise ValueError(
            f"the aggregator sent {message.WhichOneof('msg')}, which no client knows: run both from images of one version"
        )

    def _parameters(self) -> GetParametersRes:
        try:
            return GetParametersRes(OK, ndarrays_to_parameters(self._work.initial_weights()))
        except Exception as err:
            return GetParametersRes(Status(Code.GET_PARAMETERS_NOT_IMPLEMENTED, _told(err)), Parameters([], ""))

    def _fit(self, message: ServerMessage.FitIns) -> FitRes:
        try:
            ins = serde.fit_ins_from_proto(message)
            weights, examples, figures = self._work.fit(parameters_to_ndarrays(ins.parameters), ins.config)
            return FitRes(OK, ndarrays_to_parameters(weights), examples, dict(figures))
        except Exception as err:
            return FitRes(Status(Code.FIT_NOT_IMPLEMENTED, _told(err)), Parameters([], ""), 0, {})

    def _evaluate(self, message: ServerMessage.EvaluateIns) -> EvaluateRes:
        try:
            ins = serde.evaluate_ins_from_proto(message)
            loss, examples, figures = self._work.evaluate(parameters_to_ndarrays(ins.parameters), ins.config)
            return EvaluateRes(OK, loss, examples, dict(figures))
        except Exception as err:
            return EvaluateRes(Status(Code.EVALUATE_NOT_IMPLEMENTED, _told(err)), 0.0, 0, {})


def _told(err: BaseException) -> str:
    """Print the whole traceback here; the aggregator gets one line."""
    traceback.print_exception(err)
    return f"{type(err).__name__}: {err}"[:500]


def _converse(connection: grpc.Channel, adapter: Adapter) -> str:
    """Answer messages until the aggregator ends the connection; returns who ended it. Raises grpc.RpcError when it broke."""
    answers: queue.SimpleQueue[ClientMessage | None] = queue.SimpleQueue()
    try:
        for message in FlowerServiceStub(connection).Join(iter(answers.get, None)):
            if message.HasField("reconnect_ins"):
                return "the aggregator said goodbye"
            answers.put(adapter.answer(message))
    finally:
        answers.put(None)  # ends the thread in which gRPC waits for an answer
    return "the aggregator ended the connection"


def serve(address: str, work: Work, tls: Tls | None) -> None:
    """Work for the aggregator at `address` whenever it is there. Never returns."""
    adapter, delay, told = Adapter(work), SHORTEST, 0.0
    while True:
        begin = time.monotonic()
        try:
            channel.reach(address, tls)
            with channel.connect(address, tls) as connection:
                why = _converse(connection, adapter)
        except grpc.RpcError as err:
            why = f"{err.code().name}: {err.details()}" if isinstance(err, grpc.Call) else repr(err)
        except OSError as err:
            why = str(err)
        if time.monotonic() - begin > LONGEST:  # it was connected, or took long enough to fail
            delay = SHORTEST
        if time.monotonic() - told >= 10 or not told:
            say(f"no aggregator at {address} ({why}): trying again for ever")
            told = time.monotonic()
        time.sleep(random.uniform(delay / 2, delay))
        delay = min(LONGEST, delay * 2)
