"""Images to machines of their own, beside the lab's cluster: both runtimes, links that are cut, and everything that can be wrong with one of them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.running_lab import Lab
from support.ship_nodes import CLOUD, Nodes, build, forget, inside, ship

REPOSITORY = "edgefl-ship-test/app"
LARGE = f"{REPOSITORY}:large"
SMALL = f"{REPOSITORY}:small"
CHUNK = 8 << 20
CTR = "ctr --namespace=k8s.io"


@pytest.fixture(scope="module")
def nodes(lab: Lab) -> Iterator[Nodes]:
    """Three machines; images of 120 and 2 MB are built on the cloud node."""
    del lab
    with Nodes(3) as made:
        build(LARGE, 120)
        build(SMALL, 2)
        yield made
        forget(REPOSITORY)


@pytest.fixture(autouse=True)
def empty(nodes: Nodes) -> None:
    nodes.empty()


def there(nodes: Nodes, name: str, runtime: str) -> list[str]:
    """Names of our images in a runtime, as that shows them."""
    command = (
        f"{CTR} images ls --quiet" if runtime == "containerd" else "docker images --format '{{.Repository}}:{{.Tag}}'"
    )
    return sorted(line for line in nodes.run(name, command).split() if REPOSITORY in line)


def test_both_runtimes_at_once(nodes: Nodes, tmp_path: Path) -> None:
    targets = [nodes.target("ship1", "containerd"), nodes.target("ship2", "docker")]
    would, _output = ship(tmp_path, targets, [LARGE], check=True)
    assert [(row["node"], row["reason"], row["sent"]) for row in would["table"]] == [
        ("ship1", "missing", 0),
        ("ship2", "missing", 0),
    ]
    assert would["changed"]
    assert there(nodes, "ship1", "containerd") == there(nodes, "ship2", "docker") == []

    # Slow enough that something is to be shown
    did, output = ship(tmp_path, targets, [LARGE], bandwidth="25MB")
    assert [node["failed"] for node in did["nodes"].values()] == [False, False], did
    assert there(nodes, "ship1", "containerd") == [f"docker.io/{LARGE}"]
    assert there(nodes, "ship2", "docker") == [LARGE]
    digest = inside(CLOUD, f"docker image inspect --format '{{{{.Id}}}}' {LARGE}").strip()
    assert nodes.run("ship2", f"docker image inspect --format '{{{{.Id}}}}' {LARGE}").strip() == digest
    # The second is the kubelet's name for the first; of the image of lower layers none is left
    assert set(nodes.run("ship1", f"{CTR} images ls --quiet").split()) == {f"docker.io/{LARGE}", digest}
    assert re.search(r"ship1 +\d+ % +[\d.]+ MB +[\d.]+ MB/s", output.output), output.output

    again, _output = ship(tmp_path, targets, [LARGE])
    assert (again["changed"], again["bytes"]) == (False, 0)

    build(LARGE, 120, line="one line changed")
    changed, _output = ship(tmp_path, targets, [LARGE])
    assert [row["reason"] for row in changed["table"]] == ["1 of 2 layers differ"] * 2
    assert changed["bytes"] < 10_000

    # Another layer with the same file
    build(LARGE, 120, path="/moved/data")
    moved, _output = ship(tmp_path, targets, [LARGE])
    assert [row["reason"] for row in moved["table"]] == ["missing"] * 2
    assert [node["copied"] for node in moved["nodes"].values()] == [120_000_000] * 2, moved
    assert moved["bytes"] < 10_000
    build(LARGE, 120)


# `make test` has it with real agents and processes of ssh, but no network: tests/unit/plugins/test_ship.py
@pytest.mark.long
def test_a_link_that_is_cut_five_times(nodes: Nodes, tmp_path: Path) -> None:
    whole, _output = ship(tmp_path, [nodes.target("ship1", "docker")], [LARGE])
    stop = threading.Event()
    cuts: list[str] = []

    def cut() -> None:
        """Each time that 18 MB more have arrived the process of ssh is ended, by its id."""
        while not stop.wait(0.2) and len(cuts) < 5:
            size = int(nodes.run("ship1", "cat /var/lib/edgefl/incoming/*.part 2>/dev/null | wc -c || true").split()[0])
            process = inside(CLOUD, f"pgrep --newest --full '^ssh .* {nodes.address('ship1')} ' || true").strip()
            if process and size > 18_000_000 * (len(cuts) + 1):
                inside(CLOUD, f"kill -9 {process}")
                cuts.append(process)

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        did, _output = ship(tmp_path, [nodes.target("ship1", "containerd")], [LARGE], bandwidth="10MB")
    finally:
        stop.set()
        thread.join()
    node = did["nodes"]["ship1"]
    assert (node["failed"], node["cuts"], len(cuts)) == (False, 5, 5), node
    assert there(nodes, "ship1", "containerd") == [f"docker.io/{LARGE}"]
    # Each cut costs one chunk at most
    assert node["bytes"] - whole["bytes"] <= 5 * CHUNK
    assert nodes.run("ship1", "ls /var/lib/edgefl/incoming").split() == []


def test_a_later_call_goes_on_and_damage_is_noticed(nodes: Nodes, tmp_path: Path) -> None:
    target = [nodes.target("ship1", "containerd")]
    first, _output = ship(tmp_path, target, [LARGE], bandwidth="10MB", timeout=8)
    assert "not done after" in first["nodes"]["ship1"]["msg"]
    assert there(nodes, "ship1", "containerd") == []
    # The fourth chunk is spoilt where it waits
    nodes.run(
        "ship1", f"printf X | dd of=$(ls /var/lib/edgefl/incoming/*.part) bs=1 seek={3 * CHUNK + 99} conv=notrunc status=none"
    )  # fmt: skip
    second, _output = ship(tmp_path, target, [LARGE])
    node = second["nodes"]["ship1"]
    assert not node["failed"], node
    assert 120_000_000 - 4 * CHUNK < node["bytes"] < 120_000_000 - 2 * CHUNK
    assert there(nodes, "ship1", "containerd") == [f"docker.io/{LARGE}"]


def test_what_is_wrong_with_one_is_told_of_that_one(nodes: Nodes, tmp_path: Path) -> None:
    nodes.run("ship2", "systemctl stop docker.socket docker")
    nodes.run("ship3", "mkdir -p /var/lib/edgefl/incoming && mount -t tmpfs -o size=50m none /var/lib/edgefl/incoming")
    strange = nodes.target("ship1", "containerd", name="strange")
    strange["known_hosts"] = f"{strange['known_hosts']}-other"
    key = inside(CLOUD, "cat /etc/ssh/ssh_host_ed25519_key.pub").strip()
    inside(CLOUD, f"echo '{nodes.address('ship1')} {key}' >{strange['known_hosts']}")
    targets = [
        nodes.target("ship1", "containerd", name="closed", port=2222),
        strange,
        nodes.target("ship1", "containerd", name="nobody", user="nobody"),
        nodes.target("ship2", "docker", name="stopped"),
        nodes.target("ship3", "containerd", name="full"),
        nodes.target("ship1", "containerd", name="good"),
    ]
    try:
        begin = time.monotonic()
        did, _output = ship(tmp_path, targets, [LARGE])
        assert time.monotonic() - begin < 90
    finally:
        nodes.run("ship2", "systemctl start docker")
        nodes.run("ship3", "umount /var/lib/edgefl/incoming")
    said = {name: node["msg"] for name, node in did["nodes"].items()}
    assert "start its SSH server" in said["closed"]
    assert "its host key is not the one that is known" in said["strange"]
    assert "correct ansible_user" in said["nobody"]
    assert re.search(r"docker does not answer .*systemctl start docker", said["stopped"])
    assert re.search(r"has \d+ MB free for /var/lib/edgefl/incoming, the images need \d+ MB", said["full"])
    assert (said["good"], did["nodes"]["good"]["changed"]) == ("", True)
    assert {name for name, node in did["nodes"].items() if node["failed"]} == set(said) - {"good"}
    assert there(nodes, "ship3", "containerd") == there(nodes, "ship2", "docker") == []
    assert [row["reason"].partition(":")[0] for row in did["table"]] == ["failed"] * 5 + ["missing"]


def test_what_is_not_built(nodes: Nodes, tmp_path: Path) -> None:
    did, _output = ship(tmp_path, [nodes.target("ship1", "docker")], [f"{REPOSITORY}:none"])
    assert f"Not built on this host: {REPOSITORY}:none. Build it first" in did["msg"]


def test_layers_that_were_changed_on_the_cloud_node(nodes: Nodes, tmp_path: Path) -> None:
    """A byte that was flipped on the disk of the cloud node reaches no runtime."""
    spoilt = f"{REPOSITORY}:spoilt"
    build(spoilt, 3)
    upper = inside(CLOUD, f"docker image inspect --format '{{{{.GraphDriver.Data.LowerDir}}}}' {spoilt}").strip()
    inside(CLOUD, f"printf X | dd of={upper.split(':')[-1]}/data bs=1 seek=999 conv=notrunc status=none")
    try:
        did, _output = ship(tmp_path, [nodes.target("ship1", "containerd")], [spoilt])
    finally:
        inside(CLOUD, f"docker image rm --force {spoilt} && docker image prune --force >/dev/null")
    assert "were changed since it was built" in did["nodes"]["ship1"]["msg"]
    assert there(nodes, "ship1", "containerd") == []


# `make test` has these rules with real agents: tests/unit/plugins/test_ship.py
@pytest.mark.long
@pytest.mark.parametrize("runtime", ["containerd", "docker"])
def test_old_images_go_but_not_those_in_use(nodes: Nodes, tmp_path: Path, runtime: str) -> None:
    kept = "edgefl-ship-test/kept"
    tags = [f"{kept}:v1-{number:012x}" for number in range(1, 5)]
    target = [nodes.target("ship3", runtime)]
    names: dict[str, Any] = {"docker": tags, "containerd": [f"docker.io/{tag}" for tag in tags]}
    try:
        for tag in tags[:3]:
            build(tag, 1, line=tag)
            # Docker counts whole seconds
            time.sleep(1.1)
            ship(tmp_path, target, [tag])
        use = {"docker": "docker create --name=user", "containerd": f"{CTR} containers create"}[runtime]
        nodes.run("ship3", f"{use} {names[runtime][0]} {'user' if runtime == 'containerd' else ''} >/dev/null")
        build(tags[3], 1, line=tags[3])
        would, _output = ship(tmp_path, target, [tags[3]], check=True, keep=2)
        did, _output = ship(tmp_path, target, [tags[3]], keep=2)
        left = [line.removeprefix("docker.io/") for line in listed(nodes, runtime) if kept in line]
        again, _output = ship(tmp_path, target, [tags[3]], keep=2)
        built = inside(CLOUD, f"docker images --format '{{{{.Repository}}}}:{{{{.Tag}}}}' {kept}").split()
    finally:
        remove = {"docker": "docker rm --force user", "containerd": f"{CTR} containers rm user"}[runtime]
        nodes.run("ship3", f"{remove} >/dev/null 2>&1 || true")
        forget(kept)
    # The first is in use, the last is new
    assert sorted(left) == [tags[0], tags[3]]
    assert sorted(built) == tags[2:]
    assert would["changed"]
    assert set(did["removed"]) == set(tags[:2])
    assert not again["changed"]


def listed(nodes: Nodes, runtime: str) -> list[str]:
    """All names of images on the third machine."""
    command = (
        f"{CTR} images ls --quiet" if runtime == "containerd" else "docker images --format '{{.Repository}}:{{.Tag}}'"
    )
    return nodes.run("ship3", command).split()
