"""An HTTP server for small requests of whoever reaches the port: bounded in time, size and number. Nothing here knows what is served."""

from __future__ import annotations

import contextlib
import io
import re
import resource
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edgefl.common.journal import short_of_files
from edgefl.common.settings import host_port

DEADLINE = 10.0
"""Seconds for a whole request, however slowly it drips, and as many for its answer."""
MOST = 64
"""Connections at a time, at all addresses together; the oldest one makes room for a new one: a request that is honest is answered in milliseconds."""
LONGEST = 16384
"""Bytes of a request without its body."""
_LENGTH = re.compile(rb"\r?\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r?\n", re.IGNORECASE)
_CONTINUE = re.compile(rb"\r?\nexpect:[ \t]*100-continue[ \t]*\r?\n", re.IGNORECASE)


class Handler(BaseHTTPRequestHandler):
    """Answers one request. `longest_body` is what a subclass takes of a body, in bytes."""

    server_version = "edgefl"
    sys_version = ""
    longest_body = 0
    timeout = DEADLINE  # of each call on the socket; sendall() has it for all that it sends

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(io.BytesIO(self._request()))

    def _request(self) -> bytes:
        """All of a request, or nothing of one that is too slow or too long; of one whose body is too long, what comes before the body."""
        end = time.monotonic() + DEADLINE
        found = bytearray()
        whole = 0
        with contextlib.suppress(OSError):
            while (left := end - time.monotonic()) > 0 and (whole or len(found) <= LONGEST):
                self.connection.settimeout(left)
                chunk = self.connection.recv(65536 if whole else 4096)
                found += chunk
                if not whole:
                    whole = self._length(found)
                if not chunk or 0 < whole <= len(found):
                    self.connection.settimeout(DEADLINE)
                    return bytes(found)
        return b""

    def _length(self, found: bytearray) -> int:
        """Bytes of the whole request; 0 as long as its head is not there."""
        for mark in (b"\r\n\r\n", b"\n\n"):
            head = found.find(mark)
            if head >= 0:
                head += len(mark)
                length = _LENGTH.search(found, 0, head)
                body = int(length[1]) if length else 0
                if body > self.longest_body:
                    return head
                if body and _CONTINUE.search(found, 0, head):
                    self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                return head + body
        return 0

    def answer(self, code: int, kind: str, body: bytes) -> None:
        """Send the whole answer; `kind` is its media type."""
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Probes come every few seconds: not logged."""


class Server(ThreadingHTTPServer):
    """Has its part of `most` connections at a time, of which `share` servers have one each, at HOST:PORT. Raises OSError when it is taken."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: str, handler: type[Handler], most: int = MOST, share: int = 1) -> None:
        self.most = max(1, min(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4) // share)
        self._left = threading.Condition()
        self._open: dict[socket.socket, None] = {}
        host, port = host_port(address)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

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
