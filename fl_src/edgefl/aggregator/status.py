"""What the aggregator is doing, and the small HTTP server that tells it.

/healthz: 200 while the process lives. /readyz: 200 when clients can connect and a run is accepted, else 503.
/status: a JSON document. /metrics: for Prometheus.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Summary, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from edgefl import SCHEMA, __version__
from edgefl.common.journal import short_of_files
from edgefl.common.plan import Member, nodes_of
from edgefl.common.settings import host_port

STATES = ("waiting", "training", "done", "failed")
DEADLINE = 10.0
"""Seconds for a whole request, however slowly it drips, and as many for its answer."""
MOST = 64
"""Connections at a time, at all addresses together; the oldest one makes room for a new one: a request that is honest is answered in milliseconds."""
LONGEST = 16384
"""Bytes of a request."""


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


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "edgefl"
    sys_version = ""
    timeout = DEADLINE  # of each call on the socket; sendall() has it for all that it sends

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(io.BytesIO(self._request()))

    def _request(self) -> bytes:
        """All of a request, or nothing of one that is too slow or too long."""
        end = time.monotonic() + DEADLINE
        found = b""
        with contextlib.suppress(OSError):
            while len(found) <= LONGEST and (left := end - time.monotonic()) > 0:
                self.connection.settimeout(left)
                chunk: bytes = self.connection.recv(4096)
                found += chunk
                if not chunk or b"\r\n\r\n" in found or b"\n\n" in found:
                    self.connection.settimeout(DEADLINE)
                    return found
        return b""

    def do_GET(self) -> None:
        status, path = self.server.status, self.path.partition("?")[0]
        if path == "/healthz":
            self._answer(200, "text/plain", b"ok\n")
        elif path == "/readyz":
            ready = status.ready
            text = "ready" if ready else f"not ready: {status.get('reason') or 'the port for clients is not open yet'}"
            self._answer(200 if ready else 503, "text/plain", f"{text}\n".encode())
        elif path == "/status":
            self._answer(200, "application/json", json.dumps(status.document()).encode() + b"\n")
        elif path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(status.registry))
        else:
            self._answer(404, "text/plain", b"there are /healthz, /readyz, /status and /metrics\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Probes come every few seconds: not logged."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], status: Status, share: int) -> None:
        self.status = status
        self.most = max(1, min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4) // share)
        self._left = threading.Condition()
        self._open: dict[socket.socket, None] = {}
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError as err:
            if short_of_files(err):  # the connection waits in the kernel until there is one
                time.sleep(0.1)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, when there is room: the oldest connection is cut off for that."""
        with self._left:
            while len(self._open) >= self.most:
                with contextlib.suppress(OSError):
                    next(iter(self._open)).shutdown(socket.SHUT_RDWR)
                self._left.wait(0.1)
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._left:
            self._open.pop(request, None)
            self._left.notify()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that goes away is not told; it could fill the log."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def server_bind(self) -> None:
        """As the base class's, without its look-up of the host's name, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


def serve(status: Status, *addresses: str) -> int:
    """Answer at each of `addresses` (HOST:PORT) from a thread of its own, each with its share of the connections.

    Gives the port of the first. Raises OSError when one is taken, or is none of this host's.
    """
    servers = [_Server(host_port(address), status, len(addresses)) for address in addresses]
    for server in servers:
        threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
    return int(servers[0].server_port)
