# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: images of this host's Docker, and the archive that is made of them for a target."""

from __future__ import annotations

import hashlib
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.archive import Archive, Content
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.layers import (
    AnyLayer,
    ContentStore,
    Image,
    LayerStore,
    UnreadableError,
    chain_ids,
    parse_image,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.agent import INCOMING, AgentError, Docker
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.plan import Shipment, Step

# What a runtime needs of disk for an image that is sent whole: as it arrives, and unpacked
ROOM = 2
PIPE = 1 << 20
# Bytes of layers that a runtime gets before the rest: it unpacks them while that is on its way
PART = 64_000_000


class Source:
    """Images of this host's `docker`."""

    def __init__(self, docker: Docker) -> None:
        self.docker = docker
        # Where it keeps the layers; None when images can only be had whole, and why
        self.store: LayerStore | ContentStore | None = None
        self.note = ""

    def images(self, names: list[str]) -> list[Image]:
        """What was built under these names; EdgeflError when it was not."""
        try:
            items = {name: self.docker.get(f"/images/{quote(name, safe='/:@')}/json") for name in names}
            if lost := [name for name, item in items.items() if item is None]:
                raise EdgeflError(
                    f"Not built on this host: {', '.join(lost)}. Build it first (edgefl.kubeedge.site --tags build_images), or correct the name."
                )
            read = self._open(items) or parse_image
            return [read(name, item) for name, item in items.items()]
        except AgentError as error:
            advice = {
                "absent": "run the role docker on it first",
                "stopped": "start it there (systemctl start docker)",
                "failed": "correct the image's name, or see its log",
                "containerd": "it keeps images in containerd: start that, and install its command ctr",
            }[error.code]
            raise EdgeflError(f"Docker on the host that built the images ({error}): {advice}.") from error
        except UnreadableError as error:
            raise EdgeflError(f"{error.message}: remove the image (docker image rm), and build it again.") from error

    def _open(self, items: dict[str, dict[str, Any]]) -> Callable[[str, dict[str, Any]], Image] | None:
        graph = next((item.get("GraphDriver") or {} for item in items.values()), {})
        try:
            # To ask Docker for all that it knows of itself takes longer
            if not graph.get("Data") and (containerd := self.docker.containerd()):
                self.store = ContentStore(containerd.folder)
            else:
                self.store = LayerStore.of(graph)
        except UnreadableError as error:
            self.note = error.message
        return self.store.image if self.store else None


def make_shipment(source: Source, steps: list[Step]) -> Shipment:
    """The archive for the steps that are needed: only missing layers where Docker's folder can be read, else the images whole."""
    wanted = [step for step in steps if step.needed]
    if source.store is not None:
        try:
            return _layers_only(source.store, wanted)
        except UnreadableError as error:
            source.note = error.message
    names = [step.image.name for step in wanted]
    sizes = {step.image.name: step.image.size for step in wanted}
    # Docker writes times into it: another one would not continue this one
    size = sum(sizes.values())
    return Shipment(lambda: _saved(names), True, size, size * ROOM, sizes, uuid.uuid4().hex)


@dataclass
class _Layers:
    """The layers of a shipment, each once; large ones are put into archives of their own, which come first."""

    # By the stack that each ends, as Docker has a layer for one stack only, and by how it is compressed, as containerd has it so
    all: dict[str, AnyLayer] = field(default_factory=dict)
    # Of each archive of lower layers: the image whose lowest layers end there, how many those are, and what of them is sent
    groups: list[tuple[Content, int, dict[str, AnyLayer]]] = field(default_factory=list)
    rest: dict[str, AnyLayer] = field(default_factory=dict)

    def add(self, content: Content, missing: tuple[int, ...]) -> tuple[AnyLayer, ...]:
        """Takes what is missing of an image; returns those of its layers that no image before it had."""
        keys = [
            f"{chain} {layer.digest}" for chain, layer in zip(chain_ids(list(content.image.diff_ids)), content.layers)
        ]
        new = {keys[index]: content.layers[index] for index in missing if keys[index] not in self.all}
        self.all.update(new)
        for count, key in enumerate(keys, 1):
            if key in new:
                self.rest[key] = new[key]
                group = {each: self.rest[each] for each in keys[:count] if each in self.rest}
                if sum(layer.size for layer in group.values()) >= PART:
                    self.groups.append((content, count, group))
                    self.rest = {each: layer for each, layer in self.rest.items() if each not in group}
        return tuple(new.values())


def _layers_only(store: LayerStore | ContentStore, wanted: list[Step]) -> Shipment:
    layers = _Layers()
    contents, own = [], {}
    for step in wanted:
        content = Content(step.image, store.config(step.image.digest), tuple(store.layers(step.image)))
        contents.append(content)
        own[step.image.name] = layers.add(content, step.missing)
    sent = {name: sum(layer.size for layer in mine) for name, mine in own.items()}
    named = [[content.image.name, content.manifest.decode()] for content in contents]
    identity = json.dumps([*named, [[*layers.all], PART]])
    # Another transfer, which may be under way, takes its own names away
    word = hashlib.sha256(identity.encode()).hexdigest()[:12]
    parts, archives = [], []
    for number, (content, count, group) in enumerate(layers.groups, 1):
        repository = content.image.full_name.rpartition(":")[0]
        lower = content.lower(count, f"{repository}:{word}-{number}{INCOMING}")
        archives.append(Archive([lower], group.values()))
        parts.append((archives[-1].size, lower.image.name, lower.image.digest))
    archives.append(Archive(contents, layers.rest.values(), INCOMING))
    return Shipment(
        pieces=lambda: (piece for archive in archives for piece in archive.read()),
        whole=False,
        size=sum(sent.values()),
        room=sum(layer.size + layer.unpacked for layer in layers.all.values()),
        sent=sent,
        identity=identity,
        parts=tuple(parts),
        archives=tuple(archives),
        layers=own,
    )


def _saved(names: list[str]) -> Iterator[bytes]:
    with subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE) as process:  # pylint: disable=ansible-bad-function
        output: Any = process.stdout
        while piece := output.read(PIPE):
            yield piece
    if process.returncode:
        raise EdgeflError(
            f"docker save {' '.join(names)} failed on the host that built the images: look at `journalctl -u docker` there."
        )
