"""
Writes the training's variables, from fl_src/edgefl/common/options.toml, into the defaults and argument specs of the role that has them, between two markers.

Call: python tools/training_options.py (or `make generate`). The unit tests check that nothing is left to write.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / ".ansible/collections"))

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _options
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._options import Option

ROOT = Path(__file__).resolve().parents[1]
ROLE = ROOT / "roles/edgefl"
BEGIN = "# Written by `make generate` from fl_src/edgefl/common/options.toml"
END = "# End of what `make generate` writes"


class Dumper(yaml.SafeDumper):
    """Lists further in than their key, as yamllint wants them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def dumped(content: dict[str, Any]) -> str:
    """YAML in the order given, one line a value however long."""
    return yaml.dump(content, Dumper=Dumper, sort_keys=False, width=10_000, allow_unicode=True)


def defaults(option: Option) -> dict[str, Any]:
    """The variable in defaults/main.yml."""
    return {option.variable: option.variable_default}


def spec(option: Option) -> dict[str, Any]:
    """The variable in meta/argument_specs.yml."""
    text = option.variable_help or option.help
    if option.automatic:
        text += f" By default {_options.AUTOMATIC_TEXT[option.automatic]}."
    if option.per_host:
        text += " An edge may have a value of its own."
    found: dict[str, Any] = {"type": option.ansible_type, "description": text}
    if option.choices:
        found["choices"] = option.choices
    if option.variable_default is not None:
        found["default"] = option.variable_default
    return {option.variable: found}


FILES: dict[Path, Callable[[Option], dict[str, Any]]] = {
    ROLE / "defaults/main.yml": defaults,
    ROLE / "meta/argument_specs.yml": spec,
}


def render(path: Path) -> str:
    """
    The file with its part between the markers filled in, as far in as the first marker is.

    :raises ValueError: when the file lacks the markers
    """
    lines = path.read_text().splitlines()
    places = [number for number, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    if len(places) != 2:
        raise ValueError(
            f"{path}: write the two lines {BEGIN!r} and {END!r} where the training's variables are to stand"
        )
    begin, end = places
    margin = lines[begin].partition("#")[0]
    content: dict[str, Any] = {}
    for option in _options.options():
        if option.variable:
            content |= FILES[path](option)
    made = [f"{margin}{line}" for line in dumped(content).splitlines()]
    return "\n".join([*lines[: begin + 1], *made, *lines[end:]]) + "\n"


def main() -> int:
    """Writes the files that are not up to date; says which."""
    for path in FILES:
        text = render(path)
        if text != path.read_text():
            path.write_text(text)
            print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
