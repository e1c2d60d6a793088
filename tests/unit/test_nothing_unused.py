"""Functions, classes and constants that nothing reads are deleted."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from support.helpers import ROOT

# What others call by these names
CALLED_BY = {
    "Ansible": {
        "ActionModule", "FilterModule", "InventoryModule", "ModuleDocFragment", "_requires_connection", "_supports_check_mode",
        "DOCUMENTATION", "EXAMPLES", "RETURN", "CALLBACK_NAME", "CALLBACK_TYPE", "CALLBACK_VERSION", "v2_playbook_on_start",
    },
    "http.server and socketserver": {
        "do_HEAD", "do_POST", "log_message", "server_version", "sys_version", "allow_reuse_address", "daemon_threads", "request_queue_size", "server_bind",
    },
    "Flower, of a Grid and of a mod": {"create_message", "push_messages", "pull_messages", "add_one"},
}  # fmt: skip


def sources(*suffixes: str) -> list[Path]:
    folders = ("plugins", "fl_src", "tools")
    return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]


def defined(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Names of a module and of its classes, and whether it is a method's, which only an attribute reads. Fields of a dataclass are left out."""
    owners: list[ast.Module | ast.ClassDef] = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    for owner in owners:
        for node in owner.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name, isinstance(owner, ast.ClassDef)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and (owner is tree or isinstance(node, ast.Assign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                yield from ((target.id, False) for target in targets if isinstance(target, ast.Name))


def read(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Names that are read as attributes, or as a text by which something is looked up; names that are read by themselves, imports too."""
    attributes: set[str] = set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            attributes.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            attributes.add(node.value)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.name)
    return attributes, names


def unread(modules: dict[str, str], attributes: set[str]) -> list[str]:
    """What no module reads, of texts of modules by name; `attributes` are read elsewhere."""
    trees = {name: ast.parse(text) for name, text in modules.items()}
    by_itself: set[str] = set()
    for tree in trees.values():
        more, names = read(tree)
        attributes = attributes | more
        by_itself |= names
    return [
        f"{module}: {name}"
        for module, tree in trees.items()
        for name, method in defined(tree)
        if name not in (attributes if method else attributes | by_itself) and not re.fullmatch("__.*__", name)
    ]


def test_what_nobody_reads_is_found() -> None:
    text = "LIMIT = 1\nOTHER = 2\nclass Taker:\n  def take(self): return OTHER\n  def drop(self): take = 1; return take\nTaker().drop()"
    assert unread({"one": text}, set()) == ["one: LIMIT", "one: take"]


def test_everything_is_read() -> None:
    modules = {str(path.relative_to(ROOT)): path.read_text() for path in sources(".py")}
    # Of the report's pages
    by_templates = {word for path in sources(".j2") for word in re.findall(r"\w+", path.read_text())}
    assert unread(modules, by_templates | set().union(*CALLED_BY.values())) == []
