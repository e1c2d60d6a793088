# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks an experiment and names its runs, on the controller."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.preflight import message
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _experiment
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._controller import ControllerAction


class ActionModule(ControllerAction):
    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "argument_spec": {
            "name": {"type": "str", "required": True},
            "settings": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "variables": {"type": "dict", "default": {}},
                },
            },
            "loops": {"type": "int", "default": 3},
            "pods": {"type": "str", "choices": ["warm", "cold"], "default": "warm"},
            "known": {"type": "list", "elements": "str", "required": True},
            "fixed": {"type": "list", "elements": "str", "default": []},
            "common": {"type": "dict", "default": {}},
            "folder": {"type": "path", "required": True},
        }
    }

    def work(self, options: dict[str, t.Any]) -> dict[str, t.Any]:
        name, settings, folder = options["name"], options["settings"], Path(options["folder"])
        found = _experiment.problems(name, settings, options["loops"], options["known"], options["fixed"])
        if found:
            raise EdgeflError(message(found))
        about = {"name": name, "pods": options["pods"], "settings": settings, "common": options["common"]}
        return {
            "begun": _experiment.was_begun(about, folder / "experiment.json"),
            "runs": _experiment.plan(name, settings, options["loops"], folder),
            "about": _experiment.with_earlier_settings(about, folder / "experiment.json"),
        }
