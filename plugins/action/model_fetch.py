# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the model of a run to the controller: the module of the same name packs what differs, and the connection transfers it."""

from __future__ import annotations

import tempfile
import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._model_fetch import Fetch

MODULE = "edgefl.kubeedge.model_fetch"
Result = dict[str, t.Any]


class ActionModule(ActionBase):
    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> Result:
        result: Result = super().run(tmp, task_vars)
        found: Result = self._execute_module(module_name=MODULE, module_args=dict(self._task.args), task_vars=task_vars)
        if found.get("failed"):
            return result | found
        try:
            fetch = Fetch.of(found, self._task.args)
            if fetch.needed and not self._task.check_mode:
                self._transfer(fetch, task_vars)
            return result | fetch.finish(self._task.check_mode)
        except EdgeflError as error:
            return result | {"failed": True, "changed": False, "msg": error.message} | error.result

    def _transfer(self, fetch: Fetch, task_vars: t.Any) -> None:
        """Has the module pack what is lacking, and brings it here."""
        remote = self._make_tmp_path()
        try:
            archive = self._connection._shell.join_path(remote, "model.tar")
            wanted = {"run": fetch.run, "want": fetch.want, "make": fetch.make, "archive": archive}
            packed: Result = self._execute_module(
                module_name=MODULE, module_args=dict(self._task.args) | wanted, task_vars=task_vars
            )
            if packed.get("failed"):
                raise EdgeflError(str(packed.get("msg")))
            with tempfile.TemporaryDirectory() as local:
                self._connection.fetch_file(archive, f"{local}/model.tar")
                fetch.take(Path(local, "model.tar"), packed)
        finally:
            self._remove_tmp_path(remote)
