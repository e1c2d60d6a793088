# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the way of some images to one target, over as many connections as it takes; and the archives that targets share."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.layers import Image, UnreadableError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import answers, progress
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.agent import INCOMING
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.chunks import FOLDER, ChunkedArchive, Limit
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.copies import Catalogue, asked
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.link import (
    CorruptError,
    Link,
    Target,
    ssh_command,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.plan import (
    Settings,
    Shipment,
    Step,
    check_room,
    choose_codec,
    idle_order,
    load_order,
    plan,
    request,
    verify,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.progress import Counter
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.relay import Member
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.source import Source, make_shipment

# Most seconds between two tries
PATIENCE = 16.0


def check_own_room(shipment: Shipment) -> None:
    """EdgeflError when what is read does not fit on this host, where it waits for the slower nodes."""
    room = os.statvfs(FOLDER)
    free = room.f_bavail * room.f_frsize
    if free < shipment.size:
        raise EdgeflError(
            f"The host that built the images has {free / 1e6:.0f} MB free for {FOLDER}, the archive may need"
            f" {shipment.size / 1e6:.0f} MB: make room there (docker image prune), or give it a larger disk."
        )


class SharedArchives:
    """Archives that are under way, each read once, by content: nodes that lack the same share one."""

    def __init__(self, source: Source, chunk: int) -> None:
        self.source = source
        self.chunk = chunk
        self._lock = threading.Lock()
        self._shipments: dict[str, Shipment] = {}
        self._archives: dict[str, ChunkedArchive] = {}
        self._catalogues: dict[str, Future[Catalogue]] = {}

    def shipment(self, steps: list[Step]) -> Shipment:
        """The archive for these steps, which nothing of is read yet."""
        what = json.dumps([[step.image.name, step.image.digest, step.missing] for step in steps if step.needed])
        with self._lock:
            if what not in self._shipments:
                self._shipments[what] = make_shipment(self.source, steps)
            return self._shipments[what]

    def catalogue(self, shipment: Shipment) -> Catalogue:
        """Of the files of a shipment; the first who asks reads them all, the others wait."""
        with self._lock:
            first = shipment.identity not in self._catalogues
            future = self._catalogues.setdefault(shipment.identity, Future())
        if first:
            try:
                future.set_result(Catalogue(layer for mine in shipment.layers.values() for layer in mine))
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    def chunked(self, shipment: Shipment, codec: str) -> ChunkedArchive:
        """The archive cut into chunks; the first who asks makes the reading begin."""
        what = [shipment.identity, codec, self.chunk, INCOMING]
        key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
        with self._lock:
            if key not in self._archives:
                check_own_room(shipment)
                self._archives[key] = ChunkedArchive(key, shipment.pieces(), codec, self.chunk, shipment.size)
            return self._archives[key]

    def close(self) -> None:
        """Gives back the room of all archives."""
        for archive in self._archives.values():
            archive.close()


@dataclass(frozen=True)
class Load:
    """What is sent to one target, by what it is compressed, and whether the target keeps it in a file until all of it is there."""

    shipment: Shipment
    codec: str
    spooled: bool


class Transfer:
    """The way of some images to one target, over as many connections as it takes."""

    def __init__(
        self,
        target: Target,
        images: list[Image],
        archives: SharedArchives,
        limit: Limit,
        turns: threading.Semaphore,
        settings: Settings,
        sender: str,
        member: Member | None = None,
    ) -> None:
        self.target = target
        self.images = images
        self.archives = archives
        self.limit = limit
        # Held while bytes are sent, not while the node unpacks them: the next one's bytes go meanwhile
        self.turns = turns
        self.settings = settings
        self.sender = sender
        # Its part in the site whose nodes give chunks to each other
        self.member = member
        self.counter = Counter(target.name)
        self.link: Link | None = None
        self.stopped = threading.Event()
        self.cuts = 0
        self._steps: list[Step] = []
        # Whether the app beside the images is another one there
        self._app = False
        self._shipment: Shipment | None = None
        # Whether files are copied that the target has, and which it said it has
        self._reuse = settings.reuse and bool(target.host) and not settings.check_mode
        self._found: bytes | None = None
        # Of the archive that is sent: its bytes, and chunks that the node had before this connection
        self._size = 1
        self._before = 0
        self._moved = False
        # When all was there; it may give chunks to neighbours after that
        self._done: float | None = None

    def run(self) -> dict[str, Any]:
        """What was done; C(failed) and C(msg) when it did not arrive."""
        begin = time.monotonic()
        failed, removed = "", []
        try:
            removed = self._go(begin + self.settings.timeout)["removed"]
            self.counter.enter(progress.DONE)
        except EdgeflError as error:
            failed = error.message
        except Exception as error:
            # The other nodes get their images all the same
            failed = f"{self.target.name} ({self.target}): the program that ships the images failed: {type(error).__name__}: {printable(str(error))}"
        finally:
            if self.member:
                self.member.end()
        if failed:
            self.counter.enter(progress.FAILED, failed)
        changed = not failed and (bool(removed) or self._app or any(step.needed for step in self._steps))
        result = self._result(round((self._done or time.monotonic()) - begin, 2))
        return {"changed": changed, "failed": bool(failed), "msg": failed, "removed": removed, **result}

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
            except CorruptError:
                if not self._found:
                    raise
                # A file there that was not what it seemed to be: all is sent
                self._reuse, self._found, self._shipment = False, None, None
            except Transient as error:
                reached = reached or (self.link is not None and self.link.spoke)
                if self._moved:
                    tries, self._moved = 0, False
                pause = min(0.5 * 2**tries, PATIENCE)
                tries += 1
                if not reached or tries > self.settings.retries or time.monotonic() + pause > until:
                    raise
                self.cuts += 1
                self.counter.enter(progress.WAITS, f"{error.message} Tries again in {pause:.1f} s.")
                if self.stopped.wait(pause):
                    raise

    def _connect(self, until: float) -> dict[str, Any]:
        """What the agent says at the end of one connection, over which all went that the target lacked."""
        settings = self.settings
        self.counter.enter(progress.ASKS)
        ssh = ssh_command(settings.ssh_key, self.target.known_hosts, settings.connect_timeout, settings.persist)
        asked = request(self.target, self.images, settings.app)
        with Link(self.target, ssh, asked, max(1.0, until - time.monotonic()), self._acknowledged) as self.link:
            state = self.link.hear(lambda said: answers.state(said, asked))
            steps = plan(self.images, state)
            # After a cut it may all be there; what was to be done at first is what is told
            self._steps = self._steps or steps
            self._app = self._app or state["app"]
            load = self._prepare(self.link, steps, state) if any(step.needed for step in steps) else None
            if load is None or settings.check_mode:
                order = idle_order(settings, self.images, state)
                self.link.order(order)
                return self.link.hear(lambda said: answers.end(said, [], order["repositories"]))
            return self._send(self.link, steps, state, load)

    def _prepare(self, link: Link, steps: list[Step], state: dict[str, Any]) -> Load:
        """What is to be sent and how, once it is known to fit."""
        shipment = self.archives.shipment(steps)
        if self._reuse and state["bases"] and asked(shipment):
            shipment = self._without_copies(link, shipment)
        local = not self.target.host
        spooled = not local and shipment.size > self.settings.chunk
        if self._shipment is None:
            self._shipment = shipment
            # After a cut a part of it fills that room
            check_room(steps, state, shipment, spooled, self.target)
        return Load(shipment, choose_codec(self.settings.compression, state, local, str(self.target)), spooled)

    def _without_copies(self, link: Link, shipment: Shipment) -> Shipment:
        """The shipment without the files that the target has."""
        try:
            catalogue = self.archives.catalogue(shipment)
        except UnreadableError:
            # Who reads all of it says which layer that is
            return shipment
        link.ask(catalogue.question, catalogue.count)
        self.counter.written(len(catalogue.question))
        found = link.hear(lambda said: answers.found(said, catalogue.count))
        if found != (self._found or found):
            # One that says something else each time gets no archive of its own each time
            self._reuse, self._found = False, None
            return shipment
        self._found = found
        return catalogue.shipment(shipment, found)

    def _send(self, link: Link, steps: list[Step], state: dict[str, Any], load: Load) -> dict[str, Any]:
        """Sends it when it is its turn; returns what the agent says then, which is verified."""
        where, wanted = str(self.target), [step for step in steps if step.needed]
        archive = self.archives.chunked(load.shipment, load.codec)
        self._size = max(archive.size, 1)
        member = self.member if load.spooled else None
        order = self._order(wanted, state, load, archive, member)
        self.counter.enter(progress.WAITS, "for its turn")
        try:
            self._take_turn(link, order, load, archive, member)
            self.counter.holds(1.0)
            answer = link.hear(lambda said: answers.end(said, order["names"], order["repositories"]))
            verify(wanted, answer, where)
            self._done = time.monotonic()
            if member:
                self.counter.enter(progress.SERVES)
                member.serve(link.beat, link.ended)
        except UnreadableError as error:
            raise EdgeflError(
                f"{error.message}. Nothing was changed on {where}. Remove the image (docker image rm) and build it again."
            ) from error
        finally:
            if member:
                member.leave()
        return answer

    def _order(
        self, wanted: list[Step], state: dict[str, Any], load: Load, archive: ChunkedArchive, member: Member | None
    ) -> dict[str, Any]:
        """What the agent is told before the archive."""
        order = {
            **idle_order(self.settings, self.images, state),
            **load_order(wanted, state, load.shipment),
            "key": archive.key if load.spooled else "",
            "sender": self.sender,
            "codec": load.codec,
            "chunk": self.settings.chunk,
        }
        return {**order, "relay": member.order()} if member else order

    def _take_turn(
        self, link: Link, order: dict[str, Any], load: Load, archive: ChunkedArchive, member: Member | None
    ) -> None:
        """Waits for its turn, and sends the chunks that the target has not kept."""
        with self.turns:
            link.order(order)
            first, port = 0, 0
            if load.spooled:
                own_port = order["relay"]["port"] if member else None
                first, port = link.hear(lambda said: answers.kept(said, own_port))
            if member:
                member.join(archive.key, first, port)
            self.counter.enter(progress.SENDS)
            self._before = first
            self._acknowledged(first)
            link.send(archive, first, self.limit, self._written, member)

    def _written(self, size: int) -> None:
        self.counter.written(size)
        if self.member:
            self.member.written(size)

    def _acknowledged(self, count: int) -> None:
        if self.member:
            self.member.holds(count)
            self.counter.now.relayed = self.member.bytes
        self._moved = self._moved or count > self._before
        # The archive's frame is little: all but the last chunk is certain
        self.counter.holds(min(count * self.settings.chunk / self._size, 0.999))

    def _result(self, seconds: float) -> dict[str, Any]:
        shipment, wire, relayed = self._shipment, self.counter.now.bytes, self.member.bytes if self.member else 0
        sent = {**dict.fromkeys((image.name for image in self.images), 0), **(shipment.sent if shipment else {})}
        whole = shipment is not None and shipment.whole
        return {
            "app": self._app,
            "images": [self._image(step, sent, wire, relayed, whole, seconds) for step in self._steps],
            "bytes": wire,
            "relayed": relayed,
            "refused": self.member.refused if self.member else {},
            "seconds": seconds,
            "copied": shipment.copied if shipment else 0,
            "cuts": self.cuts,
            "whole": whole,
        }

    @staticmethod
    def _image(
        step: Step, sent: dict[str, int], wire: int, relayed: int, whole: bool, seconds: float
    ) -> dict[str, Any]:
        name, layers, total = step.image.name, len(step.image.diff_ids), sum(sent.values())

        def share(size: int) -> int:
            return size * sent[name] // total if total else size if step.needed else 0

        return {
            "name": name,
            "reason": step.reason,
            "digest": step.image.digest,
            "layers": layers,
            "layers_sent": (layers if whole else len(step.missing)) if step.needed else 0,
            "bytes": sent[name],
            "wire": share(wire),
            "relayed": share(relayed),
            "saved": step.image.size - min(step.image.size, sent[name]),
            "seconds": seconds,
        }
