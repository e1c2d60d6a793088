"""image_ship: what is read from Docker's folder, what is planned, what goes over the wire, and what the node has afterwards."""

from __future__ import annotations

import ast
import base64
import gzip
import hashlib
import io
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from unit.plugins.docker_api import DockerApi
from unit.plugins.docker_folder import Containerd, ContentFolder, DockerFolder, sha256

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import without_prefix
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.archive import Archive
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.layers import (
    Image,
    LayerStore,
    StoredLayer,
    UnreadableError,
    chain_ids,
    full_name,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import agent, link
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import copies as _copies
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import plan as _plan
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import source as _source
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import transfer as _transfer
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.chunks import ChunkedArchive, Limit
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.copies import Catalogue
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.fleet import Fleet
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.link import (
    Target,
    explain_agent,
    explain_ssh,
    ssh_command,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.plan import (
    MISSING,
    UP_TO_DATE,
    Settings,
    Shipment,
    check_room,
    load_order,
    plan,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.program import OF_SITES, OF_TYPES, packed
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.progress import Counter, lines
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.source import Source, make_shipment
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.transfer import SharedArchives
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import parse_nodes
from ansible_collections.edgefl.kubeedge.plugins.modules.image_ship import target
from support.helpers import LINK

BASE = {"bin/sh": b"shell" * 300, "etc/os": b"debian"}
PACKAGES = {"lib/flwr.py": bytes(range(256)) * 40}
NAME = "kubeedge/fashion-mnist-client:v1.0.0"
FULL = f"docker.io/{NAME}"
NOISE = os.urandom(9000)


@pytest.fixture
def docker(tmp_path: Path) -> DockerFolder:
    folder = DockerFolder(tmp_path / "docker")
    folder.add(NAME, [BASE, PACKAGES, {"app/model.py": b"old"}])
    return folder


@pytest.fixture
def containerd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Containerd:
    fake = Containerd(tmp_path / "containerd")
    monkeypatch.setenv("PATH", str(fake.program.parent), prepend=":")
    monkeypatch.setenv("FAKE_CONTAINERD", str(fake.home))
    # Disk of the machine that runs the tests is none of their business
    monkeypatch.setattr(_plan, "SPARE", 0)
    monkeypatch.setattr(_plan, "SPOOL", str(tmp_path / "spool"))
    return fake


# Stands for C(ssh): runs the command here. The file C(spoil) beside it has a line for each connection: after how many bytes it is cut, or which byte
# is flipped; it keeps in C(passed) how many bytes each let through.
SSH = (
    f"#!{sys.executable} -IS"
    + """
import os, signal, subprocess, sys
home = os.path.dirname(os.path.abspath(__file__))
lines = open(home + "/spoil").read().splitlines() if os.path.exists(home + "/spoil") else []
what, position = (lines[0].split() + ["0"])[:2] if lines else ("", "0")
open(home + "/spoil", "w").write("\\n".join(lines[1:]))
if what == "away":
    sys.exit("ssh: connect to host edge1 port 22: Connection refused")
print("Welcome", flush=True)
child = subprocess.Popen(["bash", "-c", sys.argv[-1]], stdin=subprocess.PIPE)
passed = 0
while data := bytearray(os.read(0, 65536)):
    if what == "cut" and passed + len(data) > int(position):
        data = data[: int(position) - passed]
    if what == "flip" and passed <= int(position) < passed + len(data):
        data[int(position) - passed] ^= 1
    try:
        child.stdin.write(data)
        child.stdin.flush()
    except BrokenPipeError:
        break
    passed += len(data)
    if what == "cut" and passed == int(position):
        break
with open(home + "/passed", "a") as file:
    file.write("%d\\n" % passed)
child.stdin.close()
code = child.wait()
sys.exit("client_loop: send disconnect: Connection reset by peer" if what == "cut" and passed == int(position) else code)
"""
)
LOCAL = Target("here", "containerd")
REMOTE = Target("edge1", "containerd", "edge1", "root", become=False)


class Ssh:
    """The stand-in of C(ssh)."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        (home / "ssh").write_text(SSH)
        (home / "ssh").chmod(0o755)

    def spoil(self, *lines: str) -> None:
        (self.home / "spoil").write_text("\n".join(lines))

    @property
    def passed(self) -> list[int]:
        """Bytes that each connection let through."""
        return [int(line) for line in (self.home / "passed").read_text().split()]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    stand_in = Ssh(tmp_path / "ssh")
    monkeypatch.setattr(_transfer, "ssh_command", lambda *_unused: [str(stand_in.home / "ssh")])
    monkeypatch.setattr(_transfer, "PATIENCE", 0.01)
    return stand_in


def source(docker: DockerFolder) -> Source:
    return Source(cast("agent.Docker", docker))


def run(docker: DockerFolder, *names: str, targets: tuple[Target, ...] = (LOCAL,), **settings: Any) -> dict[str, Any]:
    wanted = [(target, list(names or (NAME,))) for target in targets]
    return Fleet(source(docker), wanted, Settings(**settings)).run()


def send(docker: DockerFolder, *names: str, target: Target = LOCAL, **settings: Any) -> dict[str, Any]:
    """The result of the one target, which succeeded."""
    node: dict[str, Any] = run(docker, *names, targets=(target,), **settings)["nodes"][target.name]
    assert not node["failed"], node["msg"]
    return node


def refused(docker: DockerFolder, *names: str, target: Target = LOCAL, **settings: Any) -> str:
    """The message of the one target, which failed."""
    node: dict[str, Any] = run(docker, *names, targets=(target,), **settings)["nodes"][target.name]
    assert (node["failed"], node["changed"]) == (True, False)
    return str(node["msg"])


def layers(docker: DockerFolder, name: str = NAME) -> list[str]:
    return list(docker.images[name]["RootFS"]["Layers"])


# Reading layers --------------------------------------------------------------------------------------------------------


def test_a_layer_is_put_together_byte_for_byte(docker: DockerFolder) -> None:
    store = LayerStore(str(docker.root), "overlay2")
    for diff_id, chain in zip(layers(docker), chain_ids(layers(docker))):
        layer = store.layer(chain, diff_id)
        data = b"".join(layer.read())
        assert sha256(data) == diff_id
        assert layer.size == len(data)


@pytest.mark.parametrize("content", [b"shell" * 299, b"SHELL" * 300])
def test_a_file_that_was_changed_is_noticed(docker: DockerFolder, content: bytes) -> None:
    store = LayerStore(str(docker.root), "overlay2")
    layer = store.layer(layers(docker)[0], layers(docker)[0])
    (layer.files / "bin/sh").write_bytes(content)
    with pytest.raises(UnreadableError, match=r"shorter than|were changed"):
        list(layer.read())


def test_a_docker_that_keeps_layers_otherwise_is_told(docker: DockerFolder) -> None:
    with pytest.raises(UnreadableError, match="zfs"):
        LayerStore(str(docker.root), "zfs")
    with pytest.raises(UnreadableError, match="is not in"):
        LayerStore(str(docker.root / "elsewhere"), "overlay2").config(docker.images[NAME]["Id"])


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("kubeedge/x:v1", "docker.io/kubeedge/x:v1"),
        ("localhost/x:v1", "localhost/x:v1"),
        ("registry.example:5000/x", "registry.example:5000/x:latest"),
        ("registry.example/a/b:c", "registry.example/a/b:c"),
    ],
)
def test_full_names(name: str, full: str) -> None:
    assert full_name(name) == full


# Plans -----------------------------------------------------------------------------------------------------------------


def image(*diff_ids: str, digest: str = "sha256:config") -> Image:
    return Image(NAME, digest, diff_ids, "amd64", 100, diff_ids)


def state(**more: Any) -> dict[str, Any]:
    return {"layers": [], "stacks": [], "images": {FULL: None}, **more}


def stacks(*diff_ids: str) -> list[str]:
    return chain_ids(list(diff_ids))


@pytest.mark.parametrize(
    ("there", "reason", "missing"),
    [
        (state(), MISSING, (0, 1, 2)),
        (state(layers=["a", "b"]), "1 of 3 layers differ", (2,)),
        (state(layers=["c"]), "2 of 3 layers differ", (0, 1)),
        (state(layers=["a", "b", "c"]), "same layers, another configuration", ()),
        (state(layers=["a", "b", "c", "sha256:config"]), "only its name is missing", ()),
        (state(layers=["sha256:config"], stacks=stacks("a", "b", "c")), "only its name is missing", ()),
        (state(stacks=stacks("a", "b", "c")), "same layers, another configuration", ()),
        # Docker has layers in stacks only: c is there, but on another b
        (state(stacks=stacks("a", "b") + stacks("a", "x", "c")), "1 of 3 layers differ", (2,)),
        (state(stacks=stacks("b", "c")), MISSING, (0, 1, 2)),
        (state(images={FULL: {"ids": ["sha256:m", "sha256:config"], "layers": ["a", "b", "c"]}}), UP_TO_DATE, ()),
        (state(images={FULL: {"ids": ["sha256:other"], "layers": ["a", "b", "c"]}}), MISSING, (0, 1, 2)),
        (state(images={FULL: {"ids": ["sha256:config"], "layers": ["a", "b"]}}, layers=["a", "b"]), "1 of 3 layers differ", (2,)),
    ],
)  # fmt: skip
def test_plan(there: dict[str, Any], reason: str, missing: tuple[int, ...]) -> None:
    step = plan([image("a", "b", "c")], there)[0]
    assert (step.reason, step.missing) == (reason, missing)
    assert step.needed == (reason != UP_TO_DATE)


def test_layers_that_two_images_share_are_sent_once(docker: DockerFolder) -> None:
    docker.add("kubeedge/aggregator:v1", [BASE, {"app/aggregator.py": b"x"}])
    here = source(docker)
    images = here.images([NAME, "kubeedge/aggregator:v1"])
    cargo = make_shipment(here, plan(images, state(images={})))
    with tarfile.open(fileobj=io.BytesIO(b"".join(cargo.pieces()))) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    assert len([name for name in names if name.startswith("blobs/")]) == 4 + 2 + 2
    # An archive that was cut off must not name an image
    assert names[-2:] == ["index.json", "manifest.json"]
    assert cargo.sent["kubeedge/aggregator:v1"] < images[1].size


def test_layers_that_are_kept_compressed_are_known_by_their_own_digests() -> None:
    kept = Image(NAME, "sha256:config", ("a", "b"), "amd64", 100, ("za", "zb"))
    assert plan([kept], state(layers=["za"]))[0].missing == (1,)
    # Docker has what they unpack to
    assert plan([kept], state(stacks=stacks("a")))[0].missing == (1,)
    assert plan([kept], state(layers=["a", "b"]))[0].missing == (0, 1)


# The whole way, to a stand-in of containerd -----------------------------------------------------------------------------


def test_first_time_again_and_after_a_change(docker: DockerFolder, containerd: Containerd) -> None:
    first = send(docker)
    assert (first["changed"], first["whole"], first["images"][0]["reason"]) == (True, False, MISSING)
    assert first["bytes"] > first["images"][0]["bytes"] > 10_000
    assert list(containerd.images) == [FULL]
    assert set(layers(docker)) | {docker.images[NAME]["Id"]} <= containerd.content

    again = send(docker)
    assert (again["changed"], again["bytes"], again["images"][0]["reason"]) == (False, 0, UP_TO_DATE)

    docker.add(NAME, [BASE, PACKAGES, {"app/model.py": b"new"}])
    changed = send(docker)
    assert changed["images"][0]["reason"] == "1 of 3 layers differ"
    assert changed["images"][0]["layers_sent"] == 1
    assert changed["bytes"] < first["bytes"] / 1.4
    assert list(containerd.images) == [FULL]
    assert set(layers(docker)) <= containerd.content


def test_check_mode_sends_nothing(docker: DockerFolder, containerd: Containerd) -> None:
    would = send(docker, check_mode=True)
    assert (would["changed"], would["bytes"], would["images"][0]["reason"]) == (True, 0, MISSING)
    assert would["images"][0]["bytes"] > 10_000
    assert containerd.images == {}


@pytest.mark.parametrize("spoil", ["flip", "cut"])
def test_what_is_read_wrongly_gets_no_name(
    docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    whole = Archive.read

    def damaged(archive: Archive) -> Iterator[bytes]:
        data = bytearray(b"".join(whole(archive)))
        middle = data.index(b"shell" * 3)
        data[middle] ^= 1
        yield bytes(data) if spoil == "flip" else bytes(data[:middle])

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "read", damaged)
        assert "Nothing was changed there" in refused(docker)
    assert containerd.images == {}
    assert send(docker)["changed"]
    assert list(containerd.images) == [FULL]


def test_the_old_image_stays_when_the_new_one_does_not_arrive(
    docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(docker)
    old = containerd.images
    docker.add(NAME, [BASE, PACKAGES, {"app/model.py": b"new"}])
    monkeypatch.setattr(Archive, "read", lambda *_: iter([b"no archive"]))
    refused(docker)
    assert containerd.images == old


def test_layers_that_changed_on_this_host_are_not_sent_under_their_name(
    docker: DockerFolder, containerd: Containerd
) -> None:
    store = LayerStore(str(docker.root), "overlay2")
    (store.layer(layers(docker)[0], layers(docker)[0]).files / "bin/sh").write_bytes(b"SHELL" * 300)
    assert "were changed since it was built" in refused(docker)
    assert containerd.images == {}


@pytest.mark.parametrize("compression", ["auto", "zstd", "zlib"])
def test_compressed(docker: DockerFolder, containerd: Containerd, ssh: Ssh, compression: str) -> None:
    if compression == "zstd" and agent.zstd() is None:
        assert "libzstd1" in refused(docker, target=REMOTE, compression=compression)
        return
    sent = send(docker, target=REMOTE, compression=compression)
    assert 0 < sent["bytes"] < sent["images"][0]["bytes"] / 5
    assert list(containerd.images) == [FULL]


def test_no_room(docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plan, "SPARE", 10**18)
    said = refused(docker)
    assert re.search(r"has \d+ MB free for /var/lib/containerd, the images need \d+ MB", said)
    assert containerd.images == {}


def test_stopped_and_absent(docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch) -> None:
    containerd.stop()
    assert re.search(r"containerd does not answer .*systemctl start containerd", refused(docker))
    containerd.program.unlink()
    monkeypatch.setenv("PATH", str(containerd.program.parent))
    assert re.search(r"containerd is not there .*edgefl_runtime", refused(docker))


def test_a_runtime_that_hangs_is_given_up(docker: DockerFolder, containerd: Containerd) -> None:
    containerd.program.write_text("#!/bin/sh\nexec sleep 60\n")
    assert re.search(r"not done after 1 s\. See whether its containerd hangs", refused(docker, timeout=1))


def test_a_transfer_that_hangs_is_given_up(docker: DockerFolder, containerd: Containerd) -> None:
    docker.add("kubeedge/large:v1", [{"data": os.urandom(5_000_000)}])
    branch = 'elif words[:2] == ["images", "import"]:\n'
    text = containerd.program.read_text()
    containerd.program.write_text(text.replace(branch, f"{branch}    import time; time.sleep(60)\n"))
    # More than a pipe holds, and nobody reads: only the end of the command that hangs ends the writing
    begin = time.monotonic()
    assert "not done after 3 s" in refused(docker, "kubeedge/large:v1", timeout=3, chunk=1 << 18)
    assert time.monotonic() - begin < 30


def test_what_an_earlier_transfer_left_goes(docker: DockerFolder, containerd: Containerd) -> None:
    send(docker)
    left = "docker.io/kubeedge/fashion-mnist-client:v0-incoming"
    other = "docker.io/kubeedge/other:v0-incoming"
    digest = containerd.images[FULL]
    (containerd.home / "images.json").write_text(json.dumps({FULL: digest, left: digest, other: digest}))
    docker.add("kubeedge/fashion-mnist-client:v2", [BASE, {"app/model.py": b"new"}])
    send(docker, "kubeedge/fashion-mnist-client:v2")
    assert set(containerd.images) == {FULL, "docker.io/kubeedge/fashion-mnist-client:v2", other}


def test_content_that_no_image_needs_does_not_count(docker: DockerFolder, containerd: Containerd) -> None:
    """A transfer that was cut leaves layers, which containerd collects some time later: an image cannot be built on them."""
    send(docker)
    (containerd.home / "images.json").write_text("{}")
    assert send(docker)["images"][0]["reason"] == MISSING


# Large layers: the runtime has the lower ones while the rest is on its way ------------------------------------------------

CLIENT, AGGREGATOR = "kubeedge/client:v1", "kubeedge/aggregator:v1"


@pytest.fixture
def parts(docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Layers of 25 KB are large ones; for each archive that is imported the names that containerd has then."""
    monkeypatch.setattr(_source, "PART", 25_000)
    common = {"engine": os.urandom(11_000)}
    docker.add(AGGREGATOR, [BASE, common, {"app/aggregator.py": b"x"}])
    docker.add(CLIENT, [BASE, common, {"tensorflow": os.urandom(25_000)}, {"data": b"y"}, {"app/client.py": b"z"}])
    seen: list[list[str]] = []
    load = agent.Containerd.load

    def noted(node_agent: agent.Containerd, *arguments: Any) -> Any:
        try:
            return load(node_agent, *arguments)
        finally:
            seen.append(sorted(name.rpartition("/")[2] for name in containerd.images))

    monkeypatch.setattr(agent.Containerd, "load", noted)
    return seen


def cargo_of(docker: DockerFolder, *names: str, **there: Any) -> tuple[Shipment, dict[str, Any]]:
    """What goes to a node that has nothing, or what `there` says; and the order for its agent."""
    here = source(docker)
    images = here.images(list(names))
    cargo = make_shipment(here, plan(images, state(images={}, **there)))
    order = {"names": [image.full_name for image in images], "digests": [image.digest for image in images]}
    return cargo, {**order, "whole": False, "parts": cargo.parts}


def pieces_of(cargo: Shipment) -> list[bytes]:
    """Cut where no archive ends."""
    data = b"".join(cargo.pieces())
    return [data[begin : begin + 700] for begin in range(0, len(data), 700)]


def members(cargo: Shipment) -> list[list[str]]:
    """What each of its archives has, by digest."""
    data = io.BytesIO(b"".join(cargo.pieces()))
    found = []
    for size in [*(part[0] for part in cargo.parts), None]:
        with tarfile.open(fileobj=io.BytesIO(data.read(size))) as archive:
            names = [name for name in archive.getnames() if name.startswith("blobs/")]
            found.append([without_prefix(name, "blobs/").replace("/", ":") for name in names])
    return found


def test_large_layers_arrive_before_the_rest(
    docker: DockerFolder, containerd: Containerd, parts: list[list[str]]
) -> None:
    containerd.serve_a_kubelet()
    cargo, order = cargo_of(docker, AGGREGATOR, CLIENT)
    found = agent.load(agent.Containerd(), order, iter(pieces_of(cargo)))
    assert {name: image["layers"] for name, image in found.items()} == {
        f"docker.io/{name}": layers(docker, name) for name in (AGGREGATOR, CLIENT)
    }
    one, two = (name.rpartition("/")[2] for _size, name, _digest in cargo.parts)
    assert (one.partition(":")[0], two.partition(":")[0]) == ("aggregator", "client")
    assert [[name for name in names if not name.startswith("sha256:")] for names in parts] == [
        [one],
        sorted([one, two]),
        sorted([one, "aggregator:v1", two, "client:v1"]),
    ]
    assert set(containerd.images) == {*found, *order["digests"]}


def test_no_layer_is_sent_twice(docker: DockerFolder, parts: list[list[str]]) -> None:
    del parts
    cargo, _order = cargo_of(docker, CLIENT, AGGREGATOR)
    names = [name for archive in members(cargo) for name in archive]
    # Two configurations and two manifests of images and parts each
    assert len(names) == len(set(names)) == len({*layers(docker, CLIENT), *layers(docker, AGGREGATOR)}) + 2 * 2 + 2 * 2


@pytest.mark.parametrize("count", [0, 1, 2])
def test_docker_gets_each_layer_for_the_stack_that_it_ends(
    docker: DockerFolder, parts: list[list[str]], count: int
) -> None:
    """A layer that is there twice, in one image or in two: Docker takes it from the archive whose image has that stack."""
    del parts
    empty, large = {"empty": b""}, {"large": os.urandom(30_000)}
    docker.add(CLIENT, [BASE, empty, large, empty, {"app/client.py": b"z"}])
    docker.add(AGGREGATOR, [BASE, large, {"app/aggregator.py": b"x"}])
    there = {*stacks(*layers(docker, CLIENT)[:count])}
    cargo, _order = cargo_of(docker, CLIENT, AGGREGATOR, stacks=sorted(there))
    archives = members(cargo)
    assert len(archives) == 3
    for number, archive in enumerate(archives):
        names = [CLIENT, AGGREGATOR][number : number + 1] or [CLIENT, AGGREGATOR]
        for name in names:
            counts = {(CLIENT, 0): 3, (AGGREGATOR, 1): 2}
            stack = layers(docker, name)[: counts.get((name, number))]
            assert [layer for layer, chain in zip(stack, chain_ids(stack)) if chain not in there and layer not in archive] == []  # fmt: skip
            there |= {*chain_ids(stack)}


@pytest.mark.parametrize("kubelet", [False, True])
@pytest.mark.parametrize(("end", "loads"), [(0.2, 1), (0.6, 2), (0.95, 3)])
def test_a_part_without_the_rest_is_taken_away(
    docker: DockerFolder, containerd: Containerd, parts: list[list[str]], end: float, loads: int, kubelet: bool
) -> None:
    if kubelet:
        containerd.serve_a_kubelet()
    cargo, order = cargo_of(docker, CLIENT)
    pieces = pieces_of(cargo)

    def lost() -> Iterator[bytes]:
        yield from pieces[: int(len(pieces) * end)]
        raise agent.AgentError("lost", "the connection was lost")

    with pytest.raises(agent.AgentError, match="the connection was lost"):
        agent.load(agent.Containerd(), order, lost())
    assert len(parts) == loads
    assert containerd.images == {}


def test_what_is_not_whole_keeps_no_second_name(
    docker: DockerFolder, containerd: Containerd, parts: list[list[str]]
) -> None:
    """containerd names an image before it unpacks it, and the half of it that serves a kubelet names it once more."""
    containerd.serve_a_kubelet()
    cargo, order = cargo_of(docker, CLIENT)
    pieces = pieces_of(cargo)
    (containerd.home / "full").touch()
    with pytest.raises(agent.AgentError, match="no space left"):
        agent.load(agent.Containerd(), order, iter(pieces))
    assert len(parts) == 1 and len(parts[0]) == 1
    assert containerd.images == {}


def test_a_part_that_was_left_does_not_count_and_goes(
    docker: DockerFolder, containerd: Containerd, parts: list[list[str]]
) -> None:
    del parts
    send(docker, AGGREGATOR)
    digest = containerd.images[f"docker.io/{AGGREGATOR}"]
    names = ("docker.io/kubeedge/client:1-incoming", "docker.io/kubeedge/client:7-incoming", "sha256:configuration")
    left = dict.fromkeys(names, digest)
    (containerd.home / "images.json").write_text(json.dumps(left))
    assert send(docker, CLIENT)["images"][0]["reason"] == MISSING
    assert list(containerd.images) == [f"docker.io/{CLIENT}"]


def test_docker_gets_parts_too(docker: DockerFolder, api: DockerApi, parts: list[list[str]]) -> None:
    del parts
    cargo, order = cargo_of(docker, CLIENT)
    api.answers["/images/load?quiet=1"] = "{}"
    names = [name for _size, name, _digest in cargo.parts]
    for name in [*names, f"docker.io/{CLIENT}"]:
        api.answers[f"/images/{name}/json"] = {"Id": "sha256:i", "RootFS": {"Layers": []}}
        api.answers[f"/images/{name}"] = [{"Untagged": name}]
    agent.load(agent.Docker(), order, iter(pieces_of(cargo)))
    sizes = [size for size, _name, _digest in cargo.parts]
    assert [len(data) for data in api.loaded[:-1]] == sizes
    assert b"".join(api.loaded) == b"".join(cargo.pieces())
    # The names go, and not by the digest: another name may have the same
    assert api.asked[-len(names) :] == [f"/images/{name}" for name in names]


# Docker with containerd's image store -----------------------------------------------------------------------------------


@pytest.fixture
def content(tmp_path: Path) -> ContentFolder:
    folder = ContentFolder(tmp_path / "content")
    folder.add(NAME, [BASE, PACKAGES, {"app/model.py": b"old"}])
    return folder


def config_digest(content: ContentFolder) -> str:
    return source(content).images([NAME])[0].digest


def test_from_containerds_image_store_only_what_is_missing(content: ContentFolder, containerd: Containerd) -> None:
    first = send(content)
    blobs = content.blobs(NAME)
    assert (first["whole"], first["images"][0]["reason"]) == (False, MISSING)
    assert first["images"][0]["bytes"] == sum(blob["size"] for blob in blobs)
    assert {blob["digest"] for blob in blobs} | {config_digest(content)} <= containerd.content
    # What is only about the image does not go there
    assert b"in-toto" not in b"".join((containerd.home / "content" / each).read_bytes() for each in containerd.content)
    manifest = json.loads((containerd.home / "content" / containerd.images[FULL]).read_text())
    assert manifest["layers"] == blobs
    assert send(content)["bytes"] == 0

    content.add(NAME, [BASE, PACKAGES, {"app/model.py": b"new"}])
    changed = send(content)
    assert (changed["images"][0]["reason"], changed["images"][0]["layers_sent"]) == ("1 of 3 layers differ", 1)
    assert changed["images"][0]["bytes"] == content.blobs(NAME)[-1]["size"]


@pytest.mark.parametrize(
    ("data", "media_type", "room"),
    [
        (b"x" * 1000, "application/vnd.oci.image.layer.v1.tar", 1000),
        (gzip.compress(b"x" * 10_000), "application/vnd.docker.image.rootfs.diff.tar.gzip", 10_000),
        # Grows by 23 bytes
        (gzip.compress(NOISE), "application/vnd.oci.image.layer.v1.tar+gzip", len(NOISE)),
        # As if 4 GiB more were in it
        (gzip.compress(NOISE)[:-4] + bytes(4), "application/vnd.oci.image.layer.v1.tar+gzip", 4 * (len(NOISE) + 23)),
        (b"x" * 1000, "application/vnd.oci.image.layer.v1.tar+zstd", 4000),
    ],
    # Not made of the data, in which gzip notes the time
    ids=["tar", "gzip", "noise", "more", "zstd"],
)
def test_room_is_for_what_arrives_and_for_what_that_unpacks_to(
    tmp_path: Path, data: bytes, media_type: str, room: int
) -> None:
    (tmp_path / "blob").write_bytes(data)
    assert StoredLayer("sha256:x", len(data), media_type, tmp_path / "blob").unpacked == room


def test_room_of_a_shipment(content: ContentFolder) -> None:
    here = source(content)
    images = here.images([NAME])
    cargo = make_shipment(here, plan(images, state()))
    assert cargo.size == sum(blob["size"] for blob in content.blobs(NAME))
    unpacked = [gzip.decompress(content.path(blob["digest"]).read_bytes()) for blob in content.blobs(NAME)]
    assert cargo.room == cargo.size + sum(map(len, unpacked))
    there: dict[str, Any] = {
        "arch": "amd64",
        "rooms": [{"path": "/x", "free": cargo.room + _plan.SPARE, "device": 1}] * 2,
    }
    check_room(plan(images, state()), there, cargo, False, Target("edge1", "containerd", "edge1"))
    there["rooms"][0]["free"] -= 1
    with pytest.raises(EdgeflError, match=r"edge1:22 has .* MB free for /x, the images need"):
        check_room(plan(images, state()), there, cargo, False, Target("edge1", "containerd", "edge1"))


def test_the_same_layer_compressed_in_two_ways(content: ContentFolder, containerd: Containerd) -> None:
    """Of each image what its manifest names; Docker has it by then."""
    other = "kubeedge/other:v1"
    content.add(other, [BASE, PACKAGES, {"app/other.py": b"x"}], level=1)
    assert [blob["digest"] for blob in content.blobs(other)[:2]] != [blob["digest"] for blob in content.blobs(NAME)[:2]]
    send(content, NAME, other)
    assert set(containerd.images) == {FULL, f"docker.io/{other}"}
    # A spool of the one is none of the other
    there = state(stacks=stacks(*layers(content)))
    identities = []
    for level in (1, 9):
        content.add(NAME, [BASE, PACKAGES, {"app/model.py": b"old"}], level=level)
        here = source(content)
        identities.append(make_shipment(here, plan(here.images([NAME]), there)).identity)
    assert identities[0] != identities[1]


def test_an_image_without_layers(content: ContentFolder, containerd: Containerd) -> None:
    content.add(NAME, [])
    assert send(content)["changed"]
    assert send(content)["bytes"] == 0
    assert list(containerd.images) == [FULL]


@pytest.mark.parametrize("which", ["index", "config", "layer"])
@pytest.mark.parametrize("spoil", ["flip", "lost"])
def test_content_that_was_changed_or_lost_is_told(
    content: ContentFolder, containerd: Containerd, which: str, spoil: str
) -> None:
    digest = {
        "index": content.images[NAME]["Id"],
        "config": config_digest(content),
        "layer": content.blobs(NAME)[0]["digest"],
    }[which]
    path = content.path(digest)
    data = path.read_bytes()
    if spoil == "flip":
        path.write_bytes(data[:-9] + b" " + data[-8:])
    else:
        path.unlink()
    words = rf"{digest[7:]} (is damaged|cannot be read \(No such file or directory\)).*[Rr]emove the image .* and build it again"
    if which == "layer":
        assert re.search(words, refused(content))
    else:
        with pytest.raises(EdgeflError, match=words):
            send(content)
    assert containerd.images == {}


def test_an_image_that_is_here_for_another_processor_only(content: ContentFolder) -> None:
    content.images[NAME]["Architecture"] = "arm64"
    with pytest.raises(EdgeflError, match=r"no manifest of .*:v1\.0\.0 for arm64: remove"):
        send(content)


INFO = {
    "DockerRootDir": "/data",
    "Driver": "overlayfs",
    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
    "Containerd": {"Address": "/run/c.sock", "Namespaces": {"Containers": "docker-ns", "Plugins": "p"}},
}


def test_to_containerds_image_store(docker: DockerFolder, containerd: Containerd, api: DockerApi) -> None:
    """Docker is asked what it is; all else is done in its containerd, with its namespace and its snapshotter."""
    cargo, order = cargo_of(docker, NAME)
    api.answers.update({"/images/json": [{"Id": "sha256:manifest", "RepoTags": [NAME]}], "/info": INFO})
    wanted = {FULL: order["digests"][0]}
    state = agent.Docker().state(wanted, [*order["digests"], *layers(docker)], stacks(*layers(docker)))
    node_agent = state["runtime"]
    assert (node_agent.root, state["layers"], state["images"]) == (str(containerd.home), [], {FULL: None})
    found = agent.load(node_agent, order, iter(pieces_of(cargo)))
    assert order["digests"][0] in found[FULL]["ids"]
    again = agent.Docker().state(wanted, order["digests"], [])
    assert agent.current(wanted, again["images"])
    used = set((containerd.home / "options").read_text().splitlines())
    assert {"--address /run/c.sock", "--namespace docker-ns"} <= used
    assert {"check --snapshotter overlayfs", "import --snapshotter overlayfs"} <= used


@pytest.mark.parametrize("newer", [False, True])
def test_another_snapshotter(docker: DockerFolder, containerd: Containerd, api: DockerApi, newer: bool) -> None:
    """containerd 2 unpacks with overlayfs only, unless ctr does it."""
    if newer:
        (containerd.home / "transfer").touch()
    cargo, order = cargo_of(docker, NAME)
    api.answers.update({"/images/json": [], "/info": {**INFO, "Driver": "native"}})
    node_agent = agent.Docker().state({FULL: order["digests"][0]}, [], [])["runtime"]
    assert ("--local" in node_agent.importing) == newer
    assert order["digests"][0] in agent.load(node_agent, order, iter(pieces_of(cargo)))[FULL]["ids"]


def test_what_dockers_containers_use_stays_in_its_containerd(
    docker: DockerFolder, containerd: Containerd, api: DockerApi
) -> None:
    names = [f"kubeedge/fashion-mnist-client:v1.0.0-{number:012x}" for number in (1, 2, 3)]
    for number, name in enumerate(names):
        docker.add(name, [BASE, {"app/model.py": b"%d" % number}], created=f"2030-01-0{number + 1}T00:00:00Z")
        send(docker, name)
    api.answers.update({"/images/json": [], "/info": INFO, "/containers/json?all=1": []})
    node_agent = agent.Docker().state({FULL: "sha256:x"}, [], [])["runtime"]
    repositories = ["docker.io/kubeedge/fashion-mnist-client"]
    assert node_agent.old(repositories, 1, []) == [f"docker.io/{name}" for name in names[:2]]
    api.answers["/containers/json?all=1"] = [{"ImageID": containerd.images[f"docker.io/{names[0]}"]}]
    assert node_agent.old(repositories, 1, [f"docker.io/{names[2]}"]) == [f"docker.io/{names[1]}"]


@pytest.mark.parametrize(("own", "address"), [(True, "own.sock"), (False, "system.sock")])
def test_a_docker_that_does_not_name_its_containerd(
    containerd: Containerd, api: DockerApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool, address: str
) -> None:
    """Before API 1.46: its own one if it started one, else the system's."""
    sockets = (str(tmp_path / "own.sock"), str(tmp_path / "system.sock"))
    monkeypatch.setattr(agent.ContainerdOfDocker, "sockets", sockets)
    if own:
        Path(sockets[0]).touch()
    api.answers["/info"] = {name: value for name, value in INFO.items() if name != "Containerd"}
    found = agent.Docker().containerd()
    assert found is not None
    assert found.client == ("ctr", "--address", str(tmp_path / address), "--namespace", "moby")


def test_a_docker_whose_containerd_cannot_be_asked(
    containerd: Containerd, api: DockerApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers.update({"/info": INFO, "/images/json": []})
    api.answers[f"/images/{NAME}/json"] = {"Id": "sha256:i", "GraphDriver": {"Name": "overlayfs", "Data": None}}
    containerd.stop()
    with pytest.raises(EdgeflError, match=r"images \(ctr: failed to dial.*containerd: start that"):
        Source(agent.Docker()).images([NAME])
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(agent.AgentError, match="the command ctr is not there") as error:
        agent.Docker().state({FULL: "sha256:x"}, [], [])
    told = explain_agent({"error": error.value.code, "reason": str(error.value)}, REMOTE)
    assert "start it, and install its command ctr" in told.message
    # When it is down, Docker has no list either
    api.answers["/images/json"] = RuntimeError("dial unix /run/containerd.sock: connect: no such file or directory")
    with pytest.raises(agent.AgentError, match="dial unix") as error:
        agent.Docker().state({FULL: "sha256:x"}, [], [])
    assert error.value.code == "stopped"


# Many nodes, and links that break ---------------------------------------------------------------------------------------

CHUNK = 100_000
LARGE = "kubeedge/large:v1"


@pytest.fixture
def large(docker: DockerFolder) -> DockerFolder:
    """An image of about twelve chunks that cannot be compressed."""
    docker.add(LARGE, [BASE, {"data": os.urandom(12 * CHUNK)}])
    return docker


def spools(containerd: Containerd) -> list[Path]:
    return list((containerd.home.parent / "spool").glob("*"))


def test_a_link_that_is_cut_five_times_goes_on(large: DockerFolder, containerd: Containerd, ssh: Ssh) -> None:
    ssh.spoil(*(f"cut {3 * CHUNK}" for _dummy in range(5)))
    sent = send(large, LARGE, target=REMOTE, chunk=CHUNK)
    assert (sent["cuts"], sent["changed"]) == (5, True)
    assert list(containerd.images) == [f"docker.io/{LARGE}"]
    assert spools(containerd) == []
    # Each connection costs its hello, and the chunk that was cut; nothing else arrives twice
    assert sum(ssh.passed) < 13 * CHUNK + 5 * CHUNK + 6 * 10_000


def test_a_link_that_is_cut_without_end_is_given_up_and_a_later_call_goes_on(
    large: DockerFolder, containerd: Containerd, ssh: Ssh
) -> None:
    ssh.spoil(f"cut {5 * CHUNK}", *["away"] * 3)
    assert "does not answer" in refused(large, LARGE, target=REMOTE, chunk=CHUNK, retries=2)
    assert containerd.images == {}
    assert len(spools(containerd)) == 1
    (ssh.home / "spoil").unlink()
    again = send(large, LARGE, target=REMOTE, chunk=CHUNK)
    assert again["bytes"] < 9 * CHUNK
    assert list(containerd.images) == [f"docker.io/{LARGE}"]
    assert spools(containerd) == []


def test_a_spool_of_another_archive_goes(large: DockerFolder, containerd: Containerd, ssh: Ssh) -> None:
    ssh.spoil(f"cut {5 * CHUNK}")
    refused(large, LARGE, target=REMOTE, chunk=CHUNK, retries=0)
    assert len(spools(containerd)) == 1
    send(large, target=REMOTE)
    assert spools(containerd) == []


def test_a_flipped_byte_is_named_and_sent_again(large: DockerFolder, containerd: Containerd, ssh: Ssh) -> None:
    ssh.spoil(f"flip {5 * CHUNK}")
    sent = send(large, LARGE, target=REMOTE, chunk=CHUNK)
    assert sent["cuts"] == 1
    assert list(containerd.images) == [f"docker.io/{LARGE}"]


def test_a_link_that_flips_bytes_is_given_up(large: DockerFolder, containerd: Containerd, ssh: Ssh) -> None:
    ssh.spoil(*[f"flip {CHUNK // 2}"] * 3)
    said = refused(large, LARGE, target=REMOTE, chunk=CHUNK, retries=2)
    assert re.search(r"chunk 0 of \d+ bytes is not the one that was sent.*Nothing was changed there", said)
    assert containerd.images == {}


def test_a_spool_that_was_damaged_is_used_as_far_as_it_is_whole(
    large: DockerFolder, containerd: Containerd, ssh: Ssh
) -> None:
    ssh.spoil(f"cut {9 * CHUNK}")
    refused(large, LARGE, target=REMOTE, chunk=CHUNK, retries=0)
    (spool,) = spools(containerd)
    data = bytearray(spool.read_bytes())
    data[4 * CHUNK] ^= 1
    spool.write_bytes(data)
    (ssh.home / "spoil").unlink()
    again = send(large, LARGE, target=REMOTE, chunk=CHUNK)
    assert 8 * CHUNK < again["bytes"] < 11 * CHUNK
    assert list(containerd.images) == [f"docker.io/{LARGE}"]


def test_a_connection_that_is_half_dead_makes_way_for_its_sender_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "BUSY", 0.3)
    program = f"""
import sys, time
sys.argv = [""]
exec(open({agent.__file__!r}).read().partition('if __name__')[0])
spool = Spool({str(tmp_path)!r}, "key", "sender one")
spool.add(hashlib.sha256(b"chunk").digest(), b"chunk")
print("holds", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "holds\n"
        with pytest.raises(agent.AgentError, match="somebody else sends the same images"):
            agent.Spool(str(tmp_path), "key", "sender two")
        assert other.poll() is None
        spool = agent.Spool(str(tmp_path), "key", "sender one")
        assert other.wait(10) == -signal.SIGKILL
    assert (spool.count, spool.take(0)) == (1, b"chunk")
    spool.remove()


def test_a_dead_edge_fails_alone(docker: DockerFolder, containerd: Containerd, ssh: Ssh) -> None:
    ssh.spoil("away")
    result = run(docker, targets=(REMOTE, Target("here", "containerd")), parallel=1)
    dead, alive = result["nodes"]["edge1"], result["nodes"]["here"]
    assert (dead["failed"], dead["cuts"]) == (True, 0)
    assert "start its SSH server" in dead["msg"]
    assert (alive["failed"], alive["changed"]) == (False, True)
    assert [row["reason"].partition(":")[0] for row in result["table"]] == ["failed", MISSING]


def test_what_many_lack_is_read_once(docker: DockerFolder) -> None:
    here = source(docker)
    images = here.images([NAME])
    archives = SharedArchives(here, CHUNK)
    all_layers, one_layer = plan(images, state()), plan(images, state(layers=layers(docker)[:2]))
    archive = archives.chunked(archives.shipment(all_layers), "zlib")
    assert archives.chunked(archives.shipment(plan(images, state())), "zlib") is archive
    other = archives.chunked(archives.shipment(one_layer), "zlib")
    uncompressed = archives.chunked(archives.shipment(all_layers), "none")
    assert len({archive.key, other.key, uncompressed.key}) == 3
    assert other.size < archive.size == uncompressed.size
    archives.close()


def test_old_images_go_but_not_those_in_use(docker: DockerFolder, containerd: Containerd) -> None:
    def tag(number: int) -> str:
        return f"kubeedge/fashion-mnist-client:v1.0.0-{number:012x}"

    for number in (1, 2, 3):
        docker.add(tag(number), [BASE, {"app/model.py": b"%d" % number}], created=f"2030-01-0{number}T00:00:00Z")
        send(docker, tag(number))
    send(docker)
    (containerd.home / "containers").write_text(f"c1 docker.io/{tag(1)} io.containerd.runc.v2\n")
    docker.add(tag(4), [BASE, {"app/model.py": b"4"}], created="2030-01-04T00:00:00Z")

    node_agent = agent.Containerd()
    repositories = ["docker.io/kubeedge/fashion-mnist-client"]
    assert node_agent.old(repositories, 2, [f"docker.io/{tag(3)}"]) == [f"docker.io/{tag(2)}"]
    assert node_agent.old(repositories, 3, []) == []
    assert node_agent.old(["docker.io/kubeedge/other"], 1, []) == []
    node_agent.remove([f"docker.io/{tag(2)}"])
    assert set(containerd.images) == {FULL, f"docker.io/{tag(1)}", f"docker.io/{tag(3)}"}


def test_not_built(docker: DockerFolder) -> None:
    with pytest.raises(EdgeflError, match=r"Not built on this host: kubeedge/nothing:v1\. Build it first"):
        send(docker, NAME, "kubeedge/nothing:v1")


def test_a_docker_that_cannot_be_asked(api: DockerApi, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Source(agent.Docker())
    with pytest.raises(EdgeflError, match=r"Not built on this host: a b:v1\. Build it first"):
        here.images(["a b:v1"])
    assert api.asked == ["/images/a%20b:v1/json"]
    api.answers["/images/A/json"] = RuntimeError("invalid reference format")
    with pytest.raises(EdgeflError, match=r"\(invalid reference format\): correct the image's name, or"):
        here.images(["A"])
    monkeypatch.setattr(agent, "SOCKET", "/nowhere")
    with pytest.raises(EdgeflError, match=r"built the images \(/nowhere: No such file or directory\): .* docker"):
        Source(agent.Docker()).images(["a"])


def test_another_processor(docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch) -> None:
    docker.images[NAME]["Architecture"] = "s390x"
    assert "the images are s390x: build them for it, too" in refused(docker)


def test_a_node_that_runs_another_processor_s_programs(
    docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the inventory's word: the runtime is told, as it takes only what is for its own processor."""
    docker.images[NAME]["Architecture"] = "arm64"
    said: list[list[str]] = []
    monkeypatch.setattr(agent, "feed", lambda words, _pieces: said.append(words))
    there = {"arch": "amd64", "rooms": [{"path": "/x", "free": 10**12, "device": 1}] * 2}
    steps = plan(source(docker).images([NAME]), state())
    shipment = make_shipment(source(docker), steps)
    check_room(steps, there, shipment, False, replace(REMOTE, architecture="arm64"))
    with pytest.raises(EdgeflError, match="is amd64, the images are arm64: build them for it"):
        check_room(steps, there, shipment, False, REMOTE)
    order = load_order(steps, there, shipment)
    assert order["platform"] == "linux/arm64" and "platform" not in load_order(steps, {"arch": "arm64"}, shipment)
    runtime = agent.Containerd()
    with pytest.raises(agent.AgentError, match="arrived"):
        agent.load(runtime, {**order, "parts": []}, iter(()))
    assert said[0][-3:] == ["--platform", "linux/arm64", "-"]


def test_a_platform_that_is_none_is_refused() -> None:
    asked = {"names": [], "digests": [], "chains": [], "spool": agent.SPOOL}
    agent.check({**asked, "platform": "linux/arm64"})
    for platform in ("linux/arm64 --all-platforms", "--help", 5):
        with pytest.raises(agent.AgentError, match="platform"):
            agent.check({**asked, "platform": platform})


# Files that a node has in an older image ----------------------------------------------------------------------------------

FRAMEWORK = {f"lib/tensor/part{number}.so": os.urandom(20_000 + number % 3) for number in range(20)}
MOVED = {name.replace("tensor", "keras"): content for name, content in FRAMEWORK.items()}
PANDAS = {"lib/pandas.py": os.urandom(30_000)}
# What goes over the wire for the two above, beside the file itself
LITTLE = 16_000


def lay_out(containerd: Containerd) -> None:
    """Puts the content where containerd has it, for who reads it there."""
    blobs = containerd.home / "io.containerd.content.v1.content/blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    for digest in containerd.content:
        place = blobs / without_prefix(digest, "sha256:")
        if not place.exists():
            place.symlink_to(containerd.home / "content" / digest)


@pytest.fixture
def program(containerd: Containerd, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """The agent looks for content where the stand-in has it; what is returned changes its source."""
    source = link.SOURCE

    def change(old: str, new: str) -> None:
        nonlocal source
        assert source.count(old) == 1
        source = source.replace(old, new)
        monkeypatch.setattr(link, "SOURCE", source)

    change('"/var/lib/containerd"', repr(str(containerd.home)))
    monkeypatch.setattr(_copies, "ASKED", 100_000)
    return change


@pytest.fixture
def older(docker: DockerFolder, containerd: Containerd, ssh: Ssh, program: object) -> DockerFolder:
    """A node with an image; the one of the same name that is built then has a layer with its files moved, and one more."""
    del ssh, program
    docker.add(NAME, [BASE, FRAMEWORK, {"app/model.py": b"x" * 500}])
    assert send(docker, target=REMOTE)["copied"] == 0
    lay_out(containerd)
    docker.add(NAME, [BASE, {**MOVED, **PANDAS}, {"app/model.py": b"y" * 500}])
    return docker


def test_only_new_files_of_a_layer_are_sent(older: DockerFolder, containerd: Containerd) -> None:
    sent = send(older, target=REMOTE)
    assert sent["images"][0]["reason"] == "2 of 3 layers differ"
    assert sent["copied"] == sum(map(len, FRAMEWORK.values()))
    assert 30_000 < sent["bytes"] < 30_000 + LITTLE
    assert sent["images"][0]["bytes"] + sent["copied"] > 430_000
    assert send(older, target=REMOTE)["bytes"] == 0
    # The stand-in of containerd keeps what arrives under its own digest
    assert set(layers(older)) <= containerd.content


def test_nodes_with_the_same_files_share_a_recipe(older: DockerFolder) -> None:
    here = source(older)
    images = here.images([NAME])
    archives = SharedArchives(here, CHUNK)
    whole = archives.shipment(plan(images, state()))
    catalogue = archives.catalogue(whole)
    assert archives.catalogue(whole) is catalogue and catalogue.count == len(MOVED) + len(PANDAS) + 2
    all_there, none = b"\xff" * ((catalogue.count + 7) // 8), bytes((catalogue.count + 7) // 8)
    assert catalogue.shipment(whole, none) is whole
    recipes = [catalogue.shipment(whole, all_there) for _dummy in range(2)]
    assert recipes[0].size < 60_000 < whole.size == recipes[0].size + recipes[0].copied
    chunked = [archives.chunked(recipe, "none") for recipe in recipes]
    assert chunked[0] is chunked[1] is not archives.chunked(whole, "none")
    archives.close()


def test_nothing_is_copied_when_that_is_not_wanted(older: DockerFolder) -> None:
    sent = send(older, target=REMOTE, reuse=False)
    assert (sent["copied"], sent["bytes"] > 430_000) == (0, True)


def test_check_mode_asks_for_no_files(older: DockerFolder) -> None:
    assert send(older, target=REMOTE, check_mode=True)["bytes"] == 0
    send(older, target=REMOTE)


def test_an_old_file_that_was_damaged_is_sent(older: DockerFolder, containerd: Containerd) -> None:
    spoilt = FRAMEWORK["lib/tensor/part7.so"]
    for path in (containerd.home / "content").iterdir():
        data = path.read_bytes()
        if spoilt in data:
            path.write_bytes(data.replace(spoilt, spoilt[:-1] + bytes([spoilt[-1] ^ 1])))
    sent = send(older, target=REMOTE)
    assert sent["copied"] == sum(map(len, FRAMEWORK.values())) - len(spoilt)
    assert 50_000 < sent["bytes"] < 50_000 + LITTLE


@pytest.mark.parametrize("wrong", ["yield from pieces_of((place[0], place[1], 0))", "raise OSError('it is gone')"])
def test_a_file_that_changes_while_it_is_copied_makes_all_be_sent(
    older: DockerFolder, program: Callable[[str, str], None], wrong: str
) -> None:
    program("yield from pieces_of(self.places[number])", f"place = self.places[number]; {wrong}")
    sent = send(older, target=REMOTE)
    assert (sent["copied"], sent["cuts"], sent["bytes"] > 430_000) == (0, 0, True)


def test_a_recipe_goes_on_after_a_cut(
    older: DockerFolder, containerd: Containerd, ssh: Ssh, program: Callable[[str, str], None]
) -> None:
    hello = len(packed(link.SOURCE, False)) + 4000
    ssh.spoil(f"cut {hello + 20_000}")
    before = len(ssh.passed)
    sent = send(older, target=REMOTE, chunk=8_000)
    assert (sent["cuts"], sent["copied"]) == (1, sum(map(len, FRAMEWORK.values())))
    assert sum(ssh.passed[before:]) < 2 * hello + 30_000 + LITTLE + 8_000
    assert spools(containerd) == []


def test_a_node_that_says_otherwise_each_time_gets_all(
    older: DockerFolder, ssh: Ssh, program: Callable[[str, str], None]
) -> None:
    # Each agent is a process of its own, and two numbers of processes differ in one of the bits that these files have.
    program("|= bool(place) <<", "|= (bool(place) & os.getpid() >> number) <<")
    ssh.spoil(f"cut {len(packed(link.SOURCE, False)) + 24_000}")
    sent = send(older, target=REMOTE, chunk=8_000)
    assert sent["cuts"] == 1 and sent["bytes"] > 430_000


def test_docker_copies_from_its_own_folders(docker: DockerFolder, api: DockerApi, tmp_path: Path) -> None:
    """The recipe, expanded there, is the archive byte for byte."""
    kept = DockerFolder(tmp_path / "kept")
    item = kept.add("kubeedge/other:v1", [BASE, FRAMEWORK])
    folders = [
        f"{kept.root}/overlay2/{without_prefix(chain, 'sha256:')}/diff" for chain in stacks(*item["RootFS"]["Layers"])
    ]
    item["GraphDriver"]["Data"] = {"UpperDir": folders[1], "LowerDir": f"{folders[0]}:/etc"}
    (Path(folders[1]) / "link").symlink_to("/etc/passwd")
    os.mkfifo(Path(folders[1]) / "pipe")
    unlike = {
        "Id": "sha256:u",
        "RootFS": {"Layers": ["z"]},
        "GraphDriver": {"Data": {"UpperDir": f"{kept.root}/other"}},
    }
    images = [{"Id": item["Id"], "RepoTags": ["kubeedge/other:v1"]}, {"Id": "sha256:u", "RepoTags": ["unlike:v1"]}]
    api.answers.update(
        {"/images/json": images, "/images/json?all=1": images, "/info": {"DockerRootDir": str(kept.root)}}
    )
    api.answers.update({f"/images/{item['Id']}/json": item, "/images/sha256:u/json": unlike})
    node_agent = agent.Docker()

    docker.add(NAME, [BASE, {**MOVED, **PANDAS}])
    here = source(docker)
    step = plan(here.images([NAME]), node_agent.state({FULL: "sha256:new"}, [], stacks(*layers(docker))))
    # That it is like the other one is known by a stack that both have
    assert (step[0].missing, node_agent.bases) == ((1,), folders[::-1])
    whole = make_shipment(here, step)
    catalogue = Catalogue(layer for mine in whole.layers.values() for layer in mine)
    copies = agent.Copies(node_agent.bases, catalogue.question)
    recipe = catalogue.shipment(whole, bytes.fromhex(copies.found()))
    assert recipe.copied == sum(map(len, FRAMEWORK.values()))
    data = b"".join(recipe.pieces())
    assert len(data) < recipe.size + LITTLE
    cut = [data[begin : begin + 700] for begin in range(0, len(data), 700)]
    assert b"".join(agent.gathered(copies.expand(iter(cut)))) == b"".join(whole.pieces())
    with pytest.raises(agent.AgentError, match="a file to be copied") as error:
        list(agent.Copies([], catalogue.question).expand(iter(cut)))
    assert error.value.code == "corrupt"


def test_an_archive_whose_heads_are_damaged_is_read_as_far_as_they_are_whole(
    docker: DockerFolder, tmp_path: Path
) -> None:
    store = LayerStore(str(docker.root), "overlay2")
    layer = store.layer(layers(docker)[0], layers(docker)[0])
    data = bytearray(b"".join(layer.read()))
    base = tmp_path / "blob"
    base.write_bytes(data)
    assert [size for size, _path, _place in agent.files_of(str(base))] == [1500, 6]
    second = data.index(b"etc/os")
    for position, byte in ((second + 124, ord("-")), (second + 257, 0), (second + 126, 0xFF)):
        spoilt = bytearray(data)
        spoilt[position] = byte
        base.write_bytes(spoilt)
        assert [size for size, _path, _place in agent.files_of(str(base))] == [1500]
    base.write_bytes(data[: second + 100])
    assert [size for size, _path, _place in agent.files_of(str(base))] == [1500]


# The other end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", [True, False])
def test_the_agent_needs_nothing_of_the_collection(containerd: Containerd, tmp_path: Path, site: bool) -> None:
    """What goes over the wire runs alone, without what is installed (-I, -S), and has no more than that in memory."""
    wanted = {"runtime": "containerd", "names": {FULL: "sha256:x"}, "digests": [], "chains": [], "spool": str(tmp_path)}
    program = zlib.decompress(packed(link.SOURCE, site)).decode()
    tell = "import sys; print(sorted(name.partition('.')[0] for name in sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-IS", "-c", f"{program}\n{tell}"],
        input=json.dumps(wanted) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["images"] == {FULL: None}
    assert not {"ansible", "ansible_collections", "site"} & set(ast.literal_eval(done.stderr))
    # An error names the line of agent.py
    assert program.count("\n") == Path(agent.__file__).read_text().count("\n")
    assert "#" not in program.partition("def main")[2] and '"""' not in program
    named = {node.name for node in ast.parse(Path(agent.__file__).read_text()).body if hasattr(node, "name")}
    sent = {node.name for node in ast.parse(program).body if hasattr(node, "name")}
    assert named - sent == (set() if site else set(OF_SITES))


def test_many_threads_make_it_at_a_time() -> None:
    """As for the first nodes of a fleet: Python 3.11's parser fails where two threads are in it."""
    sources = [f"{link.SOURCE}\nNUMBER = {number}\n" for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda source: packed(source, False), sources))
    assert len(set(made)) == 16


def test_what_is_sent_is_the_same_code() -> None:
    """But for words and types."""

    class Untyped(ast.NodeTransformer):
        def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
            if not node.value:
                return node
            return ast.copy_location(ast.Assign([node.target], self.visit(node.value), type_comment=None), node)

        def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
            return None if node.module in OF_TYPES else node

    def bare(source: str) -> str:
        tree = Untyped().visit(ast.parse(source))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.returns = None
            elif isinstance(node, ast.arg):
                node.annotation = None
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
                node.body[0] = ast.Pass()
        return ast.dump(tree)

    assert bare(zlib.decompress(packed(link.SOURCE, True)).decode()) == bare(link.SOURCE)


def agent_s_command() -> list[str]:
    """What runs the installed agent, which begins without site; where coverage is measured that must start it, and knows our modules by their names."""
    if "COVERAGE_PROCESS_CONFIG" not in os.environ:
        return [sys.executable, "-IS", agent.__file__]
    start = f"import runpy, sys; sys.path.insert(0, {str(LINK.parents[2])!r}); runpy.run_module({agent.__name__!r}, run_name='__main__')"
    return [sys.executable, "-I", "-c", start]


@pytest.fixture
def installed(containerd: Containerd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent as the role edge_access puts it on a node."""
    monkeypatch.setattr(_plan, "SPOOL", agent.SPOOL)
    program = containerd.program.parent / "ship"
    program.write_text(f"#!/bin/sh\nexec {shlex.join(agent_s_command())}\n")
    program.chmod(0o755)
    monkeypatch.setattr(link, "INSTALLED", str(program))


THERE = Target("edge1", "containerd", "192.0.2.11", become=False, installed=True)


@pytest.mark.usefixtures("installed")
def test_an_installed_agent_is_not_sent(docker: DockerFolder, containerd: Containerd, ssh: Ssh) -> None:
    assert send(docker, target=THERE)["changed"]
    assert set(containerd.images) == {FULL}
    assert not send(docker, target=THERE)["changed"]
    assert ssh.passed[-1] < len(packed(link.SOURCE, False))


@pytest.mark.usefixtures("installed", "ssh", "containerd")
def test_an_agent_of_another_version_is_told(docker: DockerFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plan, "DIGEST", "0" * 64)
    assert "another program is installed than the one that is asked for: run the role edge_access" in refused(
        docker, target=THERE
    )


def answered(*lines: dict[str, Any]) -> list[dict[str, Any]]:
    """What the installed agent says to somebody who has the key, and writes to it what he likes."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run(agent_s_command(), input=text, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


REQUEST: dict[str, Any] = {
    "runtime": "containerd",
    "names": {FULL: "sha256:0"},
    "digests": [],
    "chains": [],
    "spool": agent.SPOOL,
    "agent": link.DIGEST,
}
ORDER: dict[str, Any] = {"names": [], "spool": agent.SPOOL, "key": "", "check": False, "keep": 0, "repositories": []}


@pytest.mark.parametrize(
    "wrong",
    [
        {"spool": "/etc/cron.d"},
        {"spool": "../" + agent.SPOOL},
        {"names": {"--all": "sha256:0"}},
        {"names": {"x/../../containers/y": "sha256:0"}},
        {"names": {"x?y": "sha256:0"}},
        {"digests": ["-x"]},
        {"chains": ["a b"]},
        {"names": {FULL: "sha256:0"}, "digests": [["nested"]]},
    ],
)
def test_an_installed_agent_takes_no_other_request(wrong: dict[str, Any]) -> None:
    assert [said["error"] for said in answered({**REQUEST, **wrong})] == ["refused"]


@pytest.mark.usefixtures("containerd")
@pytest.mark.parametrize(
    "wrong",
    [
        {"spool": "/root/.ssh"},
        {"key": "../../../etc/cron.d/x"},
        {"names": ["--rm"]},
        {"parts": [[1, "--rm", "sha256:0"]]},
        {"repositories": ["x;y"]},
        {"relay": {"certificate": "", "address": "", "port": 22}},
        {"relay": {"certificate": "", "address": "", "port": "5000"}},
        {"relay": {"certificate": "", "address": 1, "port": 5000}},
        {"relay": {"certificate": "", "port": 5000}},
        {"relay": ["port"]},
    ],
)
def test_an_installed_agent_takes_no_other_order(wrong: dict[str, Any]) -> None:
    assert [said.get("error") for said in answered(REQUEST, {**ORDER, **wrong})] == [None, "refused"]


@pytest.mark.usefixtures("containerd")
@pytest.mark.parametrize(
    ("count", "code"), [(agent.FILES + 1, "refused"), (-1, "refused"), ("x", "refused"), (1, "lost")]
)
def test_an_installed_agent_is_asked_for_so_many_files_only(count: object, code: str) -> None:
    assert [said.get("error") for said in answered(REQUEST, {"files": count})] == [None, code]


@pytest.mark.usefixtures("containerd")
def test_an_installed_agent_says_which_one_it_is() -> None:
    assert answered({}) == [{"agent": link.DIGEST}]
    assert answered({"agent": ""}, REQUEST) == [{"agent": link.DIGEST}]
    assert answered(REQUEST, ORDER)[1] == {"images": {}, "removed": []}


def test_an_app_lies_beside_the_images_as_the_newest_of_its_name(tmp_path: Path) -> None:
    def keep(number: int) -> bool:
        """Whether it was wanted."""
        content = b"%d" % number
        app = {"name": f"footwear@{number:012x}", "digest": hashlib.sha256(content).hexdigest(), "data": base64.b64encode(content).decode()}  # fmt: skip
        wanted = agent.lacks_app(app, str(tmp_path))
        if wanted:
            agent.keep_app(app, str(tmp_path))
        return wanted

    tmp_path.chmod(0o700)
    assert keep(1) and not keep(1)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    (tmp_path / "other@000000000000.zip").touch()
    for number in range(2, 12):
        assert keep(number)
    assert keep(4) and (tmp_path / "footwear@000000000004.zip").read_bytes() == b"4"
    there = {path.name for path in tmp_path.iterdir()}
    assert len(there) == agent.KEPT_APPS + 1 and {"other@000000000000.zip", "footwear@00000000000b.zip"} <= there
    # What a disk damaged is sent again
    (tmp_path / "footwear@000000000004.zip").write_bytes(b"")
    assert keep(4) and not keep(4)


@pytest.mark.parametrize("name", ["../x@000000000000", "x/y@000000000000", "x@0", ".x@000000000000", "x@00000000000g"])
def test_what_is_no_app_s_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(agent.AgentError, match="no name of an app"):
        agent.keep_app({"name": name, "data": ""}, str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_what_is_up_to_date_takes_few_calls(
    docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(docker)
    started: list[list[str]] = []
    start = agent.start

    def noted(arguments: list[str], *more: Any) -> Any:
        started.append(arguments)
        return start(arguments, *more)

    monkeypatch.setattr(agent, "start", noted)
    node_agent = agent.Containerd()
    # Containerd's own files, where it keeps them
    blobs = containerd.home / "io.containerd.content.v1.content/blobs/sha256"
    blobs.mkdir(parents=True)
    for digest in containerd.content:
        (blobs / without_prefix(digest, "sha256:")).write_bytes((containerd.home / "content" / digest).read_bytes())
    node_agent.root = str(containerd.home)
    wanted = docker.images[NAME]["Id"]
    assert node_agent.state({FULL: wanted}, [wanted], [])["images"][FULL]["ids"][1] == wanted
    assert node_agent.old(["docker.io/kubeedge/fashion-mnist-client"], 2, [FULL]) == []
    # Each is the start of a large program: what is there, and whether it is whole
    assert len(started) <= 2
    # A file that is not what its name says is not believed
    (blobs / without_prefix(containerd.images[FULL], "sha256:")).write_bytes(b"{}")
    assert node_agent.state({FULL: wanted}, [wanted], [])["images"][FULL]["ids"][1] == wanted


def test_docker_says_what_it_has(api: DockerApi) -> None:
    item = {"Id": "sha256:i", "RootFS": {"Layers": ["a", "b"]}}
    images = [
        {"Id": "sha256:i", "RepoTags": ["other:v1"]},
        {"Id": "sha256:gone", "RepoTags": None},
        {"Id": "sha256:part", "RepoTags": ["other:1-incoming"]},
    ]
    api.answers.update(
        {
            "/images/json": images,
            "/images/json?all=1": images,
            "/info": {"DockerRootDir": "/data", "DriverStatus": [["Backing Filesystem", "extfs"]]},
            "/images/sha256:i/json": item,
            "/images/sha256:part/json": {"Id": "sha256:part", "RootFS": {"Layers": ["a", "b", "c"]}},
            "/images/docker.io/other:v1/json": item,
        }
    )
    node_agent = agent.Docker()
    found = node_agent.state(
        {FULL: "sha256:j", "docker.io/other:v1": "sha256:i"},
        ["sha256:i", "sha256:j", "sha256:part"],
        stacks("a", "b", "c"),
    )
    assert (found["layers"], found["stacks"]) == (["sha256:i"], stacks("a", "b"))
    there = found["images"]["docker.io/other:v1"]
    assert found["images"][FULL] is None and (there["ids"], there["layers"]) == (["sha256:i"], ["a", "b"])
    assert node_agent.root == "/data"
    # When all is as it is to be, its list says so
    api.asked.clear()
    assert node_agent.state({"docker.io/library/other:v1": "sha256:i"}, [], [])["images"] == {
        "docker.io/library/other:v1": {"ids": ["sha256:i"], "layers": None}
    }
    assert node_agent.old(["docker.io/library/other"], 2, ["docker.io/library/other:v1"]) == []
    assert api.asked == ["/images/json"]


def test_docker_keeps_what_is_new_used_or_tagged_by_hand(api: DockerApi) -> None:
    names = {f"kubeedge/client:v1-{number:012x}": f"sha256:{number}" for number in range(1, 6)}
    names["kubeedge/client:v1"] = "sha256:1"
    api.answers["/images/json"] = [{"Id": image, "RepoTags": [name]} for name, image in names.items()]
    api.answers["/containers/json?all=1"] = [{"ImageID": "sha256:2"}]
    for image in set(names.values()):
        api.answers[f"/images/{image}/json"] = {"Id": image, "RootFS": {"Layers": []}, "Created": image}
    node_agent = agent.Docker()
    old = node_agent.old(["docker.io/kubeedge/client"], 2, ["docker.io/kubeedge/client:v1-000000000003"])
    assert [name[-1] for name in old] == ["1", "4", "5"]
    api.answers[f"/images/{old[0]}"] = [{"Untagged": old[0]}]
    api.answers[f"/images/{old[1]}"] = RuntimeError("conflict: container c1 is using it")
    node_agent.remove(old[:1])
    with pytest.raises(agent.AgentError, match="container c1 is using it"):
        node_agent.remove(old)


def test_docker_loads_what_is_whole(api: DockerApi) -> None:
    load, name = "/images/load?quiet=1", f"/images/{FULL}/json"
    node_agent = agent.Docker()
    api.answers[load] = '{"stream": "Loaded image: x"}\n'
    with pytest.raises(agent.AgentError, match="did not arrive"):
        node_agent.load([FULL], False, iter([b"archive"]))
    api.answers[name] = {"Id": "sha256:i", "RootFS": {"Layers": ["a"]}}
    assert node_agent.load([FULL], False, iter([b"arch", b"ive"]))[FULL]["layers"] == ["a"]
    assert api.loaded == [b"archive"] * 2

    # It says so in the middle of its answer, before it has read all, or not at all
    api.answers[load] = '{"stream": "x"}\n{"errorDetail": {"code": 1}, "error": "no space left on device"}\n'
    with pytest.raises(agent.AgentError, match=r"^no space left on device$"):
        node_agent.load([FULL], False, iter([b"archive"]))
    with pytest.raises(agent.AgentError, match="unexpected EOF"):
        node_agent.load([FULL], False, iter([b"refused", *[b"x" * 1_000_000] * 20]))

    def cut() -> Iterator[bytes]:
        yield b"first"
        raise agent.AgentError("lost", "the connection was lost")

    api.loaded.clear()
    with pytest.raises(agent.AgentError, match="the connection was lost"):
        node_agent.load([FULL], False, cut())
    assert api.loaded == [] and node_agent.images([FULL])[FULL] is not None


def test_docker_is_stopped_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(agent.AgentError, match=r"docker\.sock: No such file") as error:
        agent.Docker().listing()
    assert error.value.code == "absent"
    (tmp_path / "docker").write_text("")
    (tmp_path / "docker").chmod(0o755)
    with pytest.raises(agent.AgentError) as error:
        agent.Docker().listing()
    assert error.value.code == "stopped"


# Pieces ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["zstd", "zlib", "none"])
def test_a_chunked_archive_is_the_archive(codec: str) -> None:
    data = os.urandom(1000) * 40
    archive = ChunkedArchive("key", iter([data[:7], data[7:9000], data[9000:]]), codec, 3000, len(data))
    chunks: list[bytes] = []
    while chunk := archive.get(len(chunks)):
        chunks.append(agent.decode(codec, b"".join(archive.read(chunk, 700)), 3000))
    archive.close()
    assert b"".join(chunks) == data
    assert {len(chunk) for chunk in chunks[:-1]} == {3000}


def test_a_chunked_archive_that_cannot_be_read_says_so_to_all() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 5000
        raise UnreadableError("it was changed")

    archive = ChunkedArchive("key", pieces(), "none", 3000, 10_000)
    for _dummy in range(2):
        with pytest.raises(UnreadableError, match="it was changed"):
            archive.get(1)
    archive.close()


def test_the_limit_is_for_all_together() -> None:
    now = 0.0

    def pause(seconds: float) -> None:
        nonlocal now
        now += seconds

    limit = Limit(1000, clock=lambda: now, pause=pause)
    for _dummy in range(21):
        limit.take(100)
    assert now == pytest.approx(2.0)


def test_a_counter_tells_rate_and_time_left() -> None:
    now = 0.0
    counter = Counter("edge1", clock=lambda: now)
    counter.enter("sends")
    for step in range(1, 5):
        now = float(step)
        counter.written(2_000_000)
        counter.holds(step / 8)
    assert (counter.now.rate, counter.now.left) == (2_000_000, 4.0)
    assert lines([counter.record()]) == ["edge1   50 %   8.0 MB   2.0 MB/s   4 s left"]
    counter.holds(1.0)
    assert lines([counter.record()]) == ["edge1  unpacks (0 s)"]
    counter.enter("done")
    assert lines([counter.record()]) == []


# Words -----------------------------------------------------------------------------------------------------------------

EDGE = Target("edge1", "docker", "192.0.2.11", "ops", 2222)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "set up anew"),
        ("No ED25519 host key is known for x and you have requested strict checking.\nHost key verification failed.", "host key is not known"),
        ("ops@192.0.2.11: Permission denied (publickey).", "correct ansible_user"),
        ("sudo: a password is required", "cannot become root"),
        ("sh: 1: exec: /usr/local/lib/edgefl/ship: not found", "run the role edge_access"),
        ("ops is not allowed to execute 'python3' as root on edge1.", "cannot become root"),
        ("Others are not allowed to use this.\nssh: connect to host x port 22: Connection refused", "start its SSH server"),
        ("sh: 1: python3: not found", "no python3"),
        ("ssh: connect to host 192.0.2.11 port 2222: Connection refused", "start its SSH server"),
        ("ssh: connect to host 192.0.2.11 port 2222: Connection timed out", "does not answer"),
        ("ssh: Could not resolve hostname edge9: Name or service not known", "set ansible_host"),
        ("Connection to 192.0.2.11 closed by remote host.", "connection was lost"),
        ("something else", "something else"),
        ("", "it said nothing"),
    ],
)  # fmt: skip
def test_what_ssh_says(said: str, words: str) -> None:
    text = explain_ssh(said, EDGE).message
    assert "ops@192.0.2.11:2222" in text
    assert words in text


def test_what_the_agent_says() -> None:
    full = explain_agent({"error": "failed", "reason": "write: no space left on device"}, EDGE)
    assert "its disk became full" in full.message
    assert "docker refused the images (bad)" in explain_agent({"error": "failed", "reason": "bad"}, EDGE).message


def test_only_what_may_pass_is_tried_again() -> None:
    assert isinstance(explain_ssh("Connection reset by peer", EDGE), Transient)
    assert isinstance(explain_ssh("", EDGE, spoke=True), Transient)
    assert not isinstance(explain_ssh("", EDGE), Transient)
    assert not isinstance(explain_ssh("Host key verification failed.\nConnection closed", EDGE, spoke=True), Transient)


def test_ssh_never_asks_and_never_learns_a_key() -> None:
    words = ssh_command("/k", "/h", 5)
    assert "ControlMaster" not in " ".join(words)
    for option in (
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "ConnectTimeout=5",
        "IdentityFile=/k",
        "UserKnownHostsFile=/h",
    ):
        assert words[words.index(option) - 1] == "-o"


# The module's options --------------------------------------------------------------------------------------------------

GIVEN = {
    "name": "first",
    "node": "edge1",
    "runtime": "auto",
    "host": "192.0.2.7",
    "user": "ops",
    "port": 22,
    "become": None,
    "known_hosts": None,
    "installed": False,
    "site": "",
    "site_host": "",
    "architecture": "",
}


def node(name: str, runtime: str) -> dict[str, Any]:
    about = {"containerRuntimeVersion": runtime, "architecture": "arm64"}
    return {"metadata": {"name": name}, "status": {"nodeInfo": about}}


NODES = parse_nodes(
    [node("edge1", "containerd://1.6.20"), node("edge2", "docker://29.0.1"), node("edge3", "cri-o://1.30")]
)


def test_auto_is_the_runtime_of_the_node_in_the_cluster() -> None:
    assert target(GIVEN, NODES).runtime == "containerd"
    assert target({**GIVEN, "name": "edge2", "node": None}, NODES).runtime == "docker"
    # What is given is not asked for
    assert target({**GIVEN, "runtime": "docker"}, {}).runtime == "docker"


def test_auto_is_the_architecture_of_the_node_in_the_cluster() -> None:
    assert target({**GIVEN, "architecture": "auto"}, NODES).architecture == "arm64"
    assert target({**GIVEN, "architecture": "amd64"}, NODES).architecture == "amd64"
    # A runtime that was given is left alone, whatever the node says
    found = target({**GIVEN, "runtime": "docker", "architecture": "auto", "node": "edge3"}, NODES)
    assert (found.runtime, found.architecture) == ("docker", "arm64")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("edge7", r"first: edge7 \(edgefl_node_name\) is no node.*edge1, edge2, edge3"),
        ("edge3", "node edge3 runs its pods with cri-o"),
    ],
)
def test_a_node_that_cant_be_asked_or_used(name: str, says: str) -> None:
    with pytest.raises(EdgeflError, match=says):
        target({**GIVEN, "node": name}, NODES)
