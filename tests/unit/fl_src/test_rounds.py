"""Lines of any app's rounds."""

from __future__ import annotations

import io
import json
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import events
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _rounds as reader
from edgefl.aggregator.rounds import Rounds
from edgefl.aggregator.status import Status
from edgefl.common.journal import Journal, line

NOTE = {"seconds": 0.5, "cpu_seconds": 0.25, "peak_rss_bytes": 1000, "shard": [0, 1]}


def made() -> tuple[Rounds, Journal, io.StringIO]:
    out = io.StringIO()
    journal = Journal(None, out)
    return Rounds("first", journal, Status()), journal, out


def one_round(rounds: Rounds, mark: object, note: dict[str, Any] | None = None) -> None:
    note = NOTE if note is None else note
    train = rounds.sent(mark, "train", 2, 100)
    rounds.answered(train, "edge1", "a", note, lambda: {"train_loss": 2.0, "num-examples": 30}, 10)
    rounds.answered(train, "edge2", "b", note, lambda: {"train_loss": 4.0, "num-examples": 10}, 10)
    evaluate = rounds.sent(mark, "evaluate", 2, 100)
    rounds.answered(evaluate, "edge1", "a", note, lambda: {"eval_acc": 0.5, "num-examples": 3}, 10)
    rounds.lost(evaluate, "edge2", "b", "gone\nforged line" + "x" * 1000)


def test_a_round_of_two_exchanges() -> None:
    rounds, journal, _out = made()
    one_round(rounds, "round 1")
    one_round(rounds, "round 2")
    rounds.found({"centralized": 0.75, "text": "not a number"})
    rounds.close()
    first, second = journal.lines
    assert (first["round"], first["accuracy"], first["loss"]) == (1, 0.5, 2.5)
    assert first["metrics"] == {"train": {"train_loss": 2.5}, "evaluate": {"eval_acc": 0.5}}
    assert second["metrics"]["aggregator"] == {"centralized": 0.75}
    (edge1, edge2), (lost,) = first["clients"], first["lost"]
    assert (edge1["examples"], edge1["seconds"], edge1["cpu_seconds"], edge1["peak_rss_bytes"]) == (30, 1.0, 0.5, 1000)
    assert edge1["metrics"]["evaluate"] == {"eval_acc": 0.5, "num-examples": 3} and edge2["loss"] == 4.0
    assert "\n" not in lost["reason"] and len(lost["reason"]) == 500
    told = [(one["type"], one["sent"], one["answered"], one["errors"], one["missing"]) for one in first["exchanges"]]
    assert told == [("train", 2, 2, 0, 0), ("evaluate", 2, 1, 1, 0)]
    rounds.close()
    assert len(journal.lines) == 2


def test_an_answer_that_is_refused() -> None:
    """It counts for nothing but the bytes that came. That of a round which is closed stays there, and is told in this one."""
    rounds, journal, _out = made()
    train = rounds.sent("round 1", "train", 2, 100)
    bad = rounds.answered(train, "edge1", "a", NOTE, lambda: {"train_loss": 9.0, "num-examples": 30}, 10)
    rounds.answered(train, "edge2", "b", NOTE, lambda: {"train_loss": 4.0, "num-examples": 10}, 10)
    rounds.refused(bad, "not finite")
    rounds.sent("round 2", "train", 1, 100)
    rounds.refused(bad, "too late")
    rounds.close()
    first, second = journal.lines
    assert [one["node"] for one in first["clients"]] == ["edge2"] and first["metrics"] == {"train": {"train_loss": 4.0}}
    assert [(one["node"], one["pod"], one["reason"]) for one in first["lost"]] == [("edge1", "a", "not finite")]
    exchange = first["exchanges"][0]
    assert (exchange["answered"], exchange["errors"], exchange["missing"], exchange["bytes_received"]) == (1, 1, 0, 20)
    assert [one["reason"] for one in second["lost"]] == ["too late"] and first["lost"] != second["lost"]


def test_without_a_mark_each_sending_is_a_round() -> None:
    rounds, journal, _out = made()
    for _dummy in range(3):
        exchange = rounds.sent(None, "query", 1, 0)
        rounds.answered(exchange, "edge1", "a", {}, dict, 0)
    rounds.close()
    assert [entry["round"] for entry in journal.lines] == [1, 2, 3] and journal.lines[0]["accuracy"] is None


def test_done_again_after_a_restart() -> None:
    rounds, journal, _out = made()
    one_round(rounds, "round 1")
    rounds.close()
    before = list(journal.lines)
    again = Rounds("first", journal, Status())
    one_round(again, "round 1")
    one_round(again, "round 2")
    again.close()
    assert journal.lines[:1] == before and [entry["round"] for entry in journal.lines] == [1, 2]
    other = Rounds("first", journal, Status())
    other.sent("round 1", "train", 1, 0)
    other.diverged()
    assert journal.lines == []


def test_what_a_hostile_client_tells_of_itself() -> None:
    rounds, journal, _out = made()
    bad = {"seconds": float("nan"), "cpu_seconds": -1, "peak_rss_bytes": "much", "shard": [{}, 1]}
    train = rounds.sent(None, "train", 1, 0)
    rounds.answered(train, "edge1", "a", bad, lambda: {"loss": float("inf"), "num-examples": 1e300, "x": [1]}, 0)
    rounds.close()
    (client,) = journal.lines[0]["clients"]
    assert (client["examples"], client["seconds"], client["peak_rss_bytes"], client["shard"]) == (0, None, None, "1/1")
    assert journal.lines[0]["loss"] is None


def test_the_collection_reads_them() -> None:
    rounds, journal, out = made()
    journal.append(line("start", "first", 1, 0, accuracy=None, loss=None, settings={"app": "means"}, engine={}))
    one_round(rounds, "round 1")
    rounds.close()
    found = events.parse(out.getvalue().encode()).events
    assert len(found) == 2 and json.loads(out.getvalue().splitlines()[1]) == found[1]
    summary = reader.summary(found, "first")
    assert (summary["app"], summary["samples"], summary["lost"], summary["nodes"]["edge1"]["slices"]) == (
        "means",
        40,
        1,
        [],
    )
    assert "round 1,1" not in reader.table(found) and "40" in reader.table(found)
    assert "edge1" in reader.line(found[1], None) and "edge2/b (part 1/1) is lost" in reader.losses(found[1])[0]


def test_hostile_figures_and_names_stay_small_and_printable() -> None:
    """Whole numbers that no float holds, a shard of hundreds of digits, 10,000 metrics whose names would move a terminal's cursor."""
    rounds, journal, out = made()
    train = rounds.sent("round 1", "train", 1, 0)
    note = {"seconds": 10**400, "cpu_seconds": 1e308, "peak_rss_bytes": 10**400, "shard": [10**300, 10**301]}
    metrics = {f"\x1b[2J\n{number}" + "x" * 1000: 1.0 for number in range(10_000)}
    rounds.answered(train, "edge1", "a", note, lambda: metrics, 0)
    rounds.close()
    (client,) = journal.lines[0]["clients"]
    assert client["shard"] == "1/1" and client["seconds"] is None and client["peak_rss_bytes"] is None
    assert all(len(name) <= 100 and name.isprintable() for name in client["metrics"]["train"])
    assert len(out.getvalue()) < 50_000


def test_what_led_to_a_line_is_on_the_disk_before_it() -> None:
    journal, seen = Journal(None, io.StringIO()), []
    rounds = Rounds("first", journal, Status(), lambda: seen.append(len(journal.lines)))
    one_round(rounds, "round 1")
    one_round(rounds, "round 2")
    rounds.close()
    assert seen == [0, 1]
