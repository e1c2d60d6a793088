# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: images from this host's Docker to the runtimes of many nodes at once: what is missing on each, and how it gets there.

Source (C(Source), on C(_layers)), plan (pure), archive (C(_ship_parcel)) and target (C(Link), on C(_ship_agent)) do not know of each other.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any, cast
from urllib.parse import quote

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
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
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import agent as _ship_agent
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import parcel as _ship_parcel
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import progress as _ship_progress
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.link import (
    Link,
    Target,
    ssh_command,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.parcel import Limit, Parcel
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.progress import Counter

RUNTIMES = ("containerd", "docker")
# What a runtime needs of disk for an image that is sent whole: as it arrives, and unpacked
ROOM = 2
# A runtime's own files, and what else happens on the node meanwhile
SPARE = 200_000_000
PIPE = 1 << 20
# Bytes of layers that a runtime gets before the rest: it unpacks them while that is on its way
PART = 64_000_000
# Where a node keeps what arrived, until all of it is there
SPOOL = "/var/lib/edgefl/incoming"
# Most seconds between two tries
PATIENCE = 16.0


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


UP_TO_DATE = "up to date"
MISSING = "missing"


def plan(images: list[Image], state: dict[str, Any]) -> list[Step]:
    """One step per image, from what the target says of itself (see _ship_agent: C(images), C(layers), C(stacks)).

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


class Source:
    """Images of this host's `docker`."""

    def __init__(self, docker: _ship_agent.Docker) -> None:
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
                    f"Not built on this host: {', '.join(lost)}. Build it first (site.yml --tags images), or correct the name."
                )
            read = self._open(items) or parse_image
            return [read(name, item) for name, item in items.items()]
        except _ship_agent.AgentError as error:
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


@dataclass(frozen=True)
class Shipment:
    """What goes to a target: `pieces` reads it, `whole` when it is C(docker save)'s, `size` its bytes, `room` those that it takes in the runtime.

    It is one archive, or `parts` (of each the bytes, the name that its image has until all is there, and its configuration's digest) and the last one.
    `sent` are the bytes of each image's layers before compression; `identity` names all that is in it.
    """

    pieces: Callable[[], Iterator[bytes]]
    whole: bool
    size: int
    room: int
    sent: dict[str, int]
    identity: str
    parts: tuple[tuple[int, str, str], ...] = ()


def shipment(source: Source, steps: list[Step]) -> Shipment:
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


def _layers_only(store: LayerStore | ContentStore, wanted: list[Step]) -> Shipment:
    contents, sent = [], {}
    # By the stack that each ends, as Docker has a layer for one stack only, and by how it is compressed, as containerd has it so
    layers: dict[str, AnyLayer] = {}
    groups: list[tuple[Content, int, dict[str, AnyLayer]]] = []
    waiting: dict[str, AnyLayer] = {}
    for step in wanted:
        image = step.image
        stack: list[AnyLayer] = [*store.layers(image)]
        keys = [f"{chain} {layer.digest}" for chain, layer in zip(chain_ids(list(image.diff_ids)), stack)]
        content = Content(image, store.config(image.digest), tuple(stack))
        contents.append(content)
        new = {keys[index]: stack[index] for index in step.missing if keys[index] not in layers}
        sent[image.name] = sum(layer.size for layer in new.values())
        layers |= new
        for count, key in enumerate(keys, 1):
            if key in new:
                waiting[key] = new[key]
                group = {each: waiting[each] for each in keys[:count] if each in waiting}
                if sum(layer.size for layer in group.values()) >= PART:
                    groups.append((content, count, group))
                    waiting = {each: layer for each, layer in waiting.items() if each not in group}
    identity = json.dumps([[content.image.name, content.manifest.decode()] for content in contents] + [[*layers], PART])
    # Another transfer, which may be under way, takes its own names away
    word = hashlib.sha256(identity.encode()).hexdigest()[:12]
    parts, archives = [], []
    for number, (content, count, group) in enumerate(groups, 1):
        repository = content.image.full_name.rpartition(":")[0]
        lower = content.lower(count, f"{repository}:{word}-{number}{_ship_agent.INCOMING}")
        archives.append(Archive([lower], group.values()))
        parts.append((archives[-1].size, lower.image.name, lower.image.digest))
    archives.append(Archive(contents, waiting.values(), _ship_agent.INCOMING))
    return Shipment(
        lambda: (piece for archive in archives for piece in archive.read()),
        False,
        sum(sent.values()),
        sum(layer.size + layer.unpacked for layer in layers.values()),
        sent,
        identity,
        tuple(parts),
    )


def _saved(names: list[str]) -> Iterator[bytes]:
    with subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE) as process:
        while piece := cast(IO[bytes], process.stdout).read(PIPE):
            yield piece
    if process.returncode:
        raise EdgeflError(
            f"docker save {' '.join(names)} failed on the host that built the images: look at `journalctl -u docker` there."
        )


def check_room(steps: list[Step], state: dict[str, Any], cargo: Shipment, spooled: bool, where: str) -> None:
    """EdgeflError when images are for another processor, or do not fit into the runtime's folder, or into that of the spool."""
    other = sorted({step.image.arch for step in steps if step.needed} - {state["arch"]})
    if other:
        raise EdgeflError(
            f"{where} is {state['arch']}, the images are {', '.join(other)}: build them on a machine like it, or take it out of the inventory."
        )
    runtime, spool = state["rooms"]
    need = {runtime["device"]: cargo.room + SPARE}
    if spooled:
        # As if it could not be compressed
        need[spool["device"]] = need.get(spool["device"], 0) + cargo.size
    for room in (runtime, spool):
        wanted = need.get(room["device"], 0)
        if room["free"] < wanted:
            raise EdgeflError(
                f"{where} has {room['free'] / 1e6:.0f} MB free for {room['path']}, the images need {wanted / 1e6:.0f} MB: "
                "make room there (crictl rmi --prune, docker image prune --all), or give it a larger disk."
            )


def check_own_room(cargo: Shipment) -> None:
    """EdgeflError when what is read does not fit on this host, where it waits for the slower nodes."""
    room = os.statvfs(_ship_parcel.FOLDER)
    free = room.f_bavail * room.f_frsize
    if free < cargo.size:
        raise EdgeflError(
            f"The host that built the images has {free / 1e6:.0f} MB free for {_ship_parcel.FOLDER}, the archive may need"
            f" {cargo.size / 1e6:.0f} MB: make room there (docker image prune), or give it a larger disk."
        )


def choose_codec(compression: str, state: dict[str, Any], local: bool, where: str) -> str:
    """What compresses: `compression`, or with C(auto) the best that both sides have; nothing on the way to this host itself."""
    if local:
        return "none"
    if compression == "auto":
        return "zstd" if "zstd" in state["codecs"] and _ship_agent.zstd() else "zlib"
    if compression == "zstd":
        lacking = [
            name for name, there in (("this host", _ship_agent.zstd()), (where, "zstd" in state["codecs"])) if not there
        ]
        if lacking:
            raise EdgeflError(
                f"The library of zstd is not on {' and '.join(lacking)}: install it (apt-get install libzstd1), or set compression to auto."
            )
    return compression


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
    check_mode: bool = False


class Depot:
    """Archives that are under way, each read once, by content: nodes that lack the same share one."""

    def __init__(self, source: Source, chunk: int) -> None:
        self.source = source
        self.chunk = chunk
        self._lock = threading.Lock()
        self._shipments: dict[str, Shipment] = {}
        self._parcels: dict[str, Parcel] = {}

    def shipment(self, steps: list[Step]) -> Shipment:
        """The archive for these steps, which nothing of is read yet."""
        what = json.dumps([[step.image.name, step.image.digest, step.missing] for step in steps if step.needed])
        with self._lock:
            if what not in self._shipments:
                self._shipments[what] = shipment(self.source, steps)
            return self._shipments[what]

    def parcel(self, cargo: Shipment, codec: str) -> Parcel:
        """The archive cut into chunks; the first who asks makes the reading begin."""
        what = [cargo.identity, codec, self.chunk, _ship_agent.INCOMING]
        key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
        with self._lock:
            if key not in self._parcels:
                check_own_room(cargo)
                self._parcels[key] = Parcel(key, cargo.pieces(), codec, self.chunk, cargo.size)
            return self._parcels[key]

    def close(self) -> None:
        """Gives back the room of all archives."""
        for parcel in self._parcels.values():
            parcel.close()


class Journey:
    """The way of some images to one target, over as many connections as it takes."""

    def __init__(
        self,
        target: Target,
        images: list[Image],
        depot: Depot,
        limit: Limit,
        turns: threading.Semaphore,
        settings: Settings,
        sender: str,
    ) -> None:
        self.target = target
        self.images = images
        self.depot = depot
        self.limit = limit
        # Held while bytes are sent, not while the node unpacks them: the next one's bytes go meanwhile
        self.turns = turns
        self.settings = settings
        self.sender = sender
        self.counter = Counter(target.name)
        self.link: Link | None = None
        self.stopped = threading.Event()
        self.cuts = 0
        self._steps: list[Step] = []
        self._cargo: Shipment | None = None
        # Of the archive that is sent: its bytes, and chunks that the node had before this connection
        self._size = 1
        self._before = 0
        self._moved = False

    def run(self) -> dict[str, Any]:
        """What was done; C(failed) and C(msg) when it did not arrive."""
        begin = time.monotonic()
        failed, removed = "", []
        try:
            removed = self._go(begin + self.settings.timeout)["removed"]
            self.counter.enter(_ship_progress.DONE)
        except EdgeflError as error:
            failed = error.message
            self.counter.enter(_ship_progress.FAILED, failed)
        changed = not failed and (bool(removed) or any(step.needed for step in self._steps))
        result = self._result(round(time.monotonic() - begin, 2))
        return {"changed": changed, "failed": bool(failed), "msg": failed, "removed": removed} | result

    def stop(self) -> None:
        """Ends it, from another thread."""
        self.stopped.set()
        if self.link:
            self.link.cut()

    def _go(self, until: float) -> dict[str, Any]:
        tries, reached = 0, False
        while True:
            try:
                return self._connect(until)
            except Transient as error:
                reached = reached or (self.link is not None and self.link.spoke)
                if self._moved:
                    tries, self._moved = 0, False
                pause = min(0.5 * 2**tries, PATIENCE)
                tries += 1
                if not reached or tries > self.settings.retries or time.monotonic() + pause > until:
                    raise
                self.cuts += 1
                self.counter.enter(_ship_progress.WAITS, f"{error.message} Tries again in {pause:.1f} s.")
                if self.stopped.wait(pause):
                    raise

    def _connect(self, until: float) -> dict[str, Any]:
        settings, where = self.settings, str(self.target)
        self.counter.enter(_ship_progress.ASKS)
        ssh = ssh_command(settings.ssh_key, self.target.known_hosts, settings.connect_timeout, settings.persist)
        request = {
            "runtime": self.target.runtime,
            "names": {image.full_name: image.digest for image in self.images},
            "digests": [digest for image in self.images for digest in (image.digest, *image.blobs)],
            "chains": [chain for image in self.images for chain in chain_ids(list(image.diff_ids))]
            if self.target.runtime == "docker"
            else [],
            "spool": SPOOL,
        }
        with Link(self.target, ssh, request, max(1.0, until - time.monotonic()), self._acknowledged) as self.link:
            state = self.link.hear()
            steps = plan(self.images, state)
            wanted = [step for step in steps if step.needed]
            # After a cut it may all be there; what was to be done at first is what is told
            self._steps = self._steps or steps
            order: dict[str, Any] = {
                "names": [],
                "spool": SPOOL,
                "key": "",
                "check": settings.check_mode,
                "keep": settings.keep,
                "repositories": sorted({name.rpartition(":")[0] for name in request["names"]}),
            }
            if not wanted:
                self.link.order(order)
                return self.link.hear()
            cargo = self.depot.shipment(steps)
            local = not self.target.host
            spooled = not local and cargo.size > settings.chunk
            if self._cargo is None:
                self._cargo = cargo
                # After a cut a part of it fills that room
                check_room(steps, state, cargo, spooled, where)
            codec = choose_codec(settings.compression, state, local, where)
            if settings.check_mode:
                self.link.order(order)
                return self.link.hear()
            parcel = self.depot.parcel(cargo, codec)
            self._size = max(parcel.size, 1)
            self.counter.enter(_ship_progress.WAITS, "for its turn")
            with self.turns:
                self.link.order(
                    order
                    | {
                        "names": [step.image.full_name for step in wanted],
                        "digests": [step.image.digest for step in wanted],
                        "key": parcel.key if spooled else "",
                        "sender": self.sender,
                        "whole": cargo.whole,
                        "parts": cargo.parts,
                        "codec": codec,
                        "chunk": settings.chunk,
                    }
                )
                first = self.link.hear()["have"] if spooled else 0
                self.counter.enter(_ship_progress.SENDS)
                self._before = first
                self._acknowledged(first)
                try:
                    self.link.send(parcel, first, self.limit, self.counter.written)
                except UnreadableError as error:
                    raise EdgeflError(
                        f"{error.message}. Nothing was changed on {where}. Remove the image (docker image rm) and build it again."
                    ) from error
            self.counter.holds(1.0)
            answer = self.link.hear()
            _verify(wanted, answer, cargo, where)
            return answer

    def _acknowledged(self, count: int) -> None:
        self._moved = self._moved or count > self._before
        # The archive's frame is little: all but the last chunk is certain
        self.counter.holds(min(count * self.settings.chunk / self._size, 0.999))

    def _result(self, seconds: float) -> dict[str, Any]:
        cargo, wire = self._cargo, self.counter.now.bytes
        sent = dict.fromkeys((image.name for image in self.images), 0) | (cargo.sent if cargo else {})
        total = sum(sent.values())
        whole = cargo is not None and cargo.whole
        return {
            "images": [
                {
                    "name": step.image.name,
                    "reason": step.reason,
                    "digest": step.image.digest,
                    "layers": len(step.image.diff_ids),
                    "layers_sent": (len(step.image.diff_ids) if whole else len(step.missing)) if step.needed else 0,
                    "bytes": sent[step.image.name],
                    "wire": wire * sent[step.image.name] // total if total else wire if step.needed else 0,
                    "saved": step.image.size - min(step.image.size, sent[step.image.name]),
                    "seconds": seconds,
                }
                for step in self._steps
            ],
            "bytes": wire,
            "seconds": seconds,
            "cuts": self.cuts,
            "whole": whole,
        }


def _verify(wanted: list[Step], answer: dict[str, Any], cargo: Shipment, where: str) -> None:
    wrong = []
    for step in wanted:
        there = answer["images"].get(step.image.full_name)
        if there is None or not same(step.image, there):
            wrong.append(step.image.name)
    if wrong:
        raise EdgeflError(
            f"{where}: {', '.join(wrong)} is there, but is not what was built: see that nothing else loads it, and run this again."
        )


class Fleet:
    """All journeys of one call. `wanted` are the targets, each with the names of its images; the images are looked up at once."""

    def __init__(self, source: Source, wanted: list[tuple[Target, list[str]]], settings: Settings) -> None:
        names = list(dict.fromkeys(name for _target, mine in wanted for name in mine))
        images = {image.name: image for image in source.images(names)}
        self.source = source
        self.settings = settings
        self.repositories = sorted({image.full_name.rpartition(":")[0] for image in images.values()})
        self.names = [image.full_name for image in images.values()]
        self.depot = Depot(source, settings.chunk)
        limit, sender = Limit(settings.bandwidth), uuid.uuid4().hex
        turns = threading.Semaphore(settings.parallel or max(len(wanted), 1))
        self.journeys = [
            Journey(target, [images[name] for name in mine], self.depot, limit, turns, settings, sender)
            for target, mine in wanted
        ]

    def run(self) -> dict[str, Any]:
        """Brings all images to all targets, and returns the results of the module image_ship."""
        begin = time.monotonic()
        try:
            with ThreadPoolExecutor(max(len(self.journeys), 1)) as pool:
                results = list(pool.map(Journey.run, self.journeys))
        finally:
            self.depot.close()
        nodes = {journey.target.name: result for journey, result in zip(self.journeys, results)}
        removed = self._tidy()
        return {
            "changed": any(node["changed"] for node in results) or bool(removed),
            "nodes": nodes,
            "table": table(nodes),
            "bytes": sum(node["bytes"] for node in results),
            "removed": removed,
            "seconds": round(time.monotonic() - begin, 2),
            "whole": any(node["whole"] for node in results),
            "note": self.source.note if any(node["whole"] for node in results) else "",
        }

    def progress(self) -> list[dict[str, Any]]:
        """How far each target is."""
        return [journey.counter.record() for journey in self.journeys]

    def stop(self) -> None:
        """Ends all journeys, from another thread."""
        for journey in self.journeys:
            journey.stop()

    def _tidy(self) -> list[str]:
        """Old images of this host's own Docker that were removed, or would be."""
        if not self.settings.keep:
            return []
        docker = self.source.docker
        try:
            old = docker.old(self.repositories, self.settings.keep, self.names)
            if not self.settings.check_mode:
                docker.remove(old)
        except _ship_agent.AgentError as error:
            raise EdgeflError(
                f"Old images cannot be removed on the host that built them ({error}): see to its Docker, and run this again."
            ) from error
        return old


def table(nodes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each image of each node: C(node), C(image), C(reason), C(sent) and C(saved) (bytes), C(seconds)."""
    rows = []
    for name, node in nodes.items():
        failed = {"reason": f"failed: {node['msg']}"} if node["failed"] else {}
        for image in node["images"] or [{"name": "", "reason": "", "wire": 0, "saved": 0, "seconds": node["seconds"]}]:
            row = {
                "node": name,
                "image": image["name"],
                "reason": image["reason"],
                "sent": image["wire"],
                "saved": image["saved"],
                "seconds": image["seconds"],
            }
            rows.append(row | failed)
    return rows
