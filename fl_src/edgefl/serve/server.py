"""The endpoint: paths of the Open Inference Protocol, one model. Not ready until the model is loaded and has answered its example."""

from __future__ import annotations

import json
import threading
from typing import Any

from edgefl import __version__
from edgefl.apps import Array
from edgefl.common.http import Handler, Server
from edgefl.serve import protocol
from edgefl.serve.predictor import ModelError, Predictor

LONGEST = 4 << 20
"""Bytes of a request's body: a thousand images of 28 x 28 numbers."""
MOST = 16
"""Connections at a time, each of which may hold a body."""
WAIT = 30.0
"""Seconds that a request waits for those before it: one prediction is made at a time."""


class Endpoint:
    """What is served under `name`; `ready` when there is a predictor, else `reason` tells why not."""

    def __init__(self, name: str, version: str) -> None:
        self.name, self.version = name, version
        self.reason = "the model is being loaded"
        self._turn = threading.Lock()
        self._predictor: Predictor | None = None
        self._metadata: dict[str, Any] = {}

    def open(self, predictor: Predictor) -> None:
        """Answer from now on with this model. Raises ModelError when it can't answer its example."""
        outputs = predictor.predict(predictor.example())
        self._metadata = protocol.metadata(self.name, self.version, predictor, outputs)
        self.reason, self._predictor = "", predictor

    @property
    def ready(self) -> bool:
        return self._predictor is not None

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Code and document for a GET."""
        if path == "/v2":
            return 200, {"name": "edgefl", "version": __version__, "extensions": []}
        if path == "/v2/health/live":
            return 200, {"live": True}
        if path == "/v2/health/ready":
            return (200, {"ready": True}) if self.ready else (503, {"ready": False, "error": self.reason})
        rest = self._of_model(path)
        if rest == "/ready":
            about = {"name": self.name, "ready": self.ready}
            return (200, about) if self.ready else (503, about | {"error": self.reason})
        if rest == "":
            return (200, self._metadata) if self.ready else (503, {"error": self.reason})
        return self._unknown()

    def post(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Code and document for a POST."""
        if self._of_model(path) != "/infer":
            return self._unknown()
        if self._predictor is None:
            return 503, {"error": self.reason}
        if not self._turn.acquire(timeout=WAIT):
            return 503, {"error": f"busy: other predictions took more than {WAIT:g} s; ask again later, or for fewer"}
        try:
            batch, number = protocol.inputs(body, self._predictor)
            outputs: Array = self._predictor.predict(batch)
        except protocol.RequestError as err:
            return 400, {"error": str(err)}
        except (ModelError, MemoryError) as err:
            return 500, {"error": str(err) or "there is no memory for so many inputs at once"}
        finally:
            self._turn.release()
        answer = {
            "model_name": self.name,
            "model_version": self.version,
            "outputs": [protocol.tensor(protocol.OUTPUT, outputs)],
        }
        return 200, answer | ({} if number is None else {"id": number})

    def _of_model(self, path: str) -> str | None:
        """What follows the model's name, and its version where that is given; None when it is another's."""
        for begin in (f"/v2/models/{self.name}/versions/{self.version}", f"/v2/models/{self.name}"):
            if path == begin or path.startswith(f"{begin}/"):
                return path[len(begin) :]
        return None

    def _unknown(self) -> tuple[int, dict[str, Any]]:
        return 404, {
            "error": f"there are /v2/health/live, /v2/health/ready, and GET /v2/models/{self.name}, POST /v2/models/{self.name}/infer"
        }


class _Handler(Handler):
    server: _Server
    longest_body = LONGEST

    def do_GET(self) -> None:  # noqa: N802 - the name is that of http.server
        self._tell(*self.server.endpoint.get(self.path.partition("?")[0]))

    def do_HEAD(self) -> None:  # noqa: N802 - the name is that of http.server
        self.do_GET()

    def do_POST(self) -> None:  # noqa: N802 - the name is that of http.server
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            return self._tell(411, {"error": "Content-Length is needed"})
        if int(length) > LONGEST:
            return self._tell(
                413,
                {"error": f"the body has {length[:20]} bytes, more than {LONGEST}: ask for fewer predictions at once"},
            )
        return self._tell(*self.server.endpoint.post(self.path.partition("?")[0], self.rfile.read(int(length))))

    def _tell(self, code: int, document: dict[str, Any]) -> None:
        self.answer(code, "application/json", json.dumps(document, allow_nan=False).encode() + b"\n")


class _Server(Server):
    def __init__(self, address: str, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        super().__init__(address, _Handler, MOST)


def serve(address: str, endpoint: Endpoint) -> int:
    """Answer at `address` (HOST:PORT) from a thread of its own; gives the port. Raises OSError when it is taken."""
    server = _Server(address, endpoint)
    threading.Thread(target=server.serve_forever, name="endpoint", daemon=True).start()
    return int(server.server_port)
