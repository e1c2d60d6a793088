# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes results and reports on the controller."""

from __future__ import annotations

import hashlib
import typing as t
from pathlib import Path

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import events
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.reader import check_run
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _results
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._controller import ControllerAction


class ActionModule(ControllerAction):
    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "argument_spec": {
            "dest": {"type": "path", "required": True},
            "run": {"type": "str", "required": True},
            "events": {"type": "list", "elements": "dict"},
            "settings": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "runs": {"type": "list", "elements": "str", "required": True},
                },
            },
            "telemetry": {"type": "list", "elements": "dict"},
            "details": {"type": "dict"},
            "sha256": {"type": "str", "default": ""},
            "logs": {"type": "dict", "default": {}},
            "manifests": {"type": "dict", "default": {}},
        },
        "required_one_of": [("events", "settings")],
        "mutually_exclusive": [("events", "settings"), ("telemetry", "settings")],
    }

    def work(self, options: dict[str, t.Any]) -> dict[str, t.Any]:
        dest, name = Path(options["dest"]), options["run"]
        folder = dest / check_run(name)
        kept = _results.beside(folder, options["telemetry"], options["details"])
        if options["settings"] is None:
            wanted, summary, text, data = self._of_run(folder, options, kept)
        else:
            settings = _results.compared(dest, options["settings"])
            wanted = _results.comparison_files(name, settings, _results.details_of(kept), kept)
            summary, text = _results.told(name, settings, str(folder / "report.html"))
            data = wanted["comparison.csv"]
        names = _results.differing(folder, wanted)
        link = _results.link_differs(dest, name)
        if not self._task.check_mode:
            _results.write(folder, wanted, names)
            if link:
                _results.link(dest, name)
        return {
            "changed": bool(names) or link,
            "path": str(folder),
            "report": str(folder / "report.html"),
            "files": names + [_results.LATEST] * link,
            "sizes": {path: len(content) for path, content in wanted.items()},
            "sha256": hashlib.sha256(data).hexdigest(),
            "summary": summary,
            "text": text,
        }

    @staticmethod
    def _of_run(
        folder: Path, options: dict[str, t.Any], kept: dict[str, bytes]
    ) -> tuple[dict[str, bytes], dict[str, t.Any], list[str], bytes]:
        """The files of one run, its summary, the summary in words, and its lines."""
        name = options["run"]
        run = _results.made_of(name, options["events"], kept)
        _results.check(run, options["sha256"])
        logs, manifests = options["logs"], options["manifests"]
        made = {} if logs or manifests else _results.as_made(folder, _results.key(run, kept))
        wanted = made or _results.files(run, logs, manifests, kept)
        summary = events.summary(run.events, name)
        return wanted, summary, events.words(summary, str(folder / "report.html")), wanted[events.FILE]
