"""The lines: their form, and that a crash or a full disk leaves whole lines only."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefl.common import journal as lines_of
from edgefl.common.journal import Journal


def filled(folder: Path, rounds: int = 3) -> Journal:
    journal = Journal(folder, io.StringIO())
    journal.append(lines_of.line("start", "r", 1, 0, settings={"app": "fashion_mnist"}))
    for round_ in range(1, rounds + 1):
        journal.append(
            lines_of.line(
                "round", "r", 1, round_, accuracy=0.5, loss=1.0, seconds=1.0, train_seconds=0.9, clients=[], lost=[]
            )
        )
    return journal


def test_stdout_and_file_get_the_same_lines(tmp_path: Path) -> None:
    out = io.StringIO()
    journal = Journal(tmp_path, out)
    journal.append(lines_of.line("start", "r", 1, 0))
    journal.append(lines_of.line("done", "r", 1, 5))
    text = (tmp_path / "rounds.jsonl").read_text()
    assert text == out.getvalue()
    first = json.loads(text.splitlines()[0])
    assert list(first) == ["schema", "event", "run", "loop", "round", "time"] and first["schema"] == 1
    assert journal.complete


def test_without_a_folder_lines_are_only_printed() -> None:
    out = io.StringIO()
    Journal(None, out).append(lines_of.line("start", "r", 1, 0))
    assert json.loads(out.getvalue())["event"] == "start"


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.floats(), st.lists(st.floats(), max_size=3))))
def test_every_line_is_json_without_nan(values: dict[str, Any]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = lines_of.dump({"values": values})
    assert "\n" not in text
    json.loads(text, parse_constant=refuse)


@given(st.integers(0, 400))
def test_a_cut_off_line_is_removed(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("run")
    filled(folder)
    path = folder / "rounds.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - min(cut, len(whole))])
    journal = Journal(folder, io.StringIO())
    journal.append(lines_of.line("round", "r", 1, 9))
    lines = [json.loads(row) for row in path.read_bytes().splitlines()]
    assert lines == journal.lines
    assert all(a == json.loads(b) for a, b in zip(lines[:-1], whole.splitlines()))


def test_a_damaged_line_ends_what_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path)
    path = tmp_path / "rounds.jsonl"
    rows = path.read_bytes().splitlines(keepends=True)
    rows[2] = b'{"schema":1,\x00"event"}\n'
    path.write_bytes(b"".join(rows))
    journal = Journal(tmp_path, io.StringIO())
    assert [entry["round"] for entry in journal.lines] == [0, 1]
    assert "line 3 is damaged" in capsys.readouterr().err


def test_replay_prints_what_earlier_processes_wrote(tmp_path: Path) -> None:
    filled(tmp_path)
    out = io.StringIO()
    Journal(tmp_path, out).replay()
    assert out.getvalue() == (tmp_path / "rounds.jsonl").read_text()


def test_keep_drops_lines_from_the_file(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    dropped = journal.keep(lambda entry: entry["round"] < 3)
    assert [entry["round"] for entry in dropped] == [3]
    assert [entry["round"] for entry in Journal(tmp_path, io.StringIO()).lines] == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["rounds.jsonl"]


def test_a_full_disk_is_waited_for_and_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = filled(tmp_path)
    before = (tmp_path / "rounds.jsonl").read_bytes()
    real, tries = os.write, []

    def write(handle: int, data: bytes) -> int:
        tries.append((tmp_path / "rounds.jsonl").read_bytes())
        return real(handle, data[:10]) if len(tries) == 1 else real(handle, data)  # a disk with ten bytes left

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr("edgefl.common.journal.time.sleep", lambda _: None)
    journal.append(lines_of.line("round", "r", 1, 4))
    assert tries == [before, before]
    assert len((tmp_path / "rounds.jsonl").read_bytes().splitlines()) == 5
    assert "no space" in capsys.readouterr().err


def test_other_errors_are_not_waited_for() -> None:
    def refuse() -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with pytest.raises(OSError):
        lines_of.patiently(refuse, "x")


def test_a_process_without_a_file_left_waits_for_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file that this process may open is taken; half a second later they are given back."""
    journal = filled(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    taken: list[int] = []

    def take_all() -> None:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))

    def release() -> None:
        while taken:
            os.close(taken.pop())

    try:
        with pytest.raises(OSError, match="Too many open files"):
            take_all()
        threading.Timer(0.5, release).start()
        journal.append(lines_of.line("done", "r", 1, 3))
    finally:
        release()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "too many files are open to write" in capsys.readouterr().err
    assert [entry["event"] for entry in Journal(tmp_path).lines][-2:] == ["round", "done"]
