"""
Writes the tables of variables and of entry points into each role's README, from meta/argument_specs.yml, between the two markers.

Call: python tools/role_tables.py (or `make generate`). The unit tests check that nothing is left to write.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.helpers import ROOT, load_yaml

BEGIN = "<!-- variables -->"
END = "<!-- /variables -->"
# What Ansible's markup shows as code: C(text), M(module), O(option), P(plugin), V(value)
CODE = re.compile(r"\b[CMOPV]\(([^)]+)\)")


def cell(text: str) -> str:
    """Text for a cell of a Markdown table: one line, no bar that would end the cell, code in backticks."""
    return CODE.sub(r"`\1`", " ".join(text.split()).replace("|", "\\|"))


def default_of(option: dict[str, Any]) -> str:
    """The default as it would be written in YAML; `required` when there is none to fall back on."""
    if option.get("required"):
        return "required"
    value = option.get("default")
    if value is None:
        return ""
    if isinstance(value, str) and value:
        return f"`{value}`"
    return f"`{json.dumps(value)}`"


def rows(options: dict[str, Any], parent: str = "") -> list[str]:
    """A row for each option, nested options after their parent as `parent.child`."""
    lines = []
    for name, option in options.items():
        kind = option.get("type", "str")
        if "elements" in option:
            kind += f" of {option['elements']}"
        text = sentences(option.get("description", ""))
        if "choices" in option:
            text += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
        lines.append(f"| `{parent}{name}` | {kind} | {cell(default_of(option))} | {cell(text)} |")
        lines += rows(option.get("options", {}), f"{parent}{name}.")
    return lines


def sentences(description: str | list[str]) -> str:
    """A description as one text."""
    return description if isinstance(description, str) else " ".join(description)


def entry_points(specs: dict[str, Any]) -> list[str]:
    """The lines of a table of what others may call beside `main`; none when there is nothing."""
    lines = []
    for name, entry in sorted(specs.items()):
        if name != "main":
            needed = [f"`{option}`" for option, spec in (entry.get("options") or {}).items() if spec.get("required")]
            needs = f" Needs {', '.join(needed)}." if needed else ""
            text = cell(sentences(entry["description"]))
            lines.append(f"| `{name}` | {text}{needs} |")
    return ["", "| `tasks_from` | does |", "|---|---|", *lines] if lines else []


def tables(role: Path) -> str:
    """The Markdown between the markers: the variables of all entry points, each once, or a sentence when there are none; then the entry points."""
    options: dict[str, Any] = {}
    # A number that a template gives stands in the defaults only: antsibull-docs takes what a spec says literally
    defaults = load_yaml(role / "defaults/main.yml") or {} if (ROOT / role / "defaults/main.yml").exists() else {}
    specs = load_yaml(role / "meta/argument_specs.yml")["argument_specs"]
    for entry in specs.values():
        for name, option in (entry.get("options") or {}).items():
            options.setdefault(name, {"default": defaults[name]} | option if name in defaults else option)
    variables = ["| variable | type | default | meaning |", "|---|---|---|---|", *rows(options)]
    return "\n".join([*(variables if options else ["The role has no variables of its own."]), *entry_points(specs)])


def render(role: Path) -> str:
    """
    The role's README with its tables filled in.

    :raises ValueError: when the README lacks the markers
    """
    text = (ROOT / role / "README.md").read_text()
    before, begin, rest = text.partition(BEGIN)
    end, after = rest.partition(END)[1:]
    if not begin or not end:
        raise ValueError(f"{role}/README.md: write the two lines {BEGIN} and {END} where the tables are to stand")
    return f"{before}{BEGIN}\n\n{tables(role)}\n\n{END}{after}"


def main() -> int:
    """Writes all READMEs that are not up to date; says which."""
    for spec in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        role = spec.parent.parent
        readme = role / "README.md"
        text = render(role)
        if text != readme.read_text():
            readme.write_text(text)
            print(f"written: {readme.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
