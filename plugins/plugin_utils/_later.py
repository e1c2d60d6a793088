# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: filters whose code is imported by the first call.

Whoever asks for one filter of a collection loads the files of all (Jinja2Loader.get_with_context of ansible-core), in each process that Ansible makes for
a task, and compiles them there: what they import is not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ansible.errors import AnsibleFilterError

PLUGINS = __name__.rpartition(".plugin_utils.")[0]


def filters(path: str, **functions: str) -> dict[str, Callable[..., Any]]:
    """The filters of a file by name.

    :param path: the module with their code, below plugins/: C(plugin_utils._shipping)
    :param functions: filter -> function of that module
    """
    return {name: _filter(f"{PLUGINS}.{path}", function) for name, function in functions.items()}


def _filter(module: str, function: str) -> Callable[..., Any]:
    def filtered(*arguments: Any, **more: Any) -> Any:
        code = import_module(module)
        errors = import_module(f"{PLUGINS}.module_utils._core.errors")
        try:
            return getattr(code, function)(*arguments, **more)
        except errors.EdgeflError as error:
            raise AnsibleFilterError(error.message) from error

    return filtered
