"""The cases of tests/bad_input/cases.yml: what somebody gives, and what the refusal tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from support.helpers import ROOT

PATH = ROOT / "tests/bad_input/cases.yml"
GROUPS = {"cloud": ["cloud0"], "edges": ["edge1", "edge2"]}
HOSTS = ["cloud0", "edge1", "edge2"]


@dataclass(frozen=True)
class Case:
    """One case; `told` are parts of the message."""

    name: str
    told: list[str]
    variables: dict[str, Any] = field(default_factory=dict)
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=lambda: GROUPS)
    limit: str = ""
    purpose: str = "train"
    apart: bool | str = False
    problems: int = 1

    @property
    def given(self) -> set[tuple[str, str]]:
        """The variables that it gives, each with its host; one for all hosts is one of every host."""
        every = {(host, name) for name in self.variables for host in HOSTS}
        return every | {(host, name) for host, own in self.hosts.items() for name in own}

    def missing(self, text: str) -> list[str]:
        """Parts that a refusal lacks."""
        return [part for part in self.told if part not in text]


class Loader(yaml.CSafeLoader):
    """Knows `!repeat [text, times]`, too."""


def _repeat(loader: Loader, node: yaml.SequenceNode) -> str:
    text, times = loader.construct_sequence(node)
    return str(text) * int(times)


Loader.add_constructor("!repeat", _repeat)
CASES = [Case(**row) for row in yaml.load(PATH.read_text(), Loader)]


def packed(cases: Iterable[Case]) -> list[list[Case]]:
    """The cases in few groups, each of which can be given at once: no variable twice, the same inventory, limit and purpose."""
    found: list[list[Case]] = []
    for case in cases:
        fits = [
            group
            for group in found
            if case.apart is not True and not case.limit
            and (case.apart, case.limit, case.purpose) == (group[0].apart, group[0].limit, group[0].purpose)
            and not any(case.given & each.given for each in group)
        ]  # fmt: skip
        if fits:
            fits[0].append(case)
        else:
            found.append([case])
    return found
