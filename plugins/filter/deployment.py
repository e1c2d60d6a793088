# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be deployed for a training, from the inventory and what the cluster has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _later


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        own = _later.filters("plugin_utils._app", app_info="app_info")
        own |= _later.filters("plugin_utils._app_archive", app_identity="identity")
        own |= _later.filters("plugin_utils._build_context", build_engine="engine")
        own |= _later.filters(
            "plugin_utils._regions", absent_hosts="away", root_clients="root_clients", region_edges="edges"
        )
        return own | _later.filters(
            "plugin_utils._deployment",
            object_name="object_name",
            object_names="object_names",
            edges="edges",
            architectures="architectures",
            client_image="client_image",
            clients="clients",
            aggregator="aggregator",
            workloads="workloads",
            root_members="root_members",
            built_images="built_images",
            noted_engine="noted_engine",
            pods_stay="pods_stay",
            run_settings="run_settings",
            retired="retired",
            certificates="certificates",
        )
