# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: asks the aggregator's status endpoint."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

# Bytes of an answer at most; what is longer is cut, and then no JSON
MOST = 1 << 22


def fetcher(base: str, timeout: float = 5) -> Callable[..., tuple[int, Any]]:
    """A function that asks for a path below `base` (such as http://127.0.0.1:8889); with a document, it posts that as JSON.

    It gives (HTTP status, parsed JSON or text); (0, the reason) when nothing answers within `timeout` seconds.
    """
    # A proxy is for the way out; the endpoint is on this host. Ansible's open_url reads all certificates of the system for each request, which takes
    # CPU from a training that is asked for news five times a second.
    opener = build_opener(ProxyHandler({}))

    def fetch(path: str, document: Any = None) -> tuple[int, Any]:
        body = None if document is None else json.dumps(document).encode()
        request = Request(base.rstrip("/") + path, body, {"Content-Type": "application/json"} if body else {})
        try:
            with opener.open(request, timeout=timeout) as answer:
                code, body = answer.getcode(), answer.read(MOST)
        except HTTPError as error:
            code, body = error.code, error.read(MOST)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return 0, f"nothing answers ({getattr(error, 'reason', None) or error})"
        text = body.decode(errors="replace").strip()
        try:
            return code, json.loads(text)
        except (ValueError, RecursionError):
            return code, text

    return fetch
