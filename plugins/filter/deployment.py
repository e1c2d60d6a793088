# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be deployed for a training, from the inventory and what the cluster has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _app, _deployment


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "app_info": _app.app_info,
            "object_name": _deployment.object_name,
            "object_names": _deployment.object_names,
            "edges": _deployment.edges,
            "clients": _deployment.clients,
            "run_settings": _deployment.run_settings,
            "retired": _deployment.retired,
            "certificates": _deployment.certificates,
        }
