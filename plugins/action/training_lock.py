# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says who we are to the module of the same name, and breaks the lock of a playbook of this controller that is no more."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._holder import holder, is_gone

MODULE = "edgefl.kubeedge.training_lock"


class ActionModule(ActionBase):
    _requires_connection = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        options = {"holder": holder()} | dict(self._task.args)
        found = self._ask(options, task_vars)
        if found.get("failed") and is_gone(str(found.get("holder", ""))):
            found = self._ask(options | {"break_holder": found["holder"]}, task_vars)
        return result | found

    def _ask(self, options: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        answer: dict[str, t.Any] = self._execute_module(module_name=MODULE, module_args=options, task_vars=task_vars)
        return answer
