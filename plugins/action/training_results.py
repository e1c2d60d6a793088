# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the rounds of a training as they come; each read is one call of the module of the same name."""

from __future__ import annotations

import time
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _rounds
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._follower import LINGER, Follower
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._holder import holder

MODULE = "edgefl.kubeedge.training_results"
LOCK = "edgefl.kubeedge.training_lock"
TELEMETRY = "edgefl.kubeedge.cluster_telemetry"
# Seconds after which who follows a training says that it still does
RENEW = 120.0
# Seconds without a new snapshot after which the recorder is taken for ended; three intervals, where these are longer
RECORDER_GONE = 30.0


class ActionModule(ActionBase):
    _requires_connection = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        options = dict(self._task.args)
        if not _true(options.get("wait", False)):
            return result | self._read(options, task_vars)
        # Those of a single read
        for name in ("offset", "sha256", "linger", "pods"):
            options.pop(name, None)
        first = self._read(options | {"linger": LINGER}, task_vars)
        # The module has checked the options by now; below they are only converted
        if first.get("failed"):
            return result | first
        display = Display()
        self._renewed = self._recorded_at = time.monotonic()
        self._recorded = first["now"].get("time")
        follower = Follower(
            read=lambda **more: self._read_again(options | more, task_vars),
            show=lambda text, warn: display.display(text, color="yellow" if warn else None),
            timeout=float(options.get("wait_timeout", 3600)),
            sleep=float(options.get("wait_sleep", 0.2)),
        )
        try:
            found = follower.follow(first)
        except EdgeflError as error:
            return result | {"failed": True, "changed": False, "msg": error.message} | error.result
        return result | found | {"changed": False, "summary": _rounds.summary(found["events"], str(options["run"]))}

    def _read(self, options: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        read: dict[str, t.Any] = self._execute_module(module_name=MODULE, module_args=options, task_vars=task_vars)
        return read

    def _read_again(self, options: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        try:
            self._renew(options, task_vars)
            read = self._read(options, task_vars)
            self._record_again(read.get("now", {}), options, task_vars)
            return read
        except AnsibleConnectionFailure as error:
            # The training goes on without us
            raise Transient(f"waits for SSH to the cloud node: {error}") from error

    def _renew(self, options: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> None:
        """The lock that this playbook may hold; whether it could be told does not matter to the training."""
        if time.monotonic() - self._renewed >= RENEW:
            self._renewed = time.monotonic()
            about: dict[str, t.Any] = {name: options[name] for name in ("kubeconfig", "namespace") if name in options}
            about |= {"state": "renewed", "holder": holder()}
            self._execute_module(module_name=LOCK, module_args=about, task_vars=task_vars)

    def _record_again(
        self, newest: dict[str, t.Any], options: dict[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> None:
        """A recorder ends with its host, and tells of each snapshot while it lives. One that is begun beside a living one ends without a word."""
        if newest.get("time") != self._recorded:
            self._recorded, self._recorded_at = newest.get("time"), time.monotonic()
        telemetry = dict(options.get("telemetry") or {})
        patience = max(RECORDER_GONE, 3 * float(telemetry.get("interval", 0)))
        if telemetry and time.monotonic() - self._recorded_at >= patience:
            self._recorded_at = time.monotonic()
            shared = ("run", "state_dir", "telemetry_dir", "kubeconfig", "namespace")
            about = {name: options[name] for name in shared if name in options} | telemetry
            self._execute_module(module_name=TELEMETRY, module_args=about, task_vars=task_vars)


def _true(value: t.Any) -> bool:
    return str(value).lower() in ("true", "yes", "y", "on", "1", "t")
