# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: images from this host's Docker to the runtimes of many nodes at once.

What there is (source.py), what is decided (plan.py), which files a node has (copies.py), how it is cut (chunks.py), how it goes over a connection
(link.py, to agent.py on the node) and from which neighbour (relay.py) are apart; transfer.py brings them together for one target, this file for all.
"""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.agent import AgentError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.chunks import Limit
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.link import Target
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.plan import Settings
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.relay import Relay
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.source import Source
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.transfer import SharedArchives, Transfer


class Fleet:
    """All transfers of one call. `wanted` are the targets, each with the names of its images; the images are looked up at once."""

    def __init__(self, source: Source, wanted: list[tuple[Target, list[str]]], settings: Settings) -> None:
        names = list(dict.fromkeys(name for _target, mine in wanted for name in mine))
        images = {image.name: image for image in source.images(names)}
        self.source = source
        self.settings = settings
        self.repositories = sorted({image.full_name.rpartition(":")[0] for image in images.values()})
        self.names = [image.full_name for image in images.values()]
        self.archives = SharedArchives(source, settings.chunk)
        limit, sender = Limit(settings.bandwidth), uuid.uuid4().hex
        turns = threading.Semaphore(settings.parallel or max(len(wanted), 1))
        near = [target for target, _mine in wanted] if settings.relay and not settings.check_mode else []
        relay = Relay(near, settings.relay_port, settings.timeout)
        self.transfers = [
            Transfer(
                target,
                [images[name] for name in mine],
                self.archives,
                limit,
                turns,
                settings,
                sender,
                relay.member(target),
            )
            for target, mine in wanted
        ]

    def run(self) -> dict[str, Any]:
        """Brings all images to all targets, and returns the results of the module image_ship."""
        begin = time.monotonic()
        try:
            with ThreadPoolExecutor(max(len(self.transfers), 1)) as pool:
                results = list(pool.map(Transfer.run, self.transfers))
        finally:
            self.archives.close()
        nodes = {transfer.target.name: result for transfer, result in zip(self.transfers, results)}
        removed = self._tidy()
        return {
            "changed": any(node["changed"] for node in results) or bool(removed),
            "nodes": nodes,
            "table": table(nodes),
            "bytes": sum(node["bytes"] for node in results),
            "relayed": sum(node["relayed"] for node in results),
            "removed": removed,
            "seconds": round(time.monotonic() - begin, 2),
            "whole": any(node["whole"] for node in results),
            "note": self.source.note if any(node["whole"] for node in results) else "",
        }

    def progress(self) -> list[dict[str, Any]]:
        """How far each target is."""
        return [transfer.counter.record() for transfer in self.transfers]

    def stop(self) -> None:
        """Ends all transfers, from another thread."""
        for transfer in self.transfers:
            transfer.stop()

    def _tidy(self) -> list[str]:
        """Old images of this host's own Docker that were removed, or would be."""
        if not self.settings.keep:
            return []
        docker = self.source.docker
        try:
            old = docker.old(self.repositories, self.settings.keep, self.names)
            if not self.settings.check_mode:
                docker.remove(old)
        except AgentError as error:
            raise EdgeflError(
                f"Old images cannot be removed on the host that built them ({error}): see to its Docker, and run this again."
            ) from error
        return old


def table(nodes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each image of each node: C(node), C(image), C(reason), C(sent), C(relayed) and C(saved) (bytes), C(seconds)."""
    rows = []
    for name, node in nodes.items():
        failed = {"reason": f"failed: {node['msg']}"} if node["failed"] else {}
        beside = ["the app beside the image is another"] if node["app"] else []
        for image in node["images"] or [
            {"name": "", "reason": "", "wire": 0, "relayed": 0, "saved": 0, "seconds": node["seconds"]}
        ]:
            row = {
                "node": name,
                "image": image["name"],
                "reason": "; ".join(filter(None, [image["reason"], *beside])),
                "sent": image["wire"],
                "relayed": image["relayed"],
                "saved": image["saved"],
                "seconds": image["seconds"],
            }
            rows.append({**row, **failed})
    return rows
