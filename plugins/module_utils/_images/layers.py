# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: images of this host's Docker, layer by layer, where C(docker save) always writes an image whole.

Docker keeps, beside the files of each layer, a list (C(tar-split.json.gz)) of the bytes between them; from both the layer's archive is put together
again, alone, byte for byte. Its SHA-256 is the layer's diff id, so what is read is proven. A Docker with containerd's image store (the default of a new
Docker 29, L(Docker's documentation,https://docs.docker.com/engine/storage/containerd/)) keeps what a registry would: layers as they were compressed, each
under the SHA-256 of that.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Union

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import without_prefix

CHUNK = 1 << 20
# Storage drivers of Docker that keep the files of a layer in a folder of its own
DRIVERS = ("overlay2",)
# Of a layer that is not compressed (OCI image specification, "Image Layer Filesystem Changeset")
MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar"
# Times that a compressed layer is taken to grow where its file does not say so
_GROWS = 4
# In the list of a layer: bytes of a file, and the bytes between two files. A quote inside of a name has a backslash before it.
_FILE_SIZE = re.compile(rb'"size":\s*(\d+)')
_BETWEEN = re.compile(rb'"type":\s*2,\s*"payload":\s*"([^"]*)"')


class UnreadableError(EdgeflError):
    """This Docker keeps its layers in a way that is not known here; C(docker save) still gives the image."""


def chain_ids(diff_ids: list[str]) -> list[str]:
    """For each layer the name of the stack that ends with it (OCI image specification, "Layer ChainID")."""
    chains: list[str] = []
    for diff_id in diff_ids:
        chains.append(f"sha256:{hashlib.sha256(f'{chains[-1]} {diff_id}'.encode()).hexdigest()}" if chains else diff_id)
    return chains


@dataclass(frozen=True)
class Image:
    """An image as it was built: `digest` is that of its configuration, which names every layer, so it names all of the content.

    `blobs` are the digests of its layers as they are sent: the diff ids, or where they are kept compressed those of that.
    """

    name: str
    digest: str
    diff_ids: tuple[str, ...]
    arch: str
    size: int
    blobs: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """The name with its registry, as containerd knows it (a name without one belongs to docker.io)."""
        return full_name(self.name)


def full_name(name: str) -> str:
    """C(docker.io/library/x:latest) of C(x): the rule of Docker's command line."""
    first, slash, _rest = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}"
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def parse_image(name: str, item: dict[str, Any]) -> Image:
    """Reads one object of C(docker image inspect), of a Docker that calls an image by its configuration's digest."""
    diff_ids = tuple(item["RootFS"].get("Layers") or ())
    return Image(name, item["Id"], diff_ids, item["Architecture"], int(item.get("Size", 0)), diff_ids)


class LayerStore:
    """The folder of a Docker (`root`, its "Docker Root Dir") with one of DRIVERS.

    Raises UnreadableError when something is not where Docker of today puts it, or may not be read.
    """

    def __init__(self, root: str, driver: str) -> None:
        if driver not in DRIVERS:
            raise UnreadableError(f"Docker's storage driver {driver} is not one of {', '.join(DRIVERS)}")
        self.folder = Path(root)
        self.meta = self.folder / "image" / driver
        self.files = self.folder / driver

    @classmethod
    def of(cls, graph: dict[str, Any]) -> LayerStore:
        """From what C(docker image inspect) calls GraphDriver."""
        upper = (graph.get("Data") or {}).get("UpperDir", "")
        # ROOT/DRIVER/LAYER/diff
        return cls(os.path.dirname(os.path.dirname(os.path.dirname(upper))), graph.get("Name", ""))

    def image(self, name: str, item: dict[str, Any]) -> Image:
        """The image that Docker describes so."""
        return parse_image(name, item)

    def layers(self, image: Image) -> list[Layer]:
        """Its layers, the lowest first."""
        diff_ids = list(image.diff_ids)
        return [self.layer(chain, diff_id) for chain, diff_id in zip(chain_ids(diff_ids), diff_ids)]

    def config(self, digest: str) -> bytes:
        """The configuration of an image, proven by its digest."""
        try:
            data = (self.meta / "imagedb/content/sha256" / without_prefix(digest, "sha256:")).read_bytes()
        except OSError as error:
            raise UnreadableError(f"the image's configuration is not in {self.meta} ({error.strerror})") from error
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise UnreadableError(f"the image's configuration in {self.meta} is damaged")
        return data

    def layer(self, chain_id: str, diff_id: str) -> Layer:
        """The layer that ends the stack `chain_id`."""
        folder = self.meta / "layerdb/sha256" / without_prefix(chain_id, "sha256:")
        try:
            stored = (folder / "diff").read_text().strip()
            name = (folder / "cache-id").read_text().strip()
        except OSError as error:
            raise UnreadableError(f"layer {diff_id} is not in {folder} ({error.strerror})") from error
        if stored != diff_id:
            raise UnreadableError(f"{folder} holds another layer than {diff_id}")
        return Layer(diff_id, folder / "tar-split.json.gz", self.files / name / "diff")


@dataclass(frozen=True)
class LayerFile:
    """A file of the layer `layer`: its path here, and its bytes."""

    layer: str
    path: bytes
    size: int

    def read(self) -> Iterator[bytes]:
        """What is in it, piece by piece."""
        left = self.size
        try:
            with open(self.path, "rb") as file:
                while left and (piece := file.read(min(CHUNK, left))):
                    left -= len(piece)
                    yield piece
        except OSError as error:
            raise UnreadableError(
                f"{os.fsdecode(self.path)} of layer {self.layer} cannot be read ({error.strerror})"
            ) from error
        if left:
            raise UnreadableError(
                f"{os.fsdecode(self.path)} of layer {self.layer} is shorter than it was when it was built"
            )


@dataclass(frozen=True)
class Layer:
    """One layer: `split` lists the bytes between the files, `files` is the folder with the files; `digest` is its diff id."""

    digest: str
    split: Path
    files: Path
    media_type = MEDIA_TYPE

    def _list(self) -> bytes:
        try:
            return gzip.decompress(self.split.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableError(f"{self.split} cannot be read ({error})") from error

    def _entries(self) -> Iterator[dict[str, Any]]:
        try:
            for line in self._list().splitlines():
                yield json.loads(line)
        except ValueError as error:
            raise UnreadableError(f"{self.split} cannot be read ({error})") from error

    @cached_property
    def size(self) -> int:
        """Bytes of the archive, known without reading the files."""
        # Of all layers of an image, each time: several times faster than to parse each line
        data = self._list()
        between: list[bytes] = _BETWEEN.findall(data)
        return sum(map(int, _FILE_SIZE.findall(data))) + sum(
            len(payload) // 4 * 3 - payload[-2:].count(b"=") for payload in between
        )

    @property
    def unpacked(self) -> int:
        """Bytes that it needs where it is unpacked."""
        return self.size

    def read(self) -> Iterator[bytes]:
        """The archive, piece by piece; UnreadableError at its end when it is not the layer that was asked for."""
        digest = hashlib.sha256()
        for part in self.parts():
            for piece in [part] if isinstance(part, bytes) else part.read():
                digest.update(piece)
                yield piece
        if f"sha256:{digest.hexdigest()}" != self.digest:
            raise UnreadableError(f"the files of layer {self.digest} in {self.files} were changed since it was built")

    def parts(self) -> Iterator[bytes | LayerFile]:
        """What the archive is made of: the bytes between the files, and the files that have any."""
        for entry in self._entries():
            if entry["type"] != 1:
                yield base64.b64decode(entry.get("payload") or "")
            elif entry.get("size"):
                # Names that are no UTF-8 stand in a field of their own
                name = base64.b64decode(entry["name_raw"]) if entry.get("name_raw") else entry["name"].encode()
                path = os.path.join(os.fsencode(self.files), name.lstrip(b"/"))
                yield LayerFile(self.digest, path, entry["size"])


class ContentStore:
    """The folder of content (`folder`) of the containerd that keeps a Docker's images.

    Raises UnreadableError when something is not there, or is not what its digest says.
    """

    def __init__(self, folder: str) -> None:
        self.blobs = Path(folder, "blobs")
        # By image; its name may change, what is in it not
        self._layers: dict[Image, list[StoredLayer]] = {}

    def image(self, name: str, item: dict[str, Any]) -> Image:
        """The image that Docker describes so: it calls it by the digest of its manifest, or of an index of manifests."""
        architecture, diff_ids = item["Architecture"], item["RootFS"].get("Layers") or []
        for manifest in self._manifests(item["Id"], architecture):
            digest = manifest["config"]["digest"]
            config = json.loads(self.config(digest))
            if config.get("architecture") == architecture and (config["rootfs"].get("diff_ids") or []) == diff_ids:
                layers = [
                    StoredLayer(layer["digest"], layer["size"], layer["mediaType"], self._path(layer["digest"]))
                    for layer in manifest["layers"] or ()
                ]
                blobs = tuple(layer.digest for layer in layers)
                size = sum(layer.size for layer in layers)
                image = Image(name, digest, tuple(diff_ids), architecture, size, blobs)
                self._layers[image] = layers
                return image
        raise UnreadableError(f"{self.blobs} has no manifest of {name} for {architecture}")

    def layers(self, image: Image) -> list[StoredLayer]:
        """Its layers, the lowest first."""
        return self._layers[image]

    def config(self, digest: str) -> bytes:
        """The configuration of an image, proven by its digest."""
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UnreadableError(f"{path} cannot be read ({error.strerror})") from error
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise UnreadableError(f"{path} is damaged")
        return data

    def _manifests(self, digest: str, architecture: str) -> Iterator[dict[str, Any]]:
        found = json.loads(self.config(digest))
        if "manifests" not in found:
            yield found
        for entry in found.get("manifests") or ():
            # Those of other processors need not be here; what is about an image says that it is for none
            fits = (entry.get("platform") or {}).get("architecture", architecture) == architecture
            if fits and self._path(entry["digest"]).exists():
                yield from self._manifests(entry["digest"], architecture)

    def _path(self, digest: str) -> Path:
        return self.blobs / digest.replace(":", "/")


@dataclass(frozen=True)
class StoredLayer:
    """One layer as a registry would have it: `digest` and `size` (bytes) are those of the file `path`."""

    digest: str
    size: int
    media_type: str
    path: Path

    @property
    def unpacked(self) -> int:
        """Bytes that it may need where it is unpacked: gzip notes them (RFC 1952, ISIZE), if they are less than 4 GiB."""
        if self.media_type.endswith(".tar"):
            return self.size
        if not self.media_type.endswith("gzip"):
            return self.size * _GROWS
        try:
            with self.path.open("rb") as file:
                file.seek(-4, os.SEEK_END)
                noted = int.from_bytes(file.read(), "little")
        except OSError:
            # Who reads all of it is told
            noted = 0
        # What cannot be compressed grows by less than a hundredth in gzip
        return noted if noted > self.size * 0.99 else self.size * _GROWS

    def read(self) -> Iterator[bytes]:
        """The file, piece by piece; UnreadableError at its end when it is not the layer that was asked for."""
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                while piece := file.read(CHUNK):
                    digest.update(piece)
                    yield piece
        except OSError as error:
            raise UnreadableError(f"{self.path} cannot be read ({error.strerror})") from error
        if f"sha256:{digest.hexdigest()}" != self.digest:
            raise UnreadableError(f"{self.path} is damaged")


# As ansible-test's pylint reads it
AnyLayer = Union[Layer, StoredLayer]
