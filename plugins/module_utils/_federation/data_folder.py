# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: a host's folder with data, looked at as the user of the pods that will read it."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable

# A pod that reads one of them, or what is in it, reads the machine's secrets or its programs
SYSTEM = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var/lib/containerd",
    "/var/lib/docker", "/var/lib/edgecore", "/var/lib/edged", "/var/lib/edgefl", "/var/lib/kubeedge", "/var/lib/kubelet", "/var/log", "/var/run",
)  # fmt: skip
# Nobody's data alone, though folders in them may be
SHARED = ("/home", "/opt", "/tmp", "/var/tmp")
# Names that a message holds of each kind
SHOWN = 3


@dataclass
class Found:
    """What is in a folder: files, their bytes, and what a pod could not use: `unreadable` and `links`, paths with the reason, counted in full."""

    files: int = 0
    bytes: int = 0
    unreadable: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    unreadable_count: int = 0
    link_count: int = 0

    def cannot_read(self, path: str, kind: str, about: os.stat_result | None) -> None:
        self.unreadable_count += 1
        if len(self.unreadable) < SHOWN:
            rights = f", {about.st_uid}:{about.st_gid} {stat.S_IMODE(about.st_mode):04o}" if about else ""
            self.unreadable.append(f"{path} ({kind}{rights})")

    def leads_nowhere(self, path: str, target: str) -> None:
        self.link_count += 1
        if len(self.links) < SHOWN:
            self.links.append(f"{path} -> {target}")


def refused(path: str, variable: str) -> str:
    """Why a pod may not read this folder, whatever is in it; empty when it may."""
    if not path.startswith("/"):
        return f"{variable} is {path!r}: give an absolute path, such as /srv/images."
    plain = os.path.normpath(path)
    # Two slashes at the beginning are kept by POSIX
    plain = "/" + plain.lstrip("/")
    for folder in SYSTEM:
        if plain == folder or plain.startswith(f"{folder}/"):
            return f"{variable} is {path}, which belongs to the system ({folder}): put the data into a folder of its own, such as /srv/images."
        if plain == "/" or folder.startswith(f"{plain}/"):
            return f"{variable} is {path}, which holds the system's {folder}: put the data into a folder of its own, such as /srv/images."
    if plain in SHARED:
        return f"{variable} is {path}, which is for everybody's files: name the folder in it that has the data."
    return ""


def check(path: str, user: int, variable: str) -> Found:
    """What a pod of `user` finds in a folder. Raises EdgeflError that says what to change, when it is none, or not all of it can be used."""
    for each in dict.fromkeys((path, os.path.realpath(path) if path.startswith("/") else path)):
        reason = refused(each, variable)
        if reason:
            raise EdgeflError(reason)
    if not os.path.isdir(path):
        what = "is no folder" if os.path.exists(path) else "is not there"
        raise EdgeflError(
            f"{variable} is {path}, which {what} on this host: correct it, mount what holds the data, or leave {variable} out for this host."
        )
    found = _as_user(path, user, variable)
    reasons = []
    if found.unreadable_count:
        reasons.append(
            f"User {user}, as which the pods run, can't read {_some(found.unreadable, found.unreadable_count)}. Let it, and only read:"
            f" `chmod -R o+rX {path}`; or, when others may not, `chgrp -R {user} {path} && chmod -R g+rX {path}`."
        )
    if found.link_count:
        reasons.append(
            f"Links that lead out of the folder, or nowhere, lead nowhere in a pod: {_some(found.links, found.link_count)}. Replace each by the file, or by a"
            " relative link to one in the folder."
        )
    if not found.files and not reasons:
        reasons.append("It has no files: put the data there, or mount what holds it.")
    if reasons:
        raise EdgeflError(f"{variable} is {path}. {' '.join(reasons)}", files=found.files, bytes=found.bytes)
    return found


def _some(names: list[str], count: int) -> str:
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return printable(", ".join(names), 1000) + more


def _as_user(path: str, user: int, variable: str) -> Found:
    """`look` in a process of the user, which begins in the folder: as in a pod, the rights of the folders above do not matter."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            os.chdir(path)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            with os.fdopen(writing, "w") as stream:
                json.dump(asdict(look()), stream)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    _pid, status = os.waitpid(child, 0)
    if status != 0:
        raise EdgeflError(
            f"{variable} is {path}, which can't be looked at as user {user} (status {status}): try `ls` there as root."
        )
    about: dict[str, Any] = json.loads(text)
    return Found(**about)


def look(folder: str = ".") -> Found:
    """Everything below a folder: each folder listed, each file opened."""
    found = Found()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:
            found.cannot_read(_shown(here, folder), "folder", _rights(here))
            continue
        for entry in entries:
            _one(entry, folder, found, waiting)
    return found


def _one(entry: os.DirEntry[str], folder: str, found: Found, waiting: list[str]) -> None:
    shown = _shown(entry.path, folder)
    if entry.is_symlink():
        target = os.readlink(entry.path)
        inside = os.path.normpath(os.path.join(os.path.dirname(shown), target))
        outside = os.path.isabs(target) or inside == ".." or inside.startswith("../")
        if outside or not os.path.exists(entry.path):
            found.leads_nowhere(shown, target)
    elif entry.is_dir(follow_symlinks=False):
        waiting.append(entry.path)
    elif entry.is_file(follow_symlinks=False):
        try:
            handle = os.open(entry.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            found.cannot_read(shown, "file", _rights(entry.path))
            return
        found.files += 1
        found.bytes += os.fstat(handle).st_size
        os.close(handle)


def _shown(path: str, folder: str) -> str:
    return os.path.relpath(path, folder)


def _rights(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None
