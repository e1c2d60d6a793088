"""
Writes the table of variables into each role's README, from meta/argument_specs.yml, between the two markers.

Call: python tools/role_tables.py (or `make generate`). The unit tests check that nothing is left to write.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.helpers import ROOT, load_yaml

BEGIN = "<!-- variables -->"
END = "<!-- /variables -->"


def cell(text: str) -> str:
    """Text for a cell of a Markdown table: one line, no bar that would end the cell."""
    return " ".join(text.split()).replace("|", "\\|")


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
        text = option.get("description", "")
        text = text if isinstance(text, str) else " ".join(text)
        if "choices" in option:
            text += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
        lines.append(f"| `{parent}{name}` | {kind} | {cell(default_of(option))} | {cell(text)} |")
        lines += rows(option.get("options", {}), f"{parent}{name}.")
    return lines


def table(role: Path) -> str:
    """The Markdown between the markers: a table of the variables of all entry points, each once; a sentence when there are none."""
    options: dict[str, Any] = {}
    # A number that a template gives stands in the defaults only: antsibull-docs takes what a spec says literally
    defaults = load_yaml(role / "defaults/main.yml") or {} if (ROOT / role / "defaults/main.yml").exists() else {}
    for entry in load_yaml(role / "meta/argument_specs.yml")["argument_specs"].values():
        for name, option in (entry.get("options") or {}).items():
            options.setdefault(name, {"default": defaults[name]} | option if name in defaults else option)
    if not options:
        return "The role has no variables of its own."
    return "\n".join(["| variable | type | default | meaning |", "|---|---|---|---|", *rows(options)])


def render(role: Path) -> str:
    """
    The role's README with its table filled in.

    :raises ValueError: when the README lacks the markers
    """
    text = (ROOT / role / "README.md").read_text()
    before, begin, rest = text.partition(BEGIN)
    end, after = rest.partition(END)[1:]
    if not begin or not end:
        raise ValueError(
            f"{role}/README.md: write the two lines {BEGIN} and {END} where the table of variables is to stand"
        )
    return f"{before}{BEGIN}\n\n{table(role)}\n\n{END}{after}"


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
