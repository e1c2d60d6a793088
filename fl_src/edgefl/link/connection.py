"""A client's end of the link: connected for ever, or trying to be, in threads of its own. What arrives waits in a queue for the one who works."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import grpc

from edgefl.common.journal import say
from edgefl.common.settings import Tls, host_port
from edgefl.link import wire

SHORTEST, LONGEST = 0.3, 2.0
"""Seconds between two tries, doubling from one to the other; each is drawn at random below that (jitter)."""
REPORT_EVERY = 10.0

Message = tuple[dict[str, Any], bytes, bytes]


class Owner(Protocol):
    """What a connection asks the client."""

    def greeting(self) -> dict[str, Any]:
        """Who it is, and in `holds` the messages that it has from before."""

    def refused(self, app: str) -> None:
        """The aggregator has this app, which is another one."""

    def welcomed(self, welcome: dict[str, Any]) -> None:
        """The aggregator took it. Called before any message of this connection comes."""

    def over(self) -> None:
        """No work comes on this connection any more."""

    def left(self) -> None:
        """There is no connection any more."""


class Connection:
    """Starts at once. `inbox` gets (note, head, body) of each message; `end` of a note is when nobody waits for the answer any more (time.monotonic)."""

    def __init__(self, address: str, tls: Tls | None, owner: Owner) -> None:
        self._address, self._tls, self._owner = address, tls, owner
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._chunk = wire.MOST_CHUNK
        self._call: Any = None
        self._again = False
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._keep, name="link", daemon=True).start()

    def send(self, note: dict[str, Any], head: bytes, body: Sequence[bytes]) -> None:
        """Send on the connection that is there now; where none is, it goes nowhere, and the next greeting says that it is held."""
        for frame in wire.frames(note, head, body, self._chunk):
            self._outbox.put(frame)

    def greet_again(self) -> None:
        """What the greeting said is no longer so: end the connection that is there now, for another one. What is on its way comes again."""
        call = self._call
        if call is not None:
            self._again = True
            call.cancel()

    def _keep(self) -> None:
        delay, told = SHORTEST, 0.0
        while True:
            begin = time.monotonic()
            try:
                reach(self._address, self._tls)
                with wire.connect(self._address, self._tls) as channel:
                    why = self._converse(channel)
            except grpc.RpcError as err:
                why = f"{err.code().name}: {err.details()}" if isinstance(err, grpc.Call) else repr(err)
                for key, value in (err.trailing_metadata() or ()) if isinstance(err, grpc.Call) else ():
                    if key == wire.OTHER_APP:
                        self._owner.refused(value.decode(errors="replace"))
            except (OSError, wire.FrameError) as err:
                why = str(err)
            self._owner.left()
            if self._again:
                self._again = False
                continue
            if time.monotonic() - begin > LONGEST:  # it was connected, or took long enough to fail
                delay = SHORTEST
            if time.monotonic() - told >= REPORT_EVERY or not told:
                say(f"no aggregator at {self._address} ({why}): trying again for ever")
                told = time.monotonic()
            time.sleep(random.uniform(delay / 2, delay))
            delay = min(LONGEST, delay * 2)

    def _converse(self, channel: grpc.Channel) -> str:
        """Take messages until the aggregator ends the connection; gives who ended it."""
        # one of its own for each connection: what was for the last one must not come before the greeting
        outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._outbox = outbox
        while not self.inbox.empty():  # what waits is not held: it comes again, if it is still wanted
            with contextlib.suppress(queue.Empty):
                self.inbox.get_nowait()
        outbox.put(wire.greeting(self._owner.greeting()))
        try:
            call = self._call = channel.stream_stream(f"/{wire.SERVICE}/{wire.METHOD}")(iter(outbox.get, None))
            incoming = iter(call)
            first = next(incoming, None)
            if first is None:
                return "the aggregator ended the connection"
            self._owner.welcomed(wire.greeted(first))
            say("joined the aggregator")
            for frame in incoming:
                note, head, body = self._rest(frame, incoming)
                if note.get("over"):
                    self._owner.over()
                    continue
                self._chunk = wire.chunk_of(note)
                self.inbox.put((note | {"end": time.monotonic() + float(note["seconds"])}, head, body))
                del head, body
        finally:
            self._call = None
            outbox.put(None)  # ends the thread in which gRPC waits for something to send
        return "the aggregator ended the connection"

    def _rest(self, frame: bytes, incoming: Iterator[bytes]) -> Message:
        size, note, head = wire.heading(frame)
        chunks, got = [], 0
        while got < size:
            chunk = next(incoming, None)
            if chunk is None:
                raise wire.FrameError("the connection ended in the middle of a message")
            chunks.append(chunk)
            got += len(chunk)
        return note, head, b"".join(chunks)


def reach(address: str, tls: Tls | None, seconds: float = 3.0) -> None:
    """Raises OSError when no aggregator that takes us answers at `address`; the text says why.

    gRPC would only say that it could not connect. With TLS 1.3 a server refuses our certificate after the handshake.
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
