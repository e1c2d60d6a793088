# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: cloudcore's tunnels to edges, through which logs and figures come.

KubeEdge 1.23.1: one that an edge opens while the API server is down stays dead, and the edge does not notice. When its connection ends the edge opens
another. It is ended here on the cloud node (ss(8), C(--kill)), which neither the edge nor a training is touched by.
"""

from __future__ import annotations

import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.command import Run
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import Node

# cloudStream.tunnelPort of cloudcore
PORT = 10004
# Seconds that an edge is without figures before its tunnel is ended, and again
PATIENCE = 60.0


def addresses(nodes: Collection[Node]) -> dict[str, str]:
    """Of edges, by name. A node says its own: one that is another node's, or a whole network, is left out, as the tunnels of others would be ended."""
    count = Counter(node.internal_ip for node in nodes)
    return {
        node.name: node.internal_ip
        for node in nodes
        if node.edge and count[node.internal_ip] == 1 and _is_address(node)
    }


def _is_address(node: Node) -> bool:
    try:
        return bool(ipaddress.ip_address(node.internal_ip))
    except ValueError:
        return False


class Tunnels:
    """Those of this cloud node. `run` runs a command, as root."""

    def __init__(self, run: Run, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._clock = clock
        self._since: dict[str, float] = {}

    def reopen(self, without: Mapping[str, str]) -> list[str]:
        """Takes the addresses by name of the edges that have no figures now. Ends the tunnels of those that have had none for a while; gives their names.

        An edge that is away, or that comes from another address than its node has, has no connection to be ended.
        """
        now = self._clock()
        self._since = {name: self._since.get(name, now) for name in without}
        due = [name for name, since in self._since.items() if now - since >= PATIENCE]
        self._since.update(dict.fromkeys(due, now))
        return [name for name in due if self._end(without[name])]

    def _end(self, address: str) -> bool:
        host = f"[{address}]" if ":" in address else address
        words = ["ss", "--no-header", "--tcp", "--numeric", "--kill", "dst", host, "and", "sport", "=", f":{PORT}"]
        try:
            _code, ended, _said = self._run(words)
        except OSError:
            # No ss(8): the mend stays with the operator
            return False
        return bool(ended.strip())
