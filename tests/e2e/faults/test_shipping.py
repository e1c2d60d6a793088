"""Images are on their way to the edges while the lab trains, and one of the edges dies, or was taken over: the other one has its image all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from e2e.faults.inflict import suffer
from e2e.faults.table import DYING_EDGE, TAKE_OVER, TAKEN_OVER, Fault
from e2e.faults.training import Row, Training, console
from support.running_lab import Lab
from support.ship_nodes import build, forget, ship

pytestmark = pytest.mark.long
REPOSITORY = "edgefl-fault-test/app"
IMAGE = f"{REPOSITORY}:1"
MEGABYTES = 60
# Half of it for each edge: slow enough that an edge can die meanwhile
BANDWIDTH = "4MB"
CHUNK = 8 << 20


# An image has a second name, its digest, which keeps its layers as well: that of an image without another name goes, too
TAKE_AWAY = f"""
ctr --namespace=k8s.io images rm --sync docker.io/{IMAGE}
ctr --namespace=k8s.io images ls | awk '
  NR > 1 {{ if ($1 ~ /^sha256:/) second[$1] = $3; else kept[$3] = 1 }}
  END {{ for (name in second) if (!(second[name] in kept)) print name }}
' | xargs --no-run-if-empty ctr --namespace=k8s.io images rm --sync
"""


def take_away() -> None:
    """No edge has the image, nor its layers."""
    forget(REPOSITORY)
    for edge in ("edge1", "edge2"):
        done = console(edge, TAKE_AWAY)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def image() -> Iterator[str]:
    """An image that no edge has; afterwards neither."""
    take_away()
    build(IMAGE, MEGABYTES)
    yield IMAGE
    take_away()


class Shipping:
    """Calls of image_ship for both edges, as the playbooks make them."""

    def __init__(self, lab: Lab, image: str, folder: Path) -> None:
        targets = [
            {
                "name": edge,
                "host": lab.hosts[edge]["ansible_host"],
                "user": "edgefl",
                "installed": True,
                "runtime": "containerd",
                "known_hosts": f"/etc/edgefl/ssh/known_hosts.d/{edge}",
            }
            for edge in ("edge1", "edge2")
        ]
        self.ship = partial(ship, folder, targets, [image])
        self.aside = ThreadPoolExecutor(1)
        self.first: Future[Any] = Future()

    def begin(self) -> None:
        """Begins the first call."""
        self.first = self.aside.submit(self.ship, bandwidth=BANDWIDTH)

    def nodes(self) -> dict[str, Any]:
        """What it did, by the edge."""
        return dict(self.first.result(300)[0]["nodes"])

    def again(self) -> dict[str, Any]:
        """What another call does, by the edge."""
        return dict(self.ship()[0]["nodes"])


@pytest.fixture
def shipping(lab: Lab, image: str, tmp_path: Path) -> Iterator[Shipping]:
    made = Shipping(lab, image, tmp_path)
    yield made
    made.aside.shutdown()


def test_an_edge_dies(trainings: Training, rows: list[Row], shipping: Shipping) -> None:
    """What has arrived at it is not sent again, be it by the same call or the next one."""
    rows.append(suffer(DYING_EDGE, trainings, shipping.begin))
    first, again = shipping.nodes(), shipping.again()
    assert not first["edge2"]["failed"], first
    assert first["edge1"]["failed"] or first["edge1"]["cuts"] > 0, first
    assert not any(node["failed"] for node in again.values()), again
    sent = first["edge1"]["bytes"] + again["edge1"]["bytes"]
    assert MEGABYTES * 1_000_000 < sent < MEGABYTES * 1_000_000 + 2 * CHUNK


@pytest.fixture
def taken_over() -> Iterator[Fault]:
    """Edge2, where another program stands in the place of the one that takes images."""
    done = console(TAKEN_OVER.on, TAKE_OVER)
    assert done.returncode == 0, done.stderr
    yield TAKEN_OVER
    console(TAKEN_OVER.on, TAKEN_OVER.undo)


def test_an_edge_was_taken_over(
    trainings: Training, rows: list[Row], taken_over: Fault, shipping: Shipping, show: Callable[[str], None]
) -> None:
    """What it says without end is cut off, and told of that edge alone; when it is mended it gets its image."""
    rows.append(suffer(taken_over, trainings, shipping.begin))
    first, again = shipping.nodes(), shipping.again()
    show(f"  {first['edge2']['msg']}")
    assert first["edge2"]["failed"] and "says what the agent never says" in first["edge2"]["msg"], first
    assert first["edge2"]["msg"].isprintable() and len(first["edge2"]["msg"]) < 1200
    assert not first["edge1"]["failed"] and first["edge1"]["changed"], first
    assert not any(node["failed"] for node in again.values()), again
