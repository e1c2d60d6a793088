# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what runs on the node that receives images, as root, under Python 3.7 or newer.

It imports nothing of this collection and needs nothing on the node. Its source is the first that goes there over C(ssh); or it is installed there, as all
that a key may run (role edge_access): then it also sees that it is the one that is meant, and that it is asked for images and nothing else. One connection
does all. It reads a request and says what the runtime has (a JSON line each); it may be asked which of some files are here, in layers of other images. It
reads an order, and then chunks of an archive: L(FRAME), payload. Each chunk is proven, kept in a file that outlives the connection, and handed to the
runtime while the next one is on its way; or it is a recipe of the archive, L(STEP) by L(STEP), with files that are here and only named. At the end it says
what the runtime has then.

Where nodes of one site take the same archive, a chunk may come from a neighbour instead (L(ELSEWHERE)): its SHA-256 still comes over the connection. Until
that is closed the node gives its own chunks to neighbours. Both ends have the certificate that was made for this call, and speak to nobody else.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

SOCKET = "/var/run/docker.sock"
# Where an archive is kept that arrives
SPOOL = "/var/lib/edgefl/incoming"
# Where states of apps lie beside the images, for pods that have the folder mounted; how many of an app
APPS = "/var/lib/edgefl/apps"
KEPT_APPS = 8
# Bytes of a question at most
LINE = 1 << 24
# So end the names under which images arrive, and under which their lower layers do; what they name does not count as there
INCOMING = "-incoming"
# Before each chunk: its number, its bytes, its SHA-256; one of no bytes ends the archive
FRAME = struct.Struct(">II32s")
# A file that may be here: its bytes, and the beginning of its SHA-256; what comes of it is proven by its layer's digest
FILE = struct.Struct(">I16s")
# Files that can be asked for at once
FILES = 200_000
# In a recipe: whether a file that was asked for is copied, and its number; or how many bytes of the archive follow
STEP = struct.Struct(">?I")
# Begins a spool file: who writes it (a word of the sender), and in which process
OWNER = struct.Struct(">32sI")
# In a frame, in place of its bytes: a neighbour has the chunk, and a FETCH follows; or it is still to come, and the sender is alive
ELSEWHERE, LATER = (1 << 32) - 1, (1 << 32) - 2
# Where a neighbour has a chunk: its bytes, the neighbour's port, the seconds that it may take, and the address
FETCH = struct.Struct(">IHH45s")
# What a neighbour is asked for: the number of a chunk
ASK = struct.Struct(">I")
# Seconds until a neighbour that does not answer counts as away; until who comes has shown the certificate; and until it has taken its chunk
DIAL, GREETING, SERVING = 3.0, 5.0, 120.0
# Connections at most that have not shown the certificate yet, the oldest makes way for a new one; and that have
STRANGERS, GUESTS = 8, 16
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME: a node's clock may be wrong
ANY_TIME = 0x200000
# Seconds without a byte after which the sender counts as gone
SILENCE = 120
# Seconds that somebody else may still write to the same spool
BUSY = 10.0
# Chunks in memory at most, where there is no spool
AHEAD = 2
PIECE = 1 << 18
_CHECK = re.compile(r"^(\S+)\s+\S+\s+(sha256:\w+)\s+(\w+)\s+\(\d+/\d+\)\s.*\s(true|false)\s*$", re.MULTILINE)
_CHILD = re.compile(r"containerd\.io/gc\.ref\.content[^=,]*=(sha256:\w+)")
# The end of a tag that names the content of an image
_CONTENT_TAG = re.compile(r"-[0-9a-f]{12}$")
# Names of images and digests: none is an option of a command, none leads elsewhere in Docker's API
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_:@-]|[./](?![./]))*")
_KEY = re.compile(r"[0-9a-f]{0,64}")
_APP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*@[0-9a-f]{12}")
_PLATFORM = re.compile(r"linux/[a-z0-9]{1,20}")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


class AgentError(Exception):
    """C(code) is a word for the program at the other end, the text is for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


# Compression: a chunk is compressed by itself, so that any chunk can be the first after a cut ------------------------------


class Zstd:
    """The library of zstd, which every Debian has; OSError where it is not."""

    def __init__(self) -> None:
        # Takes as long as half of the rest, and most calls send nothing
        import ctypes

        self.ctypes = ctypes
        self.library = library = ctypes.CDLL("libzstd.so.1")
        size, pointer = ctypes.c_size_t, ctypes.c_void_p
        library.ZSTD_compressBound.argtypes, library.ZSTD_compressBound.restype = [size], size
        library.ZSTD_compress.argtypes, library.ZSTD_compress.restype = (
            [pointer, size, pointer, size, ctypes.c_int],
            size,
        )
        library.ZSTD_decompress.argtypes, library.ZSTD_decompress.restype = [pointer, size, pointer, size], size
        library.ZSTD_isError.argtypes, library.ZSTD_isError.restype = [size], ctypes.c_uint

    def compress(self, data: bytes) -> bytes:
        """`data` at level 3, which is zstd's own choice."""
        buffer = self.ctypes.create_string_buffer(self.library.ZSTD_compressBound(len(data)))
        size = self.library.ZSTD_compress(buffer, len(buffer), data, len(data), 3)
        return self.ctypes.string_at(buffer, size)

    def decompress(self, data: bytes, most: int) -> bytes:
        """`data` again, of `most` bytes at most; AgentError when it is none of zstd's."""
        buffer = self.ctypes.create_string_buffer(most)
        size = self.library.ZSTD_decompress(buffer, most, data, len(data))
        if self.library.ZSTD_isError(size):
            raise AgentError("corrupt", "zstd cannot read a chunk")
        return self.ctypes.string_at(buffer, size)


def zstd() -> Zstd | None:
    """The library; None where it is not."""
    try:
        return Zstd()
    except OSError:
        return None


def encode(codec: str, data: bytes) -> bytes:
    """A chunk as it goes over the wire: `codec` is C(zstd), C(zlib) or C(none)."""
    if codec == "none":
        return data
    return zlib.compress(data, 1) if codec == "zlib" else Zstd().compress(data)


def decode(codec: str, data: bytes, most: int) -> bytes:
    """The chunk again, of `most` bytes at most."""
    if codec == "none":
        return data
    return zlib.decompress(data) if codec == "zlib" else Zstd().decompress(data, most)


# Runtimes ----------------------------------------------------------------------------------------------------------------


def run(arguments: list[str]) -> str:
    """Standard output of a command; AgentError with the end of what it said when it fails."""
    process = start(arguments, subprocess.DEVNULL)
    output, errors = process.communicate()
    return _said(arguments, process.returncode, output, errors)


def feed(arguments: list[str], pieces: Iterator[bytes]) -> str:
    """As C(run), with `pieces` as standard input. The command sees the end of its input also when they end by an exception."""
    # In files, as nobody reads them while the input is written
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = start(arguments, subprocess.PIPE, output, errors)
        try:
            for piece in pieces:
                process.stdin.write(piece)
            process.stdin.close()
        except BrokenPipeError:
            # It ended by itself, and says why
            pass
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.wait()
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read())
        return _said(arguments, process.returncode, *texts)


def start(arguments: list[str], stdin: int, stdout: Any = subprocess.PIPE, stderr: Any = subprocess.PIPE) -> Any:
    """A command that speaks English; AgentError when it is not installed."""
    try:
        return subprocess.Popen(arguments, stdin=stdin, stdout=stdout, stderr=stderr, env={**os.environ, "LC_ALL": "C"})  # pylint: disable=ansible-bad-function
    except FileNotFoundError:
        raise AgentError("absent", f"the command {arguments[0]} is not there") from None


def _said(arguments: list[str], code: int, output: bytes, errors: bytes) -> str:
    text = output.decode("utf-8", "replace")
    if code:
        lines = (errors.decode("utf-8", "replace").strip() or text.strip()).splitlines()
        raise AgentError("failed", lines[-1].strip() if lines else f"{arguments[0]} ended with {code}")
    return text


def first(ask: Callable[[], Any]) -> Any:
    """What the first question to a runtime brings; when it is refused, the runtime is not there or does not work (Docker's containerd is part of it)."""
    try:
        return ask()
    except AgentError as error:
        raise AgentError("absent" if error.code == "absent" else "stopped", str(error)) from None


def expired_tags(tags: dict[str, str], keep: int, busy: set[str], age: Callable[[str], str]) -> list[str]:
    """Names with a tag of content (`tags`: name -> image) that go: all but the newest `keep` images of each repository.

    Images in `busy` stay, and count as kept. `age` gives a time that can be compared.
    """
    gone = []
    ours = {name: image for name, image in tags.items() if _CONTENT_TAG.search(name)}
    for repository in sorted({name.rpartition(":")[0] for name in ours}):
        images = {image for name, image in ours.items() if name.rpartition(":")[0] == repository}
        if len(images) <= keep:
            continue
        order = sorted(images, key=lambda image: (image in busy, age(image)), reverse=True)
        doomed = set(order[keep:]) - busy
        gone += [name for name, image in ours.items() if image in doomed and name.rpartition(":")[0] == repository]
    return gone


def current(names: dict[str, str], images: dict[str, Any]) -> bool:
    """Whether each name has the configuration that it is to have: it names all layers, so what else is there need not be asked for."""
    return all(images[name] and config in images[name]["ids"] for name, config in names.items())


def arriving(listed: dict[str, str]) -> set[str]:
    """Of images (`listed`: name -> digest) those that are arriving, or were when the power went: they have no name but such a one.

    The kubelet's side of containerd gives each image its digest as a second name, which is none.
    """
    names = [name for name in listed if not name.startswith("sha256:")]
    named = {listed[name] for name in names if not name.endswith(INCOMING)}
    return {listed[name] for name in names} - named


def shown(name: str) -> str:
    """A full name as Docker shows it."""
    return re.sub(r"^docker\.io/(library/)?", "", name)


def repositories(names: Iterable[str]) -> set[str]:
    """Repositories of full names, as Docker shows them."""
    return {shown(name).rpartition(":")[0] for name in names}


class Containerd:
    """The images that the kubelet's pods use of a containerd. Each call of C(ctr) starts a large program: the fewer the better."""

    root = "/var/lib/containerd"
    client: tuple[str, ...] = ("ctr", "--namespace", "k8s.io")
    # Options of the commands that look at what is unpacked, and that unpack
    checking: tuple[str, ...] = ()
    importing: tuple[str, ...] = ()

    def __init__(self) -> None:
        # Digest of each image by its name, as far as we know
        self.listed: dict[str, str] = {}
        # Archives of layers that an image like the asked ones has
        self.bases: list[str] = []

    def ctr(self, *arguments: str) -> str:
        """Runs C(ctr) in the namespace of the images."""
        return run([*self.client, *arguments])

    def state(self, names: dict[str, str], digests: list[str], chains: list[str]) -> dict[str, Any]:
        """`layers`: those of `digests` that images here need, so that they stay; `images`: what is there under each name.

        `names` has for each name the digest of the configuration that it is to have; when all do, the rest is left out.
        """
        del chains
        self.listed = first(self.digests)
        images = self.images(list(names))
        if current(names, images):
            return {"layers": [], "stacks": [], "images": images}
        # What a transfer that was cut left in the store is about to be collected, or taken away: it does not count
        children = {}
        for text in self.ctr("content", "ls").splitlines():
            children[text.split(None, 1)[0]] = _CHILD.findall(text)
        stacks = {digest: reachable(children, digest) for digest in set(self.listed.values()) - arriving(self.listed)}
        ours = repositories(names)
        alike = {digest for name, digest in self.listed.items() if shown(name).rpartition(":")[0] in ours}
        similar = [stack for digest, stack in stacks.items() if digest in alike or not stack.isdisjoint(digests)]
        self.bases = [self.blob(digest) for digest in sorted(set().union(*similar))]
        reached = set().union(*stacks.values())
        return {
            "layers": [digest for digest in digests if digest in reached],
            "stacks": [],
            "images": images,
        }

    def digests(self) -> dict[str, str]:
        """Digest of each image's manifest, by its name."""
        lines = self.ctr("images", "ls").splitlines()[1:]
        return {words[0]: words[2] for words in map(str.split, lines)}

    def images(self, names: list[str]) -> dict[str, Any]:
        """For each name the digests of manifest and configuration, and the layers' diff ids; None when it is not there, or not usable as it is."""
        found: dict[str, Any] = dict.fromkeys(names)
        checked = self.ctr("images", "check", *self.checking, *(f"name=={name}" for name in names)) if names else ""
        for name, digest, status, unpacked in _CHECK.findall(checked):
            if name in found and (status, unpacked) == ("complete", "true"):
                config_digest, config = self.config(digest)
                if config:
                    layers = config.get("rootfs", {}).get("diff_ids") or []
                    found[name] = {"ids": [digest, config_digest], "layers": layers}
        return found

    def config(self, digest: str) -> tuple[str, dict[str, Any]]:
        """Digest and content of the configuration of the image with this manifest; empty when it has none for this processor."""
        manifest = json.loads(self.content(digest))
        if "manifests" in manifest:
            here = (architecture_here(), None)
            fitting = [each for each in manifest["manifests"] if each.get("platform", {}).get("architecture") in here]
            if not fitting:
                return "", {}
            manifest = json.loads(self.content(fitting[0]["digest"]))
        wanted = manifest["config"]["digest"]
        return wanted, json.loads(self.content(wanted))

    def blob(self, digest: str) -> str:
        """The file of what is stored under a digest."""
        return f"{self.root}/io.containerd.content.v1.content/blobs/{digest.replace(':', '/')}"

    def content(self, digest: str) -> bytes | str:
        """What is stored under a digest: read as the file that it is, proven, or where that is not in its place asked for."""
        try:
            with open(self.blob(digest), "rb") as file:
                data = file.read()
        except OSError:
            data = b""
        return data if hashlib.sha256(data).hexdigest() == digest[7:] else self.ctr("content", "get", digest)

    def load(self, names: list[str], direct: bool, pieces: Iterator[bytes]) -> dict[str, Any]:
        """Imports an archive, and says what is there then; `direct` when its images arrive under their own names."""
        arriving = {name if direct else name + INCOMING: name for name in names}
        try:
            feed([*self.client, "images", "import", *self.importing, "-"], pieces)
            found = self.images(list(arriving))
            bad = [name for name, image in found.items() if image is None]
            if bad:
                raise AgentError("corrupt", f"not all of {', '.join(bad)} arrived")
            if not direct:
                for name in names:
                    self.ctr("images", "tag", "--force", name + INCOMING, name)
        except BaseException:
            self.remove([name for name in arriving if name not in self.listed])
            raise
        if not direct:
            self.remove(list(arriving))
        images = {arriving[name]: image for name, image in found.items()}
        self.listed.update((name, image["ids"][0]) for name, image in images.items())
        return images

    def remove(self, names: list[str]) -> None:
        """Takes names away; one that is not there is no error, as it may have failed before it got it."""
        if names:
            try:
                # With all that only they had: containerd would else keep it until a hundred more changes
                self.ctr("images", "rm", "--sync", *names)
            except AgentError as error:
                if "not found" not in str(error):
                    raise
            self.listed = {name: digest for name, digest in self.listed.items() if name not in names}

    def old(self, repositories: list[str], keep: int, names: list[str]) -> list[str]:
        """Names that can go: tags of content beyond the newest `keep` of each repository, `names` and what containers use excepted.

        The kubelet gave each image a second name, its digest, which keeps its layers: it goes too when no other name is left.
        """
        images = self.listed or self.digests()
        tags = {name: digest for name, digest in images.items() if name.rpartition(":")[0] in repositories}
        if len(tags) <= keep:
            return []
        busy = self.used(images) | {images[name] for name in names if name in images}
        gone = expired_tags(tags, keep, busy, lambda digest: str(self.config(digest)[1].get("created", "")))
        left = {digest for name, digest in images.items() if name not in gone and not name.startswith("sha256:")}
        doomed = {images[name] for name in gone} - left
        return gone + [name for name, digest in images.items() if name.startswith("sha256:") and digest in doomed]

    def used(self, images: dict[str, str]) -> set[str]:
        """Those of `images` (digest by name) that containers use, by digest."""
        lines = self.ctr("containers", "ls").splitlines()[1:]
        return {images[name] for line in lines for name in line.split()[1:2] if name in images}


def reachable(children: dict[str, list[str]], digest: str) -> set[str]:
    """What there is of an image: itself, and all that it needs."""
    found: set[str] = set()
    waiting = [digest]
    while waiting:
        digest = waiting.pop()
        if digest in children and digest not in found:
            found.add(digest)
            waiting += children[digest]
    return found


class Engine:
    """Docker's API (https://docs.docker.com/reference/api/engine/), by the socket of its command: each start of that takes as long as all else here."""

    def __init__(self) -> None:
        self.connection: Any = None

    def ask(self, method: str, path: str, body: Iterator[bytes] | None = None) -> str | None:
        """What it answers; None when it does not know what was asked for. AgentError with its reason when it refuses."""
        # Who asks a containerd does without it
        import http.client

        if self.connection is None or self.connection.sock is None:
            self.connection = http.client.HTTPConnection("docker")
            self.connection.sock = _dial()
        connection = self.connection
        try:
            # One that has read enough closes, and says why
            with contextlib.suppress(ConnectionError):
                connection.request(method, path, body)
            answer = connection.getresponse()
            text: str = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise AgentError("stopped", str(error) or type(error).__name__) from None
        except BaseException:
            # In the middle of a body, which is then not taken for all of it
            connection.close()
            raise
        if body is not None:
            connection.close()
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise AgentError("failed", _message(text))
        return text


def _dial() -> socket.socket:
    road = socket.socket(socket.AF_UNIX)
    try:
        road.connect(SOCKET)
    except OSError as error:
        road.close()
        there = os.path.exists(SOCKET) or shutil.which("docker")
        raise AgentError("stopped" if there else "absent", f"{SOCKET}: {error.strerror}") from None
    return road


def _message(text: str) -> str:
    try:
        value = json.loads(text)
        return str(value.get("error") or value["message"]).strip()
    except (ValueError, KeyError, AttributeError):
        return text.strip()


class Docker:
    """The images of a Docker."""

    root = "/var/lib/docker"

    def __init__(self) -> None:
        self.engine = Engine()
        # As C(listing) was at last
        self.listed: dict[str, str] = {}
        # Folders of layers that an image like the asked ones has
        self.bases: list[str] = []

    def get(self, path: str) -> Any:
        """The JSON document at `path`; None when there is none."""
        text = self.engine.ask("GET", path)
        return None if text is None else json.loads(text)

    def listing(self) -> dict[str, str]:
        """Digest of each image's configuration, by its name as Docker shows it."""
        return {name: item["Id"] for item in self.get("/images/json") for name in item["RepoTags"] or ()}

    def containerd(self) -> ContainerdOfDocker | None:
        """The containerd that keeps the images instead of Docker itself, if one does."""
        info = self.get("/info")
        self.root = info.get("DockerRootDir") or self.root
        status = dict(info.get("DriverStatus") or [])
        return ContainerdOfDocker(self, info) if status.get("driver-type") == "io.containerd.snapshotter.v1" else None

    def state(self, names: dict[str, str], digests: list[str], chains: list[str]) -> dict[str, Any]:
        """`layers`: those of `digests` that are images' configurations; `stacks`: those of `chains` that are there; the rest as Containerd's.

        Where a containerd keeps the images it is the one that says so, and C(runtime).
        """
        self.listed = first(self.listing)
        # The configuration names the layers: they need not be asked for
        images: dict[str, Any] = {name: {"ids": [self.listed.get(shown(name))], "layers": None} for name in names}
        if current(names, images):
            return {"layers": [], "stacks": [], "images": images}
        containerd = self.containerd()
        if containerd:
            return {**containerd.state(names, digests, chains), "runtime": containerd}
        ids = {item["Id"] for item in self.get("/images/json?all=1")} - arriving(self.listed)
        stacks: set[str] = set()
        bases: dict[str, None] = {}
        ours = repositories(names)
        alike = {image for name, image in self.listed.items() if name.rpartition(":")[0] in ours}
        for image in ids:
            item = self.get(f"/images/{image}/json") or {"RootFS": {}}
            chain, own = "", set()
            for diff_id in item["RootFS"].get("Layers") or []:
                chain = f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}" if chain else diff_id
                own.add(chain)
            if image in alike or not own.isdisjoint(chains):
                data = (item.get("GraphDriver") or {}).get("Data") or {}
                bases.update(dict.fromkeys(f"{data.get('UpperDir', '')}:{data.get('LowerDir', '')}".split(":")))
            stacks |= own
        self.bases = [folder for folder in bases if folder.startswith(f"{self.root}/")]
        return {
            "layers": [digest for digest in digests if digest in ids],
            "stacks": [chain for chain in chains if chain in stacks],
            "images": self.images(list(names)),
        }

    def inspect(self, name: str) -> dict[str, Any] | None:
        """`ids` and `layers` of an image as Containerd's C(images) has them, and when it was `created`; None when it is not there."""
        item = self.get(f"/images/{name}/json")
        return item and {
            "ids": [item["Id"]],
            "layers": item["RootFS"].get("Layers") or [],
            "created": item.get("Created") or "",
        }

    def images(self, names: list[str]) -> dict[str, Any]:
        """As that of Containerd."""
        return {name: self.inspect(name) for name in names}

    def load(self, names: list[str], direct: bool, pieces: Iterator[bytes]) -> dict[str, Any]:
        """Loads an archive, and says what is there then; Docker proves every layer before it gives the image its name."""
        said = self.engine.ask("POST", "/images/load?quiet=1", pieces) or ""
        for text in said.splitlines():
            if '"error"' in text:
                raise AgentError("failed", _message(text))
        found = self.images(names)
        bad = [name for name, image in found.items() if image is None]
        if bad:
            raise AgentError("corrupt", f"{', '.join(bad)} did not arrive")
        self.listed = {}
        return found

    def remove(self, names: list[str]) -> None:
        """Takes names away; a digest is none here."""
        for name in names:
            if not name.startswith("sha256:"):
                self.engine.ask("DELETE", f"/images/{name}")

    def tag(self, name: str, repository: str, tag: str) -> None:
        """Gives an image one more name."""
        if self.engine.ask("POST", f"/images/{name}/tag?repo={repository}&tag={tag}") is None:
            raise AgentError("failed", f"No such image: {name}")

    def used(self) -> set[str]:
        """Ids of the images of containers, also of those that have ended."""
        return {item["ImageID"] for item in self.get("/containers/json?all=1")}

    def old(self, repositories: list[str], keep: int, names: list[str]) -> list[str]:
        """As that of Containerd; names are as Docker shows them."""
        images = self.listed or self.listing()
        short = {shown(name) for name in repositories}
        tags = {name: image for name, image in images.items() if name.rpartition(":")[0] in short}
        if len(tags) <= keep:
            return []
        kept = {shown(name) for name in names}
        busy = self.used() | {image for name, image in images.items() if name in kept}
        return expired_tags(tags, keep, busy, lambda image: (self.inspect(image) or {"created": ""})["created"])


class ContainerdOfDocker(Containerd):
    """The containerd of a Docker with containerd's image store: Docker sees what comes and goes there at once.

    `info` is what Docker says of itself (L(SystemInfo,https://docs.docker.com/reference/api/engine/), of API 1.46 and later with C(Containerd)).
    """

    # Of the containerd that Docker starts itself, where the system has none, and of the system's
    sockets = ("/run/docker/containerd/containerd.sock", "/run/containerd/containerd.sock")

    def __init__(self, docker: Docker, info: dict[str, Any]) -> None:
        super().__init__()
        self.docker = docker
        about = info.get("Containerd") or {}
        address = about.get("Address") or next(filter(os.path.exists, self.sockets), self.sockets[-1])
        namespace = (about.get("Namespaces") or {}).get("Containers") or "moby"
        self.client = ("ctr", "--address", address, "--namespace", namespace)
        self.checking = self.importing = ("--snapshotter", info["Driver"])
        try:
            said = self.ctr("plugins", "ls", "--detailed", "id==content")
            # ctr 2 imports by a service of containerd that unpacks with overlayfs only; older ones have no other way
            if info["Driver"] != "overlayfs" and "--local" in self.ctr("images", "import", "--help"):
                self.importing += ("--local",)
        except AgentError as error:
            raise AgentError("containerd", str(error)) from None
        found = re.search(r"^ +root +(/.*\S)", said, re.MULTILINE)
        if not found:
            raise AgentError("containerd", "ctr plugins ls --detailed does not name the folder of its content")
        self.folder = found[1]
        self.root = os.path.dirname(self.folder)

    def used(self, images: dict[str, str]) -> set[str]:
        """As Containerd's, by Docker's word: its containers do not tell containerd what they use."""
        return self.docker.used() & set(images.values())


# Files that are here already ---------------------------------------------------------------------------------------------


def files_of(base: str) -> Iterator[tuple[int, str, int]]:
    """Bytes, path and place of each file of a layer, which is a folder or an uncompressed archive."""
    if os.path.isdir(base):
        for folder, _folders, names in os.walk(base):
            for name in names:
                path = os.path.join(folder, name)
                about = os.lstat(path)
                if stat.S_ISREG(about.st_mode):
                    yield about.st_size, path, 0
        return
    with open(base, "rb") as file:
        place = 0
        while True:
            file.seek(place)
            head = file.read(512)
            digits = head[124:136].strip(b" \0")
            if head[257:262] != b"ustar" or not digits.isdigit():
                return
            size = int(digits, 8)
            if head[156:157] in b"0\0":
                yield size, base, place + 512
            place += 512 + (size + 511) // 512 * 512


class Copies:
    """Which of the files `wanted` (L(FILE)s) are in the layers `bases`, and what is in them."""

    def __init__(self, bases: Iterable[str], wanted: bytes) -> None:
        self.places: list[tuple[int, str, int] | None] = []
        lacking: dict[int, dict[bytes, int]] = {}
        for number, (size, digest) in enumerate(FILE.iter_unpack(wanted)):
            self.places.append(None)
            lacking.setdefault(size, {})[digest] = number
        for base in bases:
            # What cannot be read is as if it were not there
            with contextlib.suppress(OSError, ValueError):
                for place in files_of(base):
                    if place[0] in lacking:
                        self._look(place, lacking)
            if not lacking:
                break

    def _look(self, place: tuple[int, str, int], lacking: dict[int, dict[bytes, int]]) -> None:
        hashed = hashlib.sha256()
        for piece in pieces_of(place):
            hashed.update(piece)
        same = lacking[place[0]]
        number = same.pop(hashed.digest()[:16], None)
        if number is not None:
            self.places[number] = place
        if not same:
            del lacking[place[0]]

    def found(self) -> str:
        """A bit for each file, the first one is the lowest of the first byte, in hexadecimal."""
        bits = bytearray((len(self.places) + 7) // 8)
        for number, place in enumerate(self.places):
            bits[number // 8] |= bool(place) << number % 8
        return bits.hex()

    def expand(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The archive of a recipe; AgentError when a file that it names is not there any more."""
        try:
            yield from self._expand(Reading(pieces))
        except (OSError, LookupError, TypeError, struct.error) as error:
            raise AgentError("corrupt", f"a file to be copied: {error}") from None

    def _expand(self, reading: Reading) -> Iterator[bytes]:
        while True:
            head = b"".join(reading.take(STEP.size))
            if not head:
                return
            copied, number = STEP.unpack(head)
            if copied:
                yield from pieces_of(self.places[number])
            else:
                yield from reading.take(number)


def pieces_of(place: tuple[int, str, int]) -> Iterator[bytes]:
    """What is in a file that is here; OSError when it cannot be read, or is shorter than it was."""
    size, path, begin = place
    with open(path, "rb") as file:
        file.seek(begin)
        while size:
            piece = file.read(min(PIECE, size))
            if not piece:
                raise OSError(f"{path} is shorter than it was")
            size -= len(piece)
            yield piece


def gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces."""
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


# What arrives ------------------------------------------------------------------------------------------------------------


class Memory:
    """Chunks that the runtime takes as they come; they are gone with the connection."""

    def __init__(self) -> None:
        self.change = threading.Condition()
        self.chunks: dict[int, bytes] = {}
        self.count = 0
        self.taken = 0
        self.ended = False
        self.lost = False

    def add(self, digest: bytes, data: bytes) -> None:
        """One more chunk, when there is room for it."""
        del digest
        with self.change:
            self.change.wait_for(lambda: self.lost or self.count - self.taken < AHEAD)
            self.chunks[self.count] = data
            self.count += 1
            self.change.notify_all()

    def take(self, index: int) -> bytes:
        """Chunk `index`, which was added and is asked for once."""
        with self.change:
            self.taken = index
            self.change.notify_all()
            return self.chunks.pop(index)

    def end(self, lost: bool = False) -> None:
        """Nothing more comes: because that was all, or because one of the two ends is `lost`."""
        with self.change:
            self.ended = True
            self.lost = self.lost or lost
            self.change.notify_all()

    def pieces(self, codec: str, most: int) -> Iterator[bytes]:
        """The archive for the runtime, as it comes."""
        index = 0
        while True:
            with self.change:
                self.change.wait_for(lambda: self.ended or index < self.count)  # noqa: B023
                if self.lost:
                    raise AgentError("lost", "the connection was lost")
                if index >= self.count:
                    return
            yield decode(codec, self.take(index), most)
            index += 1

    def remove(self) -> None:
        """Nothing is left over."""


class Spool(Memory):
    """Chunks in the file of the archive `key` in a folder, from which a later connection of this or another sender goes on."""

    def __init__(self, folder: str, key: str, sender: str) -> None:
        super().__init__()
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.path = os.path.join(folder, f"{key}.part")
        self._open(sender.encode()[:32].ljust(32))
        self.offsets: list[tuple[int, int]] = []
        self.size = OWNER.size
        self._read_again()

    def _open(self, sender: bytes) -> None:
        until = time.monotonic() + BUSY
        while True:
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.exists(self.path) and os.fstat(self.file).st_ino == os.stat(self.path).st_ino:
                    os.pwrite(self.file, OWNER.pack(sender, os.getpid()), 0)
                    return
            except BlockingIOError:
                head = os.pread(self.file, OWNER.size, 0)
                owner, process = OWNER.unpack(head) if len(head) == OWNER.size else (b"", 0)
                # What is left of this sender's connection that was cut, and does not know it yet
                if owner == sender and process != os.getpid():
                    os.kill(process, signal.SIGKILL)
            os.close(self.file)
            if time.monotonic() > until:
                raise AgentError("busy", f"somebody else sends the same images at this moment, into {self.path}")
            time.sleep(0.1)

    def _read_again(self) -> None:
        """Counts what an earlier connection left, as far as it is whole."""
        while True:
            head = os.pread(self.file, FRAME.size, self.size)
            if len(head) < FRAME.size:
                break
            index, length, digest = FRAME.unpack(head)
            data = os.pread(self.file, length, self.size + FRAME.size)
            if index != self.count or not data or hashlib.sha256(data).digest() != digest:
                break
            self._count(length)
        os.ftruncate(self.file, self.size)

    def _count(self, length: int) -> None:
        self.offsets.append((self.size + FRAME.size, length))
        self.size += FRAME.size + length
        self.count += 1

    def add(self, digest: bytes, data: bytes) -> None:
        """One more chunk, into the file."""
        try:
            _write(self.file, FRAME.pack(self.count, len(data), digest) + data, self.size)
        except OSError as error:
            os.ftruncate(self.file, self.size)
            raise AgentError("failed", f"{self.path}: {(error.strerror or str(error)).lower()}") from None
        with self.change:
            self._count(len(data))
            self.change.notify_all()

    def take(self, index: int) -> bytes:
        """Chunk `index`."""
        return b"".join(self.parts(index))

    def parts(self, index: int) -> Iterator[bytes]:
        """Chunk `index`, in pieces."""
        offset, length = self.offsets[index]
        for begin in range(0, length, PIECE):
            yield os.pread(self.file, min(PIECE, length - begin), offset + begin)

    def remove(self) -> None:
        """The file has done its work."""
        os.unlink(self.path)


def _write(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, offset)
        view, offset = view[done:], offset + done


def sweep(folder: str, keep: str) -> None:
    """Removes what transfers of other archives left; not those that are at work."""
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.endswith(".part") and name != f"{keep}.part":
            path = os.path.join(folder, name)
            file = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
            except BlockingIOError:
                pass
            finally:
                os.close(file)


# Neighbours --------------------------------------------------------------------------------------------------------------


def secured(certificate: str, server: bool) -> Any:
    """A TLS context that shows this certificate (PEM, with its key), and speaks to nobody who has another one."""
    # Who has no neighbours does without it
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | ANY_TIME)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=certificate)
    # The key has no name in any folder
    with tempfile.TemporaryFile("w") as file:
        file.write(certificate)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context


def listener(address: str, port: int) -> socket.socket:
    """A socket that listens where neighbours reach this node: at `address` alone, unless that is translated on the way."""
    road = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        # Of an earlier connection a port may be left that waits for its end
        road.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            road.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            road.bind(("", port))
        road.listen(STRANGERS)
    except OSError:
        road.close()
        raise
    return road


def foreign(address: str) -> bool:
    """Whether another machine may have this address: who has the key shall not reach what is open to this node alone."""
    import ipaddress

    there = ipaddress.ip_address(address)
    there = getattr(there, "ipv4_mapped", None) or there
    return not (
        there.is_loopback or there.is_link_local or there.is_multicast or there.is_unspecified or there.is_reserved
    )


class Neighbourhood:
    """Gives the chunks of a spool to neighbours until it is closed, and fetches theirs. C(port) is 0 where nobody can be served."""

    def __init__(self, spool: Spool, certificate: str, address: str, port: int) -> None:
        self.spool = spool
        self.port = 0
        self.asking: Any = None
        self._road: socket.socket | None = None
        self._strangers: list[Any] = []
        self._guests = threading.Semaphore(GUESTS)
        # What this node's Python or network refuses is done without
        with contextlib.suppress(OSError, ImportError, ValueError, AttributeError):
            self.asking = secured(certificate, False)
            self._answering = secured(certificate, True)
            self._road = listener(address, port)
            self.port = self._road.getsockname()[1]
            threading.Thread(target=self._accept, args=(self._road,), daemon=True).start()

    def close(self) -> None:
        """Nothing listens any more."""
        if self._road:
            # Only that wakes who waits for a connection
            with contextlib.suppress(OSError):
                self._road.shutdown(socket.SHUT_RDWR)
            self._road.close()

    def stay(self) -> None:
        """Returns when the sender says so, by closing the connection, or is silent for too long."""
        with contextlib.suppress(AgentError):
            while read(1):
                pass

    def _accept(self, road: socket.socket) -> None:
        while True:
            try:
                accepted, _address = road.accept()
                accepted.settimeout(GREETING)
                guest = self._answering.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
            except OSError:
                if road.fileno() < 0:
                    return
                # One that came and went, or no descriptor is left
                time.sleep(0.05)
                continue
            self._strangers.append(guest)
            if len(self._strangers) > STRANGERS:
                # Its thread notices, and closes it
                with contextlib.suppress(OSError, IndexError):
                    socket.socket.shutdown(self._strangers.pop(0), socket.SHUT_RDWR)
            threading.Thread(target=self._answer, args=(guest,), daemon=True).start()

    def _answer(self, guest: Any) -> None:
        # What goes wrong with a guest is the guest's affair
        with guest, contextlib.suppress(OSError, ValueError, struct.error, LookupError):
            try:
                guest.do_handshake()
            finally:
                with contextlib.suppress(ValueError):
                    self._strangers.remove(guest)
            if not self._guests.acquire(blocking=False):
                return
            try:
                until = time.monotonic() + SERVING
                (index,) = ASK.unpack(guest.recv(ASK.size))
                for part in self.spool.parts(index):
                    guest.settimeout(max(0.01, until - time.monotonic()))
                    guest.sendall(part)
            finally:
                self._guests.release()

    def fetch(self, index: int, digest: bytes) -> bytes | None:
        """The chunk, as the FETCH that is read says; or None, and the sender is told why: C(away), C(slow) or C(false)."""
        length, port, seconds, padded = FETCH.unpack(exactly(FETCH.size))
        address = padded.rstrip(b"\0").decode("ascii", "replace")
        if installed() and not foreign(address):
            raise AgentError("refused", f"{address} is the address of no neighbour")
        why, data = "away", bytearray()
        until = time.monotonic() + seconds
        with contextlib.suppress(OSError, AttributeError):
            road = socket.create_connection((address, port), min(DIAL, seconds))
            with road, self.asking.wrap_socket(road) as host:
                host.sendall(ASK.pack(index))
                why = "slow"
                while len(data) < length:
                    host.settimeout(max(0.01, until - time.monotonic()))
                    part = host.recv(min(PIECE, length - len(data)))
                    if not part:
                        why = "away"
                        break
                    data += part
                else:
                    if hashlib.sha256(data).digest() == digest:
                        return bytes(data)
                    why = "false"
        tell({"need": index, "why": why})
        return None


def read(size: int) -> bytes:
    """So many bytes of standard input; fewer at its end. AgentError when the sender is silent for too long."""
    parts: list[bytes] = []
    while size:
        signal.alarm(SILENCE)
        part = sys.stdin.buffer.read(min(PIECE, size))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    signal.alarm(0)
    return b"".join(parts)


def exactly(size: int) -> bytes:
    """So many bytes of standard input, and no fewer."""
    data = read(size)
    if len(data) < size:
        raise AgentError("lost", "the connection was lost")
    return data


def silent(*_unused: object) -> None:
    """What happens when nothing was heard for too long."""
    raise AgentError("lost", f"nothing was heard for {SILENCE} s")


def line() -> Any:
    """The next line of standard input; None at its end."""
    text = sys.stdin.buffer.readline(LINE)
    return json.loads(text) if text.endswith(b"\n") else None


def tell(value: object) -> None:
    """Says one thing to the other end."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


class Reading:
    """Bytes from `pieces`, some at a time."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces
        self.left = b""

    def take(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes."""
        while size > 0:
            piece = self.left or next(self.pieces, b"")
            if not piece:
                return
            self.left = piece[size:]
            size -= len(piece) - len(self.left)
            yield piece[: len(piece) - len(self.left)]

    def rest(self) -> Iterator[bytes]:
        """All that is left."""
        if self.left:
            yield self.left
        yield from self.pieces


def load(runtime: Any, order: dict[str, Any], pieces: Iterator[bytes]) -> dict[str, Any]:
    """Loads what arrives: lower layers, which the runtime unpacks while the rest is on its way, and then the images."""
    if "platform" in order and isinstance(runtime, Containerd):
        runtime.importing += ("--platform", order["platform"])
    reading = Reading(pieces)
    passing = [name for _size, *names in order["parts"] for name in names]
    before = left(runtime.listed, order["names"])
    # When it fails; containerd's half that serves a kubelet may have named an image that is not whole
    gone = passing + [digest for digest in order["digests"] if digest not in runtime.listed]
    try:
        for size, name, _digest in order["parts"]:
            part = reading.take(size)
            runtime.load([name], True, part)
            # It may not have read to the end
            for _piece in part:
                pass
        found: dict[str, Any] = runtime.load(order["names"], order["whole"], reading.rest())
        gone = passing + before
        return found
    finally:
        # What is there, or why it is not, matters more; the next transfer tries again
        with contextlib.suppress(AgentError):
            runtime.remove(gone)


def left(listed: dict[str, str], names: list[str]) -> list[str]:
    """Names under which something for the repositories of `names` arrived when the power went: they would keep its layers for ever."""
    ours = repositories(names)
    incoming = [name for name in listed if name.endswith(INCOMING) and shown(name).rpartition(":")[0] in ours]
    digests = {listed[name] for name in incoming} & arriving(listed)
    return incoming + [name for name, digest in listed.items() if name.startswith("sha256:") and digest in digests]


def receive(runtime: Any, order: dict[str, Any], copies: Copies | None, after: contextlib.ExitStack) -> dict[str, Any]:
    """Reads archives and loads them; what the runtime has then. What is left to do when that was told goes to `after`.

    `order`: C(spool), C(key) (empty: no spool), C(sender), C(names), C(digests) (of their configurations), C(whole), C(codec), C(chunk), C(recipe) (whether
    what arrives is one), C(platform) where it is not this processor's, and C(parts): of each archive of lower layers the bytes, the image's name, and its
    configuration's digest. Where neighbours take the same, C(relay) has the C(certificate), and the C(address) and C(port) for them.
    """
    spool = Spool(order["spool"], order["key"], order["sender"]) if order["key"] else None
    chunks = spool or Memory()
    near = Neighbourhood(spool, **order["relay"]) if spool and order.get("relay") else None
    trouble: list[BaseException] = []
    found: dict[str, Any] = {}

    def work() -> None:
        try:
            pieces = chunks.pieces(order["codec"], order["chunk"])
            if copies and order["recipe"]:
                pieces = gathered(copies.expand(pieces))
            found.update(load(runtime, order, pieces))
        except BaseException as error:
            trouble.append(error)
            chunks.end(lost=True)

    loading = threading.Thread(target=work)
    loading.start()
    try:
        if spool:
            tell({"have": chunks.count, **({"port": near.port} if near else {})})
        while not trouble and read_chunk(chunks, near):
            tell({"at": chunks.count})
        chunks.end()
        loading.join()
        if trouble:
            raise trouble[0]
        if near:
            after.callback(chunks.remove)
            after.callback(near.close)
            after.callback(near.stay)
        else:
            chunks.remove()
    except BaseException as error:
        if near:
            near.close()
        chunks.end(lost=True)
        loading.join()
        # What the runtime, or the disk, refused would be refused again
        if getattr(error, "code", "") in ("corrupt", "failed"):
            chunks.remove()
        raise
    return found


def read_chunk(chunks: Memory, near: Neighbourhood | None) -> bool:
    """Reads the next chunk, or fetches it from a neighbour, and proves it; False at the end of the archive."""
    data = None
    while data is None:
        index, length, digest = FRAME.unpack(exactly(FRAME.size))
        if not length:
            return False
        if near and length == ELSEWHERE:
            data = near.fetch(index, digest)
        elif not (near and length == LATER):
            data = exactly(length)
    if index != chunks.count or hashlib.sha256(data).digest() != digest:
        raise AgentError("damaged", f"chunk {index} of {length} bytes is not the one that was sent")
    chunks.add(digest, data)
    return True


def app_states(name: str, folder: str) -> list[str]:
    """Archives in the folder of the app of which C(name) is one state, the newest first."""
    if not _APP.fullmatch(name):
        raise AgentError("refused", f"{name[:80]!r} is no name of an app")
    first = name.partition("@")[0] + "@"
    there = os.listdir(folder) if os.path.isdir(folder) else []
    states = [os.path.join(folder, each) for each in there if each.startswith(first) and each.endswith(".zip")]
    return sorted(states, key=lambda each: os.stat(each).st_mtime_ns, reverse=True)


def lacks_app(app: dict[str, str], folder: str = APPS) -> bool:
    """Whether the archive with the digest C(digest) is not C(name) in the folder, or not the newest of its app."""
    states = app_states(app["name"], folder)
    return states[:1] != [os.path.join(folder, f"{app['name']}.zip")] or file_digest(states[0]) != app["digest"]


def keep_app(app: dict[str, str], folder: str = APPS) -> None:
    """Puts the archive C(data) (Base64) as C(name) into the folder, as the newest of its app."""
    states = app_states(app["name"], folder)
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o755)
    path = os.path.join(folder, f"{app['name']}.zip")
    with open(f"{path}.new", "wb") as file:
        file.write(base64.b64decode(app["data"]))
        os.fchmod(file.fileno(), 0o644)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.new", path)
    for each in [other for other in states if other != path][KEPT_APPS - 1 :]:
        os.unlink(each)


def file_digest(path: str) -> str:
    """SHA-256 of a file, as hex digits."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def installed() -> str:
    """Digest of this program's file; empty where it came over the wire."""
    path = globals().get("__file__")
    return file_digest(path) if path else ""


def check(asked: dict[str, Any]) -> None:
    """AgentError when a request or an order is one that no honest sender has: who has the key may ship images, and nothing else."""
    words = [name for key in ("names", "digests", "chains", "repositories") for name in asked.get(key, ())]
    words += [name for part in asked.get("parts", ()) for name in part[1:]]
    if not all(isinstance(word, str) and _NAME.fullmatch(word) for word in words):
        raise AgentError("refused", "a name is none of an image")
    if asked["spool"] != SPOOL or not _KEY.fullmatch(asked.get("key", "")):
        raise AgentError("refused", f"what arrives is kept in {SPOOL} and nowhere else")
    if not _PLATFORM.fullmatch(str(asked.get("platform", "linux/any"))):
        raise AgentError("refused", "a platform is none of an image")
    relay = asked.get("relay")
    kinds = {"certificate": str, "address": str, "port": int}
    sound = isinstance(relay, dict) and {name: type(value) for name, value in relay.items()} == kinds
    if relay is not None and not (sound and (relay["port"] == 0 or 1024 <= relay["port"] < 65536)):
        raise AgentError("refused", "chunks are given to neighbours at a port from 1024 on")


def question(count: Any) -> bytes:
    """The files that are asked for, so many."""
    if not isinstance(count, int) or not 0 <= count <= FILES:
        raise AgentError("refused", f"no more than {FILES} files can be asked for")
    return exactly(count * FILE.size)


def architecture_here() -> str:
    """The processor's, as images name it."""
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def free(path: str) -> dict[str, Any]:
    """Bytes that are free where `path` is, or will be, and on which device that is."""
    there = path
    while not os.path.exists(there):
        there = os.path.dirname(there)
    room = os.statvfs(there)
    return {"path": path, "free": room.f_bavail * room.f_frsize, "device": os.stat(there).st_dev}


def look(runtime: Any, request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The runtime that is there in fact, and what the node has of what a request asks for."""
    state = runtime.state(request["names"], request["digests"], request["chains"])
    runtime = state.pop("runtime", runtime)
    state["bases"] = len(runtime.bases)
    state["arch"] = architecture_here()
    state["rooms"] = [free(runtime.root), free(request["spool"])]
    state["app"] = bool(request.get("app")) and lacks_app(request["app"])
    if not current(request["names"], state["images"]):
        state["codecs"] = ["zstd", "zlib", "none"] if zstd() else ["zlib", "none"]
    return runtime, state


def converse(after: contextlib.ExitStack) -> None:
    """Reads a request (C(runtime), C(names), C(digests), C(chains), C(spool), C(app), C(agent)) and an order (see C(receive)) with C(keep), C(repositories)
    and C(app).

    A request without C(runtime) is answered with the digest of this program.
    """
    request = line()
    if request is None:
        return
    own = installed()
    if "runtime" not in request:
        tell({"agent": own})
        return
    if own:
        if request.get("agent") != own:
            raise AgentError("version", "another program is installed than the one that is asked for")
        check(request)
    runtime: Any = Docker() if request["runtime"] == "docker" else Containerd()
    runtime, state = look(runtime, request)
    tell(state)
    order, copies = line(), None
    if order and "files" in order:
        copies = Copies(runtime.bases, question(order["files"]))
        tell({"found": copies.found()})
        order = line()
    if order is None:
        return
    if own:
        check(order)
    if not order["check"]:
        sweep(order["spool"], order["key"])
    found = receive(runtime, order, copies, after) if order["names"] and not order["check"] else {}
    old = runtime.old(order["repositories"], order["keep"], request["names"]) if order["keep"] else []
    if old and not order["check"]:
        runtime.remove(old)
    if order.get("app"):
        keep_app(order["app"])
    tell({"images": found, "removed": old})


def main() -> None:
    """One connection, and what is left to do for neighbours when all was said."""
    signal.signal(signal.SIGALRM, silent)
    with contextlib.ExitStack() as after:
        try:
            converse(after)
        except AgentError as error:
            tell({"error": error.code, "reason": str(error)})


if __name__ == "__main__":
    main()
