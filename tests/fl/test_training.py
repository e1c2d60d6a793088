"""Aggregator and clients as real processes, with TensorFlow and Fashion-MNIST."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.processes import TOLD_TO_END, Federation, until


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
    lines = aggregator.lines()
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
    assert [one.process.returncode for one in clients] == [TOLD_TO_END] * 2

    # the same run again: done at once, with the same lines; another run begins anew
    assert aggregator.end() <= 2
    again = federation.aggregator(*options)
    assert federation.event(again, "done") == done
    until(federation.ready, "ready")
    assert again.out.read_text() == aggregator.out.read_text()


def test_a_client_of_other_settings_has_no_part(federation: Federation) -> None:
    aggregator = federation.aggregator("--rounds=1", "--client_settings=edge1=new", "--client_settings=edge2=new")
    federation.light_client("edge1", 0, 5_000, "--settings=old")
    federation.light_client("edge3", 5_000, 10_000, "--settings=new")
    until(
        lambda: all(aggregator.told(f"refused: {who}/") for who in ("edge1", "edge3")), "the refusal of edge1 and edge3"
    )
    federation.light_client("edge1", 0, 5_000, "--settings=new")
    federation.light_client("edge2", 5_000, 10_000, "--settings=new")
    federation.event(aggregator, "done")
    (round_,) = [entry for entry in aggregator.lines() if entry["event"] == "round"]
    assert [(one["node"], one["start"], one["stop"]) for one in round_["clients"]] == [
        ("edge1", 0, 5_000),
        ("edge2", 5_000, 10_000),
    ]
    assert set(federation.status()["nodes"]) == {"edge1", "edge2"}


def test_the_convolutional_app_is_evaluated_by_the_clients(federation: Federation) -> None:
    aggregator = federation.aggregator("--rounds=2", "--app=fashion_mnist_cnn")
    for node, start, stop in (("edge1", 0, 2_000), ("edge2", 2_000, 4_000)):
        federation.client(node, start, stop, "--app=fashion_mnist_cnn")
    done = federation.event(aggregator, "done")
    assert done["accuracy"] > 0.4 and aggregator.lines()[0]["accuracy"] is None


@pytest.mark.parametrize("strategy", [pytest.param("FedProx", marks=pytest.mark.long), "FedAdam"])
def test_other_strategies_learn(federation: Federation, strategy: str) -> None:
    """With TensorFlow where the strategy asks something of the clients."""
    options = ["--strategy_options=eta=0.01", "--strategy_options=tau=0.001"] if strategy == "FedAdam" else []
    aggregator = federation.aggregator("--rounds=3", f"--strategy={strategy}", *options)
    begin = federation.client if strategy == "FedProx" else federation.light_client
    begin("edge1", 0, 5_000)
    begin("edge2", 5_000, 10_000)
    assert federation.event(aggregator, "done")["accuracy"] > 0.6
