# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: steps
type: stdout
short_description: One line a step, with elapsed time and how much is left
version_added: "1.0.0"
description:
  - Shows what changed, what failed and what took long; what is right already passes in silence.
  - A step that takes long says every few seconds that it is still at work, with the last line of the file that the task names in its
    variable C(progress_file).
  - How much is left comes from earlier runs of the same playbook with the same inventory, limit, tags and extra variables, whose durations are kept in
    C($XDG_CACHE_HOME/edgefl/durations.json), C(~/.cache) where the variable is not set. Nothing is said where they don't tell, as in a first run.
  - With C(-v) everything is shown as the C(default) callback does.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  heartbeat:
    description: Seconds without a line after which one says what is being done.
    type: int
    default: 8
    env:
      - name: EDGEFL_HEARTBEAT
    ini:
      - section: callback_steps
        key: heartbeat
"""

import gc
import os
import threading
import time
import typing as t

from ansible import constants as C
from ansible import context
from ansible.plugins.callback.default import CallbackModule as Default
from ansible.template import Templar

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._durations import (
    Durations,
    default_path,
    expected_seconds,
)

LONG = 3.0
# Ansible keeps what it makes until it ends. Python looks through all of that for garbage whenever 700 objects more were made, in each of Ansible's
# processes: a quarter of the processor time of a play in which nothing changes
OBJECTS = 50_000
# What must be the same in two calls for their durations to be compared
SAME = ("inventory", "subset", "tags", "skip_tags", "extra_vars", "check", "start_at_task")


def clock(seconds: float) -> str:
    """Minutes and seconds, as a clock shows them.

    >>> clock(83.4)
    '1:23'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def about(seconds: float) -> str:
    """Roughly how much is left, in words.

    >>> [about(s) for s in (4, 50, 90, 1200)]
    ['a few seconds left', 'about 50 s left', 'about 2 min left', 'about 20 min left']
    """
    if seconds < 10:
        return "a few seconds left"
    if seconds < 90:
        return f"about {round(seconds / 10) * 10} s left"
    return f"about {round(seconds / 60)} min left"


def last_line(path: str) -> str:
    """The last line of a file that may be missing, and its number of lines; empty when there is none."""
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    return f"{lines[-1].decode(errors='replace').strip()[:90]} ({len(lines)})" if lines else ""


class CallbackModule(Default):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "edgefl.kubeedge.steps"

    def __init__(self) -> None:
        super().__init__()
        self._begin = self._play_begin = self._task_begin = self._last_line = time.monotonic()
        self._plays: list[str] = []
        self._play: t.Any = None
        self._took: list[float] = []
        self._task: t.Any = None
        self._progress_file = ""
        self._done = threading.Event()
        self._outcomes: dict[str, list[str]] = {}
        self._outcome_time = self._begin

    # -- how much is left -------------------------------------------------------------------------------------------

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        self._plays = [play.get_name() for play in playbook.get_plays()]
        self._play, self._took = None, []
        self._done.clear()
        gc.freeze()
        gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])
        arguments = {name: context.CLIARGS.get(name) for name in SAME}
        call = [os.path.basename(playbook._file_name), self._plays, arguments]
        self._durations = Durations(default_path(), call, len(self._plays))
        threading.Thread(target=self._heartbeat, daemon=True).start()

    def _next_play(self, play: t.Any) -> None:
        """Notes how long the play before took; a play that comes in batches (C(serial)) goes on."""
        if self._play is None or play._uuid != self._play._uuid:
            if self._play is not None:
                self._took.append(time.monotonic() - self._play_begin)
            self._play_begin = time.monotonic()
        self._play = play

    # -- lines ------------------------------------------------------------------------------------------------------

    def _line(self, text: str, color: str | None = None) -> None:
        self._last_line = time.monotonic()
        self._display.display(f"[{clock(time.monotonic() - self._begin):>6}] {text}", color=color)

    def _finish(self) -> None:
        """One line for the task that is over, when there is something to say about it."""
        outcomes, self._outcomes = self._outcomes, {}
        took = self._outcome_time - self._task_begin
        if not outcomes or not (outcomes.get("changed") or took >= LONG):
            return
        outcome = "changed" if outcomes.get("changed") else "ok"
        seconds = f"{took:6.1f} s" if took >= 1 else ""
        color = C.COLOR_CHANGED if outcome == "changed" else C.COLOR_OK
        self._line(f"  {self._name():<72} {outcome:<8}{seconds:>9}  {', '.join(outcomes[outcome])}", color=color)

    def _name(self) -> str:
        return self._task.get_name().strip().removeprefix("edgefl.kubeedge.") if self._task else ""

    def _heartbeat(self) -> None:
        while not self._done.wait(1):
            if self._task and time.monotonic() - self._last_line >= self.get_option("heartbeat"):
                detail = last_line(self._progress_file) if self._progress_file else ""
                took = clock(time.monotonic() - self._task_begin)
                self._line(f"  ... {self._name()}: {took} {detail}".rstrip(), color=C.COLOR_VERBOSE)

    @property
    def _plain(self) -> bool:
        return bool(self._display.verbosity > 0)

    # -- events -----------------------------------------------------------------------------------------------------

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        super_start = super().v2_playbook_on_play_start
        self._finish()
        self._task = None
        self._next_play(play)
        if self._plain:
            super_start(play)
            return
        left = expected_seconds(self._durations.runs, self._took)
        self._line(
            f"{len(self._took) + 1}/{len(self._plays)} {play.get_name().strip()}"
            + (f"  ({about(left)})" if left else ""),
            color=C.COLOR_HIGHLIGHT,
        )

    def _task_start(self, task: t.Any, prefix: str | None = None) -> None:
        self._finish()
        self._task, self._task_begin, self._progress_file = task, time.monotonic(), ""
        if self._plain:
            super()._task_start(task, prefix=prefix)

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        wanted = task.vars.get("progress_file")
        if wanted:
            manager = self._play.get_variable_manager()
            variables = manager.get_vars(play=self._play, host=host, task=task)
            self._progress_file = os.fspath(Templar(loader=manager._loader, variables=variables).template(wanted))
        if self._plain:
            super().v2_runner_on_start(host, task)

    def v2_runner_on_ok(self, result: t.Any) -> None:
        if self._plain:
            super().v2_runner_on_ok(result)
            return
        data = result.result if hasattr(result, "result") else result._result
        self._handle_warnings_and_exception(result)
        if self._task and self._task.action in C._ACTION_DEBUG:
            for line in _lines(data.get("msg", "")):
                self._display.display(f"         {line}")
            self._last_line = time.monotonic()
        elif self._task and self._task.action not in C._ACTION_ALL_INCLUDES:
            host = result.host.get_name() if hasattr(result, "host") else result._host.get_name()
            self._outcomes.setdefault("changed" if data.get("changed") else "ok", []).append(host)
            self._outcome_time = time.monotonic()

    def v2_runner_item_on_ok(self, result: t.Any) -> None:
        if self._plain:
            super().v2_runner_item_on_ok(result)

    def v2_runner_item_on_skipped(self, result: t.Any) -> None:
        if self._plain:
            super().v2_runner_item_on_skipped(result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        if self._plain:
            super().v2_runner_on_skipped(result)

    def v2_playbook_on_include(self, included_file: t.Any) -> None:
        if self._plain:
            super().v2_playbook_on_include(included_file)

    def v2_runner_retry(self, result: t.Any) -> None:
        if self._plain:
            super().v2_runner_retry(result)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._finish()
        self._done.set()
        if self._play is not None and not any([*stats.failures.values(), *stats.dark.values()]):
            self._durations.remember([*self._took, time.monotonic() - self._play_begin])
        super().v2_playbook_on_stats(stats)
        self._line("done")


def _lines(message: t.Any) -> list[str]:
    return message if isinstance(message, list) else str(message).splitlines()
