"""The lines of a run, read as they grow."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.plugins.training_lines import FAILED, RUN, WHOLE, Clock, data, round_, start

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import events, forgotten
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.deployed import REGION
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.reader import Reader
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.run_name import check_results, check_run
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry import recorder


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


# -- reading ---------------------------------------------------------------------------------------------------------


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


def _link_to_a_file(path: Path, secret: Path) -> None:
    path.symlink_to(secret / RUN / "rounds.jsonl")


def _link_to_a_folder(path: Path, secret: Path) -> None:
    path.parent.rmdir()
    path.parent.symlink_to(secret / RUN)


def _pipe(path: Path, secret: Path) -> None:
    del secret
    os.mkfifo(path)


def _socket(path: Path, secret: Path) -> None:
    del secret
    with socket.socket(socket.AF_UNIX) as road:
        road.bind(str(path))


def _endless(path: Path, secret: Path) -> None:
    del secret
    with path.open("wb") as made:
        made.truncate(1 << 40)


@pytest.mark.parametrize(
    ("attack", "says"),
    [(_link_to_a_file, "link"), (_link_to_a_folder, "link"), (_pipe, "is no file"), (_socket, "no file"), (_endless, "1099512 MB, more than 67 MB")],
)  # fmt: skip
def test_what_the_pods_user_puts_in_the_way_is_not_read_as_root(
    tmp_path: Path, file: Path, attack: Callable[[Path, Path], None], says: str
) -> None:
    secret = tmp_path / "secret"
    (secret / RUN).mkdir(parents=True)
    (secret / RUN / "rounds.jsonl").write_bytes(data(*WHOLE))
    attack(file, secret)
    begin = time.monotonic()
    with pytest.raises(EdgeflError, match=says):
        read(reader(tmp_path))
    assert not recorder.ended(file)
    assert time.monotonic() - begin < 2


def test_a_line_that_is_nested_deeply_is_damaged(tmp_path: Path, file: Path) -> None:
    file.write_bytes(b"[" * 200_000 + b"\n")
    assert "line 1 of rounds.jsonl is damaged" in read(reader(tmp_path))["reason"]


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


@pytest.mark.parametrize(
    "run", ["", ".", "..", "a/b", ".x", "a b", "-x", "a\n", "x" * 101, "latest", "new", "experiments", "comparison"]
)
def test_a_name_that_is_no_folder_or_has_another_meaning(run: str) -> None:
    with pytest.raises(EdgeflError, match="edgefl_run"):
        check_run(run)


def test_names_that_a_run_may_have() -> None:
    assert [check_run(run) for run in ("20300101-120000", "latest-2", "New")] == ["20300101-120000", "latest-2", "New"]
    assert check_results("comparison", True) == "comparison"
    with pytest.raises(EdgeflError, match="'latest' cannot be the name of a run"):
        check_results("latest", True)


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / RUN / "rounds.jsonl").mkdir(parents=True)
    with pytest.raises(EdgeflError, match=r"is no file, so it is not read as root.*edgefl_state_dir"):
        read(reader(tmp_path))


def test_the_newest_telemetry_is_read_too(tmp_path: Path) -> None:
    assert read(reader(tmp_path))["now"] == {}
    now = {"time": 1.0, "nodes": {"edge1": {"wanted": 1, "ready": 1}}}
    (tmp_path / f"{RUN}.now.json").write_text(json.dumps(now))
    assert read(reader(tmp_path))["now"] == now


CRASHING = {
    "metadata": {"name": "client-1"},
    "spec": {"nodeName": "edge1"},
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {
                "name": "client",
                "ready": False,
                "restartCount": 9,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            }
        ],
    },
}


class Pods:
    """Stands for run_command of a kubectl that knows this pod, and its log."""

    def __init__(self, code: int = 0, errors: str = "") -> None:
        self.code, self.errors = code, errors

    def __call__(self, arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        output = "no layers\n" if "logs" in arguments else json.dumps({"items": [CRASHING]})
        return self.code, output, self.errors


def test_problems_of_pods_come_with_words_and_the_end_of_their_log(tmp_path: Path, file: Path) -> None:
    def problems(kubectl: Kubectl) -> Any:
        return reader(tmp_path).read(0, "", 0, kubectl, "edgefl", "a=b")["problems"]

    (found,) = problems(Kubectl(Pods(), "/k"))
    assert (found["pod"], found["node"], found["restarts"]) == ("client-1", "edge1", 9)
    assert "pod client-1 on node edge1" in found["text"]
    assert ("no layers" in found["log"]) is found["terminal"]
    away = Pods(1, "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?")
    assert problems(Kubectl(away, "/k")) == [], "while the API server is away nothing is known of pods"
    file.write_bytes(data(*WHOLE))
    assert problems(Kubectl(Pods(), "/k")) == [], "a run that is done needs no pods"


class Missed:
    """Stands for run_command of a kubectl: a client, the aggregator, a region and its client are ready since some seconds, or are not."""

    def __init__(self, ready: float, told: float | str | None, status: str = "True", removed: bool = False) -> None:
        now = time.time()
        self.status, self.removed = status, {"deletionTimestamp": "2026-01-01T00:00:00Z"} if removed else {}
        self.since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - ready))
        before = told if isinstance(told, str) else str(now - (told or 0))
        self.annotations, self.told = {} if told is None else {forgotten.TOLD: before}, list[str]()

    def __call__(self, arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        if "annotate" in arguments:
            self.told += arguments[arguments.index("pod") + 1 : arguments.index("-n")]
            return 0, "", ""
        apps = {
            "client-1": "federated-learning-client",
            "client-2": "federated-learning-client",
            "server": "federated-learning",
            "region": "federated-learning-region",
        }
        of_region = {"region": {REGION: "north"}, "client-2": {forgotten.OF_REGION: "north"}}
        ready = {"type": "Ready", "status": self.status, "lastTransitionTime": self.since}
        pods = [
            {
                "metadata": {
                    "name": name,
                    "labels": {"app": app, **of_region.get(name, {})},
                    "annotations": self.annotations,
                    **self.removed,
                },
                "spec": {"nodeName": "edge1"},
                "status": {"phase": "Running", "conditions": [ready]},
            }
            for name, app in apps.items()
        ]
        return 0, json.dumps({"items": pods}), ""


@pytest.mark.parametrize(
    ("ready", "before", "connected", "check_mode", "told"),
    [
        (70, None, {"north": ["edge9"]}, False, ["client-1"]),
        (70, None, {}, False, ["client-1", "client-2", "region"]),
        (70, None, {"edge1": ["client-1"]}, False, ["client-2", "region"]),
        (70, None, {"edge1": ["client-1"], "north": ["edge9"]}, False, []),
        (40, None, {}, False, []),
        (70, None, {}, True, []),
        (700, 40, {}, False, []),
        (700, 70, {"north": ["edge9"]}, False, ["client-1"]),
        (700, "yesterday", {"north": ["edge9"]}, False, ["client-1"]),
    ],
)
def test_a_pod_that_is_ready_and_not_connected_is_told_anew(
    tmp_path: Path,
    file: Path,
    ready: float,
    before: float | str | None,
    connected: dict[str, list[str]],
    check_mode: bool,
    told: list[str],
) -> None:
    kubectl = Missed(ready, before)
    file.write_bytes(data(start(), round_(1)))
    status = {"run": RUN, "state": "training", "nodes": connected}
    own = replace(reader(tmp_path, status), check_mode=check_mode)
    found = own.read(0, "", 0, Kubectl(kubectl, "/k"), "edgefl", "")
    assert kubectl.told == told
    assert [name in text for name, text in zip(told, found["told_anew"], strict=True)] == [True] * len(told)


@pytest.mark.parametrize(
    ("since", "connected", "removed", "told"),
    [
        (70, {"edge1": ["client-1"]}, False, ["client-1"]),
        (70, {"edge1": ["client-1"], "north": ["edge9"]}, False, ["client-1"]),
        (40, {"edge1": ["client-1"]}, False, []),
        (70, {}, False, []),
        (70, {"edge1": ["client-1"]}, True, []),
    ],
)
def test_a_pod_that_is_connected_and_not_ready_is_told_anew(
    tmp_path: Path, file: Path, since: float, connected: dict[str, list[str]], removed: bool, told: list[str]
) -> None:
    kubectl = Missed(since, None, "False", removed)
    file.write_bytes(data(start(), round_(1)))
    own = reader(tmp_path, {"run": RUN, "state": "training", "nodes": connected})
    found = own.read(0, "", 0, Kubectl(kubectl, "/k"), "edgefl", "")
    assert kubectl.told == told
    assert ["connected, and not ready" in text for text in found["told_anew"]] == [True] * len(told)


def test_a_pod_is_told_anew_when_the_training_is_done_and_nobody_waits_for_it(tmp_path: Path, file: Path) -> None:
    kubectl = Missed(70, None)
    file.write_bytes(data(*WHOLE))
    found = reader(tmp_path, {"run": RUN, "state": "done", "nodes": {}}).read(
        0, "", 0, Kubectl(kubectl, "/k"), "edgefl", ""
    )
    assert (found["state"], found["problems"], found["evicted"]) == ("done", [], [])
    assert kubectl.told == ["client-1", "client-2", "region"]


def test_reasons_that_the_file_tells(tmp_path: Path, file: Path) -> None:
    file.write_bytes(data(start(), FAILED))
    assert (read(reader(tmp_path))["state"], read(reader(tmp_path))["reason"]) == ("failed", "no data")
    file.write_bytes(data(start()) + b"{}\n")
    assert "line 2 of rounds.jsonl is damaged" in read(reader(tmp_path))["reason"]
    file.write_bytes(data(*WHOLE))
    assert read(reader(tmp_path))["reason"] == ""
