"""gRPC settings on both sides: keepalive, mutual TLS, who the peer is.

Flower's start_server, which does not offer them, calls grpc's public constructors; while `server_side` is open they get these settings added.
The option names are gRPC's channel arguments (include/grpc/impl/channel_arg_names.h).
"""

from __future__ import annotations

import os
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc

from edgefl.common.journal import say
from edgefl.common.settings import Tls, host_port

MAX_MESSAGE = 512 * 1024 * 1024
"""Bytes of the largest message either side takes; a model must fit into it."""

# A silent peer is noticed after 10 + 15 s. The 15 s leave room for a processor that is starved by training.
# The one timeout is for bytes that the peer's kernel does not take, the other for a ping that its process does not answer.
_KEEPALIVE = {
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 15_000,
    "grpc.http2.ping_timeout_ms": 15_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.max_pings_without_data": 0,
}
_SERVER = _KEEPALIVE | {
    "grpc.http2.min_recv_ping_interval_without_data_ms": 5_000,  # or it would take the clients' pings for an attack
    "grpc.http2.min_ping_interval_without_data_ms": 5_000,
    "grpc.so_reuseport": 0,  # two aggregators on one port would share out the clients between them
}
_CLIENT = _KEEPALIVE | {
    "grpc.max_send_message_length": MAX_MESSAGE,
    "grpc.max_receive_message_length": MAX_MESSAGE,
    "grpc.use_local_subchannel_pool": 1,  # a new channel must not inherit the back-off of the last one
    "grpc.min_reconnect_backoff_ms": 5_000,  # how long one attempt to connect may take
}


@dataclass(frozen=True)
class Peer:
    """The other end of a connection: its address, and the names in its certificate (none without TLS)."""

    address: str
    names: frozenset[str]


_local = threading.local()


def peer() -> Peer:
    """The peer of the call that this thread is answering."""
    return getattr(_local, "peer", Peer("unknown", frozenset()))


class _Door:
    """Tells of connections that ended without a call: with mutual TLS they showed no certificate that the CA signed.

    gRPC refuses them by itself but says nothing. It asks for the server's certificate at each new connection, though:
    that is the moment to note the addresses of all that are open. Those that made a call are crossed out.
    """

    SETTLE = 3.0
    """Seconds within which a client makes its first call; it looks whether the port answers first, and that is not told."""
    QUIET = 10.0
    """Seconds between two messages about one host."""
    MOST = 1000
    """Addresses remembered; beyond it they are dropped: an attack must not fill the memory."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._change = threading.Condition()
        self._waiting: dict[tuple[str, int], float] = {}
        self._good: set[tuple[str, int]] = set()
        self._called: dict[str, float] = {}
        self._told: dict[str, float] = {}
        threading.Thread(target=self._watch, name="door", daemon=True).start()

    def note(self) -> None:
        """Called by gRPC at each new connection. No new certificate (None) is given to it."""
        now = time.monotonic()
        found = self._open()
        with self._change:
            self._good &= found
            if len(self._waiting) < self.MOST:
                self._waiting |= {address: self._waiting.get(address, now) for address in found - self._good}
                self._change.notify()

    def call(self, peer: str) -> None:
        """A call came from `peer`, in gRPC's notation (ipv4:10.0.0.1:5000, ipv6:%5B::1%5D:5000)."""
        host, _dummy, port = unquote(peer).partition(":")[2].rpartition(":")
        address = (host.strip("[]").removeprefix("::ffff:"), int(port))
        with self._change:
            if len(self._called) >= self.MOST:
                self._called.clear()
            self._called[address[0]] = time.monotonic()
            self._good.add(address)
            self._waiting.pop(address, None)

    def _open(self) -> set[tuple[str, int]]:
        """Who is at the other end of this process's connections to the port."""
        found = set()
        for name in os.listdir("/proc/self/fd"):
            try:
                if not stat.S_ISSOCK(os.stat(f"/proc/self/fd/{name}").st_mode):
                    continue
                with socket.socket(fileno=os.dup(int(name))) as copy:
                    if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.getsockname()[1] == self._port:
                        host, port = copy.getpeername()[:2]
                        found.add((host.removeprefix("::ffff:"), port))
            except OSError:  # not connected, or closed meanwhile
                continue
        return found

    def _watch(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting)
            time.sleep(1)
            found, now = self._open(), time.monotonic()
            with self._change:
                gone = [
                    address
                    for address, begin in self._waiting.items()
                    if address not in found and now - begin > self.SETTLE
                ]
                refused = {host for host, port in gone if now - self._called.get(host, -60) > 2 * self.SETTLE}
                for address in gone:
                    del self._waiting[address]
            for host in refused:
                self._tell(host, [port for name, port in gone if name == host], now)

    def _tell(self, host: str, ports: list[int], now: float) -> None:
        if now - self._told.get(host, -self.QUIET) < self.QUIET:
            return
        if len(self._told) >= self.MOST:
            self._told.clear()
        self._told[host] = now
        say(
            f"refused: {host} (port {ports[-1]}) showed no certificate that this CA signed; its --tls_dir is missing or wrong"
        )


class _NotePeer(grpc.ServerInterceptor):
    def __init__(self, door: _Door | None) -> None:
        self._door = door

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        if handler is None or not handler.stream_stream:
            return handler

        def answer(requests: Any, context: Any) -> Iterator[Any]:
            names = [
                name
                for key, values in context.auth_context().items()
                if key in ("x509_common_name", "x509_subject_alternative_name")
                for name in values
                if name
            ]
            _local.peer = Peer(context.peer(), frozenset(name.decode(errors="replace") for name in names))
            if self._door:
                self._door.call(context.peer())
            yield from handler.stream_stream(requests, context)

        return grpc.stream_stream_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)


@contextmanager
def _replaced(**makers: Callable[..., Any]) -> Iterator[None]:
    before = {name: getattr(grpc, name) for name in makers}
    for name, maker in makers.items():
        setattr(grpc, name, maker)
    try:
        yield
    finally:
        for name, maker in before.items():
            setattr(grpc, name, maker)


@contextmanager
def server_side(port: int, tls: Tls | None) -> Iterator[None]:
    """For start_server at `port`: keepalive, notes of who calls, and with `tls` only callers whose certificate the CA signed."""
    make = grpc.server
    door = _Door(port) if tls else None

    def server(pool: Any, *, options: Any = None, interceptors: Any = None, **more: Any) -> Any:
        theirs = [(key, value) for key, value in options or () if key not in _SERVER]
        return make(
            pool, options=theirs + list(_SERVER.items()), interceptors=[*(interceptors or ()), _NotePeer(door)], **more
        )

    def server_credentials(pairs: Any, root_certificates: Any = None, *_: Any, **__: Any) -> Any:
        first = grpc.ssl_server_certificate_configuration(pairs, root_certificates)
        return grpc.dynamic_ssl_server_credentials(first, door.note if door else lambda: None, True)

    with _replaced(server=server, ssl_server_credentials=server_credentials):
        yield


def connect(address: str, tls: Tls | None) -> grpc.Channel:
    """A client's connection: keepalive, and with `tls` our certificate is shown to the server. Connects with its first call."""
    options = list(_CLIENT.items())
    if tls is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate), options)


def reach(address: str, tls: Tls | None, seconds: float = 3.0) -> None:
    """Raises OSError when no aggregator that takes us answers at `address`; the text says why.

    A gRPC channel would say less, and each leaves some memory behind: a client may have to try for days.
    """
    host, port = host_port(address)
    with socket.create_connection((host, port), seconds) as stream:
        if tls:
            context = ssl.create_default_context(cadata=tls.ca.decode())
            context.set_alpn_protocols(["h2"])
            with _as_file(tls.certificate + b"\n" + tls.key) as path:
                context.load_cert_chain(path)
            stream = context.wrap_socket(stream, server_hostname=host)
        try:
            answered = stream.recv(1)  # an HTTP/2 server speaks first (RFC 9113, section 3.4)
        except TimeoutError:
            hint = "it hangs" if tls else "it hangs, or wants TLS: give --tls_dir"
            raise TimeoutError(f"it takes connections but says nothing; {hint}") from None
        if not answered:
            hint = ": our certificate is not of its CA; renew what --tls_dir holds" if tls else ""
            raise ConnectionError(f"it closes the connection at once{hint}")


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path at which OpenSSL finds `content`; it never comes to a disk."""
    handle = os.memfd_create("edgefl")
    try:
        os.write(handle, content)
        os.lseek(handle, 0, os.SEEK_SET)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
