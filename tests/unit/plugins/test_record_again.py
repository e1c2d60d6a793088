"""A recorder that ended with its host is begun again by who follows the run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import connection_loader
from unit.plugins.training_lines import Clock

from ansible_collections.edgefl.kubeedge.plugins.action import training_results
from ansible_collections.edgefl.kubeedge.plugins.action.training_results import LOCK, MODULE, TELEMETRY

WANTED = {"interval": 5, "after": 0}
READ = {
    "events": [],
    "reset": False,
    "problems": [],
    "evicted": [],
    "told_anew": [],
    "reason": "",
    "status": {},
    "offset": 0,
    "sha256": "",
    "age": 1,
}
# Seconds that a read takes
TAKES = 5


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.monotonic", made)
    return made


def begun(clock: Clock, telemetry: dict[str, Any], snapshots: list[float | None]) -> list[tuple[int, dict[str, Any]]]:
    """How many reads there were when a recorder was begun, and with which options; each read has the time of the newest snapshot."""
    task = Task()
    task.args = {"run": "one", "namespace": "edgefl", "wait": True, "wait_sleep": 0, "telemetry": telemetry}
    task.check_mode, task.async_val, task.diff = False, 0, False
    context = PlayContext()
    connection = connection_loader.get("local", context)
    action = training_results.ActionModule(task, connection, context, loader=None, templar=None, shared_loader_obj=None)
    reads: list[float | None] = []
    made: list[tuple[int, dict[str, Any]]] = []

    def execute(module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        if module_name == TELEMETRY:
            made.append((len(reads), module_args))
        if module_name in (TELEMETRY, LOCK):
            return {}
        assert module_name == MODULE
        clock.now += TAKES
        reads.append(snapshots[len(reads)])
        now = {"nodes": {}} if reads[-1] is None else {"time": reads[-1], "nodes": {}}
        return {**READ, "now": now, "state": "done" if len(reads) == len(snapshots) else "training"}

    action._execute_module = execute
    assert not action.run(task_vars={}).get("failed")
    return made


GONE: list[float | None] = [1, 2, 3, *([3] * 8)]


def test_where_no_snapshot_comes_it_is_begun_again(clock: Clock) -> None:
    assert begun(clock, WANTED, GONE) == [(9, {"run": "one", "namespace": "edgefl", **WANTED})]


def test_it_is_not_begun_at_each_read(clock: Clock) -> None:
    assert [read for read, _options in begun(clock, WANTED, [None] * 16)] == [7, 13]


@pytest.mark.parametrize(
    ("telemetry", "snapshots"),
    [(WANTED, list(range(20))), ({}, GONE), ({"interval": 60}, GONE)],
    ids=["it lives", "none is wanted", "the next one is not due"],
)
def test_else_it_is_left_alone(clock: Clock, telemetry: dict[str, Any], snapshots: list[float | None]) -> None:
    assert begun(clock, telemetry, snapshots) == []
