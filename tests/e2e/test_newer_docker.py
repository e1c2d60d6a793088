"""Images from and to Docker 29, whose images a containerd keeps: its own one, or that of the machine, which is newer than Debian's as well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.helpers import CACHE, ROOT, run
from support.running_lab import Lab
from support.ship_nodes import Nodes, build, forget, ship

pytestmark = pytest.mark.long

REPOSITORY = "edgefl-newer-test/app"
IMAGE = f"{REPOSITORY}:v1"
PROGRAMS = {
    "containerd": "github.com/containerd/containerd/v2/cmd/containerd",
    "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    "ctr": "github.com/containerd/containerd/v2/cmd/ctr",
    "buildx": "github.com/docker/buildx/cmd/buildx",
    "dockerd": "github.com/moby/moby/v2/cmd/dockerd",
}


@pytest.fixture(scope="module")
def programs(lab: Lab, tmp_path_factory: pytest.TempPathFactory, show: Callable[[str], None]) -> Path:
    """Folder with the programs, compiled beside those of the lab; the first time takes minutes."""
    del lab
    folder = tmp_path_factory.mktemp("programs")
    compile_ = {
        "name": "docker",
        "source": str(ROOT / "tests/go/docker"),
        "programs": PROGRAMS,
        "cache": str(CACHE),
        "go": "{{ __lab_artifacts_go }}",
        "ldflags": "-s -w",
        "progress": f"{CACHE}/go-docker.log",
    }
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "tasks": [
            {
                "name": "Find what compiles",
                "ansible.builtin.import_role": {"name": "edgefl.kubeedge.lab_artifacts", "tasks_from": "tools"},
            },
            {"name": "Compile", "edgefl.kubeedge.go_programs": compile_, "register": "made"},
            {"name": "Tell", "ansible.builtin.copy": {"content": "{{ made.path }}", "dest": f"{folder}/path"}},
        ],
    }
    (folder / "compile.yml").write_text(json.dumps([play]))
    run("ansible-playbook", folder / "compile.yml", show=show, timeout=3600).ok()
    return Path((folder / "path").read_text())


@pytest.fixture(scope="module")
def nodes(programs: Path) -> Iterator[Nodes]:
    """The first two have Docker 29, the second with a containerd of its own; the third has Debian's."""
    with Nodes(3) as made:
        made.renew("ship1", programs, own=False)
        made.renew("ship2", programs, own=True)
        yield made
        forget(REPOSITORY)


@pytest.fixture
def source(nodes: Nodes, lab: Lab) -> dict[str, Any]:
    """The first one, to ship from."""
    key = Path(lab.hosts["cloud"]["ansible_ssh_private_key_file"])
    return nodes.believe("ship1", ["ship2", "ship3"], key)


def three_times(
    folder: Path, targets: list[dict[str, Any]], make: Callable[[str], object], source: dict[str, Any] | None = None
) -> None:
    """All of it, nothing, and a line that was changed; each runtime has what was built then, and Docker knows it."""
    make("one")
    first, _output = ship(folder, targets, [IMAGE], source=source)
    assert [row["reason"] for row in first["table"]] == ["missing"] * len(targets), first
    assert not first["whole"]
    again, _output = ship(folder, targets, [IMAGE], source=source)
    assert (again["changed"], again["bytes"]) == (False, 0), again
    make("two")
    would, _output = ship(folder, targets, [IMAGE], check=True, source=source)
    changed, _output = ship(folder, targets, [IMAGE], source=source)
    for result in (would, changed):
        assert [row["reason"] for row in result["table"]] == ["1 of 2 layers differ"] * len(targets), result
    assert changed["bytes"] < 5_000 * len(targets)


def lines(nodes: Nodes, name: str) -> str:
    """The line of the image, as a container of it sees it."""
    return nodes.run(
        name,
        f"docker create --name=probe {IMAGE} >/dev/null; docker cp probe:/line - | tar xO; docker rm probe >/dev/null",
    )


def test_to_docker_29(nodes: Nodes, tmp_path: Path) -> None:
    for name in ("ship1", "ship2"):
        assert (
            nodes.run(name, "docker info --format '{{.DriverStatus}}'").strip()
            == "[[driver-type io.containerd.snapshotter.v1]]"
        )
    targets = [nodes.target("ship1", "docker", name="docker"), nodes.target("ship2", "docker", name="own")]
    targets.append(nodes.target("ship1", "containerd", name="containerd"))
    three_times(tmp_path, targets, lambda line: build(IMAGE, 90, line=line))
    assert [lines(nodes, name).strip() for name in ("ship1", "ship2")] == ["two", "two"]
    # Of the image of lower layers nothing is left
    assert nodes.run("ship2", "docker images --quiet --no-trunc | sort -u").count("sha256") == 1


@pytest.mark.parametrize("command", ["docker build", "docker buildx build"])
def test_from_docker_29(nodes: Nodes, source: dict[str, Any], tmp_path: Path, command: str) -> None:
    nodes.empty()
    targets = [
        nodes.target("ship2", "docker"),
        nodes.target("ship3", "docker"),
        nodes.target("ship3", "containerd", name="old"),
    ]

    def make(line: str) -> None:
        build(IMAGE, 90, line=line, where="edgefl-ship1", command=command)

    three_times(tmp_path, targets, make, source)
    assert [lines(nodes, name).strip() for name in ("ship2", "ship3")] == ["two", "two"]
    # To the machine that built it, into the runtime of its pods: only what that lacks
    here, _output = ship(
        tmp_path,
        [{"name": "here", "runtime": "containerd"}, {"name": "same", "runtime": "docker"}],
        [IMAGE],
        source=source,
    )
    assert [row["reason"] for row in here["table"]] == ["missing", "up to date"], here


def test_old_images_go_from_docker_29(nodes: Nodes, source: dict[str, Any], tmp_path: Path) -> None:
    nodes.empty()
    tags = [f"{REPOSITORY}:v1-{number:012x}" for number in range(1, 4)]
    target = [nodes.target("ship2", "docker")]
    for tag in tags:
        build(tag, 1, line=tag, where="edgefl-ship1")
        did, _output = ship(tmp_path, target, [tag], keep=1, source=source)
        if tag == tags[0]:
            nodes.run("ship2", f"docker create --name=user {tag} >/dev/null")
    nodes.run("ship2", "docker rm user >/dev/null")
    assert did["nodes"]["ship2"]["removed"] == [f"docker.io/{tags[1]}"]
    # The first was in use there; where they were built it was not
    command = f"docker images --format '{{{{.Tag}}}}' {REPOSITORY}"
    assert sorted(nodes.run("ship2", command).split()) == [tag.rpartition(":")[2] for tag in (tags[0], tags[2])]
    assert nodes.run("ship1", command).split() == [tags[2].rpartition(":")[2]]
