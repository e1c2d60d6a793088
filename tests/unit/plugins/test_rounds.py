"""The rounds of a training in figures: in order, summed up, as a table, and in lines for people."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from unit.plugins.training_lines import FAILED, RUN, client, done, lost, round_, start

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _rounds


def test_rounds_are_in_order_and_once() -> None:
    again = round_(1, accuracy=0.7)
    lines = [start(), round_(2), round_(1), again, round_(1, loop=2)]
    assert [(event["loop"], event["round"]) for event in _rounds.rounds(lines)] == [(1, 1), (1, 2), (2, 1)]
    assert _rounds.rounds(lines)[0] == again
    assert [event["loop"] for event in _rounds.newest_loop(lines)] == [2]
    assert _rounds.newest_loop([]) == []


def test_shares_of_two_pods_and_of_a_node_that_lost_all() -> None:
    event = round_(1, clients=[client("edge1", 10, 0.5), client("edge1", 20, 0.7, "b")], lost=[lost("edge2")])
    assert _rounds.shares(event) == {
        "edge1": _rounds.Share(30, 0.7, 2, 0),
        "edge2": _rounds.Share(0, None, 0, 1),
    }


def test_summary() -> None:
    lines = [start(), round_(1, accuracy=0.9), round_(2, lost=[lost("edge2")], repeated=1, repeats=[]), done()]
    found = _rounds.summary(lines, RUN)
    assert found["state"] == "done" and found["rounds"] == 2 and found["accuracy"] == 0.8
    assert found["best"]["round"] == 1 and found["initial_accuracy"] == 0.1
    assert found["seconds"] == 2.5 and found["samples"] == 60000 and found["lost"] == 1 and found["repeated"] == 1
    assert found["nodes"]["edge2"] == {
        "rounds": 2,
        "pods": 1,
        "samples": 40000,
        "seconds": 1.0,
        "cpu_seconds": 2.0,
        "peak_rss_bytes": 400_000_000,
        "lost": 1,
        "slices": [[0, 20000]],
    }
    assert found["per_loop"] == [
        {"loop": 1, "rounds": 2, "accuracy": 0.8, "loss": pytest.approx(0.2), "seconds": 2.5},
    ]


def test_summary_of_nothing_and_of_a_failure() -> None:
    assert _rounds.summary([], RUN)["state"] == "waiting"
    found = _rounds.summary([start(), FAILED], RUN)
    assert found["reason"] == "no data" and found["accuracy"] is None and found["best"] is None
    assert "It failed: no data" in _rounds.words(found)


def test_table_has_a_field_for_all_and_leaves_gaps_empty() -> None:
    lines = [
        start(),
        round_(1),
        round_(2, accuracy=None, clients=[client("edge1", 10000, None)], lost=[lost("edge2")]),
    ]
    rows = list(csv.DictReader(io.StringIO(_rounds.table(lines))))
    assert [row["round"] for row in rows] == ["1", "2"]
    assert rows[0]["edge2 samples"] == "20000" and rows[0]["samples"] == "30000" and rows[0]["nodes"] == "2"
    assert rows[1]["edge2 samples"] == "" and rows[1]["accuracy"] == "" and rows[1]["edge1 seconds"] == ""
    assert rows[1]["lost"] == "1" and rows[1]["repeated"] == "0"


def test_lines_for_people_are_in_columns() -> None:
    first, second = round_(1), round_(12, accuracy=None, clients=[client("edge1", 5)], lost=[lost("edge2")])
    texts = [_rounds.line(event, 12, 5) for event in (first, second)]
    assert texts[0].startswith(
        "round    1/12  accuracy 0.8000  loss  0.2000     1.25 s  | edge1  10000 samples   0.50 s"
    )
    assert len(texts[0]) == len(texts[1]) and "lost" in texts[1]
    assert _rounds.line(first, 2, 5, loops=3).startswith("loop 1/3  round")
    assert _rounds.losses(second) == ["edge2/edge2-a (part 1/1) is lost: the connection was lost"]
    again = round_(1, repeated=2, repeats=[{"reason": "too few samples", "seconds": 1, "lost": []}])
    assert _rounds.losses(again) == ["the round was repeated 2 times: too few samples"]


def own_round(number: int, accuracy: float | None, **metrics: float) -> dict[str, Any]:
    found = {"train": {**metrics, "odd": True, "list": [1]}, "evaluate": "none"}
    return {
        "schema": 1, "event": "round", "run": "r", "loop": 1, "round": number, "time": 1.0, "accuracy": accuracy, "loss": None,
        "seconds": 0.5, "train_seconds": 0.4, "clients": [], "lost": [], "metrics": found,
    }  # fmt: skip


def test_metrics_of_an_app_of_somebody_s_own() -> None:
    events = [own_round(1, None, auc=0.5), own_round(2, None, auc=0.75, ndcg=2)]
    assert _rounds.metric_names(events) == ["train auc", "train ndcg"]
    assert "round     2/2  train auc 0.7500, train ndcg 2.0000     0.50 s" in _rounds.line(events[1], 2)
    found = _rounds.summary(events, "r")
    assert found["metrics"] == {"train auc": 0.75, "train ndcg": 2.0}
    assert "2 rounds, train auc 0.7500, train ndcg 2.0000, 1.0 s" in _rounds.words(found)[0]
    rows = list(csv.DictReader(io.StringIO(_rounds.table(events))))
    assert [row["train ndcg"] for row in rows] == ["", "2.0"] and rows[0]["accuracy"] == ""


def test_an_accuracy_comes_before_other_metrics() -> None:
    assert "accuracy 0.9000  loss       -" in _rounds.line(own_round(1, 0.9, auc=0.5), 1)
    assert "accuracy      -" in _rounds.line(own_round(1, None), 1)
