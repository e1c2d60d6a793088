# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes results and reports on the controller."""

from __future__ import annotations

import hashlib
import typing as t
from pathlib import Path

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import events
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.run_name import LATEST, check_results
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _results, _rounds
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._controller import ControllerAction
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report import repetitions


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
            "report": {"type": "bool", "default": True},
        },
        "required_one_of": [("events", "settings")],
        "mutually_exclusive": [("events", "settings"), ("telemetry", "settings")],
    }

    def work(self, options: dict[str, t.Any]) -> dict[str, t.Any]:
        dest = Path(options["dest"])
        folder = dest / check_results(options["run"], options["settings"] is not None)
        data = _results.inputs(folder, options["telemetry"], options["details"])
        write = self._comparison_results if options["settings"] is not None else self._run_results
        wanted, summary, text = write(folder, options, data)
        names = _results.differing(folder, wanted)
        outdated = _results.outdated(folder, wanted)
        link = _results.link_differs(dest, folder.name)
        if not self._task.check_mode:
            _results.write(folder, wanted, names)
            _results.remove(folder, outdated)
            if link:
                _results.link(dest, folder.name)
        report = str(folder / _results.REPORT) if _results.REPORT in wanted else ""
        return {
            "changed": bool(names or outdated) or link,
            "path": str(folder),
            "report": report,
            "files": names + [LATEST] * link,
            "removed": outdated,
            "sizes": {path: len(content) for path, content in wanted.items()},
            "summary": summary,
            "text": [*text, f"Report: {report}" if report else f"Results: {folder}, without a report"],
            "sha256": hashlib.sha256(
                wanted[events.FILE if options["settings"] is None else "comparison.csv"]
            ).hexdigest(),
        }

    @staticmethod
    def _run_results(
        folder: Path, options: dict[str, t.Any], data: _results.Files
    ) -> tuple[_results.Files, dict[str, t.Any], list[str]]:
        """The files of a run, its summary, and the summary in words."""
        run = _results.load_run(folder.name, options["events"], data)
        _results.check(run, options["sha256"])
        texts = _results.texts(options["logs"], options["manifests"])
        wanted = texts | _results.run_files(folder, run, data, options["report"])
        summary = _rounds.summary(run.events, run.name)
        return wanted, summary, _rounds.words(summary)

    @staticmethod
    def _comparison_results(
        folder: Path, options: dict[str, t.Any], data: _results.Files
    ) -> tuple[_results.Files, dict[str, t.Any], list[str]]:
        """The same of a comparison."""
        settings = _results.load_settings(folder.parent, options["settings"])
        summary = repetitions.summary(folder.name, settings)
        wanted = _results.comparison_files(folder, settings, data, options["report"])
        return wanted, summary, repetitions.words(summary)
