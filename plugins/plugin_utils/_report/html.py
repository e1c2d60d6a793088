# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: a report as one HTML file, from the templates beside this file.

No script and no other file: what can be opened and closed is HTML's own C(details), files to save are data URLs.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.blocks import ROWS, Block, Section

TEMPLATES = Path(__file__).with_name("templates")


def render(title: str, lead: Sequence[Block], sections: Sequence[Section]) -> str:
    """The text of the file; `lead` comes before the list of sections. All texts in it are escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["base64"] = _base64
    template = environment.get_template("page.html.j2")
    return template.render(title=title, lead=lead, sections=sections, most_rows=ROWS)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
