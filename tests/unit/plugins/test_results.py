"""The files of runs and comparisons on the controller: written once, whole, and with or without a report."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import connection_loader
from unit.plugins.training_lines import RUN, WHOLE, data

from ansible_collections.edgefl.kubeedge.plugins.action.results_write import ActionModule
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _results
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import svg
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import Run, Setting
from report.runs import real
from support.helpers import BIN, run

NO_MATPLOTLIB = "raise ImportError('not here')\n"


def results_write(check_mode: bool = False, **options: Any) -> dict[str, Any]:
    """What the task returns, called in this process."""
    task = Task()
    task.args, task.check_mode, task.async_val, task.diff = options, check_mode, 0, False
    context = PlayContext()
    connection = connection_loader.get("local", context)
    action = ActionModule(task, connection, context, loader=None, templar=None, shared_loader_obj=None)
    found: dict[str, Any] = action.run(task_vars={})
    return found


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg, "MATPLOTLIB_ERROR", "Traceback: not here")


# -- a run -------------------------------------------------------------------------------------------------------------


def test_files_are_written_once(tmp_path: Path) -> None:
    checksum = hashlib.sha256(data(*WHOLE)).hexdigest()
    options: dict[str, Any] = {
        "dest": str(tmp_path),
        "run": RUN,
        "events": WHOLE,
        "sha256": checksum,
        "logs": {"a.log": "x\n"},
        "manifests": {"m.yaml": "y\n"},
    }
    checked = results_write(check_mode=True, **options)
    assert checked["changed"] and list(tmp_path.iterdir()) == []
    first = results_write(**options)
    folder = tmp_path / RUN
    assert first["changed"] and first["files"] == checked["files"] and first["files"][-2:] == ["summary.json", "latest"]
    assert {
        "rounds.jsonl",
        "rounds.csv",
        "report.html",
        "drawn.json",
        "plots/accuracy.csv",
        "logs/a.log",
        "manifests/m.yaml",
    } <= set(first["files"])
    assert first["report"] == str(folder / "report.html") and first["text"][-1] == f"Report: {folder}/report.html"
    assert first["sha256"] == checksum and (folder / "rounds.jsonl").read_bytes() == data(*WHOLE)
    assert first["sizes"] == {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*.*") if path.is_file()
    }
    assert json.loads((folder / "summary.json").read_text()) == first["summary"] and first["summary"]["accuracy"] == 0.9
    assert not list(folder.rglob(".*"))
    again = results_write(**options)
    assert not again["changed"] and again["files"] == [] and again["sizes"] == first["sizes"]
    (folder / "rounds.csv").write_text("")
    assert results_write(**options)["files"] == ["rounds.csv"]
    assert (folder / "logs/a.log").exists(), "logs that are not named stay"


def test_what_is_drawn_of_the_same_data_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"dest": str(tmp_path), "run": RUN, "events": WHOLE}
    first = results_write(**options)
    with monkeypatch.context() as patched:
        patched.setattr(svg, "MATPLOTLIB_ERROR", "Traceback: not here")
        assert not results_write(**options)["changed"]
        (tmp_path / RUN / "report.html").write_text("damaged")
        failed = results_write(**options)
        assert failed["failed"] and "matplotlib" in failed["msg"] and "edgefl_report: false" in failed["msg"]
    again = results_write(**options)
    assert again["files"] == ["report.html"] and again["sizes"] == first["sizes"]
    monkeypatch.setattr(_results, "_programs", lambda: "of a newer version")
    assert results_write(**options)["files"] == ["drawn.json"], "it is drawn again, and looks the same"


def test_telemetry_and_details_stay_when_none_are_given(tmp_path: Path) -> None:
    record = {"time": WHOLE[1]["time"], "kind": "node", "node": "edge1", "cpu_cores": 0.5, "memory_bytes": 1e9}
    options: dict[str, Any] = {"dest": str(tmp_path), "run": RUN, "events": WHOLE}
    folder = tmp_path / RUN
    first = results_write(telemetry=[record], details={"versions": {"KubeEdge": "1.23.1"}}, **options)
    assert "plots/node-cpu.csv" in first["files"]
    assert results_write(**options)["files"] == []
    assert "1.23.1" in (folder / "report.html").read_text()
    assert json.loads((folder / "telemetry.jsonl").read_text()) == record
    (folder / "telemetry.jsonl").write_text("{")
    assert "telemetry.jsonl in the folder of the results is damaged" in results_write(**options)["msg"]


@pytest.mark.usefixtures("without_matplotlib")
def test_without_a_report_nothing_needs_matplotlib(tmp_path: Path) -> None:
    options: dict[str, Any] = {"dest": str(tmp_path), "run": RUN, "events": WHOLE}
    refused = results_write(**options)
    assert refused["failed"] and list(tmp_path.iterdir()) == [], "nothing is half done"
    found = results_write(report=False, **options)
    assert found["files"] == ["rounds.jsonl", "rounds.csv", "summary.json", "latest"] and found["report"] == ""
    assert found["text"][-1] == f"Results: {tmp_path / RUN}, without a report"
    compared = results_write(dest=str(tmp_path), run="x", settings=[{"name": "none", "runs": [RUN]}], report=False)
    assert compared["files"] == ["comparison.csv", "summary.json", "latest"]


def test_the_report_is_drawn_later_and_goes_when_it_is_no_longer_true(tmp_path: Path) -> None:
    options: dict[str, Any] = {"dest": str(tmp_path), "run": RUN}
    results_write(report=False, events=WHOLE, **options)
    drawn = results_write(events=WHOLE, **options)
    assert {"report.html", "drawn.json"} <= set(drawn["files"]) and "rounds.jsonl" not in drawn["files"]
    kept = results_write(report=False, events=WHOLE, **options)
    assert not kept["changed"] and kept["report"], "it is of the same data, and stays"
    assert results_write(report=False, check_mode=True, events=WHOLE[:2], **options)["removed"]
    fewer = results_write(report=False, events=WHOLE[:2], **options)
    assert {"report.html", "drawn.json", "plots/timeline.csv"} <= set(fewer["removed"]) and fewer["report"] == ""
    assert sorted(path.name for path in (tmp_path / RUN).rglob("*.*")) == ["rounds.csv", "rounds.jsonl", "summary.json"]


def test_a_note_that_is_not_ours_removes_nothing(tmp_path: Path) -> None:
    note = {"data": "0", "programs": "0", "files": {"../other": "0"}}
    (tmp_path / "other").write_text("x")
    folder = tmp_path / RUN
    folder.mkdir()
    for text in (json.dumps(note), "{", "[]", '{"data": 1}'):
        (folder / "drawn.json").write_text(text)
        assert _results.outdated(folder, {}) == []


# -- a comparison ------------------------------------------------------------------------------------------------------


def test_runs_are_compared_by_what_is_in_their_folders(tmp_path: Path) -> None:
    made = real("lost_part")
    results_write(dest=str(tmp_path), run=made.name, events=made.events, report=False)
    given: list[dict[str, Any]] = [{"name": "none", "runs": [made.name]}]
    assert _results.load_settings(tmp_path, given) == [Setting("none", [made])]
    found = results_write(dest=str(tmp_path), run="x", settings=given)
    assert found["files"][-2:] == ["summary.json", "latest"] and "plots/compare-seconds.csv" in found["files"]
    assert found["summary"]["run"] == "x" and found["summary"]["settings"]["none"]["repetitions"] == 1
    assert found["sha256"] == hashlib.sha256((tmp_path / "x/comparison.csv").read_bytes()).hexdigest()
    assert found["text"][0] == "Comparison of none" and (tmp_path / "x/report.html").exists()
    assert not results_write(dest=str(tmp_path), run="x", settings=given)["changed"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"name": "a", "runs": ["r0"]}], "r0/rounds.jsonl can't be read"),
        ([{"name": "a", "runs": ["empty"]}], "it has no finished round"),
        ([{"name": "a", "runs": []}], "'a' has no runs"),
        ([{"name": "a", "runs": ["empty"]}] * 2, "there twice: a"),
        ([{"name": "a", "runs": ["../x"]}], "edgefl_run"),
    ],
)
def test_settings_that_are_wrong(given: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/rounds.jsonl").write_text("")
    assert message in results_write(dest=str(tmp_path), run="x", settings=given)["msg"]
    assert not (tmp_path / "x").exists()


# -- what can't be -----------------------------------------------------------------------------------------------------


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(EdgeflError, match="checksum"):
        _results.check(Run(RUN, WHOLE), "0" * 64)
    with pytest.raises(EdgeflError, match="no name of a file"):
        _results.texts({"../a": ""}, {})
    (tmp_path / RUN).write_text("a file where the folder is to be")
    with pytest.raises(EdgeflError, match="edgefl_results_dir"):
        _results.write(tmp_path / RUN, {"a": b""}, ["a"])
    with pytest.raises(EdgeflError, match="edgefl_results_dir"):
        _results.remove(tmp_path, ["missing"])
    (tmp_path / "folder/a").mkdir(parents=True)
    with pytest.raises(EdgeflError, match="edgefl_results_dir"):
        _results.differing(tmp_path / "folder", {"a": b"x" * (tmp_path / "folder/a").stat().st_size})


def test_a_disk_that_keeps_something_else_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_results, "_replace", lambda path, _data: path.write_bytes(b"ab"))
    with pytest.raises(EdgeflError, match=r"does not hold what was written to it \(2 of 3 bytes\): check the disk"):
        _results.write(tmp_path, {"a": b"abc"}, ["a"])


def test_what_was_there_stays_when_it_cannot_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_text("before")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EdgeflError, match="No space left on device"):
        _results.write(tmp_path, {"a": b"after"}, ["a"])
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "before")]


def test_latest(tmp_path: Path) -> None:
    assert _results.link_differs(tmp_path, "r1")
    _results.link(tmp_path, "r1")
    assert not _results.link_differs(tmp_path, "r1") and _results.link_differs(tmp_path, "r2")
    _results.link(tmp_path, "r2")
    assert (tmp_path / "latest").readlink() == Path("r2")
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").mkdir()
    with pytest.raises(EdgeflError, match="is not a link"):
        _results.link_differs(tmp_path, "r2")
    with pytest.raises(EdgeflError, match="latest can't be written"):
        _results.link(tmp_path, "r2")


# -- as Ansible calls it -----------------------------------------------------------------------------------------------


def play(tmp_path: Path, tasks: list[dict[str, Any]], **env: str) -> Any:
    """Plays tasks on this host with the interpreter that site.yml takes."""
    book = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    (tmp_path / "play.yml").write_text(json.dumps(book))
    return run(BIN / "ansible-playbook", "--inventory=/dev/null", tmp_path / "play.yml", env=env, timeout=120)


def test_tasks_write_and_compare_and_say_what_is_missing(tmp_path: Path) -> None:
    made = real("lost_part")
    dest = tmp_path / "results"
    name = "edgefl.kubeedge.results_write"
    write = {name: {"dest": str(dest), "run": made.name, "events": made.events, "report": False}, "register": "written"}
    compare = {name: {"dest": str(dest), "run": "x", "settings": [{"name": "none", "runs": [made.name]}]}}
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/matplotlib.py").write_text(NO_MATPLOTLIB)
    unchanged = {"ansible.builtin.assert": {"that": ["written is not changed", "written.report == ''"]}}
    result = play(tmp_path, [write, write, unchanged, compare], PYTHONPATH=str(tmp_path / "hidden"))
    assert result.code != 0 and "matplotlib is not there" in result.output
    assert sorted(path.name for path in dest.iterdir()) == [made.name, "latest"]


@pytest.mark.parametrize("reserved", ["latest", "experiments", "new", "comparison"])
def test_another_runs_results_are_not_overwritten_by_a_reserved_name(tmp_path: Path, reserved: str) -> None:
    made = real("lost_part")
    dest = tmp_path / "results"
    write = {"dest": str(dest), "run": made.name, "events": made.events, "report": False}
    name = "edgefl.kubeedge.results_write"
    result = play(tmp_path, [{name: write}, {name: write | {"run": reserved, "events": made.events[:2]}}])
    assert result.code != 0 and f"'{reserved}' cannot be the name of a run" in result.output
    assert sorted(path.name for path in dest.iterdir()) == [made.name, "latest"]
    assert (dest / made.name / "rounds.jsonl").read_bytes().count(b"\n") == len(made.events)


def test_preflight_looks_for_matplotlib_where_a_report_is_wanted(tmp_path: Path) -> None:
    def role(**hidden: str) -> dict[str, Any]:
        about = {"name": "edgefl.kubeedge.preflight", "tasks_from": "controller", "apply": {"environment": hidden}}
        return {"ansible.builtin.include_role": about}

    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/matplotlib.py").write_text(NO_MATPLOTLIB)
    hidden = {"PYTHONPATH": str(tmp_path / "hidden")}
    last = {"ansible.builtin.debug": {"msg": "both passed"}}
    result = play(tmp_path, [role(), role(**hidden) | {"vars": {"edgefl_report": False}}, last, role(**hidden)])
    assert "both passed" in result.output and result.code != 0
    assert (
        "No module named matplotlib.backends.backend_svg. Call `" in result.output
        and "-m pip install matplotlib`" in result.output
    )
    assert "edgefl_report: false" in result.output
