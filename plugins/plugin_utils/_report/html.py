# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the parts of a report as HTML, and how they look: light, dark and printed, on a wide screen and on a phone.

No script and no other file: what can be opened and closed is HTML's own C(details), files to save are data URLs.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.plots import Plot

# A table of more rows is read better in a spreadsheet: the page shows the first of them, its CSV file has all
ROWS = 200
_NUMBER = re.compile(r"-|(× )?-?\d[\d ]*(\.\d+)?( MB)?(\n.*)?")


@dataclass(frozen=True)
class Section:
    """A part of a report: `name` is what links point to."""

    name: str
    title: str
    html: str


def save(name: str, text: str, kind: str) -> str:
    """A link that saves a file whose content is in the page."""
    data = base64.b64encode(text.encode()).decode()
    return f'<a class="save" download="{escape(name)}" href="data:{kind};base64,{data}">{escape(name)}</a>'


def table(title: str, head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A table that is scrolled inside its own box when it is wide, which the keyboard reaches too."""
    every = [[str(cell) for cell in row] for row in rows]
    # A column of numbers has them below each other
    numbers = [
        all(_NUMBER.fullmatch(row[place]) for row in every) and any(row[place] != "-" for row in every)
        for place in range(len(head))
    ]

    def line(cells: Sequence[str], tag: str, more: str = "") -> str:
        return "".join(
            f"<{tag}{more}{' class=n' if numbers[place] else ''}>{escape(cell)}</{tag}>"
            for place, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in every[:ROWS])
    rest = f"<p>The first {ROWS} of {len(every)} rows.</p>" if len(every) > ROWS else ""
    heads = line([str(cell) for cell in head], "th", ' scope="col"')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{rest}"
    )


def plot(each: Plot) -> str:
    """A drawing with its title, its data as a table to open, and its CSV file to save."""
    note = f"<p>{escape(each.note)}</p>" if each.note else ""
    drawing = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(each.title)}">{each.svg}</div>'
        if each.wide
        else each.svg
    )
    return (
        f'<figure{" class=wide" if each.wide else ""} id="{each.name}"><figcaption>{escape(each.title)}</figcaption>{drawing}{note}'
        f"<details><summary>Data</summary>{table(each.title, *each.table)}<p>{save(f'{each.name}.csv', each.csv(), 'text/csv')}</p></details></figure>"
    )


def plots(every: Iterable[Plot]) -> str:
    """Drawings beside each other where there is room."""
    found = "".join(map(plot, every))
    return f'<div class="plots">{found}</div>' if found else ""


def cards(facts: Iterable[tuple[str, str]]) -> str:
    """The figures of the headline."""
    return f"<dl>{''.join(f'<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>' for name, value in facts)}</dl>"


def text_block(title: str, text: str) -> str:
    """Text in columns, as a terminal shows it."""
    return f'<pre class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">{escape(text.rstrip())}</pre>'


def plain(value: Any) -> str:
    """A setting for people."""
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{key}={plain(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def when(seconds: float | None) -> str:
    """A time for people, UTC."""
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def document(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole file; `lead` is HTML and comes before the list of sections."""
    links = "".join(f'<li><a href="#{each.name}">{escape(each.title)}</a></li>' for each in sections)
    body = "".join(
        f'<section id="{each.name}" aria-labelledby="{each.name}-h"><h2 id="{each.name}-h">{escape(each.title)}</h2>{each.html}</section>'
        for each in sections
    )
    contents = f'<nav aria-label="Contents"><ul>{links}</ul></nav>' if len(sections) > 1 else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        # Without this a browser asks the server for an icon
        f'<link rel="icon" href="data:,"><title>{escape(title)}: federated training</title><style>{STYLE}</style></head>\n'
        f"<body><main><h1>{escape(title)}</h1>{lead}{contents}{body}</main></body></html>\n"
    )


# Ten colours that people with a colour vision deficiency can tell apart by lightness too; lighter ones on dark ground
LIGHT = ("#2563b8", "#c2410c", "#0f766e", "#9d3c9b", "#8a6d00", "#b3122f", "#3f7d20", "#5b4bc4", "#0e7490", "#6b5b4b")
DARK = ("#74a9ff", "#ff9a62", "#4fd1bd", "#e391e0", "#e0c14a", "#ff8093", "#93d36b", "#aa9dff", "#5fcbe6", "#c9b7a3")
_LIGHT = "--ground:#fff;--card:#f7f8fa;--text:#1b1f24;--soft:#57606a;--line:#d5dae0;--link:#1d4f91;" + "".join(
    f"--c{index}:{color};" for index, color in enumerate(LIGHT)
)
_DARK = "--ground:#14171b;--card:#1d2126;--text:#e6e9ed;--soft:#a3adb8;--line:#3a424b;--link:#9cc2ff;" + "".join(
    f"--c{index}:{color};" for index, color in enumerate(DARK)
)

STYLE = f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
*{{box-sizing:border-box}}
body{{margin:0 auto;max-width:1180px;padding:1rem;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,sans-serif}}
h1{{font-size:1.6rem;line-height:1.25;margin:.5rem 0;overflow-wrap:anywhere}}
h2{{font-size:1.25rem;margin:2.25rem 0 .75rem;padding-top:.5rem;border-top:1px solid var(--line)}}
h3{{font-size:1rem;margin:1.25rem 0 .5rem}}
p{{margin:.25rem 0;color:var(--soft);overflow-wrap:anywhere}}
a{{color:var(--link)}}
.bad{{color:var(--text);border-left:4px solid var(--c5);padding-left:.75rem}}
nav ul{{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;margin:1rem 0;padding:0}}
dl{{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:.75rem;margin:1rem 0}}
dl div,figure{{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.75rem}}
dt{{color:var(--soft);font-size:.85rem}}
dd{{margin:0;font-size:1.35rem;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}}
.plots{{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr));gap:1rem;margin:1rem 0}}
figure{{margin:0;min-width:0}}
figure.wide{{grid-column:1/-1}}
figure.wide svg{{min-width:720px}}
figcaption{{font-weight:600;margin-bottom:.25rem}}
figure p,details{{font-size:.85rem}}
svg{{display:block;width:100%;height:auto;color:var(--text)}}
svg *{{stroke-linejoin:round}}
summary{{cursor:pointer;color:var(--link);margin-top:.25rem;width:max-content}}
details .scroll{{max-height:22rem}}
.scroll{{overflow:auto;position:relative}}
.scroll:focus-visible{{outline:2px solid var(--link);outline-offset:2px}}
table{{border-collapse:collapse;width:max-content;font-size:.9rem;font-variant-numeric:tabular-nums}}
th,td{{text-align:left;vertical-align:top;padding:.3rem .9rem .3rem 0;border-bottom:1px solid var(--line);max-width:34rem}}
td{{white-space:pre-line}}
th{{color:var(--soft);font-weight:600;white-space:nowrap}}
.n{{text-align:right;white-space:pre}}
td.n{{padding-left:.5rem}}
ol{{padding-left:2rem;margin:.5rem 0}}
li{{overflow-wrap:anywhere}}
pre{{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.75rem;font:.8rem/1.45 ui-monospace,monospace;margin:.5rem 0}}
@media print{{
@page{{margin:14mm}}
body{{max-width:none;padding:0;font-size:10pt}}
nav,details{{display:none}}
figure,dl div,tr,pre{{break-inside:avoid}}
h2,h3{{break-after:avoid}}
.plots{{grid-template-columns:1fr 1fr}}
figure.wide svg{{min-width:0}}
.scroll{{overflow:visible}}
table{{width:auto;font-size:8.5pt}}
th{{white-space:normal}}
td{{overflow-wrap:anywhere}}
pre{{white-space:pre-wrap;font-size:7pt}}
}}
"""
