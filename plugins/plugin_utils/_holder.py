# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: who holds the lock of a training: a user of a controller, in a process of ansible-playbook."""

from __future__ import annotations

import getpass
import os
import re
import socket

_NAME = re.compile(r".+@(?P<host>\S+) \(process (?P<process>[0-9]+)\)")


def holder() -> str:
    """Us, as C(user@host (process N)); called by a plugin, which Ansible runs in a process of its own for each task."""
    return f"{getpass.getuser()}@{socket.gethostname()} (process {os.getppid()})"


def is_gone(name: str) -> bool:
    """Whether that was a process of this host which has ended."""
    match = _NAME.fullmatch(name)
    if not match or match["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(match["process"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
