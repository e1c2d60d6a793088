# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends the files of a model that a host has in no version; the module of the same name does what is to be done there."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _model

MODULE = "edgefl.kubeedge.model_version"


class ActionModule(ActionBase):
    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        options = dict(self._task.args)
        about: dict[str, t.Any] = {}
        source = Path(str(options.pop("src", None) or "")).expanduser()
        try:
            if self._task.args.get("src"):
                about, files = _model.deployable(source)
                options |= {"files": files, "version": _model.version(about, files)}
            found = self._call(options, task_vars)
            sent = found.pop("missing", [])
            if sent and not found.get("failed") and not self._task.check_mode:
                found = self._send(source, sent, options, task_vars) | {"previous": found["previous"]}
                found.pop("missing", None)
            size = sum((source / path).stat().st_size for path in sent)
        except EdgeflError as error:
            return result | {"failed": True, "changed": False, "msg": error.message} | error.result
        return result | found | {"sent": sent, "bytes": size, "about": about}

    def _send(self, source: Path, paths: list[str], options: dict[str, t.Any], task_vars: t.Any) -> dict[str, t.Any]:
        """Sends files to a folder of the task, and has the version made of them."""
        remote = self._make_tmp_path()
        join = self._connection._shell.join_path
        try:
            given = {path: join(remote, str(number)) for number, path in enumerate(paths)}
            for path, target in given.items():
                self._transfer_file(str(source / path), target)
            return self._call(options | {"given": given}, task_vars)
        finally:
            self._remove_tmp_path(remote)

    def _call(self, options: dict[str, t.Any], task_vars: t.Any) -> dict[str, t.Any]:
        found: dict[str, t.Any] = self._execute_module(module_name=MODULE, module_args=options, task_vars=task_vars)
        return found
