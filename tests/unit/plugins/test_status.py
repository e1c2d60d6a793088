"""Asking the aggregator's status endpoint."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import status
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.status import fetcher

ANSWERS = {"/status": (200, b'{"run": "r1"}'), "/readyz": (503, b"waits for TensorFlow\n")}


class Endpoint(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        code, body = ANSWERS.get(self.path, (404, b"no such page"))
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_given: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Endpoint) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def test_answers_of_every_kind(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens there: a proxy is for the way out
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    fetch = fetcher(f"http://127.0.0.1:{server.server_port}/")
    assert fetch("/status") == (200, {"run": "r1"})
    assert fetch("/readyz") == (503, "waits for TensorFlow")
    assert fetch("/nothing") == (404, "no such page")


def test_nothing_answers(server: HTTPServer) -> None:
    server.server_close()
    code, why = fetcher(f"http://127.0.0.1:{server.server_port}", timeout=1)("/status")
    assert code == 0 and why.startswith("nothing answers (")


def test_an_answer_without_end_is_cut(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "/status", (200, b"x" * (3 * status.MOST)))
    monkeypatch.setitem(ANSWERS, "/readyz", (503, b"[" * 200_000))
    fetch = fetcher(f"http://127.0.0.1:{server.server_port}")
    assert len(fetch("/status")[1]) == status.MOST
    assert fetch("/readyz") == (503, "[" * 200_000)
