# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what can be wrong with a host before anything is changed there, from a few lines that it says of itself."""

from __future__ import annotations

import base64
import typing as t
from collections.abc import Iterable, Mapping

import yaml

# Their packages are what the roles docker, edge_access, containerd and kubernetes_python install
FAMILY = "debian"
# The least version for our modules and the shipping of images, and for the locked libraries of the role kubernetes_python
PYTHON = (3, 8)
PYTHON_OF_LIBRARIES = (3, 9)
# Seconds; a certificate is valid from an hour before it was made
CLOCK = 1800

# What a host says of itself, by name
Facts = Mapping[str, str]


def facts(lines: Iterable[str]) -> dict[str, str]:
    """Lines of the form C(name=value), as in os-release(5) (values may be quoted); others are left out."""
    found = {}
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if equals:
            found[name] = value.strip("\"'")
    return found


def problems(
    lines: Iterable[str],
    host: str,
    user: str,
    edge: bool,
    disk_mb: int,
    memory_mb: int,
    libraries: bool = False,
    cloud: Iterable[str] = (),
) -> list[str]:
    """
    Everything that is wrong with a host: sentences that say what to change.

    :param lines: what it says of itself: os-release(5), C(python) (version of python3, such as 3.11), C(disk_mb), C(memory_mb), C(clock) (seconds since 1970),
        C(sudo) (status of C(sudo -n) as `user`, 0 where that is not needed) and C(pods), ours on it
    :param user: who the cloud node logs in as
    :param edge: whether images come to it from the cloud node
    :param disk_mb: MB that must be free under /var/lib
    :param memory_mb: MB that must be available
    :param libraries: whether the role kubernetes_python installs its libraries there
    :param cloud: what the cloud node says of itself, at the same time
    """
    about = facts(lines)
    return [
        *system(about, host),
        *python(about, host, libraries),
        *clock(about, host, facts(cloud)),
        *(sudo(about, host, user) if edge else ()),
        *room(about, host, disk_mb, memory_mb),
    ]


def system(about: Facts, host: str) -> list[str]:
    """A system whose packages no role installs."""
    if FAMILY in [about.get("ID", ""), *about.get("ID_LIKE", "").split()]:
        return []
    named = about.get("PRETTY_NAME") or about.get("ID") or "an unknown system"
    return [
        f"{host} runs {named}, which is no Debian or Ubuntu: the roles edge_access, docker, kubernetes_python and containerd install Debian's packages, and"
        " neither dnf, firewalld nor SELinux's labels of the pods' folders are set up by any role. Use a machine with Debian 11 or Ubuntu 20.04 (or newer"
        " ones) for this node, or leave it out of the inventory."
    ]


def python(about: Facts, host: str, libraries: bool) -> list[str]:
    """A Python that is too old for our modules, or for the C(libraries) that are installed there."""
    wanted = PYTHON_OF_LIBRARIES if libraries else PYTHON
    if _version(about.get("python", "")) >= wanted:
        return []
    found = "Python " + about["python"] if about.get("python") else "no python3"
    advice = ", or let edgefl_kubernetes_python name another Python on it that has kubernetes and cryptography."
    return [
        f"{host} has {found}; {'.'.join(map(str, wanted))} or newer is needed. Upgrade the system (Debian 11 has"
        f" 3.9, Ubuntu 20.04 has 3.8, Ubuntu 22.04 has 3.10){advice if libraries else '.'}"
    ]


def clock(about: Facts, host: str, cloud: Facts) -> list[str]:
    """A clock by which the certificates that the cloud node makes are not valid."""
    here, right = _whole(about, "clock"), _whole(cloud, "clock")
    if not (here and right and abs(here - right) > CLOCK):
        return []
    return [
        f"The clock of {host} is {_duration(abs(here - right))} {'behind' if here < right else 'ahead of'} that of the cloud node: the training's"
        " certificates, which are made there, would not be valid. Set it, and keep it right (timedatectl set-ntp true)."
    ]


def sudo(about: Facts, host: str, user: str) -> list[str]:
    """A password that nobody is there to type: images come from the cloud node by this user, unless a key may run one program alone."""
    if about.get("sudo") == "0":
        return []
    return [
        f"sudo on {host} asks {user} for a password. The cloud node brings images through it: let it use sudo without one"
        f" (a file in /etc/sudoers.d: {user} ALL=(ALL) NOPASSWD: ALL), or set edgefl_ssh_restricted to true."
    ]


def room(about: Facts, host: str, disk_mb: int, memory_mb: int) -> list[str]:
    """Disk and memory that are not free. What our own pods hold already is not asked for twice."""
    disk, memory = _whole(about, "disk_mb"), _whole(about, "memory_mb")
    if _whole(about, "pods") or (disk >= disk_mb and memory >= memory_mb):
        return []
    return [
        f"{host} has {disk} MB of disk free under /var/lib and {memory} MB of memory available; {disk_mb} MB and {memory_mb} MB are needed. Make room"
        " (old images: `docker image prune`, `crictl rmi --prune`), or set edgefl_min_disk_mb / edgefl_min_memory_mb for this host if you know better."
    ]


def openings(lines: Iterable[str], host: str) -> list[str]:
    """
    What an edge may do by cloudcore's settings beyond what its own pods need: sentences that say what to change.

    :param lines: what the cloud node says of itself, with C(cloudcore), its cloudcore.yaml in base64; none when nobody could read it
    """
    try:
        modules = yaml.safe_load(base64.b64decode(facts(lines).get("cloudcore", "")))["modules"]
    except (ValueError, TypeError, KeyError, yaml.YAMLError):
        return []
    found = []
    if _at(modules, "dynamicController", "enable"):
        found.append(
            f"cloudcore on {host} reads and writes any object of the cluster for any edge, as who took one over may ask it to: set modules.dynamicController"
            " in its cloudcore.yaml to {enable: false}, unless something on the edges needs it, and restart it."
        )
    rules = _at(modules, "cloudHub", "authorization")
    by_node = any(_at(mode, "node", "enable") for mode in _at(rules, "modes") or [])
    if not (_at(rules, "enable") and by_node) or _at(rules, "debug"):
        found.append(
            f"cloudcore on {host} gives any edge the Secrets and ConfigMaps of other nodes, too: set modules.cloudHub.authorization in its cloudcore.yaml to"
            " {enable: true, debug: false, modes: [{node: {enable: true}}]}, and restart it."
        )
    return found


def _at(document: t.Any, *names: str) -> t.Any:
    """What a document has at a path; None where it ends before."""
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _duration(seconds: int) -> str:
    """Such as C(2 h 05 min)."""
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"


def _version(text: str) -> tuple[int, ...]:
    """Numbers of a version; none of them when it is no version."""
    parts = text.split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()


def _whole(about: Facts, name: str) -> int:
    """A whole number that a host told; 0 when it told none."""
    text = about.get(name, "")
    return int(text) if text.isdigit() else 0
