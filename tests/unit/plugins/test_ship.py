"""image_ship: what is read from Docker's folder, what is planned, what goes over the wire, and what the node has afterwards."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from unit.plugins.docker_folder import Containerd, DockerFolder, sha256

from ansible_collections.edgefl.kubeedge.plugins.module_utils import _ship, _ship_agent
from ansible_collections.edgefl.kubeedge.plugins.module_utils._errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._layers import (
    Image,
    LayerStore,
    UnreadableError,
    chain_ids,
    full_name,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._ship import (
    MISSING,
    UP_TO_DATE,
    Source,
    Target,
    explain_agent,
    explain_ssh,
    plan,
    ship,
    shipment,
    ssh_command,
)

BASE = {"bin/sh": b"shell" * 300, "etc/os": b"debian"}
PACKAGES = {"lib/flwr.py": bytes(range(256)) * 40}
NAME = "kubeedge/fashion-mnist-client:v1.0.0"
FULL = f"docker.io/{NAME}"


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
    monkeypatch.setattr(_ship, "SPARE", 0)
    return fake


def send(docker: DockerFolder, *names: str, **more: Any) -> dict[str, Any]:
    return ship(Source(docker.run), list(names or (NAME,)), None, "containerd", [], **more)


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
    return Image(NAME, digest, diff_ids, "amd64", 100)


def state(**more: Any) -> dict[str, Any]:
    return {"layers": [], "chains": [], "images": {FULL: None}, **more}


@pytest.mark.parametrize(
    ("there", "reason", "missing"),
    [
        (state(), MISSING, (0, 1, 2)),
        (state(layers=["a", "b"]), "1 of 3 layers differ", (2,)),
        (state(layers=["c"]), "2 of 3 layers differ", (0, 1)),
        (state(layers=["a", "b", "c"]), "same layers, another configuration", ()),
        (state(layers=["a", "b", "c", "sha256:config"]), "only its name is missing", ()),
        (state(ids=["sha256:config"], chains=[["a", "b", "c"]]), "only its name is missing", ()),
        (state(ids=["sha256:other"], chains=[["a", "b", "c"]]), "same layers, another configuration", ()),
        # Docker has layers in stacks only: c is there, but on another b
        (state(chains=[["a", "b"], ["a", "x", "c"]]), "1 of 3 layers differ", (2,)),
        (state(chains=[["b", "c"]]), MISSING, (0, 1, 2)),
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
    source = Source(docker.run)
    images = source.images([NAME, "kubeedge/aggregator:v1"])
    cargo = shipment(source, plan(images, state(images={})))
    with tarfile.open(fileobj=io.BytesIO(b"".join(cargo.pieces))) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    assert len([name for name in names if name.startswith("blobs/")]) == 4 + 2 + 2
    # An archive that was cut off must not name an image
    assert names[-2:] == ["index.json", "manifest.json"]
    assert cargo.sent["kubeedge/aggregator:v1"] < images[1].size


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
def test_what_arrives_damaged_gets_no_name(
    docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    whole = _ship.archive

    def damaged(*arguments: Any) -> Iterator[bytes]:
        data = bytearray(b"".join(whole(*arguments)))
        middle = data.index(b"shell" * 3)
        data[middle] ^= 1
        yield bytes(data) if spoil == "flip" else bytes(data[:middle])

    monkeypatch.setattr(_ship, "archive", damaged)
    with pytest.raises(EdgeflError, match="Nothing was changed there"):
        send(docker)
    assert containerd.images == {}
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(containerd.program.parent), prepend=":")
    monkeypatch.setenv("FAKE_CONTAINERD", str(containerd.home))
    assert send(docker)["changed"]
    assert list(containerd.images) == [FULL]


def test_the_old_image_stays_when_the_new_one_does_not_arrive(
    docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(docker)
    old = containerd.images
    docker.add(NAME, [BASE, PACKAGES, {"app/model.py": b"new"}])
    monkeypatch.setattr(_ship, "archive", lambda *_: iter([b"no archive"]))
    with pytest.raises(EdgeflError):
        send(docker)
    assert containerd.images == old


def test_layers_that_changed_on_this_host_are_not_sent_under_their_name(
    docker: DockerFolder, containerd: Containerd
) -> None:
    store = LayerStore(str(docker.root), "overlay2")
    (store.layer(layers(docker)[0], layers(docker)[0]).files / "bin/sh").write_bytes(b"SHELL" * 300)
    with pytest.raises(EdgeflError, match="were changed since it was built"):
        send(docker)
    assert containerd.images == {}


def test_compressed(docker: DockerFolder, containerd: Containerd, tmp_path: Path) -> None:
    if not shutil.which("zstd"):
        with pytest.raises(EdgeflError, match="zstd is not installed on this host and This host"):
            send(docker, compression="zstd")
        return
    sent = send(docker, compression="zstd")
    assert 0 < sent["bytes"] < sent["images"][0]["bytes"] / 5
    assert list(containerd.images) == [FULL]


def test_no_room(docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ship, "SPARE", 10**18)
    with pytest.raises(EdgeflError, match=r"has \d+ MB free for /var/lib/containerd, the images need \d+ MB"):
        send(docker)
    assert containerd.images == {}


def test_stopped_and_absent(docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch) -> None:
    containerd.stop()
    with pytest.raises(EdgeflError, match=r"containerd does not answer .*systemctl start containerd"):
        send(docker)
    containerd.program.unlink()
    monkeypatch.setenv("PATH", str(containerd.program.parent))
    with pytest.raises(EdgeflError, match=r"containerd is not there .*edgefl_runtime"):
        send(docker)


def test_a_runtime_that_hangs_is_given_up(docker: DockerFolder, containerd: Containerd) -> None:
    containerd.program.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(EdgeflError, match=r"not done after 1 s\. See whether its containerd hangs"):
        send(docker, timeout=1)


def test_a_transfer_that_hangs_is_given_up(docker: DockerFolder, containerd: Containerd) -> None:
    docker.add("kubeedge/large:v1", [{"data": os.urandom(5_000_000)}])
    branch = 'elif words[:2] == ["images", "import"]:\n'
    text = containerd.program.read_text()
    containerd.program.write_text(text.replace(branch, f"{branch}    import time; time.sleep(60)\n"))
    # More than a pipe holds, and nobody reads: only the end of the command that hangs ends the writing
    begin = time.monotonic()
    with pytest.raises(EdgeflError, match="not done after 3 s"):
        send(docker, "kubeedge/large:v1", timeout=3)
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


def test_a_login_script_that_greets(docker: DockerFolder, containerd: Containerd, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/bash\necho Welcome\nexec bash -c "${@: -1}"\n')
    ssh.chmod(0o755)
    sent = ship(Source(docker.run), [NAME], Target("edge1", "root", become=False), "containerd", [str(ssh)])
    assert sent["changed"]
    assert list(containerd.images) == [FULL]


def test_not_built(docker: DockerFolder) -> None:
    with pytest.raises(EdgeflError, match=r"Not built on this host: kubeedge/nothing:v1\. Build it first"):
        send(docker, NAME, "kubeedge/nothing:v1")


def test_another_processor(docker: DockerFolder, containerd: Containerd, monkeypatch: pytest.MonkeyPatch) -> None:
    docker.images[NAME]["Architecture"] = "s390x"
    with pytest.raises(EdgeflError, match="the images are s390x: build them on a machine like it"):
        send(docker)


# The other end ---------------------------------------------------------------------------------------------------------


def test_the_agent_needs_nothing_of_the_collection() -> None:
    assert "ansible" not in Path(_ship_agent.__file__).read_text().split('"""', 2)[2]


def test_docker_says_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    item = {"Id": "sha256:i", "RootFS": {"Layers": ["a", "b"]}}

    def run(arguments: list[str], stdin: object = None) -> str:
        if arguments[1] == "info":
            return json.dumps({"DockerRootDir": "/data", "DriverStatus": [["Backing Filesystem", "extfs"]]})
        if arguments[2] == "ls":
            return "sha256:i\nsha256:i\n"
        if arguments[-1] == FULL:
            raise _ship_agent.AgentError("failed", f"Error: No such image: {FULL}")
        return json.dumps([item])

    monkeypatch.setattr(_ship_agent, "run", run)
    agent = _ship_agent.Docker()
    found = agent.state([FULL, "docker.io/other:v1"])
    assert found["chains"] == [["a", "b"]]
    assert found["images"] == {FULL: None, "docker.io/other:v1": {"ids": ["sha256:i"], "layers": ["a", "b"]}}
    assert agent.root == "/data"


# Words -----------------------------------------------------------------------------------------------------------------

EDGE = Target("192.0.2.11", "ops", 2222)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "set up anew"),
        ("No ED25519 host key is known for x and you have requested strict checking.\nHost key verification failed.", "host key is not known"),
        ("ops@192.0.2.11: Permission denied (publickey).", "correct ansible_user"),
        ("sudo: a password is required", "cannot become root"),
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
    text = explain_ssh(said, EDGE)
    assert "ops@192.0.2.11:2222" in text
    assert words in text


def test_what_the_agent_says() -> None:
    assert "its disk became full" in explain_agent(
        {"error": "failed", "reason": "write: no space left on device"}, EDGE, "docker"
    )
    assert "docker refused the images (bad)" in explain_agent({"error": "failed", "reason": "bad"}, EDGE, "docker")


def test_ssh_never_asks_and_never_learns_a_key() -> None:
    words = ssh_command("/k", "/h", 5)
    for option in (
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "ConnectTimeout=5",
        "IdentityFile=/k",
        "UserKnownHostsFile=/h",
    ):
        assert words[words.index(option) - 1] == "-o"
