"""What all modules share: their way out, and how they run commands; with Ansible's own AnsibleModule."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.command import runner
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import (
    KUBECONFIG,
    NAMESPACE,
    WAIT,
    run_module,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module

Outcome = Callable[..., Dict[str, Any]]


@pytest.fixture
def outcome(capsys: pytest.CaptureFixture[str]) -> Outcome:
    """What a module says at its end, and its exit code, when it is given some options."""

    def call(work: Callable[[AnsibleModule], Any], options: dict[str, Any], **spec: Any) -> dict[str, Any]:
        with patch_module_args(options), pytest.raises(SystemExit) as ended:
            run_module(work, argument_spec={**KUBECONFIG, **NAMESPACE, **WAIT}, **spec)
        said: dict[str, Any] = json.loads(capsys.readouterr().out)
        return {**said, "code": ended.value.code}

    return call


def test_results_and_defaults(outcome: Outcome) -> None:
    found = outcome(lambda module: {"changed": module.check_mode, "options": dict(module.params)}, {"namespace": "n"})
    assert (found["changed"], found["code"]) == (False, 0)
    assert found["options"] == {
        "kubeconfig": "/etc/kubernetes/admin.conf",
        "namespace": "n",
        "wait_timeout": 180,
        "wait_sleep": 1.0,
    }


def test_check_mode_is_supported(outcome: Outcome) -> None:
    assert outcome(lambda module: {"changed": module.check_mode}, {"_ansible_check_mode": True})["changed"]


@pytest.mark.parametrize("kind", [EdgeflError, Transient])
def test_an_error_fails_with_its_results(outcome: Outcome, kind: type[EdgeflError]) -> None:
    def work(module: AnsibleModule) -> dict[str, Any]:
        raise kind("Correct the name.", reason="no such node", elapsed=1.5)

    found = outcome(work, {})
    assert (found["failed"], found["msg"], found["code"]) == (True, "Correct the name.", 1)
    assert (found["reason"], found["elapsed"]) == ("no such node", 1.5)


def test_options_are_checked_first(outcome: Outcome) -> None:
    found = outcome(lambda module: pytest.fail("it was called"), {"wait_timeout": "soon"})
    assert found["failed"] and "wait_timeout" in found["msg"]


def test_commands_speak_english_and_get_their_input(outcome: Outcome) -> None:
    # Newer versions of ansible-core make C.UTF-8 of C, which speaks English too
    script = ["sh", "-c", "echo ${LC_ALL%.UTF-8}; cat; echo wrong >&2; exit 3"]
    found = outcome(lambda module: {"said": runner(module)(script, data="given")}, {})
    assert found["said"] == [3, "C\ngiven\n", "wrong\n"]


def test_a_kubectl_that_is_not_there(outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = outcome(lambda module: {"nodes": for_module(module, "/k").get("nodes")}, {})
    assert "install it on this host" in found["msg"]
