# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: layers below the layer: a node that has most of a layer's files in an older image gets the others, and the bytes between them.

The node is asked which files it has (by size and SHA-256), and gets a recipe of the archive: bytes, and numbers of files that it copies (agent.py: L(FILE),
L(STEP)). Its runtime proves the layer by its digest, as it does with one that was sent.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.archive import Archive
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.layers import AnyLayer, Layer
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.agent import FILE, FILES, PIECE, STEP
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.plan import Shipment

# Bytes of an archive from which on it is worth to ask
ASKED = 4_000_000
# To name a file takes about as much as to send one of so many bytes, compressed; a recipe counts to 32 bits
SMALLEST, LARGEST = 256, 1 << 32
# Share of an archive that must be there: a node that copies less shares the archive of the others
GAIN = 0.05


def asked(shipment: Shipment) -> bool:
    """Whether a node may be asked for files of this shipment: it is large, and layers are kept here file by file."""
    layers = [layer for mine in shipment.layers.values() for layer in mine]
    return shipment.size >= ASKED and all(isinstance(layer, Layer) for layer in layers)


class Catalogue:
    """The files of some layers that a node may have, each once, in the order of `question`, which has a FILE for each."""

    def __init__(self, layers: Iterable[AnyLayer]) -> None:
        numbers: dict[bytes, int] = {}
        # For each layer its files' numbers, in their order; -1 for one that is sent in any case
        self._numbers: dict[str, array[int]] = {}
        for layer in {layer.digest: layer for layer in layers}.values():
            self._numbers[layer.digest] = array("l")
            for part in layer.parts() if isinstance(layer, Layer) else ():
                if not isinstance(part, bytes):
                    number = -1
                    if SMALLEST <= part.size < LARGEST and len(numbers) < FILES:
                        hashed = hashlib.sha256()
                        for piece in part.read():
                            hashed.update(piece)
                        number = numbers.setdefault(FILE.pack(part.size, hashed.digest()[:16]), len(numbers))
                    self._numbers[layer.digest].append(number)
        self.count = len(numbers)
        self.question = b"".join(numbers)
        self._sizes = array("Q", [FILE.unpack(each)[0] for each in numbers])

    def shipment(self, whole: Shipment, found: bytes) -> Shipment:
        """What goes to a node that has the files `found` (a bit for each) instead of `whole`; `whole` itself when it has too little."""
        copied = {name: sum(self._copied(layer, found) for layer in mine) for name, mine in whole.layers.items()}
        total = sum(copied.values())
        if total < whole.size * GAIN:
            return whole
        return replace(
            whole,
            pieces=lambda: self._recipe(whole.archives, found),
            size=whole.size - total,
            sent={name: size - copied[name] for name, size in whole.sent.items()},
            identity=json.dumps([whole.identity, found.hex()]),
            copied=total,
        )

    def _copied(self, layer: AnyLayer, found: bytes) -> int:
        return sum(self._sizes[number] for number in self._numbers[layer.digest] if _has(found, number))

    def _recipe(self, archives: Iterable[Archive], found: bytes) -> Iterator[bytes]:
        kept: list[bytes] = []
        size = 0
        for archive in archives:
            for part in archive.parts(lambda layer: self._parts(layer, found)):
                if isinstance(part, bytes):
                    kept.append(part)
                    size += len(part)
                if size and (size >= PIECE or not isinstance(part, bytes)):
                    yield b"".join([STEP.pack(False, size), *kept])
                    kept, size = [], 0
                if not isinstance(part, bytes):
                    yield STEP.pack(True, part)
        if size:
            yield b"".join([STEP.pack(False, size), *kept])

    def _parts(self, layer: AnyLayer, found: bytes) -> Iterator[bytes | int]:
        """The layer's archive, with the number of each file that is there."""
        if not isinstance(layer, Layer):
            yield from layer.read()
            return
        numbers = iter(self._numbers[layer.digest])
        for part in layer.parts():
            if isinstance(part, bytes):
                yield part
            elif _has(found, number := next(numbers, -1)):
                yield number
            else:
                yield from part.read()


def _has(found: bytes, number: int) -> bool:
    return number >= 0 and bool(found[number // 8] >> number % 8 & 1)
