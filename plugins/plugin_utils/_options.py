# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the list of the training's options, and what the roles make of it: variables, values, arguments of the programs."""

from __future__ import annotations

import json
import tomllib
import typing as t
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError

PATH = Path(__file__).resolve().parents[2] / "roles/build_images/files/fl_src/edgefl/common/options.toml"
PROGRAMS = ("aggregator", "client")
# Defaults that depend on the number of edges in the inventory
AUTOMATIC: dict[str, t.Callable[[int], int]] = {
    "edges": lambda edges: edges,
    "two_edges": lambda edges: min(2, edges),
}
AUTOMATIC_TEXT = {"edges": "the number of edges", "two_edges": "2, or 1 where there is one edge"}
_ANSIBLE_TYPES = {"int": "int", "float": "float", "numbers": "dict", "pairs": "dict"}


@dataclass(frozen=True)
class Option:
    """One option as options.toml describes it; `variable` is empty where the roles fill the option in."""

    name: str
    help: str
    programs: list[str]
    type: str
    variable: str
    default: t.Any = None
    attribute: str = ""
    automatic: str = ""
    min: float | None = None
    max: float | None = None
    unit: str = ""
    variable_help: str = ""
    choices: list[str] = field(default_factory=list)
    takes: dict[str, list[str]] = field(default_factory=dict)
    per_host: bool = False
    shapes_training: bool = True

    @property
    def variable_default(self) -> t.Any:
        """Default of the variable: None where it is counted in the inventory."""
        if self.automatic:
            return None
        return {} if self.type in ("numbers", "pairs") else self.default

    @property
    def ansible_type(self) -> str:
        """The variable's type as an argument spec names it."""
        return _ANSIBLE_TYPES.get(self.type, "str")

    def described(self) -> dict[str, t.Any]:
        """All of it as plain data."""
        return asdict(self)


@cache
def options(path: Path = PATH) -> tuple[Option, ...]:
    """Every option, in the order of the file."""
    known = set(Option.__dataclass_fields__)
    found = []
    for name, row in tomllib.loads(path.read_text()).items():
        variable = f"edgefl_{name}" if row.get("variable", True) else ""
        found.append(
            Option(name=name, **{key: value for key, value in row.items() if key in known} | {"variable": variable})
        )
    return tuple(found)


def of(program: str) -> list[Option]:
    """Options of a program, C(aggregator) or C(client); of both with C(all)."""
    if program not in (*PROGRAMS, "all"):
        raise EdgeflError(f"there is no program {program!r}: {', '.join(PROGRAMS)} and all have options")
    return [option for option in options() if program == "all" or program in option.programs]


def values(given: Mapping[str, t.Any], edges: int) -> dict[str, t.Any]:
    """Values by variable, where None is replaced by what `edges`, the number of edges in the inventory, makes of it."""
    counted = {option.variable: AUTOMATIC[option.automatic](edges) for option in options() if option.automatic}
    return {variable: counted.get(variable) if value is None else value for variable, value in given.items()}


def described(program: str) -> list[dict[str, t.Any]]:
    """Options of a program that a variable sets, as plain data."""
    return [option.described() for option in of(program) if option.variable]


def arguments(
    given: Mapping[str, t.Any], program: str, filled: Mapping[str, t.Any] | None = None, shaping: bool = False
) -> list[str]:
    """Arguments of a program, C(--name=value) each.

    `given` are values by variable, `filled` those of options without a variable, by option. Options that are in neither keep the
    program's default. With `shaping` only those are given that make another training. Raises EdgeflError for a value that is of another type.
    """
    filled = filled or {}
    unknown = set(filled) - {option.name for option in of(program)}
    if unknown:
        raise EdgeflError(f"the {program} has no option {', '.join(sorted(unknown))}")
    found = []
    for option in of(program):
        if shaping and not option.shapes_training:
            continue
        value = given.get(option.variable) if option.variable else filled.get(option.name)
        if value is not None:
            found += [f"--{option.name}={text}" for text in _texts(option, value)]
    return found


def _texts(option: Option, value: t.Any) -> list[str]:
    """A value as the program takes it; the same number is always the same text, however it was written."""
    try:
        if option.type in ("numbers", "names"):
            return [
                f"{key}={_number(part) if option.type == 'numbers' else part}" for key, part in sorted(value.items())
            ]
        if option.type == "pairs":
            return [f"{key}={_toml(part)}" for key, part in sorted(value.items())]
        if option.type == "int":
            return [str(int(value))]
        return [_number(value) if option.type == "float" else str(value)]
    except (AttributeError, TypeError, ValueError) as error:
        raise EdgeflError(
            f"{option.variable or option.name} is {value!r}, which is no {option.ansible_type}: {option.help}"
        ) from error


def _toml(value: t.Any) -> str:
    """A number, a text, true or false as TOML has it."""
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, bool | int | str):
        return json.dumps(value, ensure_ascii=False)
    raise TypeError


def _number(value: t.Any) -> str:
    return f"{float(value):.12g}"
