# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: an archive of images that every runtime takes, with only the layers that are named.

It is an OCI image layout (L(specification,https://github.com/opencontainers/image-spec/blob/main/image-layout.md)), for containerd, and has the
C(manifest.json) of C(docker save), for Docker. containerd takes layers that are not in the archive from its content store, Docker from its stack of
layers.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.layers import AnyLayer, Image

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
Part = TypeVar("Part")
# Two empty blocks end an archive
END = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class Content:
    """An image, its configuration, and its layers, the lowest first."""

    image: Image
    config: bytes
    layers: tuple[AnyLayer, ...]

    @property
    def manifest(self) -> bytes:
        """The OCI manifest; the same image always gives the same bytes."""
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": self.image.digest, "size": len(self.config)},
                "layers": [
                    {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size} for layer in self.layers
                ],
            }
        )

    def lower(self, count: int, name: str) -> Content:
        """An image of the lowest `count` layers, by which a runtime can have them before it has the others."""
        whole = json.loads(self.config)
        diff_ids = self.image.diff_ids[:count]
        config = _json(
            {
                "architecture": whole["architecture"],
                "os": whole["os"],
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            }
        )
        image = Image(name, _digest(config), diff_ids, self.image.arch, 0, self.image.blobs[:count])
        return Content(image, config, self.layers[:count])


class Archive:
    """An archive of `contents`, with `layers` as all that it has of them.

    containerd gives an image its name before it has seen whether all of it is there: `suffix` is added to the names that it reads.
    """

    def __init__(self, contents: Iterable[Content], layers: Iterable[AnyLayer], suffix: str = "") -> None:
        contents = list(contents)
        index, docker, documents = [], [], []
        for content in contents:
            manifest = content.manifest
            index.append(
                {
                    "mediaType": MANIFEST,
                    "digest": _digest(manifest),
                    "size": len(manifest),
                    "annotations": {
                        "io.containerd.image.name": content.image.full_name + suffix,
                        "org.opencontainers.image.ref.name": content.image.full_name.rpartition(":")[2] + suffix,
                    },
                }
            )
            docker.append(
                {
                    "Config": _path(content.image.digest),
                    "RepoTags": [content.image.name],
                    "Layers": [_path(layer.digest) for layer in content.layers],
                }
            )
            documents += [manifest, content.config]
        self.layers = list({layer.digest: layer for layer in layers}.values())
        self.head = _file("oci-layout", _json({"imageLayoutVersion": "1.0.0"})) + b"".join(
            _file(_path(digest), data) for digest, data in {_digest(data): data for data in documents}.items()
        )
        # At the end, so that an archive that was cut off names no image
        self.tail = (
            _file("index.json", _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": index}))
            + _file("manifest.json", _json(docker))
            + END
        )

    @property
    def size(self) -> int:
        """Bytes of all of it, known without reading the layers."""
        blocks = (tarfile.BLOCKSIZE + layer.size + len(_padding(layer.size)) for layer in self.layers)
        return len(self.head) + sum(blocks) + len(self.tail)

    def read(self) -> Iterator[bytes]:
        """All of it, piece by piece."""
        return self.parts(lambda layer: layer.read())

    def parts(self, read: Callable[[AnyLayer], Iterator[Part]]) -> Iterator[bytes | Part]:
        """All of it, with what `read` makes of each layer."""
        yield self.head
        for layer in self.layers:
            yield _header(_path(layer.digest), layer.size)
            yield from read(layer)
            yield _padding(layer.size)
        yield self.tail


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _file(name: str, data: bytes) -> bytes:
    whole = io.BytesIO()
    whole.write(_header(name, len(data)))
    whole.write(data)
    whole.write(_padding(len(data)))
    return whole.getvalue()
