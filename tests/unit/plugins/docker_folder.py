"""A folder like Docker's own, with images of a few small layers, and a stand-in for containerd's C(ctr): for tests without either."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any, Dict
from urllib.parse import unquote

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import without_prefix
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.layers import chain_ids

Files = Dict[str, bytes]


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _archive(files: Files) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _config(diff_ids: list[str], created: str, architecture: str = "amd64") -> bytes:
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    return json.dumps({"architecture": architecture, "os": "linux", "created": created, "rootfs": rootfs}).encode()


class DockerFolder:
    """C(root) is what Docker calls its root directory; `images` is what Docker says of each, by name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images: dict[str, dict[str, Any]] = {}

    def add(self, name: str, layers: list[Files], created: str = "2030-01-01T00:00:00Z") -> dict[str, Any]:
        """An image of layers, each a dict from file name to content."""
        archives = [_archive(files) for files in layers]
        diff_ids = [sha256(archive) for archive in archives]
        for archive, diff_id, chain, files in zip(archives, diff_ids, chain_ids(diff_ids), layers):
            self._layer(archive, diff_id, without_prefix(chain, "sha256:"), files)
        config = _config(diff_ids, created)
        place = self.root / "image/overlay2/imagedb/content/sha256" / without_prefix(sha256(config), "sha256:")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(config)
        self.images[name] = {
            "Id": sha256(config),
            "RepoTags": [name],
            "Architecture": "amd64",
            "Size": sum(map(len, archives)),
            "RootFS": {"Type": "layers", "Layers": diff_ids},
            "GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": f"{self.root}/overlay2/top/diff"}},
        }
        return self.images[name]

    def get(self, path: str) -> Any:
        """Stands for the agent's C(Docker)."""
        return self.images.get(unquote(path)[len("/images/") : -len("/json")])

    def containerd(self) -> Any:
        """As that of the agent's: no containerd keeps the images."""
        return None

    def _layer(self, archive: bytes, diff_id: str, chain: str, files: Files) -> None:
        folder = self.root / "image/overlay2/layerdb/sha256" / chain
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "diff").write_text(diff_id)
        (folder / "cache-id").write_text(chain)
        content = self.root / "overlay2" / chain / "diff"
        for name, data in files.items():
            (content / name).parent.mkdir(parents=True, exist_ok=True)
            (content / name).write_bytes(data)
        content.mkdir(parents=True, exist_ok=True)
        entries: list[dict[str, Any]] = []
        end = 0
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            for member in members:
                entries.append({"type": 2, "payload": base64.b64encode(archive[end : member.offset_data]).decode()})
                entries.append({"type": 1, "name": member.name, "size": member.size, "payload": "AAAAAAAAAAA="})
                end = member.offset_data + member.size
        entries.append({"type": 2, "payload": base64.b64encode(archive[end:]).decode()})
        with gzip.open(folder / "tar-split.json.gz", "wt") as lines:
            for position, entry in enumerate(entries):
                lines.write(json.dumps({**entry, "position": position}) + "\n")


class ContentFolder(DockerFolder):
    """As DockerFolder, of a Docker with containerd's image store: C(root) is that one's folder of content."""

    def add(
        self, name: str, layers: list[Files], created: str = "2030-01-01T00:00:00Z", level: int = 9
    ) -> dict[str, Any]:
        """As BuildKit does: an index with the image, where it came from, and the same for another processor, which is not here."""
        archives = [_archive(files) for files in layers]
        diff_ids = [sha256(archive) for archive in archives]
        blobs = [gzip.compress(archive, level, mtime=0) for archive in archives]
        # One by its older name
        kinds = ["application/vnd.docker.image.rootfs.diff.tar.gzip"] + [
            "application/vnd.oci.image.layer.v1.tar+gzip"
        ] * len(blobs)
        described = [self._put(kind, blob) for kind, blob in zip(kinds, blobs)]
        image = self._manifest(_config(diff_ids, created), described)
        origin = self._manifest(
            _config([sha256(b"in-toto")], created, "unknown"), [self._put("application/vnd.in-toto+json", b"{}")]
        )
        other = {**image, "digest": sha256(b"elsewhere"), "platform": {"architecture": "arm64"}}
        index = self._put("", json.dumps({"schemaVersion": 2, "manifests": [other, origin, image]}).encode())
        self.images[name] = {
            "Id": index["digest"],
            "RepoTags": [name],
            "Architecture": "amd64",
            "Size": 1,
            "RootFS": {"Type": "layers", "Layers": diff_ids},
            "GraphDriver": {"Name": "overlayfs", "Data": None},
        }
        return self.images[name]

    def containerd(self) -> Any:
        """Stands for the agent's ContainerdOfDocker."""
        return self

    @property
    def folder(self) -> str:
        return str(self.root)

    def path(self, digest: str) -> Path:
        """The file of what has this digest."""
        return self.root / "blobs" / digest.replace(":", "/")

    def blobs(self, name: str) -> list[dict[str, Any]]:
        """What the manifest of an image says of its layers."""
        index = json.loads(self.path(self.images[name]["Id"]).read_text())
        found: list[dict[str, Any]] = json.loads(self.path(index["manifests"][-1]["digest"]).read_text())["layers"]
        return found

    def _manifest(self, config: bytes, layers: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "application/vnd.oci.image.manifest.v1+json"
        about = {"schemaVersion": 2, "mediaType": kind, "config": self._put("", config), "layers": layers}
        return self._put(kind, json.dumps(about).encode())

    def _put(self, kind: str, data: bytes) -> dict[str, Any]:
        path = self.path(sha256(data))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return {"mediaType": kind, "digest": sha256(data), "size": len(data)}


# What C(ctr) does, as far as the agent uses it, with a folder for its content and one for its images.
CTR = (
    f"#!{sys.executable} -IS"
    + """
import json, os, sys
home = os.environ["FAKE_CONTAINERD"]
if os.path.exists(home + "/stopped"):
    sys.exit("ctr: failed to dial: connect: no such file or directory")
content, images = home + "/content/", home + "/images.json"
os.makedirs(content, exist_ok=True)
known = json.load(open(images)) if os.path.exists(images) else {}
words = sys.argv[1:]
for option in ("--address", "--namespace", "--snapshotter"):
    if option in words:
        position = words.index(option)
        print(*[word for word in sys.argv if word in ("check", "import")], *words[position : position + 2], file=open(home + "/options", "a"))
        del words[position : position + 2]
def blob(digest):
    return open(content + digest, "rb").read()
def put(data):
    import hashlib
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    open(content + digest, "wb").write(data)
    return digest
def parts(digest):
    manifest = json.loads(blob(digest))
    return [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
wanted = [word[6:] for word in words if word.startswith("name==")]
listed = [name for name in known if not wanted or name in wanted]
if words[:2] == ["content", "ls"]:
    print("DIGEST SIZE AGE LABELS")
    for digest in os.listdir(content):
        data = blob(digest)
        children = parts(digest) if data.startswith(b"{") and b'"layers":[' in data else []
        labels = ["containerd.io/gc.ref.content.l.%d=%s" % pair for pair in enumerate(children)]
        print(digest, "1kB", "About an hour", ",".join(labels) or "containerd.io/uncompressed=" + digest)
elif words[:2] == ["content", "get"]:
    sys.stdout.buffer.write(blob(words[2]))
elif words[:2] == ["plugins", "ls"]:
    print("Type:         io.containerd.content.v1")
    print("ID:           content")
    print("Exports:     ")
    print("              root      " + home + "/io.containerd.content.v1.content")
elif words[:2] == ["images", "ls"]:
    quiet = "--quiet" in words
    if not quiet:
        print("REF TYPE DIGEST SIZE PLATFORMS LABELS")
    for name in listed:
        print(name if quiet else name + " application/x " + known[name] + " 1.0 MiB linux/amd64 -")
elif words[:2] == ["images", "check"]:
    print("REF TYPE DIGEST STATUS SIZE UNPACKED")
    for name in listed:
        need = parts(known[name])
        there = [digest for digest in need if os.path.exists(content + digest)]
        state = "complete" if len(there) == len(need) else "incomplete"
        print(name, "application/x", known[name], state, "(%d/%d)" % (len(there), len(need)), "1.0 MiB/1.0 MiB", str(len(there) == len(need)).lower())
elif words[:3] == ["images", "import", "--help"]:
    print("--local" if os.path.exists(home + "/transfer") else "--no-unpack")
elif words[:2] == ["images", "import"]:
    if os.path.exists(home + "/transfer"):
        words.remove("--local")
    import tarfile
    blobs = {}
    try:
        with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
            for member in archive:
                blobs[member.name] = put(archive.extractfile(member).read())
    except tarfile.TarError as error:
        sys.exit("ctr: unexpected EOF: %s" % error)
    if "index.json" not in blobs:
        sys.exit("ctr: unrecognized image format")
    for entry in json.loads(blob(blobs["index.json"]))["manifests"]:
        known[entry["annotations"]["io.containerd.image.name"]] = entry["digest"]
        if os.path.exists(home + "/kubelet"):
            known[parts(entry["digest"])[0]] = entry["digest"]
    json.dump(known, open(images, "w"))
    if os.path.exists(home + "/full"):
        sys.exit("ctr: no space left on device")
    for entry in json.loads(blob(blobs["index.json"]))["manifests"]:
        for digest in parts(entry["digest"]):
            if not os.path.exists(content + digest):
                sys.exit("ctr: content digest " + digest + ": not found")
elif words[:2] == ["images", "tag"]:
    source, target = [word for word in words[2:] if word != "--force"]
    known[target] = known[source]
    json.dump(known, open(images, "w"))
elif words[:3] == ["images", "rm", "--sync"]:
    for name in words[3:]:
        known.pop(name, None)
    json.dump(known, open(images, "w"))
elif words[:2] == ["containers", "ls"]:
    print("CONTAINER IMAGE RUNTIME")
    if os.path.exists(home + "/containers"):
        print(open(home + "/containers").read())
else:
    sys.exit("ctr: what is %r?" % words)
"""
)


class Containerd:
    """The stand-in's state, for tests to look at and to spoil."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.program = home / "bin/ctr"
        self.program.parent.mkdir(parents=True)
        self.program.write_text(CTR)
        self.program.chmod(0o755)

    @property
    def images(self) -> dict[str, str]:
        """Digest of the manifest by name."""
        path = self.home / "images.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def content(self) -> set[str]:
        return {path.name for path in (self.home / "content").glob("*")}

    def stop(self) -> None:
        (self.home / "stopped").touch()

    def serve_a_kubelet(self) -> None:
        """From now on each image that is imported gets its configuration's digest as a second name."""
        (self.home / "kubelet").touch()
