# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what the agent on a node may say at each step. A node that was taken over says anything: nothing of it is used before it was checked here."""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.agent import shown

# Bytes of a line at most: a digest for each of ten thousand layers
LINE = 1 << 20
# Bytes of greetings at most, each line of which is looked at
GREETINGS = 1 << 16
# So many can be told apart by the number in agent.py's FRAME
CHUNKS = 1 << 32
# Things that an agent says besides how far it is and what neighbours did not give: what there is, which files it has, what it kept of an earlier transfer,
# how it ended
ANSWERS = 4
CODES = ("absent", "containerd", "stopped", "corrupt", "damaged", "lost", "busy", "failed", "version", "refused")
# Why a chunk did not come from a neighbour
TROUBLES = ("away", "slow", "false")
_CODECS = ("zstd", "zlib", "none")
_ROOM = 1 << 63


class FlawedError(Exception):
    """Something that no agent says; the text names what is wrong with it."""


class NoAnswerError(FlawedError):
    """A line that is no JSON, such as a greeting of the node's login scripts."""


def parse(line: bytes) -> dict[str, Any]:
    """The object that a line is. FlawedError when it is none, also for one that is nested deeper than Python follows."""
    try:
        said = json.loads(line)
    except ValueError:
        raise NoAnswerError(f"the line {printable(line[:80].decode(errors='replace'))!r}") from None
    except RecursionError:
        raise FlawedError("a line that is nested too deeply") from None
    if not isinstance(said, dict):
        raise FlawedError("it is no object")
    return said


def number(said: dict[str, Any], key: str, least: int, end: int) -> int:
    """The number C(said[key]), from `least` to below `end`."""
    value = said.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < end:
        raise FlawedError(f"{key} is no number from {least} to {end - 1}")
    return value


def error(said: dict[str, Any]) -> dict[str, str]:
    """An error of the agent: C(error), one of CODES, and C(reason), fit to be shown."""
    if said.get("error") not in CODES or not isinstance(said.get("reason"), str):
        raise FlawedError("error or reason is none of the agent's")
    return {"error": said["error"], "reason": printable(said["reason"])}


def state(said: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """What there is on the node, as agent.py's C(main) says it first; only of what was `asked` for."""
    rooms = said.get("rooms")
    if not isinstance(rooms, list) or len(rooms) != 2 or not all(isinstance(room, dict) for room in rooms):
        raise FlawedError("rooms are not those of runtime and spool")
    if not isinstance(said.get("app"), bool):
        raise FlawedError("app is neither true nor false")
    return {
        "app": said["app"],
        "layers": _known(said, "layers", asked["digests"]),
        "stacks": _known(said, "stacks", asked["chains"]),
        "images": _images(said, asked["names"], whole=True),
        "bases": number(said, "bases", 0, _ROOM),
        "arch": _word(said.get("arch"), "arch"),
        "rooms": [
            {
                "path": _word(room.get("path"), "path"),
                "free": number(room, "free", 0, _ROOM),
                "device": number(room, "device", 0, 2 * _ROOM),
            }
            for room in rooms
        ],
        # Left out where nothing is to be sent
        "codecs": _known({"codecs": ["none"], **said}, "codecs", _CODECS),
    }


def found(said: dict[str, Any], count: int) -> bytes:
    """Which of so many files the node has, a bit for each (agent.py: Copies)."""
    value = said.get("found")
    if not isinstance(value, str) or len(value) != (count + 7) // 8 * 2 or not re.fullmatch("[0-9a-f]*", value):
        raise FlawedError(f"found is no bit for each of {count} files")
    return bytes.fromhex(value)


def kept(said: dict[str, Any], port: int | None) -> tuple[int, int]:
    """How many chunks of the archive the node has from an earlier transfer, and where it gives them to neighbours (0: nowhere).

    `port` is the one that was ordered, 0 for any, None for none.
    """
    have = number(said, "have", 0, CHUNKS)
    if port is None:
        return have, 0
    open_port = number(said, "port", 0, 1 << 16)
    if open_port and (open_port != port if port else open_port < 1024):
        raise FlawedError("port is not the one that was ordered")
    return have, open_port


def lacking(said: dict[str, Any], asked: int | None) -> str:
    """Why chunk `asked` did not come from a neighbour; FlawedError when the agent was not told to fetch it."""
    if asked is None or number(said, "need", asked, asked + 1) != asked or said.get("why") not in TROUBLES:
        raise FlawedError("it was not to fetch that chunk from a neighbour")
    return str(said["why"])


def end(said: dict[str, Any], names: list[str], repositories: list[str]) -> dict[str, Any]:
    """What there is of `names` after all, and which images of `repositories` were removed."""
    ours = {shown(repository) for repository in repositories}
    removed = [_word(name, "removed") for name in _list(said, "removed")]
    if not all(name.startswith("sha256:") or shown(name).rpartition(":")[0] in ours for name in removed):
        raise FlawedError("removed names an image that is none of ours")
    return {"images": _images(said, names), "removed": removed}


def _images(said: dict[str, Any], names: Any, whole: bool = False) -> dict[str, Any]:
    """What there is under each name: C(ids) and C(layers), or None; with `whole` each name is there."""
    images = said.get("images")
    if not isinstance(images, dict) or not set(images) <= set(names) or (whole and set(images) != set(names)):
        raise FlawedError("images are not those that were asked for")
    found: dict[str, Any] = dict.fromkeys(images)
    for name, image in images.items():
        if image is not None:
            if not isinstance(image, dict):
                raise FlawedError("an image is no object")
            layers = None if image.get("layers", "") is None else _words(image, "layers")
            found[name] = {"ids": _words(image, "ids"), "layers": layers}
    return found


def _words(said: dict[str, Any], key: str) -> list[str | None]:
    return [None if value is None else _word(value, key) for value in _list(said, key)]


def _known(said: dict[str, Any], key: str, known: Any) -> list[str]:
    """The list C(said[key]), of what is `known` only."""
    found = [_word(value, key) for value in _list(said, key)]
    if not set(found) <= set(known):
        raise FlawedError(f"{key} has what was not asked for")
    return found


def _list(said: dict[str, Any], key: str) -> list[Any]:
    value = said.get(key)
    if not isinstance(value, list):
        raise FlawedError(f"{key} is no list")
    return value


def _word(value: object, key: str) -> str:
    if not isinstance(value, str) or not value or value != printable(value):
        raise FlawedError(f"{key} has something that is no printable text of at most 500 characters")
    return value
