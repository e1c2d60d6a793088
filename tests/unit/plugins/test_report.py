"""Reports: what they are made of, what they show, and the files of a run."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from typing import Any

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.plugins.training_lines import RUN, WHOLE, client, done, lost, round_, start

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import blocks, html, page, repetitions, training
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.comparison import tables
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import (
    ClusterEvent,
    Details,
    NodeUse,
    PodUse,
    Replicas,
    Run,
    Setting,
    parse_details,
    parse_telemetry,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.parts import (
    Part,
    first_begin,
    lanes,
    letters,
    parts,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.plots import Line, band
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.svg import COLORS
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.text import in_order
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._rounds import rounds, shares
from report.runs import PALETTES, comparison, extended

FAILED = {**done(), "event": "failed", "reason": "no data"}


def report_of(events: list[dict[str, Any]]) -> page.Report:
    return page.run_report(Run(RUN, events))


def rows(report: page.Report, name: str) -> list[dict[str, str]]:
    """The rows of a plot's CSV file."""
    return list(csv.DictReader(io.StringIO(report.files()[f"plots/{name}.csv"].decode())))


# -- what it is made of ----------------------------------------------------------------------------------------------


def test_an_app_s_own_metrics_are_drawn_and_in_the_table() -> None:
    """Whatever they are called: a name in a page or a file does nothing."""
    name = "../<b>auc</b>"
    own = [
        {**round_(number), "accuracy": None, "loss": None, "metrics": {"train": {name: number / 4}}}
        for number in (1, 2)
    ]
    report = report_of([start(), *own, done()])
    assert [row[f"train {name}"] for row in rows(report, "metric-1")] == ["0.25", "0.5"]
    assert "train ../&lt;b&gt;auc&lt;/b&gt; after each round" in report.html and "<b>auc" not in report.html
    # What is told as the accuracy is not told twice
    told = [{**each, "accuracy": each["metrics"]["train"][name]} for each in own]
    assert list(training.round_table(Run(RUN, told)).head)[:3] == ["round", "accuracy", "seconds"]
    table = training.round_table(Run(RUN, own))
    assert list(table.head)[:3] == ["round", f"train {name}", "seconds"] and "accuracy" not in table.head


def test_telemetry_is_in_the_order_of_their_time() -> None:
    given_ = [
        {"time": 2, "kind": "node", "node": "a", "cpu_cores": 0.5, "memory_bytes": 1},
        {"time": 1, "kind": "event", "node": "a", "reason": "Restarted", "later": "a field that is not known yet"},
    ]
    found = parse_telemetry(given_)
    assert found == [ClusterEvent(1, "a", "Restarted"), NodeUse(2, "a", 0.5, 1)]


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
        parse_telemetry([record])


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
        parse_details(details)


# -- time ------------------------------------------------------------------------------------------------------------


def test_parts_begin_with_their_round_and_follow_each_other_in_a_pod() -> None:
    second = round_(2, clients=[client("edge1", 10, 0.5), client("edge1", 20, 0.25)], lost=[lost("edge2")])
    events = [start(), round_(1) | {"time": 101.25}, second | {"time": 103.0}]
    found = [(part.round, part.node, part.begin, part.end, part.lost) for part in parts(events)]
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
    every = [Part(1, 1, node, pod, "1/1", begin, begin + length, 1) for node, pod, begin, length in given_]
    found = lanes(every)
    spans = {key: [part for part in every if (part.node, part.pod) == key] for key in found}
    for one, lane in found.items():
        for other, second in found.items():
            if one < other and one[0] == other[0] and lane == second:
                assert (
                    max(part.end for part in spans[one]) <= min(part.begin for part in spans[other])
                    or max(part.end for part in spans[other]) <= min(part.begin for part in spans[one])
                )  # fmt: skip
    for node in {node for node, _pod in found}:
        used = {lane for (name, _pod), lane in found.items() if name == node}
        assert used == set(range(len(used)))


def test_letters_go_on_after_z() -> None:
    clients = [client("edge1", 1, pod=f"{place:02}") for place in range(28)]
    found = letters(Run(RUN, [round_(1, clients=clients)]))
    assert [found["edge1", f"edge1-{place:02}"] for place in (0, 25, 26, 27)] == ["a", "z", "aa", "ab"]


def test_band_is_median_and_span() -> None:
    line = Line
    found = band("x", [line("", [1, 2], [0.5, None]), line("", [1, 2], [0.7, 0.8]), line("", [1], [0.9])])
    assert (found.xs, found.ys, found.low, found.high) == ([1, 2], [0.7, 0.8], [0.5, 0.8], [0.9, 0.8])


def test_names_are_sorted_as_people_do_it() -> None:
    assert in_order(["edge10", "7", "cloud", "edge2", "edge"]) == ["7", "cloud", "edge", "edge2", "edge10"]


def test_slices_are_joined() -> None:
    assert training.joined_slices([[0, 5], [5, 10], [0, 10], [20, 30]]) == "0 to 10, 20 to 30"
    assert training.joined_slices([]) == "-"


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
def whole() -> page.Report:
    return page.run_report(extended(2))


def test_ids_are_unique_and_all_that_is_pointed_to_is_there(whole: page.Report) -> None:
    tags = Parts(whole.html).tags
    ids = [attributes["id"] for _tag, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r"url\(#([^)]+)\)", whole.html))
    for _tag, attributes in tags:
        wanted |= {attributes["href"][1:]} if attributes.get("href", "").startswith("#") else set()
        wanted |= set(attributes.get("aria-labelledby", "").split())
    assert wanted and wanted <= set(ids)


def test_colors_and_fonts_are_those_of_the_report_of(whole: page.Report) -> None:
    drawings = "".join(re.findall("<svg.*?</svg>", whole.html, re.DOTALL))
    colors = set(re.findall("#[0-9a-f]{6}", drawings))
    assert colors <= {"#ffffff"}, "Matplotlib drew in a colour that is not one of the page"
    assert "font-family" not in drawings and "<style" not in drawings and "var(--c1)" in drawings
    assert "prefers-color-scheme" in whole.html and "@media print" in whole.html and 'name="viewport"' in whole.html


def test_page_has_neither_scripts_nor_other_files(whole: page.Report) -> None:
    for tag, attributes in Parts(whole.html).tags:
        assert tag not in ("script", "img", "iframe", "object")
        for key in ("src", "href"):
            assert attributes.get(key, "#")[:1] == "#" or attributes[key].startswith("data:")
        assert not any(key.startswith("on") for key in attributes)
    assert "http" not in whole.html


def test_every_drawing_is_told_in_words(whole: page.Report) -> None:
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


@pytest.mark.parametrize("scheme", PALETTES)
def test_contrast(scheme: str) -> None:
    colors = PALETTES[scheme]
    assert len(colors) == 6 + COLORS
    for ground in ("ground", "card"):
        for name in ("text", "soft", "link"):
            assert contrast(colors[name], colors[ground]) >= 4.5, f"{name} on {ground}"
        for place in range(COLORS):
            # What is drawn needs 3; text on it is written in the colour of the card
            assert contrast(colors[f"c{place}"], colors[ground]) >= 4.5, f"c{place} on {ground}"


def test_same_data_same_bytes_whatever_the_users_matplotlibrc_says(whole: page.Report) -> None:
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.facecolor": "red"}):
        assert page.run_report(extended(2)).files() == whole.files()


def test_sections_without_data_are_left_out(whole: page.Report) -> None:
    def titles(text: str) -> list[str]:
        return re.findall("<h2[^>]*>(.*?)</h2>", text)

    assert titles(report_of(WHOLE).html) == ["Learning", "Nodes", "Rounds", "To repeat it"]
    assert titles(whole.html) == [
        "Learning",
        "Nodes",
        "Scaling",
        "CPU and memory",
        "Images shipped",
        "Rounds",
        "Model",
        "To repeat it",
        "In the cluster",
    ]
    not_evaluated = [start() | {"accuracy": None, "loss": None}, round_(1, accuracy=None)]
    assert titles(report_of(not_evaluated).html) == ["Nodes", "Rounds", "To repeat it"]


def regional(name: str, examples: int, parts: int, parts_lost: int = 0) -> dict[str, Any]:
    return client(name, examples) | {"parts": parts, "parts_lost": parts_lost}


def test_regions_are_a_tree_and_their_parts_are_counted() -> None:
    """Also of a region that had no part; an edge in none stands beside them."""
    first = [regional("north", 30_000, 2), client("edge9", 500)]
    events = [
        start(),
        round_(1, clients=first),
        round_(2, clients=[regional("north", 10_000, 1, 1)], lost=[lost("south")]),
        done(),
    ]
    edges = [
        {"region": region, "node": node, "edge": f"edge{number}"}
        for region, node, numbers in (("north", "edge1", (1, 2)), ("south", "edge30", range(30, 60)))
        for number in numbers
    ]
    text = page.run_report(Run(RUN, events, details=parse_details({"regions": edges}))).html
    section = (
        text.partition('<h2 id="regions"')[2].partition("<h2")[0]
        or text.partition(">Regions</h2>")[2].partition("<h2")[0]
    )
    leaves = re.findall(r"<li>([^<\n]*)", section)
    assert leaves[:4] == [
        "the aggregator on the cloud node",
        "region north, its aggregator on edge1: 30 000 samples",
        "edge edge1",
        "edge edge2",
    ]
    assert leaves[4] == "region south, its aggregator on edge30: 0 samples" and leaves[-2:] == [
        "and 11 more",
        "edge edge9: 500 samples",
    ]
    cells = [re.findall(r"<td[^>]*>([^<]*)", row) for row in re.findall(r"<tr>(.*?)</tr>", section)]
    assert cells[1:] == [["north", "2", "2", "40 000", "3", "1", "0"], ["south", "30", "0", "0", "0", "0", "1"]]
    table = training.round_table(Run(RUN, events))
    place = list(table.head).index("parts in regions")
    assert [row[place : place + 2] for row in table.rows] == [["2", "0"], ["1", "1"]]
    assert "parts in regions" not in training.round_table(Run(RUN, WHOLE)).head


def test_csv_files_hold_every_round_node_and_sample() -> None:
    run_ = extended(3)
    report = page.run_report(run_)
    every = rounds(run_.events)
    assert [row["accuracy"] for row in rows(report, "accuracy")][1:] == [str(event["accuracy"]) for event in every]
    found = {(row["node"], int(row["round"])): int(row["samples"]) for row in rows(report, "samples")}
    assert found == {(node, event["round"]): share.samples for event in every for node, share in shares(event).items()}
    assert len(rows(report, "timeline")) == sum(len(event["clients"]) + len(event["lost"]) for event in every)
    assert len(rows(report, "pod-cpu")) == len(run_.records(PodUse))
    assert len(rows(report, "node-memory")) == len(run_.records(NodeUse))
    assert len(rows(report, "replicas")) == len(rows(report, "hpa")) == len(run_.records(Replicas))


def test_limits_far_above_are_told_at_the_edge_and_near_ones_are_drawn(whole: page.Report) -> None:
    drawings = dict(re.findall(r'<figure[^>]* id="([^"]+)">.*?(<svg.*?</svg>)', whole.html, re.DOTALL))
    assert drawings["pod-cpu"].count('data-series="edge1 limit"') == 1
    assert 'data-series="edge1 limit"' not in drawings["pod-memory"] and "limit 2147 ↑" in drawings["pod-memory"]


def test_decisions_lost_parts_and_restarts_are_in_the_time_line(whole: page.Report) -> None:
    drawing = re.findall(r'<figure class="wide" id="timeline">.*?(<svg.*?</svg>)', whole.html, re.DOTALL)[0]
    for series in ("edge2 lost", "edge2 restart", "edge1 scaling"):
        assert drawing.count(f'data-series="{series}"') == 1
    assert "ceil(1 x 160 % / 60 %) = 3" in drawing and "<li>40.0 s, edge1: 1 -&gt; 3 pods" in whole.html


def test_report_of_loops_gaps_failure_and_nothing() -> None:
    events = [start(loops=2), round_(1), round_(2, accuracy=None), round_(1, loop=2), FAILED]
    text = report_of(events).html
    assert "loop 2" in text and "It failed: no data" in text
    assert "No round was finished" in report_of([start()]).html and report_of([]).html
    assert len(report_of([start(), *(round_(number) for number in range(1, 200))]).plots) == 5
    many = report_of([start(loops=40), *(round_(1, loop) for loop in range(1, 41))])
    assert "median of 40 loops" in many.html and rows(many, "accuracy")[0]["low"] == "0.1"


def test_every_block_has_its_macro_and_every_macro_of_a_block_its_class() -> None:
    kinds = {kind.__name__.lower() for kind in blocks.Block.__subclasses__()}
    source = (html.TEMPLATES / "blocks.html.j2").read_text()
    macros = set(re.findall(r"macro (\w+)\(block\)", source))
    assert kinds == macros


def test_only_templates_have_html() -> None:
    for source in html.TEMPLATES.parent.glob("*.py"):
        assert not re.search(r"</?[a-z!]", source.read_text()), source.name


def test_a_long_table_shows_its_first_rows() -> None:
    table = blocks.Table("Rounds", ["round", "what"], [[number, "-"] for number in range(1, 202)])
    text = html.render("x", [], [blocks.Section("rounds", "Rounds", [table])])
    assert '<td class="n">200</td>' in text and ">201<" not in text and "The first 200 of 201 rows." in text
    assert "<nav" not in text, "one section needs no list of sections"
    assert "<td>-</td>" in text, "a column of dashes has no numbers"


def test_report_escapes() -> None:
    node, pod = "<i>&", '"><script>'
    events = [start(app="<b>"), round_(1, clients=[client(node, 5, pod=pod)], lost=[lost("<u>", pod)]), done()]
    telemetry = [{"time": 1, "kind": "pod", "node": node, "pod": pod, "cpu_cores": 1, "memory_bytes": 1}]
    details = {"listings": [{"title": "<u>", "command": "<u>", "text": "<u>"}], "variables": {"<u>": "$x$ <u>"}}
    made = Run("<u>", events, parse_telemetry(telemetry), parse_details(details))
    text = page.run_report(made).html
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
    table = tables(settings)[0]
    first, second = (dict(zip(table.head, row)) for row in table.rows)
    assert first["seconds"] == "6.000\n4.000 to 8.000" and first["accuracy"] == "0.8000\n0.7000 to 0.9000"
    assert first["time against none"] == "× 1.00" and second["time against none"] == "× 0.50"
    assert second["accuracy"] == "0.8000" and second["repetitions"] == "2"
    shown = [repetitions.typical(setting) for setting in settings]
    assert [run_.name for run_ in shown if run_] == ["c", "d"]
    found = repetitions.summary("x", settings)
    assert found["settings"]["none"]["seconds"] == {"median": 6, "min": 4, "max": 8}
    assert "hpa   2 repetitions; medians: accuracy 0.8000, seconds 3.000" in repetitions.words(found)[2]


def test_every_loop_is_a_repetition() -> None:
    events = [start(loops=2), round_(1), round_(2), round_(1, loop=2), round_(2, loop=2, accuracy=0.6)]
    found = repetitions.repetitions(Setting("x", [Run(RUN, events)]))
    assert [(each["loop"], each["rounds"], each["accuracy"]) for each in found] == [(1, 2, 0.8), (2, 2, 0.6)]


@pytest.fixture(scope="module")
def compared() -> page.Report:
    return page.comparison_report(comparison(1), Details())


def test_comparison_report_has_a_plot_for_each_figure_and_a_typical_run_of_each_setting(compared: page.Report) -> None:
    report = compared
    names = [plot.name for plot in report.plots]
    assert len(names) == len(set(names))
    for key in ("accuracy", "seconds", "cpu_seconds", "peak_mb", "pods"):
        found = rows(report, f"compare-{key}")
        assert [row["setting"] for row in found] == ["none"] * 3 + ["hpa"] * 3 + ["vpa"] * 3
    assert "2-hpa-timeline" in names and "3-vpa-pod-cpu" in names
    ids = re.findall(' id="([^"]+)"', report.html)
    assert len(ids) == len(set(ids))


def test_the_title_names_what_is_compared(compared: page.Report) -> None:
    assert repetitions.title(["none", "hpa", "vpa"]) == "Comparison of none, hpa and vpa"
    assert repetitions.title(["one"]) == "Comparison of one"
    assert repetitions.title(list("abcde")) == "Comparison of 5 settings"
    assert "<h1>Comparison of none, hpa and vpa</h1>" in compared.html


def test_events_long_before_the_rounds_are_counted_not_drawn() -> None:
    run_ = Run(RUN, WHOLE)
    opens, closes = first_begin(WHOLE), rounds(WHOLE)[-1]["time"]
    near, far = opens - 0.1 * (closes - opens), opens - 10 * (closes - opens)
    telemetry = [ClusterEvent(at, "edge1", "Killing") for at in (near, far)]
    text = page.run_report(Run(RUN, WHOLE, telemetry)).html
    assert text.count("edge1 : Killing") == 1
    assert "Not drawn: 1 earlier events" in text and "Not drawn" not in page.run_report(run_).html
