"""Two network namespaces joined by a cable that can be cut. Nothing leads out of them."""

from __future__ import annotations

import subprocess
import uuid

SERVER, CLIENT = "10.254.7.1", "10.254.7.2"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


class Cable:
    """Namespaces `cloud` (address SERVER) and `edge` (CLIENT). Needs root."""

    def __init__(self) -> None:
        mark = uuid.uuid4().hex[:8]
        self.cloud, self.edge = f"edgefl-cloud-{mark}", f"edgefl-edge-{mark}"
        ip("netns", "add", self.cloud)
        ip("netns", "add", self.edge)
        ip("link", "add", "cable", "netns", self.cloud, "type", "veth", "peer", "name", "cable", "netns", self.edge)
        for name, address in ((self.cloud, SERVER), (self.edge, CLIENT)):
            ip("-n", name, "address", "add", f"{address}/30", "dev", "cable")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "cable", "up")

    def cut(self) -> None:
        ip("-n", self.edge, "link", "set", "cable", "down")

    def mend(self) -> None:
        ip("-n", self.edge, "link", "set", "cable", "up")

    def remove(self) -> None:
        for name in (self.edge, self.cloud):
            ip("netns", "del", name)
