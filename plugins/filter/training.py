# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles make of the list of the training's options."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping

from ansible.errors import AnsibleFilterError

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _options


def training_options(program: str) -> list[dict[str, t.Any]]:
    """Options of a program that a variable sets, as dictionaries."""
    return [option.described() for option in _options.of(program) if option.variable]


def training_values(given: Mapping[str, t.Any], edges: int) -> dict[str, t.Any]:
    """Values by variable, where None is replaced by what the number of edges makes of it."""
    return _options.values(given, edges)


def training_arguments(
    given: Mapping[str, t.Any], program: str, filled: Mapping[str, t.Any] | None = None, shaping: bool = False
) -> list[str]:
    """Arguments of a program."""
    return _options.arguments(program, given, filled or {}, shaping)


def _with_filter_errors(work: Callable[..., t.Any]) -> Callable[..., t.Any]:
    def filtered(*arguments: t.Any, **more: t.Any) -> t.Any:
        try:
            return work(*arguments, **more)
        except EdgeflError as error:
            raise AnsibleFilterError(error.message) from error

    return filtered


class FilterModule:
    """The collection's filters for the training's options."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {
            work.__name__: _with_filter_errors(work) for work in (training_options, training_values, training_arguments)
        }
