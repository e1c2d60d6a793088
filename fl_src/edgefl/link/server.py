"""The aggregator's side of Flower: start_server and its client proxies, as a Link for the coordinator.

The calls are Flower's gRPC API (flwr.server.start_server), deprecated since 1.13 in favour of SuperLink; the pin in
requirements-aggregator.in and this file are all that depends on it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from edgefl.apps import Weights
from edgefl.common.journal import say
from edgefl.common.plan import Member, Task
from edgefl.common.settings import AggregatorSettings, host_port
from edgefl.link import channel, flower
from edgefl.link.channel import Peer
from edgefl.link.protocol import Answer, Lost

# isort: split
from flwr.common import (
    Code,
    EvaluateIns,
    FitIns,
    FitRes,
    GetParametersIns,
    GetPropertiesIns,
    Parameters,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.server import Server, ServerConfig, SimpleClientManager, start_server, strategy
from flwr.server.client_proxy import ClientProxy

flower.quiet()
GREETING = 15.0
"""Seconds that a new client has to say who it is."""
REMEMBERED = ("m_t", "v_t", "momentum_vector")
"""What Flower's strategies with a server-side optimizer carry from round to round (lists of arrays)."""
MOST_TASKS = 1000
"""Tasks under way at once; Flower's gRPC server takes no more connections (flwr.server.superlink.fleet.grpc_bidi.grpc_server)."""
EACH = ("FedMedian", "FedTrimmedAvg")
"""Flower's strategies that need what each client sent; the others take its mean, which is made here from arrays that were read already."""


class Members(SimpleClientManager):
    """Flower's register of connections, and who is behind each."""

    def __init__(self, tls: bool, settings: dict[str, str]) -> None:
        super().__init__()
        self._tls, self._settings = tls, settings
        self._refused: set[str] = set()
        self._known: dict[str, tuple[Member, ClientProxy]] = {}
        self._changed = threading.Condition()

    def register(self, client: ClientProxy) -> bool:
        peer = channel.peer()
        if not super().register(client):
            return False
        threading.Thread(target=self._greet, args=(client, peer), name="greet", daemon=True).start()
        return True

    def unregister(self, client: ClientProxy) -> None:
        super().unregister(client)
        with self._changed:
            member, _dummy = self._known.pop(client.cid, (None, None))
            self._changed.notify_all()
        if member:
            say(f"{member.node}/{member.pod} left")

    def _greet(self, client: ClientProxy, peer: Peer) -> None:
        """Ask a new client who it is; the answer takes milliseconds."""
        try:
            said = client.get_properties(GetPropertiesIns({}), timeout=GREETING, group_id=0).properties
            member = Member(
                str(said["node"]),
                str(said["pod"]),
                str(said["instance"]),
                client.cid,
                int(said["start"]),
                int(said["stop"]),
                str(said["app"]),
            )
            settings = str(said.get("settings", ""))
        except Exception as err:
            say(f"a client at {peer.address} did not say who it is ({_text(err)}): left out; is it of this version?")
            return _close(client)
        if self._tls and member.node not in peer.names:
            say(
                f"refused: a client at {peer.address} with the certificate of {', '.join(sorted(peer.names)) or 'nobody'} says it is node {member.node}"
            )
            return _close(client)
        if not 0 <= member.start < member.stop:
            say(f"refused: {member.node}/{member.pod} has no samples ({member.start} to {member.stop})")
            return _close(client)
        if self._settings and settings != self._settings.get(member.node):
            if member.instance not in self._refused:  # it comes back until its pod is gone
                self._refused.add(member.instance)
                say(
                    f"refused: {member.node}/{member.pod} has other settings than this run's: it is of an earlier deployment, and its pod is to be deleted"
                )
            return _close(client)
        old = []
        with self._changed:
            if client.cid not in self.clients:  # gone while it was asked
                return None
            for cid, (other, proxy) in list(self._known.items()):
                if other.instance == member.instance:  # the same process, back after a cut: the old connection is dead
                    old.append(proxy)
                    del self._known[cid]
            self._known[client.cid] = (member, client)
            self._changed.notify_all()
        for proxy in old:
            _close(proxy)
        say(f"{member.node}/{member.pod} joined from {peer.address}: samples {member.start} to {member.stop}")
        return None

    def members(self) -> list[Member]:
        with self._changed:
            return [member for member, _dummy in self._known.values()]

    def proxy(self, member: Member) -> ClientProxy | None:
        with self._changed:
            return self._known.get(member.id, (None, None))[1]

    def wait(self, enough: Callable[[list[Member]], bool], seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: enough([member for member, _dummy in self._known.values()]), seconds)


class FlowerLink:
    """A Link over Flower's connections."""

    def __init__(self, settings: AggregatorSettings, members: Members) -> None:
        self._settings, self._members = settings, members
        self._strategy: Any = None
        # They only wait. It keeps those that a round needed for the next: starting hundreds takes a tenth of a second
        self._pool = ThreadPoolExecutor(max_workers=MOST_TASKS, thread_name_prefix="task")

    def members(self) -> list[Member]:
        return self._members.members()

    def wait(self, enough: Callable[[list[Member]], bool], seconds: float) -> bool:
        return self._members.wait(enough, seconds)

    def initial_weights(self, member: Member, timeout: float) -> Weights:
        proxy = self._members.proxy(member)
        if proxy is None:
            raise ConnectionError("it left")
        try:
            result = proxy.get_parameters(GetParametersIns({}), timeout=timeout, group_id=0)
        except Exception as err:
            raise ConnectionError(_text(err)) from err
        if result.status.code != Code.OK:
            raise ConnectionError(result.status.message)
        return list(parameters_to_ndarrays(result.parameters))

    def train(
        self, weights: Weights, tasks: Sequence[Task], config: dict[str, int | float], timeout: float
    ) -> list[Answer | Lost]:
        parameters = ndarrays_to_parameters(weights)

        def one(proxy: ClientProxy, task: Task) -> Answer | Lost:
            sent = config | {"start": task.start, "stop": task.stop}
            result = proxy.fit(FitIns(parameters, sent), timeout=timeout, group_id=int(config["round"]))
            if result.status.code != Code.OK:
                return Lost(task, result.status.message, error=True)
            received = _arrays(parameters, weights, result.parameters)
            return Answer(task, result.num_examples, dict(result.metrics), received)

        return self._all(one, tasks, timeout)

    def evaluate(self, weights: Weights, tasks: Sequence[Task], timeout: float) -> list[Answer | Lost]:
        parameters = ndarrays_to_parameters(weights)

        def one(proxy: ClientProxy, task: Task) -> Answer | Lost:
            result = proxy.evaluate(
                EvaluateIns(parameters, {"start": task.start, "stop": task.stop}), timeout=timeout, group_id=0
            )
            if result.status.code != Code.OK:
                return Lost(task, f"evaluation: {result.status.message}", error=True)
            return Answer(task, result.num_examples, dict(result.metrics) | {"loss": float(result.loss)})

        return self._all(one, tasks, timeout)

    def _all(
        self, one: Callable[[ClientProxy, Task], Answer | Lost], tasks: Sequence[Task], timeout: float
    ) -> list[Answer | Lost]:
        """Do all tasks at once, a thread for each."""
        waiting: dict[str, ClientProxy] = {}

        def guarded(task: Task) -> Answer | Lost:
            proxy = self._members.proxy(task.member)
            if proxy is None:
                return Lost(task, "it left before the round began")
            waiting[proxy.cid] = proxy
            begin = time.monotonic()
            try:
                return one(proxy, task)
            except Exception as err:
                if time.monotonic() - begin >= timeout:
                    return Lost(
                        task, f"no answer within --round_timeout={timeout:g} s; raise it if the work takes longer"
                    )
                return Lost(task, "the connection was lost" if type(err).__name__ == "GrpcBridgeClosed" else _text(err))
            finally:
                del waiting[proxy.cid]

        def give_up() -> None:
            for proxy in list(waiting.values()):
                _close(proxy)

        if not tasks:
            return []
        # Flower counts the timeout from the moment the message is sent; sending to a frozen client may block
        guard = threading.Timer(timeout + 5, give_up)
        guard.daemon = True
        guard.start()
        try:
            return list(self._pool.map(guarded, tasks))
        finally:
            guard.cancel()

    def combine(self, round_: int, weights: Weights, answers: Sequence[Answer]) -> Weights:
        bodies = [(answer.examples, answer.weights) for answer in answers]
        if self._settings.strategy not in EACH:
            bodies = [(sum(examples for examples, _dummy in bodies), _mean(bodies))]
        results = [
            (None, FitRes(Status(Code.OK, ""), ndarrays_to_parameters(body), examples, {})) for examples, body in bodies
        ]
        combined, _dummy = self._strategy.aggregate_fit(round_, results, [])
        # Flower's adaptive strategies calculate in double precision; the model keeps its own
        with np.errstate(over="ignore"):  # infinite then, which the coordinator tells
            return [new.astype(old.dtype) for new, old in zip(parameters_to_ndarrays(combined), weights)]

    def state(self) -> dict[str, Weights]:
        found = {name: getattr(self._strategy, name, None) for name in REMEMBERED}
        return {name: list(value) for name, value in found.items() if value}

    def restore(self, weights: Weights, state: dict[str, Weights]) -> None:
        s = self._settings
        options: dict[str, Any] = {"proximal_mu": 0.1} if s.strategy == "FedProx" else {}
        options |= s.strategy_options
        options |= {"initial_parameters": ndarrays_to_parameters(weights), "fit_metrics_aggregation_fn": lambda _: {}}
        try:
            self._strategy = getattr(strategy, s.strategy)(**options)
        except TypeError as err:
            raise ValueError(f"--strategy_options do not fit --strategy={s.strategy}: {err}") from err
        for name, arrays in state.items():
            setattr(self._strategy, name, arrays)


class _Runner(Server):
    """A Flower server whose training is the coordinator's, and that stays when it is over."""

    def __init__(self, members: Members, work: Callable[[], None]) -> None:
        super().__init__(client_manager=members)
        self._work = work

    def fit(self, num_rounds: int, timeout: float | None) -> Any:
        self._work()
        while True:
            signal.pause()


def serve(settings: AggregatorSettings, work: Callable[[FlowerLink], None]) -> None:
    """Open the port, call `work` with the link, then stay. Never returns; raises what `work` raises."""
    members = Members(settings.tls is not None, settings.client_settings)
    link = FlowerLink(settings, members)
    tls = settings.tls
    with channel.server_side(host_port(settings.server_address)[1], tls):
        start_server(
            server_address=settings.server_address, server=_Runner(members, lambda: work(link)), config=ServerConfig(num_rounds=settings.rounds),
            grpc_max_message_length=channel.MAX_MESSAGE, certificates=(tls.ca, tls.certificate, tls.key) if tls else None,
        )  # fmt: skip


def _close(client: ClientProxy) -> None:
    """End a connection; the client comes back with a new one."""
    bridge = getattr(client, "bridge", None)
    if bridge is not None:
        bridge.close()


def _arrays(sent: Parameters, weights: Weights, received: Parameters) -> Weights:
    """The arrays in `received`: in place where their .npy headers are those of `weights` in `sent`, so that nothing is parsed or copied."""
    found = []
    for ours, array, theirs in zip(sent.tensors, weights, received.tensors):
        head = len(ours) - array.nbytes
        if len(theirs) != len(ours) or theirs[:head] != ours[:head] or not array.flags.c_contiguous:
            break
        found.append(np.frombuffer(theirs, array.dtype, offset=head).reshape(array.shape))
    if len(found) == len(received.tensors):
        return found
    return list(parameters_to_ndarrays(received))


def _mean(bodies: Sequence[tuple[int, Weights]]) -> Weights:
    """The mean of models, weighted by their numbers of samples: FedAvg (McMahan et al. 2017, algorithm 1)."""
    total = sum(examples for examples, _dummy in bodies)
    sums: Weights = [np.zeros(array.shape, np.result_type(array, np.float64)) for array in bodies[0][1]]
    for examples, arrays in bodies:
        for into, array in zip(sums, arrays):
            into += np.multiply(array, examples, dtype=into.dtype)
    return [array / total for array in sums]


def _text(err: BaseException) -> str:
    return f"{type(err).__name__}: {err}" if str(err) else type(err).__name__
