"""A training that is followed: what is shown, and when it ends."""

from __future__ import annotations

from typing import Any

from unit.plugins.training_lines import FAILED, WHOLE, Clock, lost, round_, start

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._follower import Follower


def answer(events: list[dict[str, Any]], state: str, **more: Any) -> dict[str, Any]:
    values = {
        "events": events,
        "state": state,
        "reason": "",
        "status": {},
        "problems": [],
        "evicted": [],
        "told_anew": [],
        "now": {},
        "reset": False,
        "age": 100.0,
    }
    return values | {"offset": 1, "sha256": "x"} | more


def follow(*reads: Any, timeout: float = 100, looks: list[bool] | None = None) -> tuple[dict[str, Any], list[str]]:
    """What it gives, and the lines it shows; `looks` takes of each further read whether the pods are looked at."""
    clock, shown, left = Clock(), [], list(reads[1:])

    def again(**more: Any) -> dict[str, Any]:
        clock.now += more["linger"]
        if looks is not None:
            looks.append(more["pods"])
        found = left.pop(0) if left else answer([], "waiting", reason="waits for 2 nodes")
        if isinstance(found, str):
            raise Transient(found)
        return found

    follower = Follower(again, lambda text, warn: shown.append(text), timeout, 0.2, clock, clock.pause)
    try:
        return follower.follow(reads[0]), shown
    except EdgeflError as error:
        return {"msg": error.message, **error.result}, shown


def test_newest_figures_of_the_nodes_are_shown_with_the_rounds() -> None:
    figures = {"wanted": 3, "ready": 2, "cpu_cores": 0.714, "memory_bytes": 469e6}
    now = {"time": 1.0, "nodes": {"edge1": figures, "edge2": {"wanted": 1, "ready": 1}}}
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


def test_of_a_run_that_is_done_pods_that_were_told_anew_are_shown() -> None:
    assert follow(answer(WHOLE, "done", told_anew=["pod x: its edge is told"]))[1] == ["    pod x: its edge is told"]


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


def crashed(restarts: int) -> dict[str, Any]:
    """The aggregator waits, and a pod ended so often, the last time for its memory."""
    text = f"pod c on node edge1: CrashLoopBackOff (it ended {restarts} times, the last time with OOMKilled)"
    problem = BROKEN | {"text": text, "reason": "CrashLoopBackOff", "restarts": restarts}
    return answer([], "training", problems=[problem], status={"waiting_for": "2 nodes"})


def test_a_pod_that_ended_often_in_a_long_training_does_not_end_it() -> None:
    """It had a part in the rounds in between. One that only ends does end the training: before the first round, and after the last."""
    at_work = answer(WHOLE[:2], "training")
    found, _shown = follow(at_work, *[crashed(8)] * 9, answer(WHOLE[2:], "done"))
    assert found["state"] == "done"
    found, _shown = follow(answer(WHOLE[:1], "training"), *[crashed(8)] * 9, answer(WHOLE[1:], "done"))
    assert "it ended 8 times" in found["msg"] and found["elapsed"] < 30
    found, _shown = follow(at_work, *[crashed(8)] * 9, *[crashed(12)] * 9, answer(WHOLE[2:], "done"))
    assert "it ended 12 times" in found["msg"]
    again = answer([round_(2)], "training")
    found, _shown = follow(at_work, crashed(8), again, *[crashed(12)] * 9, answer(WHOLE[3:], "done"))
    assert found["state"] == "done"


def test_a_pod_that_was_evicted_is_told_once_and_looked_for_when_a_part_is_lost() -> None:
    text = "pod c on node edge1: Evicted (it wrote too much)"
    events = [start(), round_(1, lost=[lost("edge1")])]
    looks: list[bool] = []
    told = answer([round_(2)], "training", evicted=[text])
    found, shown = follow(answer(events, "training"), told, told, answer(WHOLE[3:], "done"), looks=looks)
    assert found["state"] == "done" and [line for line in shown if "Evicted" in line] == [f"    {text}"]
    assert looks == [True, False, False]


def test_an_edge_that_was_told_anew_is_shown_and_pods_are_looked_at_while_rounds_come() -> None:
    text = "node edge1 had forgotten pod c"
    looks: list[bool] = []
    rounds = [answer([round_(number)], "training") for number in range(1, 20)]
    rounds[16]["told_anew"] = [text]
    found, shown = follow(answer([start()], "training"), *rounds, answer(WHOLE[3:], "done"), looks=looks)
    assert found["state"] == "done" and f"    {text}" in shown
    # After a minute
    assert looks.index(True) in (14, 15) and looks.count(True) == 1


def test_follow_when_the_cloud_node_is_gone() -> None:
    found, _shown = follow(answer([], "waiting"), {"unreachable": True, "msg": "no route"})
    assert "no route" in found["msg"]


def test_follow_goes_on_when_ssh_is_gone_for_a_while() -> None:
    found, shown = follow(answer([], "waiting"), *["waits for SSH"] * 3, answer(WHOLE, "done"))
    assert found["state"] == "done" and "  waits for SSH (4 s without news)" in shown
