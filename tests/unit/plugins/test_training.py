"""The lines of a run: read as they grow, told to people, summed up."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.plugins.training_lines import RUN, WHOLE, client, data, done, lost, round_, start

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import events
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.reader import Reader, check_run
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._follower import Follower
from edgefl.common import journal as report


def test_parse_reads_what_the_aggregator_writes_and_dump_gives_it_back() -> None:
    text = data(*WHOLE)
    found = events.parse(text)
    assert found == events.Parsed(WHOLE, len(text))
    assert events.dump(found.events) == text


@given(st.integers(0, len(data(*WHOLE))))
def test_a_line_that_is_being_written_is_left_for_later(size: int) -> None:
    text = data(*WHOLE)[:size]
    found = events.parse(text)
    assert found.problem == "" and found.size == len(text[: text.rfind(b"\n") + 1])
    assert len(found.events) == text.count(b"\n")


@pytest.mark.parametrize("row", [b"{", b"[]", b"\xff", b"{}", b"null", b"7"])
def test_a_damaged_line_ends_what_is_read(row: bytes) -> None:
    found = events.parse(data(WHOLE[0]) + row + b"\n" + data(WHOLE[1]))
    assert found.events == WHOLE[:1] and found.size == len(data(WHOLE[0]))
    assert "line 2 of rounds.jsonl is damaged" in found.problem


@pytest.mark.parametrize("change", [{"schema": 2}, {"event": "pause"}])
def test_another_schema_says_what_to_do(change: dict[str, Any]) -> None:
    with pytest.raises(EdgeflError, match="use the same version of the collection and of the aggregator's image"):
        events.parse(data(start() | change))


def test_rounds_are_in_order_and_once() -> None:
    again = round_(1, accuracy=0.7)
    lines = [start(), round_(2), round_(1), again, round_(1, loop=2)]
    assert [(event["loop"], event["round"]) for event in events.rounds(lines)] == [(1, 1), (1, 2), (2, 1)]
    assert events.rounds(lines)[0] is again
    assert [event["loop"] for event in events.newest_loop(lines)] == [2]
    assert events.newest_loop([]) == []


FAILED = report.line("failed", RUN, 1, 1, reason="no data")


@pytest.mark.parametrize(
    ("lines", "status", "state"),
    [
        ([], None, "waiting"),
        ([start()], None, "waiting"),
        ([start(), round_(1)], None, "training"),
        (WHOLE, None, "done"),
        (WHOLE, {"run": "r2", "state": "training"}, "done"),
        ([start(), FAILED], None, "failed"),
        ([start(), FAILED], {"run": RUN, "state": "waiting"}, "waiting"),
        ([start()], {"run": RUN, "state": "training"}, "training"),
        ([start()], {"run": "r0", "state": "failed"}, "waiting"),
        ([], {"run": RUN, "state": "failed"}, "failed"),
        # The last line is not there yet
        ([start(), round_(1)], {"run": RUN, "state": "done"}, "training"),
    ],
)
def test_state(lines: list[dict[str, Any]], status: dict[str, Any] | None, state: str) -> None:
    assert events.state_of(lines, status, RUN) == state


def test_shares_of_two_pods_and_of_a_node_that_lost_all() -> None:
    event = round_(1, clients=[client("edge1", 10, 0.5), client("edge1", 20, 0.7, "b")], lost=[lost("edge2")])
    assert events.shares(event) == {
        "edge1": events.Share(30, 0.7, 2, 0),
        "edge2": events.Share(0, None, 0, 1),
    }


def test_summary() -> None:
    lines = [start(), round_(1, accuracy=0.9), round_(2, lost=[lost("edge2")], repeated=1, repeats=[]), done()]
    found = events.summary(lines, RUN)
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
    assert events.summary([], RUN)["state"] == "waiting"
    found = events.summary([start(), FAILED], RUN)
    assert found["reason"] == "no data" and found["accuracy"] is None and found["best"] is None
    assert "It failed: no data" in events.words(found)


def test_table_has_a_field_for_all_and_leaves_gaps_empty() -> None:
    lines = [
        start(),
        round_(1),
        round_(2, accuracy=None, clients=[client("edge1", 10000, None)], lost=[lost("edge2")]),
    ]
    rows = list(csv.DictReader(io.StringIO(events.table(lines))))
    assert [row["round"] for row in rows] == ["1", "2"]
    assert rows[0]["edge2 samples"] == "20000" and rows[0]["samples"] == "30000" and rows[0]["nodes"] == "2"
    assert rows[1]["edge2 samples"] == "" and rows[1]["accuracy"] == "" and rows[1]["edge1 seconds"] == ""
    assert rows[1]["lost"] == "1" and rows[1]["repeated"] == "0"


def test_lines_for_people_are_in_columns() -> None:
    first, second = round_(1), round_(12, accuracy=None, clients=[client("edge1", 5)], lost=[lost("edge2")])
    texts = [events.line(event, 12, 5) for event in (first, second)]
    assert texts[0].startswith(
        "round    1/12  accuracy 0.8000  loss  0.2000     1.25 s  | edge1  10000 samples   0.50 s"
    )
    assert len(texts[0]) == len(texts[1]) and "lost" in texts[1]
    assert events.line(first, 2, 5, loops=3).startswith("loop 1/3  round")
    assert events.losses(second) == ["edge2/edge2-a (part 1/1) is lost: the connection was lost"]
    again = round_(1, repeated=2, repeats=[{"reason": "too few samples", "seconds": 1, "lost": []}])
    assert events.losses(again) == ["the round was repeated 2 times: too few samples"]


# -- reading ---------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only in pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.work: list[Any] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
        if self.work:
            self.work.pop(0)()


def reader(folder: Path, status: Any = None, code: int = 200, clock: Clock | None = None) -> Reader:
    clock = clock or Clock()
    return Reader(folder, RUN, lambda path: (code, status), folder, clock, clock.pause)


def read(reader_: Reader, offset: int = 0, sha256: str = "", linger: float = 0) -> dict[str, Any]:
    return reader_.read(offset, sha256, linger, None, "edgefl", "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / RUN / "rounds.jsonl"
    path.parent.mkdir()
    return path


def test_read_goes_on_where_it_was(tmp_path: Path, file: Path) -> None:
    file.write_bytes(data(*WHOLE[:2]) + b'{"half')
    first = read(reader(tmp_path))
    assert first["events"] == WHOLE[:2] and first["state"] == "training" and not first["reset"]
    file.write_bytes(data(*WHOLE))
    second = read(reader(tmp_path), first["offset"], first["sha256"])
    assert second["events"] == WHOLE[2:] and second["state"] == "done" and second["offset"] == len(data(*WHOLE))
    assert second["sha256"] == hashlib.sha256(data(*WHOLE)).hexdigest()


def test_read_begins_again_when_the_aggregator_went_back(tmp_path: Path, file: Path) -> None:
    file.write_bytes(data(*WHOLE[:3]))
    first = read(reader(tmp_path))
    for lines in (WHOLE[:2], [WHOLE[0], round_(1, accuracy=0.11111), WHOLE[2], WHOLE[3]]):
        file.write_bytes(data(*lines))
        found = read(reader(tmp_path), first["offset"], first["sha256"])
        assert found["reset"] and found["events"] == lines


def test_read_lingers_until_there_is_news(tmp_path: Path, file: Path) -> None:
    clock = Clock()
    # That it began is not yet news
    clock.work = [lambda: file.write_bytes(data(*WHOLE[:1])), lambda: None, lambda: file.write_bytes(data(*WHOLE[:2]))]
    found = read(reader(tmp_path, clock=clock), linger=5)
    assert found["events"] == WHOLE[:2] and 0.5 < clock.now < 1
    quiet = read(reader(tmp_path, clock=clock), found["offset"], found["sha256"], linger=5)
    assert not quiet["events"] and 5 <= clock.now < 7


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        ({"run": RUN, "state": "waiting", "waiting_for": "2 nodes"}, 200, "waits for 2 nodes"),
        ({"run": "r0", "state": "done"}, 200, "the aggregator is at run r0"),
        ("nothing answers (refused)", 0, "the aggregator: nothing answers (refused)"),
        ({"run": RUN, "state": "training", "waiting_for": None}, 200, ""),
    ],
)
def test_reason(tmp_path: Path, status: Any, code: int, reason: str) -> None:
    assert read(reader(tmp_path, status, code))["reason"] == reason


@pytest.mark.parametrize("run", ["", "..", "a/b", ".x", "a b", "-x"])
def test_a_name_that_is_no_folder(run: str) -> None:
    with pytest.raises(EdgeflError, match="edgefl_run"):
        check_run(run)


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / RUN / "rounds.jsonl").mkdir(parents=True)
    with pytest.raises(EdgeflError, match="check edgefl_state_dir"):
        read(reader(tmp_path))


# -- following -------------------------------------------------------------------------------------------------------


def answer(events: list[dict[str, Any]], state: str, **more: Any) -> dict[str, Any]:
    values = {
        "events": events,
        "state": state,
        "reason": "",
        "status": {},
        "problems": [],
        "now": {},
        "reset": False,
        "age": 100.0,
    }
    return values | {"offset": 1, "sha256": "x"} | more


def follow(*reads: Any, timeout: float = 100) -> tuple[dict[str, Any], list[str]]:
    clock, shown, left = Clock(), [], list(reads[1:])

    def again(**more: Any) -> dict[str, Any]:
        clock.now += more["linger"]
        found = left.pop(0) if left else answer([], "waiting", reason="waits for 2 nodes")
        if isinstance(found, str):
            raise Transient(found)
        return found

    follower = Follower(again, lambda text, warn: shown.append(text), timeout, 0.2, clock, clock.pause)
    try:
        return follower.follow(reads[0]), shown
    except EdgeflError as error:
        return {"msg": error.message, **error.result}, shown


def test_newest_figures_of_the_nodes_are_shown_with_the_rounds(tmp_path: Path) -> None:
    figures = {"wanted": 3, "ready": 2, "cpu_cores": 0.714, "memory_bytes": 469e6}
    now = {"time": 1.0, "nodes": {"edge1": figures, "edge2": {"wanted": 1, "ready": 1}}}
    (tmp_path / f"{RUN}.now.json").write_text(json.dumps(now))
    assert read(reader(tmp_path))["now"] == now
    text = "    edge1 2 of 3 pods 0.71 CPUs 469 MB  | edge2 1 of 1 pods"
    later = now | {"time": 2.0, "nodes": {"edge1": figures | {"ready": 3}}}
    shown = follow(
        answer([start()], "training", now=now),
        answer([round_(1)], "training", now=now),
        answer([], "training", now=later),
        answer([round_(2)], "done", now=now),
    )[1]
    assert [line for line in shown if "CPUs" in line] == [text]


BROKEN = {
    "text": "pod c on node edge1: ErrImageNeverPull",
    "pod": "c",
    "reason": "ErrImageNeverPull",
    "terminal": True,
    "log": "Its log is empty.",
}


def test_follow_shows_each_round_once_and_returns_all_events() -> None:
    found, shown = follow(answer(WHOLE[:2], "training"), answer(WHOLE[2:3], "training"), answer(WHOLE[3:], "done"))
    assert found["events"] == WHOLE and found["state"] == "done"
    assert ["accuracy" in line for line in shown] == [True, True]


def test_a_run_that_is_done_is_returned_without_a_word() -> None:
    found, shown = follow(answer(WHOLE, "done"))
    assert found["events"] == WHOLE and shown == []
    found, shown = follow(answer(WHOLE, "done", age=5.0))
    assert found["events"] == WHOLE and len(shown) == 2


def test_follow_after_the_aggregator_went_back() -> None:
    found, shown = follow(answer(WHOLE[:3], "training"), answer(WHOLE, "done", reset=True))
    assert found["events"] == WHOLE
    assert "went back" in shown[2] and len(shown) == 5


def test_follow_says_what_it_waits_for_and_gives_up() -> None:
    found, shown = follow(answer([], "waiting", reason="waits for 2 nodes"), timeout=45)
    assert "Waited 45 s in vain for the training: waits for 2 nodes" in found["msg"] and found["state"] == "waiting"
    assert len(shown) >= 3 and all("waits for 2 nodes (" in line for line in shown)


def test_follow_fails_early() -> None:
    found, _shown = follow(answer(WHOLE[:1], "training"), answer([FAILED], "failed", reason="no data"))
    assert "the run failed: no data" in found["msg"] and found["events"] == [WHOLE[0], FAILED]
    found, shown = follow(*[answer([], "waiting", problems=[BROKEN])] * 9)
    assert "ErrImageNeverPull. Its log is empty." in found["msg"] and "ErrImageNeverPull" in shown[0]
    assert 15 <= found["elapsed"] < 25
    stuck = answer([], "training", problems=[BROKEN], status={"waiting_for": "2 nodes"})
    found, _shown = follow(*[stuck] * 9)
    assert "ErrImageNeverPull" in found["msg"]


def test_a_pod_that_is_mended_does_not_end_it() -> None:
    found, _shown = follow(*[answer([], "waiting", problems=[BROKEN])] * 3, answer(WHOLE, "done"))
    assert found["state"] == "done"


def test_a_broken_pod_does_not_end_a_training_that_goes_on() -> None:
    found, shown = follow(answer(WHOLE[:2], "training", problems=[BROKEN]), answer(WHOLE[2:], "done"))
    assert found["state"] == "done" and any("ErrImageNeverPull" in line for line in shown)


def test_follow_when_the_cloud_node_is_gone() -> None:
    found, _shown = follow(answer([], "waiting"), {"unreachable": True, "msg": "no route"})
    assert "no route" in found["msg"]


def test_follow_goes_on_when_ssh_is_gone_for_a_while() -> None:
    found, shown = follow(answer([], "waiting"), *["waits for SSH"] * 3, answer(WHOLE, "done"))
    assert found["state"] == "done" and "  waits for SSH (4 s without news)" in shown
