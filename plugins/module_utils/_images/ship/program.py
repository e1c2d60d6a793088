# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the agent (agent.py) as it goes over the wire each time: compressed, without what only people read. Its lines keep their numbers."""

from __future__ import annotations

import ast
import io
import re
import threading
import tokenize
import zlib
from functools import lru_cache
from typing import Any, cast

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import agent

# Runs the program that comes first on its standard input: on a command line it would fill sudo's log
BOOT = "import sys,zlib;exec(compile(zlib.decompress(sys.stdin.buffer.read(int(sys.argv[1]))),'agent','exec'),{'__name__':'__main__'})"
# What a node without neighbours never calls
OF_SITES = ("secured", "listener", "foreign", "Neighbourhood")
# Modules that types alone are of
OF_TYPES = ("typing", "collections.abc")
# Each node has a thread, and Python's parser loses count where two parse at a time (SystemError: AST constructor recursion depth mismatch)
_ALONE = threading.Lock()


def read() -> str:
    """The agent's source. Inside Ansible's archive of modules there is no file to read."""
    loader: Any = agent.__loader__
    source: str | bytes = loader.get_source(agent.__name__)
    # ansible-test's loader gives bytes
    return source if isinstance(source, str) else source.decode()


def packed(source: str, site: bool) -> bytes:
    """The agent for a node of a site, or for one that has no neighbours."""
    with _ALONE:
        return _packed(source, site)


@lru_cache(maxsize=None)
def _packed(source: str, site: bool) -> bytes:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = token.line[: token.start[1]].rstrip()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            _forget_types(node, lines)
        if isinstance(node, ast.AnnAssign) and node.value:
            number, end = node.target.lineno - 1, node.target.end_col_offset
            lines[number] = lines[number][:end] + lines[number][node.annotation.end_col_offset :]
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            words = node.body[0]
            _blank(words, lines)
            lines[words.lineno - 1] = f'{" " * words.col_offset}""'
    for part in tree.body:
        if (not site and getattr(part, "name", "") in OF_SITES) or getattr(part, "module", "") in OF_TYPES:
            _blank(part, lines)
    # The levels of a block differ by one space
    narrow = [re.sub("^ +", lambda spaces: " " * (len(spaces[0]) // 4), line) for line in lines]
    return zlib.compress("\n".join(narrow).encode() + b"\n", 9)


def _blank(node: ast.stmt, lines: list[str]) -> None:
    lines[node.lineno - 1 : node.end_lineno] = [""] * (cast("int", node.end_lineno) - node.lineno + 1)


def _forget_types(function: ast.FunctionDef, lines: list[str]) -> None:
    """Leaves the types out of a function's head, from its end to its begin."""
    every = function.args
    named = [*every.args, *every.kwonlyargs, *filter(None, (every.vararg, every.kwarg))]
    cuts = [
        (one.lineno - 1, one.col_offset + len(one.arg), one.annotation.end_col_offset)
        for one in named
        if one.annotation
    ]
    if function.returns:
        number, end = function.returns.lineno - 1, cast("int", function.returns.end_col_offset)
        cuts.append((number, lines[number].rindex(" ->", 0, end), end))
    for number, begin, stop in sorted(cuts, reverse=True):
        lines[number] = lines[number][:begin] + lines[number][stop:]
