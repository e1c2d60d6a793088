"""docs/troubleshooting.md quotes messages: each still stands in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.helpers import ROOT, files, load_yaml

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
MESSAGES = re.findall(r"^\| `([^`]+)` \|", PAGE, flags=re.MULTILINE)
GAP = "…"


def of_python(path: Path) -> Iterator[str]:
    """The texts of a program; what is put into one when it runs is a gap."""

    def text(node: ast.AST) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(map(text, node.values))
        if isinstance(node, ast.BinOp):
            return text(node.left) + text(node.right)
        return GAP

    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
            yield text(node)


def of_yaml(value: Any) -> Iterator[str]:
    """The texts of a playbook or of a role's tasks; what a template puts into one is a gap."""
    if isinstance(value, str):
        yield re.sub(r"\{\{.*?\}\}", GAP, value, flags=re.DOTALL)
    elif isinstance(value, dict):
        for part in value.values():
            yield from of_yaml(part)
    elif isinstance(value, list):
        for part in value:
            yield from of_yaml(part)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    found = [
        text for path in files("plugins/**", "fl_src/edgefl/**") if path.suffix == ".py" for text in of_python(path)
    ]
    found += [
        text for path in files("roles/**", "playbooks/**") if path.suffix == ".yml" for text in of_yaml(load_yaml(path))
    ]
    return [" ".join(text.split()) for text in found]


def test_the_page_quotes_messages() -> None:
    assert len(MESSAGES) > 50


def holds(text: str, parts: list[str]) -> bool:
    """Whether all parts stand in the text, in this order."""
    place = 0
    for part in parts:
        place = text.find(part, place) + len(part)
        if place < len(part):
            return False
    return True


@pytest.mark.parametrize("message", MESSAGES)
def test_each_message_stands_in_the_code(message: str, texts: list[str]) -> None:
    """A gap of the page may stand for any part of the text, but not for all of it."""
    parts = [part.strip() for part in message.split(GAP)]
    assert max(map(len, parts)) >= 8, "too little of it is quoted to be found"
    assert any(holds(text, parts) for text in texts), "no text of plugins, roles, playbooks or fl_src is like it"
