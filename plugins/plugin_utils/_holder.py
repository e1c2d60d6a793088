# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: who holds the lock of a training: a user of a controller, in a process of ansible-playbook."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
import uuid
from pathlib import Path

_NAME = re.compile(r".+ \(process (?P<process>[0-9]+) of (?P<system>[0-9a-f]{8})\)")
_PROC = Path("/proc")


def holder() -> str:
    """Us, as C(user@host (process N of SYSTEM)); called by a plugin, which Ansible runs in a process of its own for each task."""
    return f"{getpass.getuser()}@{socket.gethostname()} (process {os.getppid()} of {_system()})"


def is_gone(name: str) -> bool:
    """Whether that was a process of this system which has ended."""
    match = _NAME.fullmatch(name)
    if not match or match["system"] != _system():
        return False
    process = match["process"]
    try:
        os.kill(int(process), 0)
        # Its number may be another program's by now; one that nobody has waited for has no command line
        return b"ansible" not in (_PROC / process / "cmdline").read_bytes()
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False


def _system() -> str:
    """What numbers processes: this start of this machine, or a container on it. Two machines may have the same name."""
    try:
        mark = (_PROC / "sys/kernel/random/boot_id").read_text() + os.readlink(_PROC / "self/ns/pid")
    except OSError:
        mark = str(uuid.getnode())
    return hashlib.sha256(mark.encode()).hexdigest()[:8]
