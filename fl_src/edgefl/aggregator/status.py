"""What the aggregator is doing, and the small HTTP server that tells it.

/healthz: 200 while the process lives. /readyz: 200 when clients can connect and a run is accepted, else 503.
/status: a JSON document. /metrics: for Prometheus.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Summary, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from edgefl import SCHEMA, __version__
from edgefl.common.http import Handler, Server
from edgefl.common.plan import Member, nodes_of

STATES = ("waiting", "training", "done", "failed")


class Status:
    """The state of the run; safe to use from several threads. `state` is one of STATES."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {
            "schema": SCHEMA, "version": __version__, "run": None, "app": None, "state": "waiting", "ready": False,
            "loop": 1, "loops": 1, "round": 0, "rounds": 0, "accuracy": None, "loss": None, "waiting_for": None,
            "reason": None, "min_nodes": 1, "min_num_clients": 1, "selection": "node", "since": time.time(),
        }  # fmt: skip
        self.members: Callable[[], list[Member]] = list
        self.registry = registry = CollectorRegistry()
        states = Gauge("edgefl_state", "1 for the state the run is in, 0 for the others.", ["state"], registry=registry)
        for state in STATES:
            states.labels(state).set_function(partial(self._is, state))
        for key, text in (
            ("loop", "Loop of the run, from 1."),
            ("round", "Round of the loop, from 1."),
            ("rounds", "Rounds of a loop."),
            ("accuracy", "Accuracy after the last round, 0 to 1."),
            ("loss", "Loss after the last round."),
        ):
            Gauge(f"edgefl_{key}", text, registry=registry).set_function(partial(self._float, key))
        Gauge("edgefl_connected_nodes", "Nodes with a connected client.", registry=registry).set_function(
            lambda: len(nodes_of(self.members()))
        )
        Gauge("edgefl_connected_clients", "Connected clients.", registry=registry).set_function(
            lambda: len(self.members())
        )
        self._seconds = Summary("edgefl_round_seconds", "Duration of finished rounds.", registry=registry)
        self._repeats = Counter("edgefl_rounds_repeated", "Rounds that were repeated.", registry=registry)
        self._lost = Counter("edgefl_lost", "Tasks that came to nothing.", ["node"], registry=registry)

    def update(self, **values: Any) -> None:
        with self._lock:
            if values.get("state", self._values["state"]) != self._values["state"]:
                self._values["since"] = time.time()
            self._values |= values

    def get(self, key: str) -> Any:
        with self._lock:
            return self._values[key]

    @property
    def state(self) -> str:
        return str(self.get("state"))

    @property
    def ready(self) -> bool:
        """Clients can connect and a run is accepted."""
        return bool(self.get("ready")) and self.state != "failed"

    def round_done(self, seconds: float, accuracy: float | None, loss: float | None) -> None:
        self._seconds.observe(seconds)
        self.update(accuracy=accuracy, loss=loss)

    def count_repeat(self) -> None:
        self._repeats.inc()

    def count_lost(self, node: str) -> None:
        self._lost.labels(node).inc()

    def document(self) -> dict[str, Any]:
        """What /status gives."""
        with self._lock:
            values = dict(self._values)
        return values | {
            "nodes": {node: [member.pod for member in pods] for node, pods in nodes_of(self.members()).items()}
        }

    def _is(self, state: str) -> float:
        return float(self.state == state)

    def _float(self, key: str) -> float:
        value = self.get(key)
        return float("nan") if value is None else float(value)


class _Handler(Handler):
    server: _Server

    def do_GET(self) -> None:  # noqa: N802 - the name is that of http.server
        status, path = self.server.status, self.path.partition("?")[0]
        if path == "/healthz":
            self.answer(200, "text/plain", b"ok\n")
        elif path == "/readyz":
            ready = status.ready
            text = "ready" if ready else f"not ready: {status.get('reason') or 'the port for clients is not open yet'}"
            self.answer(200 if ready else 503, "text/plain", f"{text}\n".encode())
        elif path == "/status":
            self.answer(200, "application/json", json.dumps(status.document()).encode() + b"\n")
        elif path == "/metrics":
            self.answer(200, CONTENT_TYPE_LATEST, generate_latest(status.registry))
        else:
            self.answer(404, "text/plain", b"there are /healthz, /readyz, /status and /metrics\n")

    def do_HEAD(self) -> None:  # noqa: N802 - the name is that of http.server
        self.do_GET()


class _Server(Server):
    def __init__(self, address: str, status: Status, share: int) -> None:
        self.status = status
        super().__init__(address, _Handler, share=share)


def serve(status: Status, *addresses: str) -> int:
    """Answer at each of `addresses` (HOST:PORT) from a thread of its own, each with its share of the connections.

    Gives the port of the first. Raises OSError when one is taken, or is none of this host's.
    """
    servers = [_Server(address, status, len(addresses)) for address in addresses]
    for server in servers:
        threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
    return int(servers[0].server_port)
