# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: how a module runs a command."""

from __future__ import annotations

from typing import Any, Callable

Run = Callable[..., "tuple[int, str, str]"]


def runner(module: Any) -> Run:
    """C(run_command) of an AnsibleModule, which speaks English; takes the arguments and C(data) for standard input, gives (rc, out, err).

    A command that is not there raises OSError, which is reported in our own words.
    """

    def run(arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        result: tuple[int, str, str] = module.run_command(
            arguments, data=data, environ_update={"LC_ALL": "C"}, handle_exceptions=False
        )
        return result

    return run
