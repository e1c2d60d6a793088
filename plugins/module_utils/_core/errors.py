# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the errors that a module turns into its C(fail_json)."""

from __future__ import annotations

from typing import Any


class EdgeflError(Exception):
    """Something that the user has to change; the message says what.

    Keyword arguments become further results of the module, such as the last state that was seen.
    """

    def __init__(self, message: str, **result: Any) -> None:
        super().__init__(message)
        self.message = message
        self.result = result


class Transient(EdgeflError):  # noqa: N818 - a state of things, not a mistake
    """Something that goes away by itself, such as an API server that restarts; whoever waits tries again."""
