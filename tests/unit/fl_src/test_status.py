"""The status endpoint, over real HTTP on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgefl.aggregator import status
from edgefl.aggregator.status import Status
from edgefl.common import http
from edgefl.common.plan import Member
from support.processes import SOURCE, free_port, until


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as err:
        return err.code, err.read().decode()


@pytest.fixture
def state() -> Status:
    return Status()


@pytest.fixture
def port(state: Status) -> int:
    return status.serve(state, "127.0.0.1:0")


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
        status.serve(Status(), f"127.0.0.1:{port}")


def test_it_answers_at_the_addresses_that_it_was_given_and_no_other(state: Status) -> None:
    port = free_port()
    assert status.serve(state, f"127.0.0.1:{port}", f"127.0.0.2:{port}") == port
    assert get(port, "/healthz") == get(port, "/healthz", "127.0.0.2") == (200, "ok\n")
    with pytest.raises(urllib.error.URLError, match="refused"):
        get(port, "/healthz", "127.0.0.3")


@contextmanager
def slow_connections(port: int, count: int = 300) -> Iterator[list[socket.socket]]:
    """Each has begun a request that does not come to its end."""
    held = []
    try:
        for _dummy in range(count):
            one = socket.create_connection(("127.0.0.1", port), 5)
            held.append(one)
            one.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        yield held
    finally:
        for one in held:
            one.close()


def test_slow_connections_do_not_keep_probes_out(port: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with slow_connections(port) as held:
        for _dummy in range(5):
            begin = time.monotonic()
            assert get(port, "/healthz") == (200, "ok\n")
            assert time.monotonic() - begin < 1
        ours = len(os.listdir("/proc/self/fd")) - before - len(held)
        assert ours <= http.MOST


def pour(port: int, data: bytes, pause: float) -> float:
    """Send `data` again and again, for 10 s at most; gives the seconds until that was cut off."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 5) as one:
        while time.monotonic() - begin < 10:
            try:
                one.sendall(data)
            except OSError:
                break
            time.sleep(pause)
    return time.monotonic() - begin


def test_a_request_that_drips_ends_at_its_deadline(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DEADLINE", 1.0)
    assert pour(port, b"G", 0.1) < 5


def test_an_endless_request_is_cut_off(port: int) -> None:
    assert pour(port, b"X-More: 1\r\n" * 100, 0.1) < 5


WRITER = """
import resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from edgefl.aggregator import status
from edgefl.common.journal import Journal, line
print(status.serve(status.Status(), "127.0.0.1:0"), flush=True)
journal = Journal(Path(sys.argv[1]), sys.stderr)
while True:
    journal.append(line("round", "r", 1, len(journal.lines)))
    time.sleep(0.02)
"""


def test_slow_connections_take_no_files_of_the_run(tmp_path: Path) -> None:
    """A process that may have 64 files open writes its lines, and answers, while 300 connections hang on its status port."""
    program = [sys.executable, "-c", WRITER, str(tmp_path)]
    with (
        (tmp_path / "err").open("w") as err,
        subprocess.Popen(
            program, stdout=subprocess.PIPE, stderr=err, text=True, env=os.environ | {"PYTHONPATH": str(SOURCE)}
        ) as run,
    ):
        try:
            assert run.stdout is not None
            port = int(run.stdout.readline())
            with slow_connections(port):
                written = (tmp_path / "rounds.jsonl").stat().st_size
                begin = time.monotonic()
                assert get(port, "/healthz") == (200, "ok\n")
                assert time.monotonic() - begin < 1
                until(lambda: (tmp_path / "rounds.jsonl").stat().st_size > written + 500, "further lines", 10)
                assert run.poll() is None
        finally:
            run.send_signal(signal.SIGKILL)
