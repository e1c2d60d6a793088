"""gRPC settings that Flower's start_server and start_client don't offer: keepalive, mutual TLS, who the peer is.

Flower calls grpc's public constructors; while one of the context managers here is open they get these settings added.
The option names are gRPC's channel arguments (include/grpc/impl/channel_arg_names.h).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from .settings import Tls

MAX_MESSAGE = 512 * 1024 * 1024
"""Bytes of the largest message either side takes; a model must fit into it."""

# A silent peer is noticed after 10 + 15 s. The 15 s leave room for a processor that is starved by training.
_KEEPALIVE = {
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 15_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.max_pings_without_data": 0,
}
_SERVER = _KEEPALIVE | {
    "grpc.http2.min_recv_ping_interval_without_data_ms": 5_000,  # or it would take the clients' pings for an attack
    "grpc.http2.min_ping_interval_without_data_ms": 5_000,
    "grpc.so_reuseport": 0,  # two aggregators on one port would share out the clients between them
}
_CLIENT = _KEEPALIVE | {
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


class _NotePeer(grpc.ServerInterceptor):
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
            ]
            _local.peer = Peer(context.peer(), frozenset(name.decode(errors="replace") for name in names))
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


def _merged(options: Any, ours: dict[str, int]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in options or () if key not in ours] + list(ours.items())


@contextmanager
def server_side(tls: Tls | None) -> Iterator[None]:
    """For start_server: keepalive, notes of who calls, and with `tls` only callers whose certificate the CA signed."""
    make, credentials = grpc.server, grpc.ssl_server_credentials

    def server(pool: Any, *, options: Any = None, interceptors: Any = None, **more: Any) -> Any:
        return make(pool, options=_merged(options, _SERVER), interceptors=[*(interceptors or ()), _NotePeer()], **more)

    def server_credentials(pairs: Any, root_certificates: Any = None, require_client_auth: bool = False) -> Any:
        return credentials(pairs, root_certificates=root_certificates, require_client_auth=True)

    with _replaced(server=server, ssl_server_credentials=server_credentials):
        yield


@contextmanager
def client_side(tls: Tls | None) -> Iterator[None]:
    """For start_client: keepalive, and with `tls` our certificate is shown to the server."""
    insecure, secure, credentials = grpc.insecure_channel, grpc.secure_channel, grpc.ssl_channel_credentials

    def insecure_channel(target: str, options: Any = None, **more: Any) -> Any:
        return insecure(target, options=_merged(options, _CLIENT), **more)

    def secure_channel(target: str, creds: Any, options: Any = None, **more: Any) -> Any:
        return secure(target, creds, options=_merged(options, _CLIENT), **more)

    def channel_credentials(root_certificates: Any = None, *_: Any, **__: Any) -> Any:
        return credentials(root_certificates, tls.key if tls else None, tls.certificate if tls else None)

    with _replaced(
        insecure_channel=insecure_channel, secure_channel=secure_channel, ssl_channel_credentials=channel_credentials
    ):
        yield
