"""What both ends of the link agree on: one gRPC method, frames of bytes, settings, certificates.

A client opens one stream, /edgefl.Link/Join, and keeps it. Its first frame says who it is, the server's first what it has become; both are
JSON. All further frames belong to messages: a heading (sizes; a note in JSON; the message's head), then its body in chunks. A message of the
server's with "over" in its note, and nothing else, says that no work comes on this connection any more.
"""

from __future__ import annotations

import json
import resource
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import grpc

from edgefl.common.settings import Tls

SERVICE, METHOD = "edgefl.Link", "Join"
OTHER_APP = "edgefl-app-bin"
"""What the aggregator says beside a refusal, as bytes in UTF-8: the app that it has, where the client's is another one."""
VERSION = 1
"""Of what is written here; a client of another one is refused by name."""
LEAST_CHUNK, MOST_CHUNK = 16 * 1024, 512 * 1024
ON_THE_WAY, OF_QUICK, OF_TLS = 32 * 1024 * 1024, 96 * 1024 * 1024, 48 * 1024
"""Bytes that all connections together have on their way in one direction: gRPC holds a chunk of each, however few are sent at a time. More of them where
all are quick, as few of those have something on its way at a time; less what TLS holds of each connection."""
QUICK = 500_000
"""Bytes per second of a quick connection: so many at a time that their chunks matter are more than 1 Gbit/s."""
MOST_BODY = 512 * 1024 * 1024
"""Bytes of the largest body that either side takes; a model must fit into it."""
MOST_FRAME = 1024 * 1024
"""Bytes of the largest frame. gRPC refuses larger ones by their announced length, before anything is kept."""
MOST_NOTE = 64 * 1024
SPARE = 100
"""Connections beyond the clients that may be there, for those that come and go; and files that are not for connections."""
GREETING = 15.0
"""Seconds in which a new connection must have said who it is."""

# A silent peer is noticed after 10 + 15 s. The 15 s leave room for a processor that is starved by training.
# The one timeout is for bytes that the peer's kernel does not take, the other for a ping that its process does not answer.
_BOTH = {
    "keepalive_time_ms": 10_000,
    "keepalive_timeout_ms": 15_000,
    "http2.ping_timeout_ms": 15_000,
    "keepalive_permit_without_calls": 1,
    "http2.max_pings_without_data": 0,
    "http2.min_ping_interval_without_data_ms": 5_000,
    "http2.bdp_probe": 0,  # else windows grow to megabytes a stream, and with a thousand clients that is the memory
    "http2.max_frame_size": MOST_CHUNK,  # a call of the kernel for each 16 KiB otherwise
    "max_receive_message_length": MOST_FRAME,
    "max_send_message_length": MOST_FRAME,
}
_SERVER = _BOTH | {
    "http2.min_recv_ping_interval_without_data_ms": 5_000,  # or it would take the clients' pings for an attack
    "so_reuseport": 0,  # two aggregators on one port would share out the clients between them
    "http2.lookahead_bytes": 16 * 1024,  # what each client may send unasked, four times as much by default
    "max_concurrent_streams": 4,  # of a connection; a client needs one
    "server_handshake_timeout_ms": 5_000,
    "max_connection_idle_ms": int(GREETING * 1000),  # without a stream
}
_CLIENT = _BOTH | {
    "use_local_subchannel_pool": 1,  # a new channel must not inherit the back-off of the last one
    "http2.lookahead_bytes": 2 * MOST_CHUNK,  # the aggregator has one connection with each, the client only this one
    "min_reconnect_backoff_ms": 5_000,  # how long one attempt to connect may take
}


def options(side: dict[str, int]) -> list[tuple[str, int]]:
    """As gRPC takes them (include/grpc/impl/channel_arg_names.h)."""
    return [(f"grpc.{name}", value) for name, value in side.items()]


def server_options(most: int) -> list[tuple[str, int]]:
    """For a server with `most` clients at a time; files that this process may open are left for its own work, whoever connects."""
    files, _dummy = resource.getrlimit(resource.RLIMIT_NOFILE)
    return options(_SERVER | {"max_allowed_incoming_connections": max(1, min(most + SPARE, files - SPARE))})


def client_options() -> list[tuple[str, int]]:
    """For a client's connection."""
    return options(_CLIENT)


def connect(address: str, tls: Tls | None) -> grpc.Channel:
    """A client's connection; with `tls` our certificate is shown to the server. Connects with its first call."""
    if tls is None:
        return grpc.insecure_channel(address, client_options())
    return grpc.secure_channel(
        address, grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate), client_options()
    )


class FrameError(Exception):
    """The other end sent what is no frame of this link, or more than is allowed; the text says what."""


def greeting(about: dict[str, Any]) -> bytes:
    """The first frame of either end."""
    return json.dumps({"version": VERSION} | about, separators=(",", ":")).encode()


def greeted(frame: bytes) -> dict[str, Any]:
    """The other end's greeting. Raises FrameError when it is none, or of another version."""
    try:
        about = json.loads(frame)
        version = about["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise FrameError("a greeting that is none of this link") from err
    if version != VERSION:
        raise FrameError(
            f"the other end speaks version {version!r:.20} of the link, this end {VERSION}: use images of one version"
        )
    return dict(about)


_SIZES = struct.Struct(">QI")


def chunk(connections: int, quick: bool, tls: bool) -> int:
    """Bytes of a chunk of one of so many connections. Larger ones cost less processor time."""
    size = ON_THE_WAY // max(1, connections)
    if quick:
        size = max(size, OF_QUICK // max(1, connections) - (OF_TLS if tls else 0))
    return min(MOST_CHUNK, max(LEAST_CHUNK, size))


def chunk_of(note: dict[str, Any]) -> int:
    """Bytes of a chunk that the other end, whose note this is, wants. Raises FrameError."""
    size = note.get("chunk")
    if not isinstance(size, int) or not LEAST_CHUNK <= size <= MOST_CHUNK:
        raise FrameError(f"a message in chunks of {size!r:.20} bytes")
    return size


def frames(
    note: dict[str, Any], head: bytes, body: Sequence[bytes], size: int = MOST_CHUNK, cut: Cut | None = None
) -> Iterator[bytes]:
    """A message as it is sent, in chunks of `size` bytes; its body may come in pieces. `note` is what the link itself tells beside it."""
    text = json.dumps(note, separators=(",", ":")).encode()
    yield _SIZES.pack(sum(map(len, body)), len(text)) + text + head
    for piece in body:
        yield from cut.chunks(piece, size) if cut else chunks(piece, size)


def chunks(piece: bytes, size: int) -> Iterator[bytes]:
    """The chunks of a piece, one after the other."""
    return (piece[at : at + size] for at in range(0, len(piece), size))


class Cut:
    """The chunks of the large piece that was sent last, of the last two sizes: those of a model that a thousand clients get are made once."""

    def __init__(self) -> None:
        self._of = b""
        self._chunks: dict[int, list[bytes]] = {}

    def chunks(self, piece: bytes, size: int) -> Iterable[bytes]:
        if len(piece) <= size:
            return (piece,) if piece else ()
        if self._of is not piece:
            self._of, self._chunks = piece, {}
        found = self._chunks.pop(size, None) or list(chunks(piece, size))
        self._chunks[size] = found
        for old in list(self._chunks)[:-2]:  # sizes change as clients come and go, and each is a copy of the model
            del self._chunks[old]
        return found


def heading(frame: bytes) -> tuple[int, dict[str, Any], bytes]:
    """Size of the body that follows, note and head. Raises FrameError."""
    try:
        size, length = _SIZES.unpack_from(frame)
        if length > MOST_NOTE:
            raise ValueError("a note beyond all bounds")
        note = json.loads(frame[_SIZES.size : _SIZES.size + length])
        if not isinstance(note, dict):
            raise ValueError("a note that is no object")
    except (ValueError, struct.error, RecursionError) as err:
        raise FrameError(f"a heading that is none ({err})") from err
    if size > MOST_BODY:
        raise FrameError(f"announced a message of {size} bytes; {MOST_BODY} are allowed")
    return size, note, frame[_SIZES.size + length :]
