"""The documentation's site, built and looked at in a real browser: every page is there, whole, and leads somewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from support.browser import Browser
from support.helpers import ROOT
from tools.site import build

PHONE, DESK = 400, 1280

# What is wider than the window, and not in a box of its own that can be scrolled
WIDE = """
[...document.querySelectorAll('article *, .sd-card')].filter(e => {
  for (let box = e; box; box = box.parentElement) if (['auto', 'scroll'].includes(getComputedStyle(box).overflowX)) return false;
  return e.getBoundingClientRect().right > innerWidth + 1 })
  .map(e => e.tagName + ' ' + e.className + ' ' + e.textContent.slice(0, 40))
"""
REPOSITORY = r"https://(?:github\.com/edgefl/kubeedge/(?:blob|tree|raw)|raw\.githubusercontent\.com/edgefl/kubeedge)/main/([^\s\"'#)>?]*)"
# Words of the drawing that leave the box that they begin in, or run into one
OUT_OF_BOX = """
(() => { const boxes = [...document.querySelectorAll('rect')].map(r => r.getBoundingClientRect());
  const holds = (box, x, y) => box.left <= x && x <= box.right && box.top <= y && y <= box.bottom;
  return [...document.querySelectorAll('text')].filter(text => { const word = text.getBoundingClientRect(), y = (word.top + word.bottom) / 2;
    return boxes.some(box => holds(box, word.left, y) !== holds(box, word.right, y)) }).map(text => text.textContent) })()
"""
# Text and the ground that is behind it, as RGB, of every element that holds words
COLORS = """
(() => { const rgb = text => text.match(/[\\d.]+/g).map(Number), found = {};
  for (const e of document.querySelectorAll('article *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || e.closest('.highlight, .ansibleOptionLink, .headerlink, svg')) continue;
    let box = e, ground = [0, 0, 0, 0];
    while (box && ground.length === 4 && ground[3] === 0) { ground = rgb(getComputedStyle(box).backgroundColor); box = box.parentElement }
    if (ground.length === 4) continue;
    const ink = rgb(getComputedStyle(e).color).slice(0, 3);
    found[ink + '/' + ground] = [ink, ground, e.textContent.trim().slice(0, 40)] }
  return Object.values(found) })()
"""
PICTURES = "[...document.images].filter(i => !i.complete || i.naturalWidth === 0).map(i => i.src)"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site's pages; that it is built at all says that Sphinx and antsibull-docs had no warning."""
    return build(tmp_path_factory.mktemp("site"))


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_every_page_of_docs_role_module_and_plugin_is_there(site: Path) -> None:
    wanted = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    wanted |= {Path(f"collection/{path.name}_role.html") for path in (ROOT / "roles").iterdir() if path.is_dir()}
    for kind, folder in (("module", "modules"), ("callback", "callback"), ("inventory", "inventory")):
        wanted |= {Path(f"collection/{path.stem}_{kind}.html") for path in (ROOT / "plugins" / folder).glob("[!_]*.py")}
    assert wanted - {path.relative_to(site) for path in pages(site)} == set()


def test_no_page_of_the_reference_is_an_error_page(site: Path) -> None:
    """antsibull-docs writes a page of errors for what it cannot read."""
    for page in (site / "collection").glob("*.html"):
        assert "was malformed" not in page.read_text(), page.name
    options = (site / "collection/edgefl_role.html").read_text()
    assert "edgefl_rounds" in options
    assert "edgefl_min_nodes" in options


def test_every_page_loads_and_fits(site: Path, browser: Browser) -> None:
    """On a phone, and in the window that is made wider."""
    found = []
    for page in pages(site):
        browser.open(page, PHONE)
        name = page.relative_to(site)
        for width in (PHONE, DESK):
            browser.resize(width)
            if browser.ask("document.documentElement.scrollWidth") > width:
                found.append(f"{name} is wider than {width}: {browser.ask(WIDE)[:3]}")
        found += [f"{name} complains: {text}" for text in browser.complaints]
        found += [f"{name} asks for {url}" for url in browser.requests if not url.startswith(("file:", "data:"))]
        found += [f"{name} lacks the picture {source}" for source in browser.ask(PICTURES)]
        # The page that shows what was searched has its heading when something was
        if page.name != "search.html" and not browser.ask("document.querySelector('h1')?.textContent"):
            found.append(f"{name} has no heading")
    assert found == []


@pytest.mark.parametrize("dark", [False, True])
def test_words_can_be_read(site: Path, dark: bool, browser: Browser) -> None:
    """Contrast of at least 4.5 to 1, on pages of each kind."""
    found = []
    for name in (
        "index",
        "troubleshooting",
        "collection/index",
        "collection/image_ship_module",
        "collection/edgefl_role",
    ):
        browser.open(site / f"{name}.html", DESK, dark=dark)
        colors = browser.ask(COLORS)
        assert colors
        for ink, ground, words in colors:
            if contrast(ink, ground) < 4.5:
                found.append(f"{name}: {words!r} {ink} on {ground}: {contrast(ink, ground):.1f}")
    assert found == []


@pytest.mark.parametrize("dark", [False, True])
def test_words_of_the_drawing_are_in_their_boxes_and_can_be_read(dark: bool, browser: Browser) -> None:
    browser.open(ROOT / "docs/images/data_way.svg", DESK, dark=dark)
    assert browser.ask("document.querySelectorAll('text').length") > 20
    assert browser.ask(OUT_OF_BOX) == []
    color = "getComputedStyle(document.querySelector('%s')).fill.match(/\\d+/g).slice(0, 3).map(Number)"
    ground = browser.ask(color % ".host")
    for kind in ("text", "text.small", "text.one", "text.two", "text.three", "text.four"):
        assert contrast(browser.ask(color % kind), ground) >= 4.5, kind


def contrast(one: list[float], other: list[float]) -> float:
    """Contrast ratio of two sRGB colours, 1 to 21 (WCAG 2.1)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(color: list[float]) -> float:
    """Relative luminance of an sRGB colour, 0 to 1 (WCAG 2.1)."""
    red, green, blue = (c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class Anchors(HTMLParser):
    """The links of a page, and the places in it that can be linked to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.places: set[str] = {""}
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id":
                self.places.add(value or "")
            elif name in ("href", "src") and value:
                self.links.add(value)


def test_every_link_inside_leads_to_a_page_and_a_place_in_it(site: Path) -> None:
    known = {page: Anchors(page) for page in pages(site)}
    found = []
    for page, anchors in known.items():
        for link in anchors.links:
            address = urlsplit(link)
            if address.scheme:
                continue
            target = (page.parent / unquote(address.path)).resolve() if address.path else page
            if not target.is_file():
                found.append(f"{page.relative_to(site)} leads to {link}, which is not there")
            elif target in known and unquote(address.fragment) not in known[target].places:
                found.append(f"{page.relative_to(site)} leads to {link}, a place that is not in that page")
    assert found == []


def test_links_to_the_repository_lead_to_files_that_are_in_it(site: Path) -> None:
    found = []
    for page in pages(site):
        for path in re.findall(REPOSITORY, page.read_text()):
            if not (ROOT / unquote(path)).exists():
                found.append(f"{page.name} leads to {path}, which the repository does not have")
    assert found == []
