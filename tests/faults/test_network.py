"""The network of an edge is cut, and comes back: real network namespaces, so no end is told that the other is gone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.conftest import Recovered
from faults.namespaces import CLIENT, SERVER, Cable
from faults.test_peers import BACK, JOINED, since, with_all
from support.helpers import bring
from support.processes import Federation, Program, until


@pytest.fixture
def cable() -> Iterator[Cable]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root: run the tests as root")
    bring("ip", "iproute2")
    made = Cable()
    yield made
    made.remove()


@pytest.fixture
def apart(federation: Federation, cable: Cable, tmp_path: Path) -> Iterator[tuple[Federation, Program]]:
    """An aggregator that trains with edge2 beside it, and with edge1 at the other end of the cable."""
    made = Federation(tmp_path, host=SERVER)
    aggregator = made.aggregator(
        "--rounds=10000", "--min_round_samples=0.3", "--min_sample_size=1", "--min_num_clients=1",
        f"--state_dir={tmp_path / 'state'}", netns=cable.cloud,
    )  # fmt: skip
    made.light_client("edge2", 500, 1_500, fit=0.6, netns=cable.cloud)
    made.light_client("edge1", 0, 500, fit=0.6, netns=cable.edge, pod="far")
    with_all(aggregator, 0)
    yield made, aggregator
    made.close()


def test_a_cut_network(apart: tuple[Federation, Program], cable: Cable, recovered: Recovered) -> None:
    """
    An edge and a region are cut off: each is one part that is lost, and is back as soon as its network is. The region's clients stay with it. In one test, as
    most of its time is that of gRPC's pings.
    """
    federation, aggregator = apart
    far = federation.programs[-1]
    inside, region = federation.region("north", host=CLIENT, netns=cable.edge)
    clients = [
        inside.light_client(f"edge{number}", start, stop, fit=0.6, netns=cable.edge)
        for number, start, stop in ((3, 1_500, 2_000), (4, 2_000, 3_000))
    ]
    with_all(aggregator, 0, 3)
    time.sleep(0.3)  # into the next round
    before = len(federation.rounds(aggregator))

    def of_the_region(what: str) -> int:
        """How often the aggregator said that of the region."""
        return sum("north/" in row and what in row for row in aggregator.err.read_text().splitlines())

    cable.cut()
    begin = time.monotonic()
    until(lambda: aggregator.told("edge1/far left"), "the aggregator notices")
    recovered("network cut in a round: cut -> the aggregator goes on without the edge", since(begin), 30)
    until(lambda: of_the_region(" left"), "the aggregator notices that the region is away")
    recovered("region cut off in a round: cut -> the root goes on without it", since(begin), 30)
    until(lambda: far.told("no aggregator at"), "the client notices")
    recovered("network cut in a round: cut -> the client looks for the aggregator again", since(begin), 30)
    until(lambda: region.told("no aggregator at"), "the region notices", 30)
    lost = {one["node"]: one["reason"] for one in federation.event(aggregator, "round", before + 1)["lost"]}
    assert lost == dict.fromkeys(("edge1", "north"), "the connection was lost")
    time.sleep(4)  # until they try at the longest distance
    before = len(federation.rounds(aggregator))
    joined = of_the_region(JOINED)
    cable.mend()
    begin = time.monotonic()
    until(lambda: aggregator.told("edge1/far joined", 2), "the client")
    recovered("network cut in a round: it is back -> the edge has joined", since(begin), BACK)
    until(lambda: of_the_region(JOINED) > joined, "the region")
    recovered("region cut off in a round: its network is back -> it has joined", since(begin), BACK)
    with_all(aggregator, before, 3)
    assert all(
        one.lives and one.told("joined the aggregator") and not one.told("no aggregator at", 2) for one in clients
    )


def test_a_short_cut_loses_nothing(apart: tuple[Federation, Program], cable: Cable, recovered: Recovered) -> None:
    """TCP sends again what was lost: the round waits, and keeps its samples."""
    federation, aggregator = apart
    time.sleep(0.3)
    before = len(federation.rounds(aggregator))
    cable.cut()
    time.sleep(3)
    cable.mend()
    begin = time.monotonic()
    line = federation.event(aggregator, "round", before + 1)
    recovered("network cut for 3 s in a round: it is back -> the round is done, nothing lost", since(begin), BACK)
    assert line["lost"] == [] and len(line["clients"]) == 2


def test_an_aggregator_that_is_replaced_during_a_cut(
    apart: tuple[Federation, Program], cable: Cable, recovered: Recovered
) -> None:
    """The edge is never told that its connection is gone: as when the cloud node loses its power."""
    federation, aggregator = apart
    far = federation.programs[-1]
    cable.cut()
    aggregator.kill()
    options = ("--rounds=10000", "--min_sample_size=2", f"--state_dir={federation.folder / 'state'}")
    again = federation.aggregator(*options, netns=cable.cloud)
    until(lambda: again.told("edge2-"), "the new aggregator")
    until(lambda: far.told("no aggregator at"), "the client notices", 30)
    cable.mend()
    begin = time.monotonic()
    until(lambda: again.told(JOINED, 2), "the client")
    recovered("aggregator replaced while the network is cut: it is back -> the edge has joined", since(begin), BACK)
    with_all(again, len(federation.rounds(again)))
