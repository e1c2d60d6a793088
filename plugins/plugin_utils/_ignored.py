# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what patterns of a .gitignore leave out."""

from __future__ import annotations

import re
from collections.abc import Iterable


class Ignored:
    """Tells of names whether patterns leave them out; the last pattern that matches decides (L(gitignore,https://git-scm.com/docs/gitignore)).

    A folder that is left out is not walked, so what is in it is out too, whatever a later pattern says.

    >>> ignored = Ignored(["*.log", "/data/", "!keep.log"])
    >>> ignored("a/b.log", False), ignored("keep.log", False), ignored("data", True), ignored("a/data", True)
    (True, False, True, False)
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules = [rule for rule in map(_rule, patterns) if rule]

    def __call__(self, name: str, folder: bool) -> bool:
        out = False
        for expression, only_folders, leaves_out in self._rules:
            if (folder or not only_folders) and expression.fullmatch(name):
                out = leaves_out
        return out


def _rule(line: str) -> tuple[re.Pattern[str], bool, bool] | None:
    text = line.rstrip()
    if not text or text.startswith("#"):
        return None
    leaves_out = not text.startswith("!")
    text = text.removeprefix("!").removeprefix("\\")
    only_folders = text.endswith("/")
    text = text.rstrip("/")
    if not text:
        return None
    # A slash at the beginning or in the middle makes it relative to the top
    anchored = "/" in text
    expression = _expression(text.lstrip("/"))
    try:
        return re.compile(expression if anchored else f"(?:.*/)?{expression}"), only_folders, leaves_out
    except re.error:
        return None  # Git passes over what is no pattern


def _expression(text: str) -> str:
    found, position = "", 0
    while position < len(text):
        for glob, expression in (("**/", "(?:.*/)?"), ("/**", "/.*"), ("*", "[^/]*"), ("?", "[^/]")):
            if text.startswith(glob, position):
                found += expression
                position += len(glob)
                break
        else:
            end = text.find("]", position + 2) if text[position] == "[" else -1
            if end > 0:
                inside = text[position + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
                found += f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
                position = end + 1
            else:
                found += re.escape(text[position])
                position += 1
    return found
