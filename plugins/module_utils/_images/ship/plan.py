# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what is decided for one target, from what its agent says of it: which layers it lacks, how they go there, whether they fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.archive import Archive
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.layers import AnyLayer, Image, chain_ids
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import agent
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.link import DIGEST, Target

# A runtime's own files, and what else happens on the node meanwhile
SPARE = 200_000_000
SPOOL = agent.SPOOL
UP_TO_DATE = "up to date"
MISSING = "missing"


@dataclass(frozen=True)
class Settings:
    """How images are shipped to all targets; the options of the module image_ship."""

    ssh_key: str | None = None
    connect_timeout: int = 10
    persist: int = 0
    compression: str = "auto"
    chunk: int = 8 << 20
    bandwidth: int = 0
    parallel: int = 0
    retries: int = 5
    keep: int = 0
    timeout: float = 1800
    reuse: bool = True
    relay: bool = True
    relay_port: int = 0
    check_mode: bool = False
    # An archive with the app, which lies beside the images: its name, its digest, and itself in Base64
    app: dict[str, str] | None = None


def request(target: Target, images: list[Image], app: dict[str, str] | None) -> dict[str, Any]:
    """What the agent is asked first (agent.py, C(main)); its answer is the C(state) of the functions below."""
    chains = [chain for image in images for chain in chain_ids(list(image.diff_ids))]
    return {
        "runtime": target.runtime,
        "names": {image.full_name: image.digest for image in images},
        "digests": [digest for image in images for digest in (image.digest, *image.blobs)],
        "chains": chains if target.runtime == "docker" else [],
        "spool": SPOOL,
        "app": {"name": app["name"], "digest": app["digest"]} if app else None,
        "agent": DIGEST,
    }


@dataclass(frozen=True)
class Step:
    """What is to be done for one image: `reason` for people, `missing` the indexes of the layers that the target lacks."""

    image: Image
    reason: str
    missing: tuple[int, ...]

    @property
    def needed(self) -> bool:
        """Whether something is to be done at all."""
        return self.reason != UP_TO_DATE


def plan(images: list[Image], state: dict[str, Any]) -> list[Step]:
    """One step per image, from what the target says of itself (see agent.py: C(images), C(layers), C(stacks)).

    A content store keeps layers one by one. Docker keeps stacks: a layer counts only together with all that are below it.
    """
    content, stacks = set(state["layers"]), set(state["stacks"])
    steps = []
    for image in images:
        there = state["images"].get(image.full_name)
        if there is not None and same(image, there):
            steps.append(Step(image, UP_TO_DATE, ()))
            continue
        chains = chain_ids(list(image.diff_ids))
        missing = tuple(
            index for index, blob in enumerate(image.blobs) if blob not in content and chains[index] not in stacks
        )
        if len(missing) == len(image.diff_ids):
            reason = MISSING
        elif missing:
            reason = f"{len(missing)} of {len(image.diff_ids)} layers differ"
        else:
            reason = "only its name is missing" if image.digest in content else "same layers, another configuration"
        steps.append(Step(image, reason, missing))
    return steps


def same(image: Image, there: dict[str, Any]) -> bool:
    """Whether what the target has is the image: all layers, and the configuration.

    Where the target leaves the layers out, the configuration speaks for them.
    """
    return there["layers"] in (None, list(image.diff_ids)) and image.digest in there["ids"]


@dataclass(frozen=True)
class Shipment:
    """What goes to a target: `pieces` reads it, `whole` when it is C(docker save)'s, `size` its bytes, `room` those that it takes in the runtime.

    It is one archive, or `parts` (of each the bytes, the name that its image has until all is there, and its configuration's digest) and the last one.
    `sent` are the bytes of each image's layers before compression; `identity` names all that is in it. Unless it is whole it is made of `archives`, with
    `layers` for each image that no image before it has. Of these `copied` bytes are not in it: the target has them, and gets a recipe (copies.py).
    """

    pieces: Callable[[], Iterator[bytes]]
    whole: bool
    size: int
    room: int
    sent: dict[str, int]
    identity: str
    parts: tuple[tuple[int, str, str], ...] = ()
    archives: tuple[Archive, ...] = ()
    layers: dict[str, tuple[AnyLayer, ...]] = field(default_factory=dict)
    copied: int = 0


def check_room(steps: list[Step], state: dict[str, Any], shipment: Shipment, spooled: bool, target: Target) -> None:
    """EdgeflError when images are for another processor, or do not fit into the runtime's folder, or into that of the spool."""
    where = str(target)
    other = sorted({step.image.arch for step in steps if step.needed} - {state["arch"], target.architecture})
    if other:
        raise EdgeflError(
            f"{where} is {state['arch']}, the images are {', '.join(other)}: build them for it, too (edgefl.kubeedge.site --tags build_images, with"
            " edgefl_architecture of that host auto), or take it out of the inventory."
        )
    runtime, spool = state["rooms"]
    need = {runtime["device"]: shipment.room + SPARE}
    if spooled:
        # As if it could not be compressed
        need[spool["device"]] = need.get(spool["device"], 0) + shipment.size
    for room in (runtime, spool):
        wanted = need.get(room["device"], 0)
        if room["free"] < wanted:
            raise EdgeflError(
                f"{where} has {room['free'] / 1e6:.0f} MB free for {room['path']}, the images need {wanted / 1e6:.0f} MB: "
                "make room there (crictl rmi --prune, docker image prune --all), or give it a larger disk."
            )


def choose_codec(compression: str, state: dict[str, Any], local: bool, where: str) -> str:
    """What compresses: `compression`, or with C(auto) the best that both sides have; nothing on the way to this host itself."""
    if local:
        return "none"
    if compression == "auto":
        return "zstd" if "zstd" in state["codecs"] and agent.zstd() else "zlib"
    if compression == "zstd":
        there = {"this host": agent.zstd(), where: "zstd" in state["codecs"]}
        lacking = [name for name, has in there.items() if not has]
        if lacking:
            raise EdgeflError(
                f"The library of zstd is not on {' and '.join(lacking)}: install it (apt-get install libzstd1), or set compression to auto."
            )
    return compression


def idle_order(settings: Settings, images: list[Image], state: dict[str, Any]) -> dict[str, Any]:
    """What the agent is told when no image is sent to it."""
    return {
        "names": [],
        "spool": SPOOL,
        "key": "",
        "check": settings.check_mode,
        "keep": settings.keep,
        "repositories": sorted({image.full_name.rpartition(":")[0] for image in images}),
        "app": settings.app if state["app"] and not settings.check_mode else None,
    }


def load_order(wanted: list[Step], state: dict[str, Any], shipment: Shipment) -> dict[str, Any]:
    """What an idle order needs on top, for an archive that follows; how that is sent (C(key), C(sender), C(codec), C(chunk)) is for the sender to say."""
    # A runtime takes images for other processors only when it is told to
    others = [step.image.arch for step in wanted if step.image.arch != state["arch"]]
    return {
        **({"platform": f"linux/{others[0]}"} if others else {}),
        "names": [step.image.full_name for step in wanted],
        "digests": [step.image.digest for step in wanted],
        "whole": shipment.whole,
        "recipe": bool(shipment.copied),
        "parts": shipment.parts,
    }


def verify(wanted: list[Step], answer: dict[str, Any], where: str) -> None:
    """EdgeflError when what the target has afterwards is not what was built."""
    wrong = []
    for step in wanted:
        there = answer["images"].get(step.image.full_name)
        if there is None or not same(step.image, there):
            wrong.append(step.image.name)
    if wrong:
        raise EdgeflError(
            f"{where}: {', '.join(wrong)} is there, but is not what was built: see that nothing else loads it, and run this again."
        )
