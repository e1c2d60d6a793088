# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: a thin client for Kubernetes. It runs C(kubectl), so that the host needs no Python library."""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.command import Run, runner
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient

# One request that hangs must not use up all the time of a waiter
REQUEST_TIMEOUT = "20s"

# What kubectl says while an API server (or its etcd) stops or starts. One that has not yet loaded its roles forbids everything, even to the
# administrator; where somebody really has no right, a waiter ends with that reason.
TRANSIENT = re.compile(
    r"connection refused|was refused|connection reset|connection lost|no route to host|i/o timeout|handshake timeout"
    r"|deadline exceeded|Client\.Timeout|unexpected EOF|: EOF|\(ServiceUnavailable\)|unable to handle the request"
    r"|\(Unauthorized\)|\(Forbidden\)|\(InternalError\)|\(Timeout\)|\(TooManyRequests\)|etcdserver|leader changed|server is starting"
    r"|unable to retrieve the complete list of server APIs|apiserver not ready",
    re.IGNORECASE,
)
NO_PREVIOUS = re.compile(r"previous terminated container .* not found|unable to retrieve container logs")
NOT_FOUND = re.compile(r"\(NotFound\)|doesn't have a resource type", re.IGNORECASE)


class NotFound(EdgeflError):  # noqa: N818 - an answer, not a mistake
    """The API server answered that it does not know what was asked for."""


def for_module(module: Any, kubeconfig: str) -> Kubectl:
    """The client of an AnsibleModule; a kubectl that is not there is reported in our own words."""
    return Kubectl(runner(module), kubeconfig)


class Kubectl:
    """Runs C(kubectl --kubeconfig X).

    `run` is like C(module.run_command): it takes the list of arguments and C(data) for its standard input, and gives (rc, out, err).
    Every method raises Transient when the API server does not answer now, and EdgeflError for what does not go away by itself.
    """

    def __init__(self, run: Run, kubeconfig: str) -> None:
        self.run = run
        self.kubeconfig = kubeconfig

    def call(self, arguments: list[str], data: str | None = None) -> str:
        """Runs one command and returns its standard output; NotFound when the API server says so."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, f"--request-timeout={REQUEST_TIMEOUT}", *arguments]
        try:
            code, output, errors = self.run(command, data=data)
        except OSError as error:
            raise EdgeflError(
                f"The command kubectl cannot be run ({error}): install it on this host, or run this on the cloud node."
            ) from error
        if code:
            self._raise(arguments, code, errors.strip() or output.strip())
        return output

    def get(
        self,
        kind: str,
        name: str | None = None,
        namespace: str | None = None,
        selector: str | None = None,
    ) -> Any:
        """With `name` the object (dict), or None when it is not there; without, the list of objects.

        Without `namespace`, objects of all namespaces (or such as have none) are listed.
        """
        arguments = ["get", kind, "-o", "json"]
        if name is not None:
            arguments += [name, "--ignore-not-found"]
        if namespace is not None:
            arguments += ["-n", namespace]
        elif name is None:
            arguments.append("-A")
        if selector is not None:
            arguments += ["-l", selector]
        output = self.call(arguments)
        if name is not None:
            return self._json(arguments, output) if output.strip() else None
        return self._json(arguments, output)["items"]

    def raw(self, path: str) -> Any:
        """What the API server answers at `path`: parsed where it is JSON, else the text without white space around it."""
        output = self.call(["get", "--raw", path]).strip()
        try:
            return json.loads(output)
        except ValueError:
            return output

    def logs(
        self, pod: str, namespace: str, tail: int = 20, container: str | None = None, previous: bool = False
    ) -> str:
        """The last `tail` lines that a pod wrote (-1 for all); empty when it wrote none, or has not started yet.

        With `previous` those of its container before the last start; empty when there is none, or the node has no log of it any more.
        """
        arguments = ["logs", pod, "-n", namespace, f"--tail={tail}"]
        if container is not None:
            arguments += ["-c", container]
        if previous:
            arguments.append("--previous")
        try:
            text = self.call(arguments)
        except EdgeflError as error:
            if "is waiting to start" in error.message or (previous and NO_PREVIOUS.search(error.message)):
                return ""
            raise
        # An edge's kubelet says so as if it were the log
        return "" if previous and NO_PREVIOUS.match(text) else text

    def _json(self, arguments: list[str], output: str) -> Any:
        try:
            return json.loads(output)
        except ValueError as error:
            raise EdgeflError(f"kubectl {' '.join(arguments)} gave no JSON ({error}): {output[:200]!r}") from error

    def _raise(self, arguments: list[str], code: int, text: str) -> None:
        # kubectl repeats its tries, one line each; the last line is the one for people
        reason = text.splitlines()[-1] if text else f"exit code {code}, no output"
        if self.kubeconfig in text and "no such file" in text:
            raise EdgeflError(
                f"The kubeconfig {self.kubeconfig} does not exist on this host: set edgefl_kubeconfig to the cluster's admin kubeconfig."
            )
        if self.kubeconfig in text and "permission denied" in text:
            raise EdgeflError(
                f"The kubeconfig {self.kubeconfig} cannot be read: run this with become, or set edgefl_kubeconfig to one that can."
            )
        message = f"kubectl {' '.join(arguments)}: {reason}"
        if NOT_FOUND.search(text):
            raise NotFound(message)
        if TRANSIENT.search(text):
            raise Transient(message)
        raise EdgeflError(message)
