"""The lock of a training, on an API server that keeps Leases as the real one does: versions, conflicts, preconditions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import lock as _lock
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.lock import Held, Lock
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _holder
from support.processes import until

ANNA, BERT = "anna@desk (process 11)", "bert@lab (process 22)"


class Leases:
    """What kubectl does with the one Lease. `before_write` is called between a reading and its writing."""

    def __init__(self) -> None:
        self.lease: Any = None
        self.version = 0
        self.before_write: Callable[[], None] = lambda: None

    def __call__(self, command: list[str], data: str | None = None) -> tuple[int, str, str]:
        verb = command[4]
        if verb == "get":
            return 0, json.dumps(self.lease) if self.lease else "", ""
        first, self.before_write = self.before_write, lambda: None
        first()
        given = json.loads(data or "{}")
        if verb == "create" and self.lease:
            return 1, "", 'Error from server (AlreadyExists): leases.coordination.k8s.io "x" already exists'
        wanted = given.get("preconditions", given.get("metadata", {})).get("resourceVersion")
        if verb != "create" and wanted != str(self.version):
            return 1, "", "Error from server (Conflict): the object has been modified"
        self.version += 1
        self.lease = None if verb == "delete" else given
        if self.lease:
            self.lease["metadata"]["resourceVersion"] = str(self.version)
        return 0, "", ""


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that have passed, to be set."""
    passed = [0.0]
    begin = datetime(2026, 1, 1, tzinfo=timezone.utc)
    monkeypatch.setattr(_lock, "_now", lambda: begin + timedelta(seconds=passed[0]))
    return passed


def lock(leases: Leases, holder: str) -> Lock:
    return Lock(Kubectl(leases, "/k"), "edgefl", holder, 900)


def test_the_second_is_refused_and_told_by_whom(leases: Leases, clock: list[float]) -> None:
    lock(leases, ANNA).hold()
    clock[0] = 300
    with pytest.raises(Held, match=re.escape(f"held by {ANNA} since 2026-01-01 00:00:00 UTC.")) as caught:
        lock(leases, BERT).hold()
    assert "ends by itself in 10 min, or give -e edgefl_break_lock=true" in caught.value.message
    assert leases.lease["spec"]["holderIdentity"] == ANNA


def test_who_gives_it_back_lets_the_next_in(leases: Leases, clock: list[float]) -> None:
    lock(leases, ANNA).hold()
    lock(leases, BERT).release()
    assert leases.lease["spec"]["holderIdentity"] == ANNA
    lock(leases, ANNA).release()
    assert leases.lease is None
    lock(leases, BERT).hold()


def test_a_holder_that_is_no_more_holds_it_until_it_ends(leases: Leases, clock: list[float]) -> None:
    lock(leases, ANNA).hold()
    clock[0] = 899
    with pytest.raises(Held):
        lock(leases, BERT).hold()
    clock[0] = 901
    lock(leases, BERT).hold()
    # And the first one, should it live after all, finds out
    with pytest.raises(Held, match=re.escape(BERT)):
        lock(leases, ANNA).hold()


def test_who_renews_it_keeps_it_and_when_it_began(leases: Leases, clock: list[float]) -> None:
    lock(leases, ANNA).renew()
    assert leases.lease is None
    lock(leases, ANNA).hold()
    for clock[0] in (800, 1600):
        lock(leases, ANNA).renew()
        lock(leases, BERT).renew()
    clock[0] = 2400
    with pytest.raises(Held, match="since 2026-01-01 00:00:00 UTC"):
        lock(leases, BERT).hold()


def test_it_can_be_broken(leases: Leases, clock: list[float]) -> None:
    lock(leases, ANNA).hold()
    with pytest.raises(Held):
        lock(leases, BERT).hold(break_holder="carl@desk (process 3)")
    lock(leases, BERT).hold(break_holder=ANNA)
    lock(leases, ANNA).hold(break_holder="")
    assert leases.lease["spec"]["holderIdentity"] == ANNA


@pytest.mark.parametrize("old", [None, ANNA])
def test_of_two_at_the_same_moment_one_wins(leases: Leases, clock: list[float], old: str | None) -> None:
    if old:
        lock(leases, old).hold()
        clock[0] = 1000
    other = lock(leases, "carl@desk (process 3)")
    leases.before_write = other.hold
    with pytest.raises(Held, match="held by carl@desk"):
        lock(leases, BERT).hold()
    # One that is taken while it is given back stays with who took it
    clock[0] = 2000
    leases.before_write = lock(leases, BERT).hold
    other.release()
    assert leases.lease["spec"]["holderIdentity"] == BERT


def test_what_somebody_wrote_there_reaches_the_terminal_as_text(leases: Leases, clock: list[float]) -> None:
    lock(leases, "x\x1b[2J\n" + "y" * 1000).hold()
    with pytest.raises(Held) as caught:
        lock(leases, BERT).hold()
    assert caught.value.message.isprintable() and len(caught.value.message) < 600


def test_other_errors_are_told(leases: Leases, clock: list[float]) -> None:
    def refuse(command: list[str], data: str | None = None) -> tuple[int, str, str]:
        return (0, "", "") if command[4] == "get" else (1, "", "error: no such resource")

    with pytest.raises(EdgeflError, match="no such resource"):
        Lock(Kubectl(refuse, "/k"), "edgefl", ANNA, 900).hold()


def test_a_playbook_of_this_controller_that_has_ended_is_known(tmp_path: Path) -> None:
    """Also where its number is another program's by now, or nobody has waited for its end."""
    me = _holder.holder()

    def process(number: int) -> str:
        return me.replace(f"process {os.getppid()} ", f"process {number} ")

    playbook = tmp_path / "ansible-playbook"
    playbook.write_text("import time; time.sleep(60)")
    with subprocess.Popen([sys.executable, playbook]) as lives, subprocess.Popen(["sleep", "60"]) as other:
        assert not _holder.is_gone(process(lives.pid))
        assert _holder.is_gone(process(other.pid))
        lives.kill()
        until(lambda: _holder.is_gone(process(lives.pid)), "its end", 5)
        other.kill()
    assert _holder.is_gone(process(other.pid))
    assert not _holder.is_gone(process(2**80))


def test_playbooks_of_other_machines_and_containers_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same name as this one, too: nobody here knows their processes."""
    ended = re.sub("process [0-9]+", "process 4194305", _holder.holder())
    assert _holder.is_gone(ended)
    monkeypatch.setattr(os, "readlink", lambda _path: "pid:[1]")
    assert not _holder.is_gone(ended)
    assert not _holder.is_gone("anna@desk (process 11)")


def test_a_controller_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_holder, "_PROC", tmp_path)
    me = _holder.holder()
    assert not _holder.is_gone(me)
    assert _holder.is_gone(re.sub("process [0-9]+", "process 4194305", me))
