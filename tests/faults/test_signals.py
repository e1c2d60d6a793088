"""SIGTERM, which Kubernetes sends when a pod has to go: nothing makes it wait."""

from __future__ import annotations

import time

import pytest

from faults.conftest import Recovered
from faults.test_peers import in_round
from support.processes import TOLD_TO_END, Federation, until

SOON = 2.0


def test_a_client_in_a_round(federation: Federation, recovered: Recovered) -> None:
    """In the midst of a graph call of TensorFlow, which takes half a minute."""
    federation.aggregator("--rounds=1", "--min_num_clients=1", "--min_sample_size=1")
    client = federation.client("edge1", 0, 60_000, "--epochs=100")
    in_round(federation, 1)
    time.sleep(1)
    recovered("SIGTERM to a client in a round -> it has ended", client.end(), SOON)
    assert client.process.returncode == TOLD_TO_END


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0])
def test_a_client_that_starts_or_waits(federation: Federation, recovered: Recovered, seconds: float) -> None:
    client = federation.client("edge1", 0, 1_000)
    time.sleep(seconds)
    recovered("SIGTERM to a client that starts or waits -> it has ended", client.end(), SOON)


def test_an_aggregator_in_a_round(federation: Federation, recovered: Recovered) -> None:
    aggregator = federation.aggregator("--rounds=1")
    clients = federation.pair(fit=60)
    in_round(federation, 1)
    recovered("SIGTERM to the aggregator in a round -> it has ended", aggregator.end(), SOON)
    assert aggregator.process.returncode == TOLD_TO_END and all(one.lives for one in clients)


def test_an_aggregator_that_starts(federation: Federation, recovered: Recovered) -> None:
    """As process 1 of a container it gets only the signals it has asked for."""
    aggregator = federation.aggregator()
    until(lambda: aggregator.told("status at port"), "its first words")
    recovered("SIGTERM to an aggregator that starts -> it has ended", aggregator.end(), SOON)
    assert aggregator.process.returncode == TOLD_TO_END
