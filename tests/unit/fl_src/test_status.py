"""The status endpoint, over real HTTP on loopback."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgefl.aggregator import status
from edgefl.aggregator.status import Status
from edgefl.common.plan import Member


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as err:
        return err.code, err.read().decode()


@pytest.fixture
def state() -> Status:
    return Status()


@pytest.fixture
def port(state: Status) -> int:
    return status.serve("127.0.0.1:0", state)


def test_ready_only_when_clients_can_connect(state: Status, port: int) -> None:
    assert get(port, "/healthz") == (200, "ok\n")
    assert get(port, "/readyz")[0] == 503
    state.update(ready=True)
    assert get(port, "/readyz") == (200, "ready\n")
    state.update(state="failed", reason="the model is broken")
    assert get(port, "/readyz") == (503, "not ready: the model is broken\n")


def test_status_document(state: Status, port: int) -> None:
    state.members = lambda: [
        Member("edge2", "b", "2", "y", 0, 9, "a"),
        Member("edge1", "a", "1", "x", 0, 9, "a"),
        Member("edge2", "a", "3", "z", 0, 9, "a"),
    ]
    state.update(run="r1", state="training", loop=1, round=3, rounds=5, min_nodes=2)
    code, text = get(port, "/status")
    document = json.loads(text)
    assert code == 200
    assert document["nodes"] == {"edge1": ["a"], "edge2": ["a", "b"]}
    assert [document[key] for key in ("schema", "run", "state", "loop", "round", "rounds", "min_nodes")] == [
        1,
        "r1",
        "training",
        1,
        3,
        5,
        2,
    ]


def test_metrics_are_prometheus(state: Status, port: int) -> None:
    state.update(state="training", round=2, rounds=5)
    state.round_done(1.5, 0.8, 0.5)
    state.count_repeat()
    state.count_lost("edge1")
    code, text = get(port, "/metrics")
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert code == 200
    assert values["edgefl_state", "training"] == 1 and values["edgefl_state", "done"] == 0
    assert values["edgefl_round",] == 2 and values["edgefl_accuracy",] == 0.8
    assert values["edgefl_round_seconds_sum",] == 1.5 and values["edgefl_rounds_repeated_total",] == 1
    assert values["edgefl_lost_total", "edge1"] == 1 and values["edgefl_connected_nodes",] == 0


def test_other_paths_say_what_there_is(port: int) -> None:
    code, text = get(port, "/")
    assert code == 404 and "/readyz" in text


def test_a_taken_port_is_an_error(port: int) -> None:
    with pytest.raises(OSError):
        status.serve(f"127.0.0.1:{port}", Status())
