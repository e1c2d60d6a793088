# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: asks the API server again and again over one connection, where a C(kubectl) for each question would take too much CPU."""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import os
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient

TIMEOUT = 5.0


class ClusterApi:
    """Reads from the API server with the credentials of a kubeconfig.

    `config` is what C(kubectl config view --raw --flatten --minify -o json) prints: one cluster, one user with a client certificate or a token.
    The server is verified with the kubeconfig's authority, or else with those that the system trusts.
    Raises EdgeflError for a kubeconfig that it can't use.
    """

    def __init__(self, config: Mapping[str, Any], timeout: float = TIMEOUT) -> None:
        try:
            cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
            server = urlsplit(cluster["server"])
        except (KeyError, IndexError, TypeError) as error:
            raise EdgeflError(
                "The kubeconfig names no cluster and user: set edgefl_kubeconfig to that of an administrator."
            ) from error
        if server.scheme != "https" or not server.hostname or cluster.get("insecure-skip-tls-verify"):
            raise EdgeflError(
                f"The kubeconfig's server {cluster['server']} can't be verified: use https, with certificate-authority-data."
            )
        self._headers = {"Accept": "application/json", "User-Agent": "edgefl"}
        self._prefix = server.path.rstrip("/")
        self._connection = http.client.HTTPSConnection(
            server.hostname, server.port or 443, timeout=timeout, context=_context(cluster, user)
        )
        if "client-certificate-data" not in user:
            if "token" not in user:
                raise EdgeflError(
                    "The kubeconfig's user has neither a client certificate nor a token, which are what can be used here."
                )
            self._headers["Authorization"] = f"Bearer {user['token']}"

    def get(self, path: str) -> Any:
        """The JSON document at `path`; None when the server does not know it.

        Raises Transient when there is no answer, and EdgeflError for what the user may not read.
        """
        try:
            answer, body = self._ask(path)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Transient(f"the API server does not answer ({error})") from error
        if answer == 404:
            return None
        if answer != 200:
            kind = EdgeflError if answer in (401, 403) else Transient
            raise kind(f"the API server answers {answer} at {path}")
        try:
            return json.loads(body)
        except ValueError as error:
            raise Transient(f"the API server gives no JSON at {path}") from error

    def _ask(self, path: str) -> tuple[int, bytes]:
        try:
            return self._request(path)
        except (http.client.RemoteDisconnected, ConnectionError):
            # The server closes a connection that was idle for long, which shows with the next question
            self._connection.close()
            return self._request(path)

    def _request(self, path: str) -> tuple[int, bytes]:
        self._connection.request("GET", self._prefix + path, headers=self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


def _context(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    try:
        authority = base64.b64decode(cluster.get("certificate-authority-data", ""), validate=True).decode()
        context = ssl.create_default_context(cadata=authority or None)
        if "client-certificate-data" in user:
            pem = b"\n".join(
                base64.b64decode(user[name], validate=True) for name in ("client-certificate-data", "client-key-data")
            )
            # The library wants a file; this one is in memory, so that the key is never on a disk
            handle = os.memfd_create("client")
            try:
                os.write(handle, pem)
                context.load_cert_chain(f"/proc/self/fd/{handle}")
            finally:
                os.close(handle)
    except (KeyError, ValueError, binascii.Error, ssl.SSLError, OSError) as error:
        raise EdgeflError(
            f"The certificates of the kubeconfig can't be read ({error}): set edgefl_kubeconfig to one that kubectl can use."
        ) from error
    return context
