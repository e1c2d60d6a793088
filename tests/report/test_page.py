"""report.html in a real browser: complete, readable, and asking for nothing, on a wide screen and on a phone, light, dark and printed."""

from __future__ import annotations

import html
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import page
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import Details, NodeUse, PodUse, Run
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.parts import letters
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.plots import FEW
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._rounds import rounds, shares
from report.runs import MODEL, PALETTES, comparison, extended, kinds, real
from support.browser import Browser
from support.helpers import run

RUNS = {
    "two": lambda: real("two_nodes"),
    "lost": lambda: real("lost_part"),
    "two-minutes": lambda: extended(2),
    "eight": lambda: extended(8),
    "loops": lambda: extended(3, loops=3, rounds=5),
}
PAGES = {name: (lambda make=make: page.run_report(make())) for name, make in RUNS.items()} | {
    "comparison": lambda: page.comparison_report(comparison(2), Details()),
    "kinds": lambda: page.comparison_report(kinds(), Details()),
}
PHONE, DESK = 390, 1280

# The boxes of all words in drawings, with those of the drawings that they are in
WORDS = """
[...document.querySelectorAll('svg')].map(svg => {
  const outer = svg.getBoundingClientRect();
  return {name: svg.closest('figure').id, outer: [outer.left, outer.top, outer.right, outer.bottom],
    words: [...svg.querySelectorAll('text')].filter(text => text.textContent.trim()).map(text => {
      const box = text.getBoundingClientRect();
      return [text.textContent, box.left, box.top, box.right, box.bottom] })}})
"""
# What is wider than the window and not in a box of its own that can be scrolled
WIDE = """
[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, svg') && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.tagName + ' ' + e.className + ' ' + e.textContent.slice(0, 40))
"""
# Marks of each series of each drawing: points of lines, or bars
SERIES = """
Object.fromEntries([...document.querySelectorAll('figure')].map(figure => [figure.id,
  [...figure.querySelectorAll('[data-series]')].map(g => [g.dataset.series,
    g.querySelectorAll('use').length || g.querySelectorAll('path').length])]))
"""


# Points of lines that the edge of their plot cuts in two; at the bottom, where 0 is, that is as it should be
CUT = """
[...document.querySelectorAll('[data-series] g[clip-path]')].flatMap(g => {
  const box = document.getElementById(g.getAttribute('clip-path').slice(5, -1)).firstElementChild;
  const [x, y, width] = ['x', 'y', 'width'].map(key => Number(box.getAttribute(key)));
  return [...g.querySelectorAll('use')].filter(use => {
    const [left, top] = ['x', 'y'].map(key => Number(use.getAttribute(key)));
    return left < x + 1 || left > x + width - 1 || top < y + 2 }).map(use => use.textContent) })
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def file(folder: Path, request: pytest.FixtureRequest) -> Path:
    """The page of this name (the parameter)."""
    path = folder / f"{request.param}.html"
    if not path.exists():
        path.write_text(PAGES[request.param]().html)
    return path


def pages(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("file", names, indirect=True)


@pages("eight")
def test_the_report_tells_how_to_load_the_model(file: Path, tmp_path: Path) -> None:
    """Its line is called, in the folder of the report. That of Keras is in tests/fl/test_model.py, where Keras is."""
    text = html.unescape(file.read_text())
    assert 'keras.models.load_model("model/model.keras")' in text and "model/work/curves.png" in text
    (line,) = set(re.findall(r'numpy\.load\("[^"]+"\)', text))
    (tmp_path / "model").mkdir()
    arrays: dict[str, Any] = {each["name"]: numpy.zeros(each["shape"], each["dtype"]) for each in MODEL["arrays"]}
    numpy.savez(tmp_path / "model/model.npz", **arrays)
    program = f"import numpy\nfor name, array in {line}.items(): print(name, array.shape)"
    assert run(sys.executable, "-c", program, cwd=tmp_path).ok().output.split("\n")[:2] == [
        "0000 (784, 10)",
        "0001 (10,)",
    ]


@pages(*PAGES)
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_page_is_whole_and_asks_for_nothing(file: Path, width: int, browser: Browser) -> None:
    browser.open(file, width)
    browser.ask("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask(WIDE) == []
    assert browser.ask(CUT) == []
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [file.as_uri()]
    assert browser.ask("document.querySelectorAll('figure svg').length") >= 5


@pages(*PAGES)
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_words_in_drawings_are_inside_and_do_not_cover_each_other(file: Path, width: int, browser: Browser) -> None:
    browser.open(file, width)
    found = []
    for drawing in browser.ask(WORDS):
        left, top, right, bottom = drawing["outer"]
        words = drawing["words"]
        assert words
        for text, *box in words:
            if box[0] < left - 1 or box[1] < top - 1 or box[2] > right + 1 or box[3] > bottom + 1:
                found.append(f"{drawing['name']}: {text!r} is cut off")
        for place, (text, *one) in enumerate(words):
            for other_text, *other in words[place + 1 :]:
                across = min(one[2], other[2]) - max(one[0], other[0])
                along = min(one[3], other[3]) - max(one[1], other[1])
                # The boxes are as high as the font's, which is more than its letters
                if across > 1 and along > 0.35 * min(one[3] - one[1], other[3] - other[1]):
                    found.append(f"{drawing['name']}: {text!r} and {other_text!r} cover each other")
    assert found == []


def marks(run: Run) -> dict[str, Counter[str]]:
    """How many marks each series of each drawing is to have."""
    every = rounds(run.events)
    loops = sorted({event["loop"] for event in every})
    expected: dict[str, Counter[str]] = {
        name: Counter() for name in ("accuracy", "loss", "samples", "seconds", "timeline")
    }
    for event in every:
        name = f"loop {event['loop']}" if len(loops) > 1 else ""
        for key in ("accuracy", "loss"):
            expected[key][name or key] += 1
        for item in event["clients"]:
            expected["timeline"][item["node"]] += 1
        for item in event["lost"]:
            expected["timeline"][f"{item['node']} lost"] += 1
        if event["loop"] == loops[-1]:
            for node, share in shares(event).items():
                if share.pods:
                    expected["samples"][node] += 1
                    expected["seconds"][node] += 1
    for key in ("accuracy", "loss"):
        # The model before the first round
        expected[key][f"loop {loops[0]}" if len(loops) > 1 else key] += 1
    short = letters(run)
    for pod_use in run.records(PodUse):
        expected.setdefault("pod-cpu", Counter())[f"{pod_use.node} pod {short[pod_use.node, pod_use.pod]}"] += 1
    for node_use in run.records(NodeUse):
        expected.setdefault("node-memory", Counter())[node_use.node] += 1
    return expected


@pages(*RUNS)
def test_every_plot_has_a_mark_for_each_round_and_node(file: Path, browser: Browser) -> None:
    browser.open(file)
    shown: dict[str, list[tuple[str, int]]] = browser.ask(SERIES)
    for name, expected in marks(RUNS[file.stem]()).items():
        assert max(expected.values()) <= FEW or name == "timeline", "more points than get a mark each"
        found: Counter[str] = Counter()
        for series, count in shown[name]:
            found[series] += count
        missing = {series: (count, found[series]) for series, count in expected.items() if found[series] != count}
        assert missing == {}, f"{name}: series: (in the data, drawn)"


@pytest.mark.parametrize(
    ("file", "settings"),
    [("comparison", ["none", "hpa", "vpa"]), ("kinds", ["Deployment", "StatefulSet"])],
    indirect=["file"],
)
def test_comparison_has_a_point_for_each_repetition(file: Path, settings: list[str], browser: Browser) -> None:
    browser.open(file)
    shown = browser.ask(SERIES)
    for key in ("accuracy", "seconds", "cpu_seconds", "peak_mb", "pods"):
        assert shown[f"compare-{key}"] == [[setting, 3] for setting in settings]


@pages(*PAGES)
def test_data_are_tables_and_files_beside_the_drawings(file: Path, browser: Browser) -> None:
    browser.open(file)
    found = browser.ask(
        "[...document.querySelectorAll('figure')].map(f => [f.querySelectorAll('details tbody tr').length,"
        "f.querySelector('a[download$=\".csv\"]').href.slice(0, 21), f.querySelector('svg title').textContent])"
    )
    assert all(rows > 0 and link == "data:text/csv;base64," and title for rows, link, title in found)


@pages("eight")
def test_drawings_are_images_with_names_for_a_screen_reader(file: Path, browser: Browser) -> None:
    browser.open(file)
    titles = browser.ask("[...document.querySelectorAll('figcaption')].map(e => e.textContent)")
    images = [item["name"]["value"] for item in browser.accessible() if item.get("role", {}).get("value") == "image"]
    assert len(images) == len(titles) > 0
    # The title, and what is seen
    assert [title for title in titles if not any(name.startswith(f"{title} edge1: ") for name in images)] == [
        "Accuracy after each round",
        "Loss after each round",
    ]


@pages("eight")
def test_words_in_drawings_can_be_searched_and_scrolled_to_by_keyboard(file: Path, browser: Browser) -> None:
    browser.open(file, PHONE)
    assert browser.ask("[...document.querySelectorAll('svg text')].some(e => e.textContent === 'edge8')")
    stuck = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth && e.tabIndex !== 0).length"
    assert browser.ask(stuck) == 0


def color(text: str) -> tuple[int, ...]:
    """`#rgb` or `#rrggbb` as numbers."""
    digits = text[1:] if len(text) == 7 else "".join(digit * 2 for digit in text[1:])
    return tuple(int(digits[place : place + 2], 16) for place in (0, 2, 4))


def share_of(picture: Path, wanted: tuple[int, ...]) -> float:
    """How much of a picture is nearly of this colour."""
    image = Image.open(picture).convert("RGB")
    image.thumbnail((100, 1000), Image.Resampling.NEAREST)
    pixels: list[Any] = list(image.get_flattened_data())
    near = sum(1 for pixel in pixels if max(abs(a - b) for a, b in zip(pixel, wanted)) <= 6)
    return near / len(pixels)


@pytest.mark.parametrize(("file", "width"), [("two", PHONE), ("eight", DESK)], indirect=["file"])
def test_light_and_dark(file: Path, width: int, browser: Browser, tmp_path: Path) -> None:
    for scheme, palette in PALETTES.items():
        browser.open(file, width, dark=scheme == "dark")
        picture = tmp_path / f"{scheme}.png"
        browser.picture(picture)
        assert share_of(picture, color(palette["ground"])) > 0.3
        # A line of a drawing has the colour of the scheme
        line = "document.querySelector('#seconds [data-series=edge1] path')"
        assert browser.ask(f"getComputedStyle({line}).stroke") == f"rgb({', '.join(map(str, color(palette['c0'])))})"


@pages("eight")
def test_printed_it_is_light_and_on_pages(file: Path, browser: Browser, tmp_path: Path) -> None:
    browser.open(file, dark=True, printed=True)
    assert browser.ask("getComputedStyle(document.documentElement).getPropertyValue('--ground')") == "#fff"
    assert browser.ask("getComputedStyle(document.querySelector('details')).display") == "none"
    # As wide as A4 is between its margins
    browser.open(file, 688, printed=True)
    assert browser.ask("document.documentElement.scrollWidth") <= 688
    browser.pdf(tmp_path / "page.pdf")
    data = (tmp_path / "page.pdf").read_bytes()
    assert data.startswith(b"%PDF") and 3 <= data.count(b"/Type /Page\n") <= 12


@pytest.mark.parametrize(
    ("file", "element", "dark", "name"),
    [
        ("two", "", False, "report"),
        ("lost", "#timeline", False, "lost_part"),
        ("eight", "#timeline", True, "timeline_dark"),
        ("eight", "#pod-cpu", False, "cpu"),
        ("kinds", "#comparison", False, "comparison"),
    ],
    indirect=["file"],
)
def test_pictures_of_the_docs(
    file: Path, element: str, dark: bool, name: str, browser: Browser, pictures: Path
) -> None:
    """`--pictures docs/images` writes those that docs/report.md shows."""
    browser.open(file, DESK, dark)
    path = pictures / f"{name}.png"
    browser.picture(path, element)
    with Image.open(path) as image:
        shown = image.convert("RGB").crop((0, 0, image.width, min(image.height, 1530)))
    shown.quantize(96, dither=Image.Dither.NONE).save(path, optimize=True)
    assert 10_000 < path.stat().st_size < 200_000


def test_a_broken_page_is_noticed(browser: Browser, tmp_path: Path) -> None:
    """The browser tells what these tests look for."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<main><p style='width:3000px'>x</p><img src='http://127.0.0.1:9/x.png'><script>nothing()</script></main>"
    )
    browser.open(bad)
    assert any("127.0.0.1:9" in url for url in browser.requests) and any(
        "nothing" in text for text in browser.complaints
    )
    assert browser.ask(WIDE) and browser.ask("document.documentElement.scrollWidth") > DESK
