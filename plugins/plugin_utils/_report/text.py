# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: numbers, times and settings as people read them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any

MB = 1e6


def number(value: float | None) -> str:
    """A number, its last place at the thousandth part of it or so; a dash where there is none.

    >>> [number(v) for v in (0.8558, 0.37, 12.3456, 20000, 1234567, None)]
    ['0.8558', '0.3700', '12.35', '20 000', '1 234 567', '-']
    """
    if value is None:
        return "-"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.{4 - len(str(int(abs(value)))) + (abs(value) < 1)}f}"


def exact(value: float | None) -> str:
    """A number that somebody has set, with the digits that it needs; a dash where there is none.

    >>> [exact(v) for v in (0.5, 2.0, 2147.48, None)]
    ['0.5', '2', '2147', '-']
    """
    return "-" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.4g}"


def megabytes(size: float | None, unit: str = "") -> str:
    """Bytes in whole megabytes (10^6), followed by `unit`; a dash where there are none.

    >>> megabytes(468713472, " MB"), megabytes(None)
    ('469 MB', '-')
    """
    return "-" if size is None else f"{size / MB:.0f}{unit}"


def plain(value: Any) -> str:
    """A setting, whatever its type.

    >>> [plain(v) for v in (None, True, [1, 2], {"cpu": "200m", "tls": False}, [])]
    ['-', 'true', '1, 2', 'cpu=200m, tls=false', '-']
    """
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{key}={plain(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def utc(seconds: float | None) -> str:
    """Seconds since 1970 as date and time, UTC; a dash where there are none."""
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def natural(name: str) -> list[str | int]:
    """A key that sorts names as people do: numbers in them by their value."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def in_order(names: Iterable[str]) -> list[str]:
    """Names of nodes as people sort them.

    >>> in_order(["edge10", "cloud", "edge2"])
    ['cloud', 'edge2', 'edge10']
    """
    return sorted(names, key=natural)
