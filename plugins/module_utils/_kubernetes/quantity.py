# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: Kubernetes quantities, such as C(500m) of a CPU or C(2Gi) of memory."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError

_SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}
_QUANTITY = re.compile(
    r"(?P<number>\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE](?P<exponent>[+-]?[0-9]{1,2})|(?P<suffix>[numkMGTPE]|[KMGTPE]i)?)"
)


def quantity(text: str | float) -> Fraction:
    """The exact value of a Kubernetes quantity such as C(500m), C(1.5) or C(2Gi); EdgeflError when it is none, or is below zero."""
    match = _QUANTITY.fullmatch(str(text).strip())
    if match is None:
        raise EdgeflError(
            f"{text!r} is not a Kubernetes quantity: write CPUs like 2 or 500m, memory like 512Mi or 2Gi."
        )
    number = Fraction(match["number"].rstrip("."))
    if match["exponent"] is not None:
        return number * Fraction(10) ** int(match["exponent"])
    return number * _SUFFIXES[match["suffix"] or ""]


def millicores(text: str | float) -> int:
    """Thousandths of a CPU, rounded up as Kubernetes does."""
    return math.ceil(quantity(text) * 1000)


def size(text: str | float) -> int:
    """Bytes, rounded up as Kubernetes does."""
    return math.ceil(quantity(text))
