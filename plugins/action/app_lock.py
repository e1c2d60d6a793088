# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks the dependencies of a Flower app on the controller."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _app, _app_lock
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._controller import ControllerAction


class ActionModule(ControllerAction):
    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "argument_spec": {
            "app": {"type": "dict", "required": True},
            "dest": {"type": "path", "required": True},
            "source": {"type": "path", "default": ""},
            "machine": {"type": "str", "default": "x86_64"},
            "others": {"type": "dict", "default": {}},
            "lock": {"type": "path", "default": ""},
            "pip_options": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "wheels": {"type": "path", "default": ""},
            "ca_bundle": {"type": "path", "default": ""},
            "debian_packages": {"type": "list", "elements": "str", "default": []},
        },
    }

    def work(self, options: dict[str, t.Any]) -> dict[str, t.Any]:
        def kept(machine: str, programs: tuple[str, ...]) -> dict[str, _app_lock.Kept]:
            locker = _app_lock.Locker(
                Path(options["source"] or _app.OWN_SOURCES),
                machine,
                options["pip_options"],
                options["wheels"],
                options["ca_bundle"],
                options["debian_packages"],
            )
            folder = Path(options["dest"])
            return _app_lock.keep(locker, options["app"], folder, options["lock"], self._task.check_mode, programs)

        locks = kept(options["machine"], _app_lock.PROGRAMS)
        others = {name: kept(machine, ("client",))["client"] for name, machine in options["others"].items()}
        return {
            "changed": any(each.made for each in [*locks.values(), *others.values()]),
            "locks": {program: _told(each) for program, each in locks.items()},
            "others": {name: _told(each) for name, each in others.items()},
            "machines": {"": options["machine"], **options["others"]},
        }


def _told(kept: _app_lock.Kept) -> dict[str, t.Any]:
    return {
        "path": str(kept.path),
        "framework": kept.locked.framework,
        "text": kept.locked.text,
        "packages": sorted(_app_lock.names(kept.locked.text)),
    }
