"""A recorder that ended with its host is begun again by who follows the run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import connection_loader

from ansible_collections.edgefl.kubeedge.plugins.action.training_results import MODULE, TELEMETRY, ActionModule

WANTED = {"interval": 5, "after": 0}


def calls(telemetry: dict[str, Any], failures: int) -> list[tuple[str, dict[str, Any]]]:
    """The modules that are called, with their options, while SSH is gone for some reads after the first."""
    task = Task()
    task.args = {"run": "one", "namespace": "edgefl", "wait": True, "wait_sleep": 0, "telemetry": telemetry}
    task.check_mode, task.async_val, task.diff = False, 0, False
    context = PlayContext()
    connection = connection_loader.get("local", context)
    action = ActionModule(task, connection, context, loader=None, templar=None, shared_loader_obj=None)
    made: list[tuple[str, dict[str, Any]]] = []
    read = {"events": [], "reset": False, "problems": [], "now": {}, "reason": "", "status": {}, "offset": 0, "sha256": "", "age": 1}  # fmt: skip

    def execute(module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        made.append((module_name, module_args))
        reads = [name for name, _options in made if name == MODULE]
        if 1 < len(reads) <= 1 + failures and module_name == MODULE:
            raise AnsibleConnectionFailure("no route")
        return {**read, "state": "done" if len(reads) > 2 + failures else "training"}

    action._execute_module = execute
    assert not action.run(task_vars={}).get("failed")
    return made


def begun(telemetry: dict[str, Any], failures: int) -> list[dict[str, Any]]:
    return [options for name, options in calls(telemetry, failures) if name == TELEMETRY]


def test_when_ssh_was_gone_it_is_begun_again_once() -> None:
    assert begun(WANTED, failures=1) == [{"run": "one", "namespace": "edgefl", **WANTED}]


@pytest.mark.parametrize(("telemetry", "failures"), [(WANTED, 0), ({}, 2)])
def test_else_it_is_left_alone(telemetry: dict[str, Any], failures: int) -> None:
    assert begun(telemetry, failures) == []
