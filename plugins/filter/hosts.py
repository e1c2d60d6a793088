# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a host, or open on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _later


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return _later.filters("plugin_utils._hosts", host_problems="problems", cloudcore_openings="openings")
