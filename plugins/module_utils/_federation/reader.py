# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: reads a training on the cloud node: its lines, the aggregator's status, its pods."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core import foreign
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable, shown
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import Outcome, done, pending, wait
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import events, forgotten
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.run_name import check_run
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes import pods
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry import recorder, records

# Cheap: a small file and a request to this host
POLL_INTERVAL = 0.2


@dataclass(frozen=True)
class Reader:
    """Reads the run `run`, which the aggregator keeps below `state_dir`; `fetch` asks its status endpoint. Telemetry of it is in `telemetry_dir`."""

    state_dir: Path
    run: str
    fetch: Callable[[str], tuple[int, Any]]
    telemetry_dir: Path = Path(recorder.FOLDER)
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    check_mode: bool = False

    def read(
        self, offset: int, sha256: str, linger: float, kubectl: Kubectl | None, namespace: str, selector: str
    ) -> dict[str, Any]:
        """What is new since `offset` bytes with the checksum `sha256`, after up to `linger` seconds; as `training_results` returns it."""
        check_run(self.run)
        end = self.clock() + linger

        def poll() -> Outcome:
            found = self._lines(offset, sha256)
            # Nobody is shown the start
            shown = [event for event in found["events"] if event["event"] != "start"]
            news = shown or found["reset"] or found["state"] in ("done", "failed")
            return done(found) if news or self.clock() >= end else pending("")

        found: dict[str, Any] = wait(poll, linger + 1, POLL_INTERVAL, "news", clock=self.clock, pause=self.pause)
        found["problems"], found["evicted"], found["told_anew"] = [], [], []
        found["now"] = records.newest(self.telemetry_dir, self.run)
        if kubectl:
            try:
                items = kubectl.get("pods", namespace=namespace, selector=selector)
            except Transient:
                items = []
            found["told_anew"] = self._tell_anew(kubectl, items, found["status"], namespace)
            # Nobody waits for the pods of a training that is done
            if found["state"] != "done":
                found["evicted"] = pods.evicted(items)
                for item in pods.problems(items):
                    log = pods.log_tail(kubectl, item, namespace) if item.terminal else ""
                    found["problems"].append({**item.as_dict(), "text": str(item), "log": log})
        return found

    def _tell_anew(self, kubectl: Kubectl, items: list[Any], status: dict[str, Any], namespace: str) -> list[str]:
        """Of those pods that should be connected and are not."""
        if not status or self.check_mode:
            return []
        now = time.time()
        missed = forgotten.suspects(items, status.get("nodes", {}), now)
        return forgotten.tell_anew(kubectl, missed, namespace, now) if missed else []

    def _lines(self, offset: int, sha256: str) -> dict[str, Any]:
        path = self.state_dir / self.run / events.FILE
        try:
            data = foreign.read(self.state_dir, self.run, events.FILE)
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise EdgeflError(
                f"{path} can't be read ({error.strerror}): run this on the cloud node with become, and check edgefl_state_dir."
            ) from error
        reset = offset > 0 and (len(data) < offset or hashlib.sha256(data[:offset]).hexdigest() != sha256)
        parsed = events.parse(data)
        skip = 0 if reset else data[:offset].count(b"\n")
        code, answer = self.fetch("/status")
        status = answer if code == 200 and isinstance(answer, dict) else {}
        state = events.state_of(parsed.events, status, self.run)
        return {
            "events": parsed.events[skip:],
            "offset": parsed.size,
            "sha256": hashlib.sha256(data[: parsed.size]).hexdigest(),
            "reset": reset,
            "state": state,
            "reason": printable(self._reason(state, parsed, status, "" if code else str(answer))),
            "status": shown(status),
            "age": round(max(0.0, time.time() - parsed.events[-1]["time"]), 3) if parsed.events else None,
        }

    def _reason(self, state: str, parsed: events.Parsed, status: dict[str, Any], no_answer: str) -> str:
        if state == "done":
            return ""
        if state == "failed":
            return events.failure(parsed.events, status)
        if parsed.problem:
            return parsed.problem
        if no_answer:
            return f"the aggregator: {no_answer}"
        if status.get("run") not in (None, self.run):
            return f"the aggregator is at run {status['run']}"
        return f"waits for {status['waiting_for']}" if status.get("waiting_for") else ""
