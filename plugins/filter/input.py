# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with what is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.preflight import message
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _input


def input_problems(
    hosts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]], purpose: str, played: Iterable[str]
) -> str:
    """Everything that is wrong as one text; empty when nothing is."""
    found = _input.problems(hosts, groups, purpose, played)
    return message(found) if found else ""


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "input_problems": input_problems,
        }
