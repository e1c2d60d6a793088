"""The client's side of Flower: start_client, kept going for ever.

The calls are Flower's gRPC API (flwr.client.start_client), deprecated since 1.13 in favour of SuperNode; the pin in
requirements-client.in and this file are all that depends on it.
"""

from __future__ import annotations

import random
import time
import traceback
from typing import Protocol

import grpc

from . import channel, flower_common
from .apps import Weights
from .report import say
from .settings import Tls

# isort: split
from flwr.client import Client, start_client
from flwr.common import (
    Code,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Parameters,
    Scalar,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)

flower_common.quiet()
SHORTEST, LONGEST = 0.3, 2.0
"""Seconds between two tries, doubling from one to the other; each is drawn at random below that (jitter)."""
OK = Status(Code.OK, "")


class Work(Protocol):
    """What a client can do, free of Flower."""

    def properties(self) -> dict[str, str | int]:
        """Who it is and what it has: node, pod, instance, start, stop, app."""

    def initial_weights(self) -> Weights:
        """A fresh model."""

    def fit(self, weights: Weights, config: dict[str, Scalar]) -> tuple[Weights, int, dict[str, float]]:
        """Train; gives weights, number of samples and figures."""

    def evaluate(self, weights: Weights, config: dict[str, Scalar]) -> tuple[float, int, dict[str, float]]:
        """Evaluate; gives loss, number of samples and figures."""


class Adapter(Client):
    """Translates Flower's messages; an exception becomes an answer that says so, and the client lives on."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def get_properties(self, ins: GetPropertiesIns) -> GetPropertiesRes:
        say("joined the aggregator")
        return GetPropertiesRes(OK, dict(self._work.properties()))

    def get_parameters(self, ins: GetParametersIns) -> GetParametersRes:
        try:
            return GetParametersRes(OK, ndarrays_to_parameters(self._work.initial_weights()))
        except Exception as err:
            return GetParametersRes(Status(Code.GET_PARAMETERS_NOT_IMPLEMENTED, _told(err)), Parameters([], ""))

    def fit(self, ins: FitIns) -> FitRes:
        try:
            weights, examples, figures = self._work.fit(parameters_to_ndarrays(ins.parameters), ins.config)
            return FitRes(OK, ndarrays_to_parameters(weights), examples, dict(figures))
        except Exception as err:
            return FitRes(Status(Code.FIT_NOT_IMPLEMENTED, _told(err)), Parameters([], ""), 0, {})

    def evaluate(self, ins: EvaluateIns) -> EvaluateRes:
        try:
            loss, examples, figures = self._work.evaluate(parameters_to_ndarrays(ins.parameters), ins.config)
            return EvaluateRes(OK, loss, examples, dict(figures))
        except Exception as err:
            return EvaluateRes(Status(Code.EVALUATE_NOT_IMPLEMENTED, _told(err)), 0.0, 0, {})


def _told(err: BaseException) -> str:
    """Print the whole traceback here; the aggregator gets one line."""
    traceback.print_exception(err)
    return f"{type(err).__name__}: {err}"[:500]


def serve(address: str, work: Work, tls: Tls | None) -> None:
    """Work for the aggregator at `address` whenever it is there. Never returns."""
    client, delay, told = Adapter(work).to_client(), SHORTEST, 0.0
    while True:
        begin = time.monotonic()
        try:
            channel.reach(address, tls)
            with channel.client_side(tls):
                start_client(
                    server_address=address,
                    client=client,
                    insecure=tls is None,
                    root_certificates=tls.ca if tls else None,
                    grpc_max_message_length=channel.MAX_MESSAGE,
                )
            why = "the aggregator said goodbye"
        except grpc.RpcError as err:
            why = f"{err.code().name}: {err.details()}" if isinstance(err, grpc.Call) else repr(err)
        except StopIteration:
            why = "the aggregator ended the connection"
        except OSError as err:
            why = str(err)
        if time.monotonic() - begin > LONGEST:  # it was connected, or took long enough to fail
            delay = SHORTEST
        if time.monotonic() - told >= 10 or not told:
            say(f"no aggregator at {address} ({why}): trying again for ever")
            told = time.monotonic()
        time.sleep(random.uniform(delay / 2, delay))
        delay = min(LONGEST, delay * 2)
