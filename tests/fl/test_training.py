"""Aggregator and clients as real processes, with TensorFlow and Fashion-MNIST."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path

import pytest
from fl.processes import Federation, until


def test_five_rounds_as_in_the_how_to(federation: Federation, tmp_path: Path) -> None:
    state = tmp_path / "state"
    options = (
        "--rounds=5",
        "--sample_fraction=0.5",
        "--min_sample_size=2",
        "--min_num_clients=2",
        f"--state_dir={state}",
        "--run=first",
    )
    clients = [
        federation.client("edge1", 0, 10_000),
        federation.client("edge2", 10_000, 30_000),
    ]  # before the aggregator is there
    until(lambda: all(one.told("TensorFlow is ready") for one in clients), "TensorFlow")
    aggregator = federation.aggregator(*options)
    until(federation.ready, "ready")
    done = federation.event(aggregator, "done")
    lines = federation.lines(aggregator)
    assert [entry["event"] for entry in lines] == ["start", *["round"] * 5, "done"]
    for entry in lines[1:6]:
        assert [(one["node"], one["start"], one["stop"], one["examples"]) for one in entry["clients"]] == [
            ("edge1", 0, 10_000, 10_000),
            ("edge2", 10_000, 30_000, 20_000),
        ]
        assert entry["lost"] == []
    assert done["accuracy"] >= 0.82
    status = federation.status()
    assert status["state"] == "done" and set(status["nodes"]) == {"edge1", "edge2"}
    assert (state / "first" / "rounds.jsonl").read_text() == aggregator.out.read_text()
    assert all(one.end() <= 2 for one in clients)
    assert [one.process.returncode for one in clients] == [0, 0]

    # the same run again: done at once, with the same lines; another run begins anew
    assert aggregator.end() <= 2
    again = federation.aggregator(*options)
    assert federation.event(again, "done") == done
    until(federation.ready, "ready")
    assert again.out.read_text() == aggregator.out.read_text()


def test_replicas_share_a_slice_and_come_and_go(federation: Federation) -> None:
    aggregator = federation.aggregator("--rounds=40", "--min_sample_size=1", "--min_nodes=2")
    federation.client("edge1", 0, 4_000)
    first = federation.client("edge2", 4_000, 12_000, pod="edge2-a")
    federation.event(aggregator, "round", 1)
    federation.client("edge2", 4_000, 12_000, pod="edge2-b")

    def split(entry: dict) -> list[tuple[str, int, int]]:
        return [(one["shard"], one["start"], one["stop"]) for one in entry["clients"] if one["node"] == "edge2"]

    both = [("1/2", 4_000, 8_000), ("2/2", 8_000, 12_000)]
    joined = until(
        lambda: next((entry for entry in federation.lines(aggregator)[1:] if split(entry) == both), None),
        "two replicas",
    )
    assert joined["clients"][0]["stop"] == 4_000
    first.end(signal.SIGKILL)
    alone = [("1/1", 4_000, 12_000)]
    until(
        lambda: [
            entry
            for entry in federation.lines(aggregator)
            if entry["round"] > joined["round"] and split(entry) == alone
        ],
        "one replica",
    )
    for entry in federation.lines(aggregator)[1:]:
        if entry["event"] == "round" and not entry["lost"]:
            covered = sorted((one["start"], one["stop"]) for one in entry["clients"])
            assert covered[0][0] == 0 and covered[-1][1] == 12_000
            assert all(before[1] == after[0] for before, after in itertools.pairwise(covered))


def test_a_killed_aggregator_goes_on(federation: Federation, tmp_path: Path) -> None:
    options = ("--rounds=30", f"--state_dir={tmp_path / 'state'}")
    clients = [federation.client("edge1", 0, 5_000), federation.client("edge2", 5_000, 10_000)]
    aggregator = federation.aggregator(*options)
    federation.event(aggregator, "round", 3)
    aggregator.end(signal.SIGKILL)
    again = federation.aggregator(*options)
    done = federation.event(again, "done")
    rounds = [entry["round"] for entry in federation.lines(again) if entry["event"] == "round"]
    assert rounds == list(range(1, 31)) and done["rounds"] == 30
    assert all(one.process.poll() is None for one in clients)
    assert (tmp_path / "state" / "default" / "rounds.jsonl").read_text() == again.out.read_text()


def test_the_convolutional_app_is_evaluated_by_the_clients(federation: Federation) -> None:
    aggregator = federation.aggregator("--rounds=2", "--app=fashion_mnist_cnn")
    for node, start, stop in (("edge1", 0, 5_000), ("edge2", 5_000, 10_000)):
        federation.client(node, start, stop, "--app=fashion_mnist_cnn")
    done = federation.event(aggregator, "done")
    assert done["accuracy"] > 0.6 and federation.lines(aggregator)[0]["accuracy"] is None


@pytest.mark.parametrize("strategy", ["FedProx", "FedAdam"])
def test_other_strategies_learn(federation: Federation, strategy: str) -> None:
    options = ["--strategy_option=eta=0.01", "--strategy_option=tau=0.001"] if strategy == "FedAdam" else []
    aggregator = federation.aggregator("--rounds=3", f"--strategy={strategy}", *options)
    federation.client("edge1", 0, 5_000)
    federation.client("edge2", 5_000, 10_000)
    assert federation.event(aggregator, "done")["accuracy"] > 0.6


def test_an_exception_in_fit_is_named_and_the_run_fails_when_all_have_it(
    federation: Federation, tmp_path: Path
) -> None:
    """Clients whose data can't be read any more: the aggregator names the error, the clients live on."""
    data = tmp_path / "data"
    data.mkdir()
    import os

    source = Path(os.environ["EDGEFL_DATA_DIR"])
    for path in source.iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    clients = [
        federation.client(node, start, stop, EDGEFL_DATA_DIR=str(data))
        for node, start, stop in (("edge1", 0, 2_000), ("edge2", 2_000, 4_000))
    ]
    until(lambda: all(one.told("TensorFlow is ready") for one in clients), "TensorFlow")
    (data / "train-labels-idx1-ubyte").write_bytes(b"")
    aggregator = federation.aggregator("--rounds=2")
    failed = federation.event(aggregator, "failed")
    assert "DataError" in failed["reason"] and "replace it" in failed["reason"]
    assert aggregator.process.wait(5) == 1
    assert all(one.process.poll() is None for one in clients)


def test_a_slice_beyond_the_data_is_refused_at_the_start(federation: Federation) -> None:
    client = federation.client("edge1", 0, 70_000)
    assert client.process.wait(60) == 1
    assert client.told("--clients=70000 is beyond the 60000 samples of app fashion_mnist")


def test_a_taken_port_is_named(federation: Federation) -> None:
    first = federation.aggregator()
    until(federation.ready, "ready")
    federation.status_port += 1
    second = federation.aggregator()
    assert second.process.wait(20) == 1
    assert "already in use" in json.loads(second.out.read_text())["reason"]
    assert first.process.poll() is None
