# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the sources on the controller, sends them where images are missing, and shows the build; each look is one call of the module of the same name."""

from __future__ import annotations

import base64
import io
import tempfile
import time
import typing as t
import zlib
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _build_context
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._sources import Sources

MODULE = "edgefl.kubeedge.image_build"
# Seconds between two lines on what the build does
TELL = 8.0
# Bytes of sources that go with the first look
SMALL = 1_000_000


class ActionModule(ActionBase):
    _requires_connection = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        options = dict(self._task.args)
        if not options.get("source"):
            options.pop("flower_app", None)
            options.pop("app_name", None)
            return result | self._follow(options, self._look(options, task_vars), task_vars)
        try:
            sources, options["arguments"] = _build_context.sources(options)
            options["own_arguments"] = _build_context.architectures(options)
            if options.pop("flower_app", None):
                options["stages"] = _build_context.STAGES
            options["sources"], options["engine"] = (
                sources.digest(),
                sources.digest(without=options.pop("app_name", "")),
            )
            bundle = options.get("ca_bundle")
            certificates = Path(bundle).read_bytes() if bundle else b""
            # A large archive is sent where it is wanted only; a small one right away, which spares a call of the module
            if sources.size() <= SMALL:
                archive = io.BytesIO()
                sources.pack(archive, certificates)
                options["packed"] = base64.b64encode(zlib.compress(archive.getvalue())).decode()
        except EdgeflError as error:
            raise AnsibleActionFail(error.message) from error
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename} can't be read on the controller: {error.strerror}") from error
        found = self._look(options, task_vars)
        if found.pop("wants_context", False):
            found = self._send(sources, certificates, options, task_vars)
        return result | self._follow(options, found, task_vars)

    def _send(
        self, sources: Sources, certificates: bytes, options: dict[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """The sources to the host, where the module takes them over."""
        shell = self._connection._shell
        context = shell.join_path(shell.tmpdir or self._make_tmp_path(), "context.tar")
        with tempfile.NamedTemporaryFile(suffix=".edgefl.tar") as archive:
            sources.pack(archive, certificates)
            archive.flush()
            self._transfer_file(archive.name, context)
        self._fixup_perms2((shell.tmpdir, context))
        return self._look(options | {"context": context}, task_vars)

    def _follow(
        self, options: dict[str, t.Any], found: dict[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Looks again, by the tag, until what is waited for has come."""
        first, told = found, time.monotonic()
        later = {key: value for key, value in options.items() if key not in ("source", "sources", "engine", "packed")}
        while found.get("running") and options.get("wait", "tried") != "none":
            if time.monotonic() - told >= TELL:
                told = time.monotonic()
                Display().display(f"  {found['progress']['stage']}: {found['progress']['line']}"[:150])
            found = self._look(later | {"tag": found["tag"]}, task_vars)
        if found.get("failed"):
            return found
        return found | {key: first[key] for key in ("changed", "missing")}

    def _look(self, options: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        read: dict[str, t.Any] = self._execute_module(module_name=MODULE, module_args=options, task_vars=task_vars)
        return read
