"""Reports: what they are made of, what they show, and the files of a run."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.plugins.training_lines import RUN, WHOLE, client, data, done, lost, round_, start

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import events as _training
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _results as _results
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import comparison as _report_compare
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import data as _report_data
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import html as _report_html
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import page as _report
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import run as _report_run
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import Details, Run, Setting
from report.runs import comparison, extended, real
from support.helpers import BIN, run

FAILED = {**done(), "event": "failed", "reason": "no data"}


def page(events: list[dict[str, Any]]) -> _report.Report:
    return _report.run_report(Run(RUN, events))


def rows(report: _report.Report, name: str) -> list[dict[str, str]]:
    """The rows of a plot's CSV file."""
    return list(csv.DictReader(io.StringIO(report.files()[f"plots/{name}.csv"].decode())))


# -- what it is made of ----------------------------------------------------------------------------------------------


def test_telemetry_is_in_the_order_of_their_time() -> None:
    given_ = [
        {"time": 2, "kind": "node", "node": "a", "cpu_cores": 0.5, "memory_bytes": 1},
        {"time": 1, "kind": "event", "node": "a", "reason": "Restarted", "later": "a field that is not known yet"},
    ]
    found = _report_data.telemetry(given_)
    assert found == [_report_data.Happening(1, "a", "Restarted"), _report_data.NodeUse(2, "a", 0.5, 1)]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"time": 1, "kind": "disk"}, "record 1 is of the kind 'disk'; known are node, pod"),
        ("a", "record 1 is of the kind None"),
        ({"time": 1, "kind": "node", "node": "a", "cpu_cores": 1}, "record 1 has no 'memory_bytes'"),
        (
            {"time": "1", "kind": "event", "node": "a", "reason": "x"},
            "'time' of record 1 is '1', and is to be a number",
        ),
        ({"time": 1, "kind": "event", "node": 7, "reason": "x"}, "'node' of record 1 is 7, and is to be a text"),
        ({"time": True, "kind": "event", "node": "a", "reason": "x"}, "'time' of record 1 is True"),
    ],
)
def test_a_record_that_is_wrong(record: Any, message: str) -> None:
    with pytest.raises(EdgeflError, match=re.escape(message)):
        _report_data.telemetry([record])


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ({"limit": []}, "details has limit; known are limits, capacity"),
        ({"limits": {}}, "details.limits is to be a list"),
        ({"versions": []}, "details.versions is to be a mapping"),
        ({"scalings": [{"time": 1, "node": "a"}]}, "details.scalings[0] has no 'text'"),
        ({"listings": ["x"]}, "details.listings[0] is 'x', and is to be a mapping"),
    ],
)
def test_details_that_are_wrong(details: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgeflError, match=re.escape(message)):
        _report_data.details(details)


# -- time ------------------------------------------------------------------------------------------------------------


def test_parts_begin_with_their_round_and_follow_each_other_in_a_pod() -> None:
    second = round_(2, clients=[client("edge1", 10, 0.5), client("edge1", 20, 0.25)], lost=[lost("edge2")])
    events = [start(), round_(1) | {"time": 101.25}, second | {"time": 103.0}]
    found = [(part.round, part.node, part.begin, part.end, part.lost) for part in _report_run.parts(events)]
    assert found == [
        (1, "edge1", 0, 0.5, ""),
        (1, "edge2", 0, 0.5, ""),
        (2, "edge1", 1.75, 2.25, ""),
        (2, "edge1", 2.25, 2.5, ""),
        (2, "edge2", 1.75, 3.0, "the connection was lost"),
    ]


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("uvwxyz"), st.integers(0, 50), st.integers(1, 9)), min_size=1
    )
)
def test_no_two_pods_share_a_lane_at_a_time(given_: list[tuple[str, str, int, int]]) -> None:
    parts = [_report_run.Part(1, 1, node, pod, "1/1", begin, begin + length, 1) for node, pod, begin, length in given_]
    lanes = _report_run.lanes(parts)
    spans = {key: [part for part in parts if (part.node, part.pod) == key] for key in lanes}
    for one, lane in lanes.items():
        for other, second in lanes.items():
            if one < other and one[0] == other[0] and lane == second:
                assert (
                    max(part.end for part in spans[one]) <= min(part.begin for part in spans[other])
                    or max(part.end for part in spans[other]) <= min(part.begin for part in spans[one])
                )  # fmt: skip
    for node in {node for node, _pod in lanes}:
        used = {lane for (name, _pod), lane in lanes.items() if name == node}
        assert used == set(range(len(used)))


def test_letters_go_on_after_z() -> None:
    clients = [client("edge1", 1, pod=f"{place:02}") for place in range(28)]
    found = _report_run.letters(Run(RUN, [round_(1, clients=clients)]))
    assert [found["edge1", f"edge1-{place:02}"] for place in (0, 25, 26, 27)] == ["a", "z", "aa", "ab"]


def test_band_is_median_and_span() -> None:
    line = _report_run.Line
    found = _report_run.band("x", [line("", [1, 2], [0.5, None]), line("", [1, 2], [0.7, 0.8]), line("", [1], [0.9])])
    assert (found.xs, found.ys, found.low, found.high) == ([1, 2], [0.7, 0.8], [0.5, 0.8], [0.9, 0.8])


def test_names_are_sorted_as_people_do_it() -> None:
    assert _report_run.in_order(["edge10", "7", "cloud", "edge2", "edge"]) == ["7", "cloud", "edge", "edge2", "edge10"]


def test_slices_are_joined() -> None:
    assert _report_run._slices([[0, 5], [5, 10], [0, 10], [20, 30]]) == "0 to 10, 20 to 30"
    assert _report_run._slices([]) == "-"


# -- the page --------------------------------------------------------------------------------------------------------


class Parts(HTMLParser):
    """All start tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    handle_startendtag = handle_starttag


@pytest.fixture(scope="module")
def whole() -> _report.Report:
    return _report.run_report(extended(2))


def test_ids_are_unique_and_all_that_is_pointed_to_is_there(whole: _report.Report) -> None:
    tags = Parts(whole.html).tags
    ids = [attributes["id"] for _tag, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r"url\(#([^)]+)\)", whole.html))
    for _tag, attributes in tags:
        wanted |= {attributes["href"][1:]} if attributes.get("href", "").startswith("#") else set()
        wanted |= set(attributes.get("aria-labelledby", "").split())
    assert wanted and wanted <= set(ids)


def test_colors_and_fonts_are_those_of_the_page(whole: _report.Report) -> None:
    drawings = "".join(re.findall("<svg.*?</svg>", whole.html, re.DOTALL))
    colors = set(re.findall("#[0-9a-f]{6}", drawings))
    assert colors <= {"#ffffff"}, "Matplotlib drew in a colour that is not one of the page"
    assert "font-family" not in drawings and "<style" not in drawings and "var(--c1)" in drawings
    assert "prefers-color-scheme" in whole.html and "@media print" in whole.html and 'name="viewport"' in whole.html


def test_page_has_neither_scripts_nor_other_files(whole: _report.Report) -> None:
    for tag, attributes in Parts(whole.html).tags:
        assert tag not in ("script", "img", "iframe", "object")
        for key in ("src", "href"):
            assert attributes.get(key, "#")[:1] == "#" or attributes[key].startswith("data:")
        assert not any(key.startswith("on") for key in attributes)
    assert "http" not in whole.html


def test_every_drawing_is_told_in_words(whole: _report.Report) -> None:
    for drawing in re.findall("<svg.*?</svg>", whole.html, re.DOTALL):
        told = re.search("<desc[^>]*>(.*?)</desc>", drawing)
        assert told and re.search("from .* to |parts trained by", told[1])


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""

    def light(color: str) -> float:
        digits = color[1:] if len(color) == 7 else "".join(digit * 2 for digit in color[1:])
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("text", [_report_html._LIGHT, _report_html._DARK])
def test_contrast(text: str) -> None:
    colors = dict(re.findall(r"--(\w+):(#\w+);", text))
    for ground in ("ground", "card"):
        for name in ("text", "soft", "link"):
            assert contrast(colors[name], colors[ground]) >= 4.5, f"{name} on {ground}"
        for place in range(10):
            # What is drawn needs 3; text on it is written in the colour of the card
            assert contrast(colors[f"c{place}"], colors[ground]) >= 4.5, f"c{place} on {ground}"


def test_same_data_same_bytes_whatever_the_users_matplotlibrc_says(whole: _report.Report) -> None:
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.facecolor": "red"}):
        assert _report.run_report(extended(2)).files() == whole.files()


def test_sections_without_data_are_left_out(whole: _report.Report) -> None:
    def titles(text: str) -> list[str]:
        return re.findall("<h2[^>]*>(.*?)</h2>", text)

    assert titles(page(WHOLE).html) == ["Learning", "Nodes", "Rounds", "To repeat it"]
    assert titles(whole.html) == [
        "Learning",
        "Nodes",
        "Scaling",
        "CPU and memory",
        "Images shipped",
        "Rounds",
        "To repeat it",
        "In the cluster",
    ]
    not_evaluated = [start() | {"accuracy": None, "loss": None}, round_(1, accuracy=None)]
    assert titles(page(not_evaluated).html) == ["Nodes", "Rounds", "To repeat it"]


def test_csv_files_hold_every_round_node_and_sample() -> None:
    run_ = extended(8)
    report = _report.run_report(run_)
    rounds = _training.rounds(run_.events)
    assert [row["accuracy"] for row in rows(report, "accuracy")][1:] == [str(event["accuracy"]) for event in rounds]
    found = {(row["node"], int(row["round"])): int(row["samples"]) for row in rows(report, "samples")}
    assert found == {
        (node, event["round"]): share.samples for event in rounds for node, share in _training.shares(event).items()
    }
    assert len(rows(report, "timeline")) == sum(len(event["clients"]) + len(event["lost"]) for event in rounds)
    assert len(rows(report, "pod-cpu")) == len(run_.of(_report_data.PodUse))
    assert len(rows(report, "node-memory")) == len(run_.of(_report_data.NodeUse))
    assert len(rows(report, "replicas")) == len(rows(report, "hpa")) == len(run_.of(_report_data.Replicas))


def test_limits_far_above_are_told_at_the_edge_and_near_ones_are_drawn(whole: _report.Report) -> None:
    drawings = dict(re.findall(r'<figure[^>]* id="([^"]+)">.*?(<svg.*?</svg>)', whole.html, re.DOTALL))
    assert drawings["pod-cpu"].count('data-series="edge1 limit"') == 1
    assert 'data-series="edge1 limit"' not in drawings["pod-memory"] and "limit 2147 ↑" in drawings["pod-memory"]


def test_decisions_lost_parts_and_restarts_are_in_the_time_line(whole: _report.Report) -> None:
    drawing = re.findall(r'<figure class=wide id="timeline">.*?(<svg.*?</svg>)', whole.html, re.DOTALL)[0]
    for series in ("edge2 lost", "edge2 restart", "edge1 scaling"):
        assert drawing.count(f'data-series="{series}"') == 1
    assert "ceil(1 x 160 % / 60 %) = 3" in drawing and "<ol><li>40.0 s, edge1: 1 -&gt; 3 pods" in whole.html


def test_report_of_loops_gaps_failure_and_nothing() -> None:
    events = [start(loops=2), round_(1), round_(2, accuracy=None), round_(1, loop=2), FAILED]
    text = page(events).html
    assert "loop 2" in text and "It failed: no data" in text
    assert "No round was finished" in page([start()]).html and page([]).html
    assert len(page([start(), *(round_(number) for number in range(1, 200))]).plots) == 5
    many = page([start(loops=40), *(round_(1, loop) for loop in range(1, 41))])
    assert "median of 40 loops" in many.html and rows(many, "accuracy")[0]["low"] == "0.1"


def test_report_escapes() -> None:
    node, pod = "<i>&", '"><script>'
    events = [start(app="<b>"), round_(1, clients=[client(node, 5, pod=pod)], lost=[lost("<u>", pod)]), done()]
    samples = [{"time": 1, "kind": "pod", "node": node, "pod": pod, "cpu_cores": 1, "memory_bytes": 1}]
    details = {"listings": [{"title": "<u>", "command": "<u>", "text": "<u>"}], "variables": {"<u>": "$x$ <u>"}}
    made = Run("<u>", events, _report_data.telemetry(samples), _report_data.details(details))
    text = _report.run_report(made).html
    assert "<b>" not in text and "<i>&" not in text and "<script" not in text and "<u>" not in text


# -- comparison ------------------------------------------------------------------------------------------------------


def named(name: str, seconds: float, accuracy: float) -> Run:
    events = [start(), round_(1) | {"seconds": seconds}, round_(2, accuracy=accuracy) | {"seconds": seconds}]
    return Run(name, [event | {"run": name} for event in events])


def test_comparison_is_of_medians() -> None:
    settings = [
        Setting("none", [named("a", 4.0, 0.8), named("b", 2.0, 0.9), named("c", 3.0, 0.7)]),
        Setting("hpa", [named("d", 1.0, 0.8), named("e", 2.0, 0.8)]),
    ]
    head, body = _report_compare.tables(settings)[0]
    first, second = (dict(zip(head, row)) for row in body)
    assert first["seconds"] == "6.000\n4.000 to 8.000" and first["accuracy"] == "0.8000\n0.7000 to 0.9000"
    assert first["time against none"] == "× 1.00" and second["time against none"] == "× 0.50"
    assert second["accuracy"] == "0.8000" and second["repetitions"] == "2"
    shown = [_report_compare.typical(setting) for setting in settings]
    assert [run_.name for run_ in shown if run_] == ["c", "d"]
    found = _report_compare.summary("x", settings)
    assert found["settings"]["none"]["seconds"] == {"median": 6, "min": 4, "max": 8}
    assert "hpa   2 repetitions; medians: accuracy 0.8000, seconds 3.000" in _report_compare.words(found, "r")[2]


def test_every_loop_is_a_repetition() -> None:
    events = [start(loops=2), round_(1), round_(2), round_(1, loop=2), round_(2, loop=2, accuracy=0.6)]
    found = _report_compare.repetitions(Setting("x", [Run(RUN, events)]))
    assert [(each["loop"], each["rounds"], each["accuracy"]) for each in found] == [(1, 2, 0.8), (2, 2, 0.6)]


def test_comparison_report_has_a_plot_for_each_figure_and_a_typical_run_of_each_setting() -> None:
    report = _report.comparison_report(comparison(2), Details())
    names = [plot.name for plot in report.plots]
    assert len(names) == len(set(names))
    for key in ("accuracy", "seconds", "cpu_seconds", "peak_mb", "pods"):
        found = rows(report, f"compare-{key}")
        assert [row["setting"] for row in found] == ["none"] * 3 + ["hpa"] * 3 + ["vpa"] * 3
    assert "2-hpa-timeline" in names and "3-vpa-pod-cpu" in names
    ids = re.findall(' id="([^"]+)"', report.html)
    assert len(ids) == len(set(ids))


def test_the_title_names_what_is_compared() -> None:
    assert _report_compare.title(["none", "hpa", "vpa"]) == "Comparison of none, hpa and vpa"
    assert _report_compare.title(["one"]) == "Comparison of one"
    assert _report_compare.title(list("abcde")) == "Comparison of 5 settings"
    assert "<h1>Comparison of none, hpa and vpa</h1>" in _report.comparison_report(comparison(2), Details()).html


def test_events_long_before_the_rounds_are_counted_not_drawn() -> None:
    run_ = Run(RUN, WHOLE)
    opens, closes = _report_run.zero(WHOLE), _training.rounds(WHOLE)[-1]["time"]
    near, far = opens - 0.1 * (closes - opens), opens - 10 * (closes - opens)
    samples = [_report_data.Happening(at, "edge1", "Killing") for at in (near, far)]
    html = _report.run_report(Run(RUN, WHOLE, samples)).html
    assert html.count("edge1 : Killing") == 1
    assert "Not drawn: 1 earlier events" in html and "Not drawn" not in _report.run_report(run_).html


# -- files -----------------------------------------------------------------------------------------------------------


def write(folder: Path, events: list[dict[str, Any]], **given_: Any) -> list[str]:
    """As the module does it; the files that were written."""
    kept = _results.beside(folder, given_.get("telemetry"), given_.get("details"))
    wanted = _results.files(_results.made_of(folder.name, events, kept), {}, {}, kept)
    names = _results.differing(folder, wanted)
    _results.write(folder, wanted, names)
    return names


def test_files_are_written_once(tmp_path: Path) -> None:
    checksum = hashlib.sha256(data(*WHOLE)).hexdigest()
    _results.check(Run(RUN, WHOLE), checksum)
    wanted = _results.files(Run(RUN, WHOLE), {"a.log": "x\n"}, {"m.yaml": "y\n"}, {})
    folder = tmp_path / RUN
    assert list(wanted)[-1] == "summary.json" and _results.differing(folder, wanted) == list(wanted)
    _results.write(folder, wanted, list(wanted))
    assert _results.differing(folder, wanted) == []
    assert (folder / "rounds.jsonl").read_bytes() == data(*WHOLE)
    assert not list(folder.rglob(".*"))
    (folder / "rounds.csv").write_text("")
    assert _results.differing(folder, wanted) == ["rounds.csv"]
    assert json.loads((folder / "summary.json").read_text())["accuracy"] == 0.9


def test_telemetry_and_details_stay_when_none_are_given(tmp_path: Path) -> None:
    record = {"time": WHOLE[1]["time"], "kind": "node", "node": "edge1", "cpu_cores": 0.5, "memory_bytes": 1e9}
    folder = tmp_path / RUN
    assert "plots/node-cpu.csv" in write(
        folder, WHOLE, telemetry=[record], details={"versions": {"KubeEdge": "1.23.1"}}
    )
    assert write(folder, WHOLE) == []
    assert "1.23.1" in (folder / "report.html").read_text()
    assert json.loads((folder / "telemetry.jsonl").read_text()) == record
    (folder / "telemetry.jsonl").write_text("{")
    with pytest.raises(EdgeflError, match=r"telemetry.jsonl in the folder of the results is damaged"):
        write(folder, WHOLE)


def test_runs_are_compared_by_what_is_in_their_folders(tmp_path: Path) -> None:
    made = real("two_nodes")
    write(tmp_path / made.name, made.events)
    found = _results.compared(tmp_path, [{"name": "none", "runs": [made.name]}])
    assert found == [Setting("none", [made])]
    wanted = _results.comparison_files("x", found, Details(), {})
    assert list(wanted)[-1] == "summary.json" and "comparison.csv" in wanted and "plots/compare-seconds.csv" in wanted
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/rounds.jsonl").write_text("")
    for given_, message in (
        ([{"name": "a", "runs": ["r0"]}], "r0/rounds.jsonl can't be read"),
        ([{"name": "a", "runs": ["empty"]}], "it has no finished round"),
        ([{"name": "a", "runs": []}], "'a' has no runs"),
        ([{"name": "a", "runs": [made.name]}] * 2, "there twice: a"),
        ([{"name": "a", "runs": ["../x"]}], "edgefl_run"),
    ):
        with pytest.raises(EdgeflError, match=message):
            _results.compared(tmp_path, given_)


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(EdgeflError, match="checksum"):
        _results.check(Run(RUN, WHOLE), "0" * 64)
    with pytest.raises(EdgeflError, match="no name of a file"):
        _results.files(Run(RUN, WHOLE), {"../a": ""}, {}, {})
    (tmp_path / RUN).write_text("a file where the folder is to be")
    with pytest.raises(EdgeflError, match="edgefl_results_dir"):
        _results.write(tmp_path / RUN, {"a": b""}, ["a"])


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


# -- the module ------------------------------------------------------------------------------------------------------


def module(arguments: dict[str, Any], env: dict[str, str] | None = None) -> dict[str, Any]:
    """What results_write returns, run by Ansible with the interpreter that site.yml takes."""
    answer = run(
        BIN / "ansible", "localhost", "--module-name=edgefl.kubeedge.results_write", f"--args={json.dumps(arguments)}",
        "--extra-vars", json.dumps({"ansible_python_interpreter": str(BIN / "python")}),
        env={"ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"} | (env or {}),
        timeout=120,
    ).output  # fmt: skip
    found: dict[str, Any] = json.loads(answer[answer.index("{") :])["plays"][0]["tasks"][0]["hosts"]["localhost"]
    return found


def test_module_writes_once_and_compares(tmp_path: Path) -> None:
    made = real("lost_part")
    arguments = {"dest": str(tmp_path), "run": made.name, "events": made.events}
    first, second = module(arguments), module(arguments)
    assert first["changed"] and "report.html" in first["files"] and "latest" in first["files"], first
    assert not second["changed"] and second["files"] == []
    # What is there as it was made is not drawn again
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/matplotlib.py").write_text("raise ImportError('not here')\n")
    hidden = {"PYTHONPATH": str(tmp_path / "hidden")}
    assert not module(arguments, hidden)["changed"]
    (tmp_path / made.name / "report.html").write_text("damaged")
    assert "matplotlib" in module(arguments, hidden)["msg"]
    third = module(arguments)
    assert third["files"] == ["report.html"] and third["sizes"] == first["sizes"]
    compared = module({"dest": str(tmp_path), "run": "x", "settings": [{"name": "none", "runs": [made.name]}]})
    assert compared["changed"] and compared["summary"]["settings"]["none"]["repetitions"] == 1
    assert (tmp_path / "x/report.html").exists()


def test_module_without_matplotlib_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')\n")
    arguments = {"dest": str(tmp_path / "results"), "run": RUN, "events": WHOLE}
    found = module(arguments, {"PYTHONPATH": str(tmp_path)})
    assert "matplotlib" in found["msg"] and not (tmp_path / "results").exists()


def test_preflight_looks_for_matplotlib(tmp_path: Path) -> None:
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    role = {"ansible.builtin.include_role": {"name": "edgefl.kubeedge.edgefl", "tasks_from": "controller"}}
    (tmp_path / "play.yml").write_text(json.dumps([play | {"tasks": [role]}]))
    command = BIN / "ansible-playbook", "--inventory=/dev/null", tmp_path / "play.yml"
    run(*command, timeout=120).ok()
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')\n")
    without = run(*command, env={"PYTHONPATH": str(tmp_path)}, timeout=120)
    assert (
        without.code != 0
        and "which draws the report: No module named matplotlib.backends.backend_svg. Call `make .venv`"
        in without.output
    )
