# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows how far each node is while images are shipped; each look is one call of the module of the same name."""

from __future__ import annotations

import typing as t
import uuid

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.progress import lines
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._app_archive import archive

MODULE = "edgefl.kubeedge.image_ship"
# How many times in a row the host that ships may be out of reach; the work goes on there for a minute
ATTEMPTS = 3


class ActionModule(ActionBase):
    _requires_connection = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        options: dict[str, t.Any] = {"job": uuid.uuid4().hex} | dict(self._task.args)
        if options.get("app"):
            try:
                options["app"] = archive(options["app"]["info"], options["app"].get("source") or "")
            except EdgeflError as error:
                raise AnsibleActionFail(error.message) from error
        display = Display()
        found = self._look(options, task_vars)
        away = 0
        while found.get("running"):
            for text in lines(found["progress"]):
                display.display(f"  {text}")
            try:
                found = self._look(options, task_vars)
                away = 0
            except AnsibleConnectionFailure as error:
                away += 1
                if away > ATTEMPTS:
                    raise
                display.display(f"  waits for SSH to the host that ships the images: {error}", color="yellow")
        found.pop("running", None)
        return result | found

    def _look(self, options: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        read: dict[str, t.Any] = self._execute_module(module_name=MODULE, module_args=options, task_vars=task_vars)
        return read
