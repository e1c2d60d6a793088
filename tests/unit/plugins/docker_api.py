"""A stand-in for Docker's API, at a socket of its own: for tests without Docker."""

from __future__ import annotations

import http.server
import json
import socketserver
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import without_prefix


class DockerApi(socketserver.ThreadingUnixStreamServer):
    """Knows `answers` by path (a string is a stream of lines, an exception a refusal) and `images`: id by name.

    `asked` are the paths that it was asked for, `loaded` the archives that arrived whole. One with C(refused) in it is refused before it has been read.
    """

    daemon_threads = True

    def __init__(self, path: str) -> None:
        super().__init__(path, _Handler)
        self.answers: dict[str, Any] = {}
        self.images: dict[str, str] = {}
        self.asked: list[str] = []
        self.loaded: list[bytes] = []

    def answer(self, path: str) -> Any:
        """What it says; None when it does not know."""
        self.asked.append(path)
        about = urlsplit(path)
        name, _slash, what = without_prefix(about.path, "/images/").rpartition("/")
        if path in self.answers or name not in self.images:
            return self.answers.get(path)
        if what == "tag":
            new = parse_qs(about.query)
            self.images[f"{new['repo'][0]}:{new['tag'][0]}"] = self.images[name]
            return ""
        return {"Id": self.images[name], "RootFS": {"Layers": []}}


class _Handler(http.server.BaseHTTPRequestHandler):
    server: DockerApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply(self.server.answer(self.path))

    def do_DELETE(self) -> None:
        self.reply(self.server.answer(self.path))

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline() or b"-1", 16):
                if size < 0:
                    return
                data += self.rfile.read(size)
                self.rfile.readline()
                if b"refused" in data:
                    self.close_connection = True
                    self.reply({"message": "Error processing tar file: unexpected EOF"}, 500)
                    return
            # The line after the last chunk
            self.rfile.readline()
            self.server.loaded.append(data)
        self.reply(self.server.answer(self.path))

    def reply(self, value: Any, code: int = 0) -> None:
        if isinstance(value, Exception):
            value, code = {"message": str(value)}, 409
        body = value if isinstance(value, str) else json.dumps({"message": "No such image"} if value is None else value)
        self.send_response(code or (404 if value is None else 200))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_given: object) -> None:
        pass

    def address_string(self) -> str:
        return "docker"
