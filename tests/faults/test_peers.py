"""A peer that is not there, is killed or is frozen."""

from __future__ import annotations

import itertools
import signal
import time
from typing import Any

from faults.conftest import Recovered
from support.processes import Federation, Program, until

BACK = 5.0
"""Seconds after the peer is there again within which all must be well. How long a round then takes is the machine's affair."""
JOINED = "joined from"


def since(begin: float) -> float:
    return time.monotonic() - begin


def in_round(federation: Federation, round_: int) -> None:
    """Wait until this round (or a later one) is being trained."""

    def trained() -> bool:
        status = federation.status()
        return bool(status["state"] == "training" and status["round"] >= round_)

    until(federation.ready, "ready")
    until(trained, f"round {round_}")
    time.sleep(0.2)


def with_all(aggregator: Program, after: int, count: int = 2) -> dict[str, Any]:
    """Wait for a round after `after` in which all nodes trained, so many."""

    def found() -> dict[str, Any] | None:
        for entry in aggregator.lines():
            if entry["event"] == "round" and entry["round"] > after and len(entry["clients"]) == count:
                return entry
        return None

    line: dict[str, Any] = until(found, f"a round of {count} nodes")
    return line


def test_clients_before_the_aggregator(federation: Federation, recovered: Recovered) -> None:
    clients = federation.pair()
    until(lambda: all(one.told("no aggregator at") for one in clients), "clients that try")
    time.sleep(5)  # until they try at the longest distance
    aggregator = federation.aggregator("--rounds=1")
    until(federation.ready, "ready")
    begin = time.monotonic()
    until(lambda: aggregator.told(JOINED, 2), "the clients")
    recovered("clients before the aggregator: its port opens -> all have joined", since(begin), BACK)
    federation.event(aggregator, "done")
    assert all(one.lives for one in clients)


def test_an_aggregator_killed_in_a_round(federation: Federation, recovered: Recovered) -> None:
    """With TensorFlow: the clients keep it loaded."""
    options = ("--rounds=5", f"--state_dir={federation.folder / 'state'}")
    clients = [
        federation.client("edge1", 0, 5_000, "--epochs=4"),
        federation.client("edge2", 5_000, 10_000, "--epochs=4"),
    ]
    aggregator = federation.aggregator(*options)
    in_round(federation, 3)
    aggregator.end(signal.SIGKILL)
    again = federation.aggregator(*options)
    until(federation.ready, "ready")
    begin = time.monotonic()
    until(lambda: len(federation.status()["nodes"]) == 2, "the clients")
    recovered("aggregator killed in a round: its port is open again -> all have joined", since(begin), BACK)
    federation.event(again, "done")
    assert federation.rounds(again) == [(1, number) for number in range(1, 6)]
    assert (federation.folder / "state" / "default" / "rounds.jsonl").read_text() == again.out.read_text()
    assert all(one.lives and not one.told("TensorFlow is ready", 2) for one in clients)


def test_an_aggregator_killed_again_and_again(federation: Federation) -> None:
    """At any moment, of the start too: in the end each round is there once."""
    options = ("--rounds=10", f"--state_dir={federation.folder / 'state'}")
    clients = federation.pair(fit=0.05)
    for number in range(4):
        aggregator = federation.aggregator(*options)
        if number % 2 == 0:
            federation.event(aggregator, "start")
        time.sleep(0.2 * number)
        aggregator.end(signal.SIGKILL)
    last = federation.aggregator(*options)
    done = federation.event(last, "done")
    assert federation.rounds(last) == [(1, number) for number in range(1, 11)] and done["rounds"] == 10
    assert [entry["event"] for entry in last.lines()] == ["start", *["round"] * 10, "done"]
    assert (federation.folder / "state" / "default" / "rounds.jsonl").read_text() == last.out.read_text()
    assert all(one.lives for one in clients)


def test_a_client_killed_in_a_round(federation: Federation, recovered: Recovered) -> None:
    aggregator = federation.aggregator(
        "--rounds=100", "--min_round_samples=0.3", "--min_sample_size=1", "--min_num_clients=1"
    )
    edge1, _edge2 = federation.pair(fit=0.6)
    joined = with_all(aggregator, 0)["round"]
    in_round(federation, joined + 1)
    edge1.end(signal.SIGKILL)
    begin = time.monotonic()
    until(lambda: aggregator.told("edge1-1 (part 1/1) is lost"), "the loss")
    recovered("client killed in a round: killed -> its part is given up", since(begin), BACK)
    line = federation.event(aggregator, "round", joined + 1)
    assert [one["node"] for one in line["clients"]] == ["edge2"]
    assert [(one["node"], one["shard"], one["reason"]) for one in line["lost"]] == [
        ("edge1", "1/1", "the connection was lost")
    ]
    back = federation.light_client("edge1", 0, 500, fit=0.6)
    until(lambda: back.told("is ready"), "the client")
    begin = time.monotonic()
    until(lambda: aggregator.told(JOINED, 3), "the new client")
    recovered("client killed in a round: a new one is ready -> it has joined", since(begin), BACK)
    with_all(aggregator, joined + 1)


def test_too_little_came_back(federation: Federation, recovered: Recovered) -> None:
    """Two thirds of a round's samples are lost: the model stays, the round is done again, and the line says why."""
    aggregator = federation.aggregator("--rounds=2")
    _edge1, edge2 = federation.pair(fit=0.6)
    in_round(federation, 1)
    edge2.end(signal.SIGKILL)
    until(lambda: aggregator.told("round 1 is repeated with the model as it was"), "the repeat")
    back = federation.light_client("edge2", 500, 1_500, fit=0.6)
    until(lambda: back.told("is ready"), "the client")
    begin = time.monotonic()
    until(lambda: aggregator.told(JOINED, 3), "the new client")
    recovered("round without enough samples: the client is ready again -> it has joined", since(begin), BACK)
    line = federation.event(aggregator, "round", 1)
    assert len(line["clients"]) == 2 and line["lost"] == [] and line["repeated"] >= 1
    assert "500 of 1500 samples came back, less than the share 0.5" in line["repeats"][0]["reason"]
    assert line["repeats"][0]["lost"][0]["node"] == "edge2"
    federation.event(aggregator, "done")


def test_a_frozen_client(federation: Federation, recovered: Recovered) -> None:
    """Nothing tells that it is frozen but its silence; --round_timeout is far away."""
    aggregator = federation.aggregator(
        "--rounds=1000", "--min_round_samples=0.3", "--min_sample_size=1", "--min_num_clients=1"
    )
    edge1, _edge2 = federation.pair(fit=0.6)
    joined = with_all(aggregator, 0)["round"]
    in_round(federation, joined + 1)
    edge1.process.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    until(lambda: aggregator.told("edge1-1 left"), "the loss")
    recovered("client frozen in a round: frozen -> its part is given up", since(begin), 30)
    line = federation.event(aggregator, "round", joined + 1)
    assert [one["node"] for one in line["lost"]] == ["edge1"] and [one["node"] for one in line["clients"]] == ["edge2"]
    edge1.process.send_signal(signal.SIGCONT)
    begin = time.monotonic()
    until(lambda: aggregator.told(JOINED, 3), "the client")
    recovered("client frozen in a round: thawed -> it has joined", since(begin), BACK)
    with_all(aggregator, joined + 1)


def test_a_client_that_is_too_slow(federation: Federation) -> None:
    aggregator = federation.aggregator("--rounds=2", "--min_round_samples=0.3", "--round_timeout=2")
    federation.light_client("edge1", 0, 500, fit=6)
    federation.light_client("edge2", 500, 1_500)
    line = federation.event(aggregator, "round", 1)
    assert line["lost"][0]["reason"] == "no answer within --round_timeout=2 s; raise it if the work takes longer"
    assert line["train_seconds"] < 4
    federation.event(aggregator, "done")


def test_replicas_share_a_slice_and_come_and_go(federation: Federation) -> None:
    aggregator = federation.aggregator("--rounds=1000", "--min_sample_size=1", "--min_nodes=2")
    federation.light_client("edge1", 0, 4_000, fit=0.2)
    first = federation.light_client("edge2", 4_000, 12_000, fit=0.2, pod="edge2-a")
    federation.event(aggregator, "round", 1)
    federation.light_client("edge2", 4_000, 12_000, fit=0.2, pod="edge2-b")

    def split(entry: dict[str, Any]) -> list[tuple[str, int, int]]:
        return [(one["shard"], one["start"], one["stop"]) for one in entry["clients"] if one["node"] == "edge2"]

    def seen(parts: list[tuple[str, int, int]], after: int) -> int:
        """The first round after `after` that edge2's pods divided so."""
        return next(
            (entry["round"] for entry in aggregator.lines()[1:] if entry["round"] > after and split(entry) == parts),
            0,
        )

    joined = until(lambda: seen([("1/2", 4_000, 8_000), ("2/2", 8_000, 12_000)], 0), "two replicas")
    first.end(signal.SIGKILL)
    until(lambda: seen([("1/1", 4_000, 12_000)], joined), "one replica")
    for entry in aggregator.lines()[1:]:
        if not entry["lost"]:
            covered = sorted((one["start"], one["stop"]) for one in entry["clients"])
            assert covered[0][0] == 0 and covered[-1][1] == 12_000
            assert all(before[1] == after[0] for before, after in itertools.pairwise(covered))
