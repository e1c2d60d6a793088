# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: text."""

from __future__ import annotations

from typing import Any


def without_prefix(text: str, prefix: str) -> str:
    """C(str.removeprefix), which Python has from 3.9 on.

    >>> without_prefix("--flag", "--"), without_prefix("flag", "--")
    ('flag', 'flag')
    """
    return text[len(prefix) :] if text.startswith(prefix) else text


def printable(text: str, most: int = 500) -> str:
    r"""A text that comes from a node, a pod or the network, as a terminal or a log may show it: one line, no control characters, `most` characters.

    >>> ascii(printable("lost\n12:00 forged\x1b[2J")), ascii(printable("x" * 600)[-3:]), len(printable("x" * 600))
    ("'lost\\ufffd12:00 forged\\ufffd[2J'", "'xx\\u2026'", 500)
    """
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def shown(value: Any) -> Any:
    """What JSON holds, such as an event of a training, with every text in it printable."""
    if isinstance(value, dict):
        return {printable(key): shown(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shown(each) for each in value]
    return printable(value) if isinstance(value, str) else value
