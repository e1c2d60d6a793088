# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: action plugins that do their whole work on the controller."""

from __future__ import annotations

import typing as t
from abc import abstractmethod

from ansible.plugins.action import ActionBase

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError


class ControllerAction(ActionBase):
    """Checks the arguments, calls C(work), and reports an C(EdgeflError) as a failed task."""

    SPEC: t.ClassVar[dict[str, t.Any]] = {}
    """What C(validate_argument_spec) takes: C(argument_spec), C(mutually_exclusive), C(required_one_of)."""

    _requires_connection = False
    _supports_check_mode = True

    @abstractmethod
    def work(self, options: dict[str, t.Any]) -> dict[str, t.Any]:
        """The task's result from its checked arguments. May raise C(EdgeflError)."""

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(**self.SPEC)
        try:
            return result | {"changed": False} | self.work(options)
        except EdgeflError as error:
            return result | {"failed": True, "changed": False, "msg": error.message} | error.result
