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
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.model import ABOUT, EXAMPLE, KERAS
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _model, _results

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
            return result | self._fetched(found, task_vars)
        except EdgeflError as error:
            return result | {"failed": True, "changed": False, "msg": error.message} | error.result

    def _fetched(self, found: Result, task_vars: t.Any) -> Result:
        """The task's result, for what the module found."""
        about, run, left_out = found["about"], found["run"], list(found["left_out"])
        folder = Path(self._task.args["dest"]).expanduser() / run / _model.FOLDER
        sums = {file["path"]: file["sha256"] for file in found["files"]}
        want = _model.lacking(folder, found["files"])
        made = _model.made(folder, about)
        image = self._task.args.get("image", "")
        make = bool(image and about and not made)
        if make and about["app"] != str(self._task.args.get("app", "")).rpartition("/")[2]:
            left_out.append(
                f"{KERAS} is not made: the run's app is {about['app']}, not that of edgefl_app; give that one"
            )
            make = False
        if (want or make) and not self._task.check_mode:
            packed = self._transfer(folder, run, {path: sums[path] for path in want}, make, task_vars)
            if make and packed["problem"]:
                left_out.append(f"{KERAS} is not made: {packed['problem']}")
            elif make:
                made = packed["made"] | {"image": image}
        names = {KERAS: made.get("keras"), EXAMPLE: made.get("example")}
        there = [*sums, *(name for name, file in names.items() if file)]
        if about:
            about = about | made | {"work": [path for path in sums if path.startswith("work/")]}
        text = _model.dump(about)
        differs = bool(about) and not (make and self._task.check_mode) and _results.differing(folder, {ABOUT: text})
        outdated = _model.outdated(folder, there) if not (make and self._task.check_mode) else []
        if not self._task.check_mode:
            if differs:
                _results.write(folder, {ABOUT: text}, [ABOUT])
            _results.remove(folder, outdated)
        new = [name for name, file in names.items() if file and make]
        return {
            "changed": bool(want or differs or outdated or (make and self._task.check_mode)),
            "run": run,
            "path": str(folder),
            "about": about,
            "files": found["files"],
            "fetched": [*want, *(new or [KERAS] * (make and self._task.check_mode))],
            "left_out": left_out,
            "text": [*_model.words(folder, about, there), *(f"Left out: {text}" for text in left_out)],
        }

    def _transfer(self, folder: Path, run: str, sums: dict[str, str], make: bool, task_vars: t.Any) -> Result:
        """What the module packed, here, and what it says of it."""
        remote = self._make_tmp_path()
        try:
            archive = self._connection._shell.join_path(remote, "model.tar")
            options = dict(self._task.args) | {"run": run, "want": list(sums), "make": make, "archive": archive}
            packed: Result = self._execute_module(module_name=MODULE, module_args=options, task_vars=task_vars)
            if packed.get("failed"):
                raise EdgeflError(str(packed.get("msg")))
            for name in ("keras", "example"):
                if name in packed["made"]:
                    sums = sums | {(KERAS if name == "keras" else EXAMPLE): packed["made"][name]["sha256"]}
            with tempfile.TemporaryDirectory() as local:
                self._connection.fetch_file(archive, f"{local}/model.tar")
                _model.unpack(Path(local, "model.tar"), folder, sums)
            return packed
        finally:
            self._remove_tmp_path(remote)
