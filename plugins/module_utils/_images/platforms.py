# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the architectures that images are built for, and how an image for one is called."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile

# Name of an architecture for Kubernetes, Docker and Debian -> for uname(1) and Python's wheels
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_SUFFIX = re.compile(rf"-(?:{'|'.join(MACHINES)})(?=:[^:/]*$)")


def image_for(image: str, architecture: str, own: str) -> str:
    """Name of the clients' image for an architecture, from that of the image for the cloud node's `own`; either may be unknown, and empty.

    >>> image_for("fl-client:v1", "arm64", "amd64"), image_for("fl-client:v1", "arm64", "arm64")
    ('fl-client-arm64:v1', 'fl-client:v1')
    """
    if not architecture or architecture == own:
        return image
    repository, _colon, tag = image.rpartition(":")
    return f"{repository}-{architecture}:{tag}"


def own_image(image: str) -> str:
    """Name of the image for the cloud node's own architecture, from that for any.

    >>> own_image("fl-client-arm64:v1")
    'fl-client:v1'
    """
    return _SUFFIX.sub("", image)


def arguments(architecture: str, empty: str) -> dict[str, str]:
    """What the Dockerfile is told to build an image for an architecture that is not this host's, on the `empty` image."""
    return {
        "ARCHITECTURE": architecture,
        "MACHINE": MACHINES[architecture],
        "PLATFORM": f"linux/{architecture}",
        "PLATFORM_IMAGE": empty,
        "ROOT": "/foreign",
    }


def empty_image(name: str, architecture: str) -> bytes:
    """An archive, as C(docker save) makes it, of an image with nothing in it but its architecture, which those that are built on it have, too."""
    config = json.dumps(
        {"architecture": architecture, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    ).encode()
    path = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": path, "RepoTags": [name], "Layers": []}]).encode()
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for each, content in ((path, config), ("manifest.json", manifest)):
            about = tarfile.TarInfo(each)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return whole.getvalue()
