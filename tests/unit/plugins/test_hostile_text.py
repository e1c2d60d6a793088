"""What a node, a pod or the aggregator writes reaches the operator's terminal as text alone: no control characters, no forged lines, not endless."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from unit.plugins.training_lines import RUN, WHOLE, lost, round_, start

from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.pods import log_tail, problem
from support.helpers import BIN, run

FORGED = "\nTASK [All is well] ***\nok: [edge1]\r\x1b[2J\x1b]0;title\x07\u202e\u2028"
REASON = f"no luck{FORGED}" + "x" * 2_000_000


class Endpoint(BaseHTTPRequestHandler):
    """An aggregator that was taken over."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"run": RUN, "state": "failed", "reason": REASON, "round": FORGED}).encode())

    def log_message(self, *_given: object) -> None:
        pass


@pytest.fixture
def status() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Endpoint) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


def follow(tmp_path: Path, status: str, *events: dict[str, Any]) -> str:
    """What ansible-playbook writes that follows such a run, and writes its results."""
    state = tmp_path / "state" / RUN
    state.mkdir(parents=True)
    # Not by the aggregator's own code, which cleans what it writes
    # Nothing is told of a run that was done some time ago
    now = time.time()
    state.joinpath("rounds.jsonl").write_text("".join(json.dumps({**event, "time": now}) + "\n" for event in events))
    read = {
        "run": RUN,
        "state_dir": str(tmp_path / "state"),
        "status_url": status,
        "telemetry_dir": str(tmp_path),
        "wait": True,
    }
    write = {"dest": str(tmp_path / "results"), "run": RUN, "events": "{{ training.events }}", "report": False}
    kubectl = tmp_path / "bin/kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text("#!/bin/sh\necho '{\"items\": []}'\n")
    kubectl.chmod(0o755)
    (tmp_path / "admin.conf").touch()
    book = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "module_defaults": {"edgefl.kubeedge.training_results": {"kubeconfig": str(tmp_path / "admin.conf")}},
        "environment": {"PATH": f"{kubectl.parent}:/usr/bin:/bin"},
        "tasks": [
            {"name": "Follow", "edgefl.kubeedge.training_results": read, "register": "training"},
            {"name": "Write", "edgefl.kubeedge.results_write": write, "register": "written"},
            {"name": "Tell", "ansible.builtin.debug": {"msg": "{{ written.text }}"}},
        ],
    }  # fmt: skip
    (tmp_path / "play.yml").write_text(json.dumps([book]))
    return run(BIN / "ansible-playbook", "--inventory=/dev/null", tmp_path / "play.yml", timeout=120).output


def harmless(text: str) -> bool:
    lines = text.splitlines()
    return all(line.isprintable() for line in lines) and not any(
        line.startswith("TASK [All is well]") for line in lines
    )


def test_a_part_that_is_lost(tmp_path: Path, status: str) -> None:
    flawed = round_(1, lost=[lost(f"edge3{FORGED}", REASON)], repeated=1, repeats=[{"reason": REASON}])
    said = follow(tmp_path, status, start(app=f"app{FORGED}"), flawed, *WHOLE[2:])
    assert "is lost: no luck" in said and "Write" in said
    assert harmless(said), [line for line in said.splitlines() if not line.isprintable()]
    assert len(said) < 10_000
    summary = json.loads((tmp_path / "results" / RUN / "summary.json").read_text())
    assert all(name.isprintable() for name in summary["nodes"]) and summary["app"].isprintable()
    assert harmless((tmp_path / "results" / RUN / "rounds.csv").read_text())


def test_a_run_that_failed(tmp_path: Path, status: str) -> None:
    said = follow(tmp_path, status, start(), {**WHOLE[3], "event": "failed", "reason": REASON})
    assert "the run failed: no luck" in said
    assert harmless(said), [line for line in said.splitlines() if not line.isprintable()]
    assert len(said) < 10_000


def test_a_pods_reason_and_log() -> None:
    waiting = {"state": {"waiting": {"reason": f"Bad{FORGED}", "message": REASON}}}
    about = {"metadata": {"name": "p"}, "spec": {"nodeName": "edge1"}, "status": {"containerStatuses": [waiting]}}
    item = problem(about)
    assert item and harmless(str(item)) and len(str(item)) < 1000
    broken = problem({**about, "status": {"containerStatuses": [{**waiting, "restartCount": 1}]}})
    assert broken
    kubectl = Kubectl(lambda *_unused, **_more: (0, f"{REASON}\n" * 30, ""), "/k")
    log = log_tail(kubectl, broken, "n")
    assert harmless(log) and len(log) < 6000
    assert all(line.startswith("  ") for line in log.splitlines()[1:])
