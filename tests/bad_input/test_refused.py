"""Wrong input, through the real playbooks: refused on the controller, before any host is reached, in few plays that each have many of the cases."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.bad_input import CASES, HOSTS, Case, packed
from support.helpers import Result, run

# What trains takes the same checks: each group of cases goes through one of these
TRAINING = (["site.yml"], ["retrain.yml", "--check"], ["experiment.yml"], ["site.yml", "--check"], ["retrain.yml"])
PLAYBOOKS = {"cloud": (["stop.yml"],), "train": TRAINING}
GROUPS = packed(CASES)


class Nobody:
    """Addresses of hosts where nobody answers, who would know of each connection."""

    def __init__(self, stack: ExitStack) -> None:
        self.addresses = {host: f"127.0.0.{number}" for number, host in enumerate(HOSTS, 2)}
        self.listeners: list[socket.socket] = []
        self.port = 0
        for address in self.addresses.values():
            listener = stack.enter_context(socket.create_server((address, self.port)))
            listener.setblocking(False)
            self.port = listener.getsockname()[1]
            self.listeners.append(listener)

    def was_called(self) -> bool:
        """Whether anybody has connected since the last question."""
        for listener in self.listeners:
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                continue
            return True
        return False

    def inventory(self, case: Case, hosts: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """An inventory with the case's groups, and with variables of hosts."""
        about = {
            host: {"ansible_host": address, "ansible_port": self.port, "ansible_user": "nobody", **hosts.get(host, {})}
            for host, address in self.addresses.items()
        }
        groups: dict[str, Any] = {
            name: {"hosts": {member: {} for member in members}} for name, members in case.groups.items()
        }
        return {"all": {"hosts": about, "children": groups}}


@pytest.fixture(scope="module")
def nobody() -> Iterator[Nobody]:
    with ExitStack() as stack:
        yield Nobody(stack)


def message(result: Result) -> str:
    """What the failed task says."""
    (line,) = re.findall(r"^fatal: \[\S+\]: FAILED! => (\{.*\})$", result.output, re.MULTILINE)
    return str(json.loads(line)["msg"])


def play(words: list[str], cases: list[Case], nobody: Nobody, folder: Path) -> Result:
    """A playbook with what all cases give, from an empty folder where nothing may be made."""
    hosts: dict[str, dict[str, Any]] = {}
    variables: dict[str, Any] = {}
    for case in cases:
        variables |= case.variables
        for host, own in case.hosts.items():
            hosts.setdefault(host, {}).update(own)
    for name, content in (("hosts.yml", nobody.inventory(cases[0], hosts)), ("variables.yml", variables)):
        (folder / name).write_text(yaml.safe_dump(content, allow_unicode=True))
    limit = ["--limit", cases[0].limit] if cases[0].limit else []
    return run("ansible-playbook", "-i", folder / "hosts.yml", *words, *limit, "-e", f"@{folder / 'variables.yml'}")


@pytest.mark.parametrize("number", range(len(GROUPS)), ids=lambda number: GROUPS[number][0].name)
def test_refused(number: int, nobody: Nobody, tmp_path: Path) -> None:
    """All of a group is told in one message, and nothing else; nobody was called, and nothing has changed."""
    cases = GROUPS[number]
    playbooks = PLAYBOOKS[cases[0].purpose]
    result = play(playbooks[number % len(playbooks)], cases, nobody, tmp_path)
    assert result.code != 0, result.output
    assert not nobody.was_called()
    told = message(result)
    missing = {case.name: case.missing(told) for case in cases if case.missing(told)}
    assert missing == {}, told
    expected = sum(case.problems for case in cases)
    assert told.startswith(f"{expected} problems, nothing was changed:\n") or expected == 1, told
    assert re.findall(r"\b(?:changed|unreachable)=[1-9]", result.output) == []


@pytest.mark.parametrize("playbook", ["ship_images", "fetch_model", "cluster"])
def test_other_playbooks_refuse(playbook: str, nobody: Nobody, tmp_path: Path) -> None:
    """In check mode, too."""
    case = next(case for case in CASES if case.name == "no rounds")
    result = play([f"{playbook}.yml", "--check"], [case], nobody, tmp_path)
    assert result.code != 0 and not nobody.was_called()
    assert case.missing(message(result)) == []
