"""
Writes what comes from fl_src/edgefl/common/options.toml, each between two markers: the training's variables in the defaults and argument specs of the role that
has them, and the types of the options in the settings of the two programs.

Call: python tools/training_options.py (or `make generate`). The unit tests check that nothing is left to write.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
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


def variables(described: Callable[[Option], dict[str, Any]]) -> list[str]:
    """Lines of YAML with all variables."""
    content: dict[str, Any] = {}
    for option in _options.options():
        if option.variable:
            content |= described(option)
    return dumped(content).splitlines()


def attributes(program: str) -> list[str]:
    """Lines of Python with the options of a program."""
    return [f"{option.attribute or option.name}: {TYPES[option.type]}" for option in _options.of(program)]


# Of options, by their type in the list
TYPES = {
    **dict.fromkeys(("app", "name", "address", "str"), "str"),
    "int": "int",
    "float": "float",
    "folder": "Path | None",
    "tls": "Tls | None",
    "addresses": "tuple[str, ...]",
    "upstream": "Upstream | None",
    "numbers": "dict[str, float]",
    "names": "dict[str, str]",
    "pairs": "dict[str, app_folder.Value]",
}
# What stands between the markers of a file, in their order
FILES: dict[Path, list[Callable[[], list[str]]]] = {
    ROLE / "defaults/main.yml": [partial(variables, defaults)],
    ROLE / "meta/argument_specs.yml": [partial(variables, spec)],
    ROOT / "fl_src/edgefl/common/settings.py": [partial(attributes, program) for program in _options.PROGRAMS],
}


def render(path: Path) -> str:
    """
    The file with its parts between the markers filled in, as far in as the first marker of each is.

    :raises ValueError: when the file lacks the markers
    """
    lines = path.read_text().splitlines()
    places = [number for number, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    if len(places) != 2 * len(FILES[path]):
        raise ValueError(f"{path}: write the two lines {BEGIN!r} and {END!r} where what is made is to stand")
    # From the last to the first, whose places stay true
    for number, make in reversed(list(enumerate(FILES[path]))):
        begin, end = places[2 * number : 2 * number + 2]
        margin = lines[begin].partition("#")[0]
        lines[begin + 1 : end] = [f"{margin}{line}" for line in make()]
    return "\n".join(lines) + "\n"


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
