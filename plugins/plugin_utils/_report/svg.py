# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: Matplotlib's figures as SVG inside a page, whose colours are the page's: one drawing for a light and a dark ground.

Matplotlib draws in colours that only stand for something; in the SVG they become CSS variables. The same figure always gives
the same text.
"""

from __future__ import annotations

import io
import json
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
except ImportError:
    MATPLOTLIB_ERROR = traceback.format_exc()
else:
    MATPLOTLIB_ERROR = ""

COLORS = 10
PALETTE = [f"#e0f0{index:02x}" for index in range(COLORS)]
TEXT, GRID, CARD, SOFT = "#e0f0f0", "#e0f0f1", "#e0f0f2", "#e0f0f3"
_VARIABLES = {color: f"var(--c{index})" for index, color in enumerate(PALETTE)} | {
    TEXT: "currentColor",
    GRID: "var(--line)",
    CARD: "var(--card)",
    SOFT: "var(--soft)",
}
# What tells series apart when colours don't. Their periods have no common factor with that of the colours, or a small one.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "||||")

# Inches of 72 units. A half is read on a phone without being made much smaller, a whole is as wide as the page.
HALF, WHOLE = 4.8, 10.6
_SERIES = "series:"
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": TEXT,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": TEXT,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.7,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    # All points stay: a file of a run is small, and the drawing is to show what is in it
    "path.simplify": False,
    "svg.fonttype": "none",
    "text.color": TEXT,
    "text.parse_math": False,
    "xtick.color": SOFT,
    "xtick.labelcolor": TEXT,
    "xtick.labelsize": 9,
    "ytick.color": SOFT,
    "ytick.labelcolor": TEXT,
    "ytick.labelsize": 9,
}


@contextmanager
def style(name: str) -> Iterator[None]:
    """Within it, figures look the same whatever the user's matplotlibrc says; `name` makes ids that are the same in every run."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": name})
        yield


def figure(height: float, rows: int = 1, width: float = HALF) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches, with `rows` panels above each other that share their x axis."""
    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(drawn)
    return drawn, list(drawn.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])


def label(artist: Any, name: str, point: str = "") -> None:
    """Gives what is drawn the name of its series (`data-series` in the SVG), and of the one point that it is, if it is one."""
    artist.set_gid(_SERIES + json.dumps([name, point]))


def svg(drawn: Figure, name: str, title: str, description: str, tips: Mapping[str, Sequence[str]]) -> str:
    """The figure as an element for a page; `tips` are the texts of each series' points, which the pointer shows.

    `title` and `description` are for those who don't see it; the ids of all in it begin with `name`.
    """
    out = io.StringIO()
    drawn.savefig(out, format="svg", metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(out.getvalue())
    _plain(root, name)
    _name_series(root, tips)
    _colors(root)
    names = {"title": f"{name}-title", "desc": f"{name}-desc"}
    attributes = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-labelledby": " ".join(names.values())}
    element = ElementTree.Element("svg", attributes)
    for tag, text in (("title", title), ("desc", description)):
        ElementTree.SubElement(element, tag, {"id": names[tag]}).text = text
    element.extend(root)
    return ElementTree.tostring(element, encoding="unicode")


def _plain(root: ElementTree.Element, name: str) -> None:
    """Takes away what a page of its own would need, and makes ids differ from those of other figures."""
    text = ElementTree.tostring(root, encoding="unicode")
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}style", "}metadata")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.text = (element.text or "").strip() if element.tag != "text" else element.text
        element.tail = None
        attributes = [(key.rpartition("}")[2], value) for key, value in element.attrib.items()]
        element.attrib.clear()
        for key, value in attributes:
            kept = _attribute(key, value, name, used)
            if kept is not None:
                element.attrib[key] = kept


def _attribute(key: str, value: str, name: str, used: set[str]) -> str | None:
    """An attribute's value in the page; None where it is of no use there. `used` are the ids that something points to."""
    if key == "id":
        return f"{name}-{value}" if value in used else value if value.startswith(_SERIES) else None
    if key == "href":
        return f"#{name}-{value.removeprefix('#')}"
    if key == "transform" and re.fullmatch(r"rotate\(-?0 [^)]*\)", value):
        return None
    value = value.replace("url(#", f"url(#{name}-")
    if key == "d":
        value = re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", " ".join(value.split()))
    if key == "style":
        # The font is the page's
        value = re.sub(r"font-family: [^;]*(; |$)", "", value)
    return value


def _name_series(root: ElementTree.Element, tips: Mapping[str, Sequence[str]]) -> None:
    for element in root.iter("g"):
        if not element.get("id", "").startswith(_SERIES):
            continue
        series, point = json.loads(element.attrib.pop("id").removeprefix(_SERIES))
        element.set("data-series", series)
        if point:
            element.insert(0, _tip(point))
            continue
        points, texts = list(element.iter("use")), tips.get(series, ())
        if len(points) == len(texts):
            for use, text in zip(points, texts):
                use.append(_tip(text))


def _tip(text: str) -> ElementTree.Element:
    element = ElementTree.Element("title")
    element.text = text
    return element


def _colors(root: ElementTree.Element) -> None:
    for element in root.iter():
        for key in ("fill", "stroke"):
            if element.get(key) in _VARIABLES:
                element.set("style", f"{key}: {element.attrib.pop(key)}; {element.get('style', '')}")
        if "style" in element.attrib:
            element.attrib["style"] = re.sub(
                "#e0f0[0-9a-f]{2}", lambda found: _VARIABLES[found[0]], element.attrib["style"]
            )
