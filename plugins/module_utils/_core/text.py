# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: text."""

from __future__ import annotations


def without_prefix(text: str, prefix: str) -> str:
    """C(str.removeprefix), which Python has from 3.9 on.

    >>> without_prefix("--flag", "--"), without_prefix("flag", "--")
    ('flag', 'flag')
    """
    return text[len(prefix) :] if text.startswith(prefix) else text
