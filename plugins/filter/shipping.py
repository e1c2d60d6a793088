# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which image goes where, and what was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _shipping


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "ship_targets": _shipping.targets,
            "ship_lines": _shipping.lines,
            "ship_removals": _shipping.removals,
        }
