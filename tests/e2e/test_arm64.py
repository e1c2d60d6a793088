"""
An edge of another architecture: on the lab one of the amd64 machines runs the arm64 image by emulation, beside one that runs its own.

A whole arm64 machine can't be one of the lab's: under QEMU 7.2's user emulation (Debian 12) systemd and containerd run, but containerd's shim ends with
"invalid argument" before it starts runc, as that emulation has no prctl(PR_SET_CHILD_SUBREAPER).
"""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images import platforms
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._sources import Sources
from support.helpers import ROOT, run
from support.running_lab import Lab, rounds, values

# All machines of the lab have this machine's kernel, and with it what that knows of emulators
EMULATOR = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
BASE = "edgefl-lab/debian:bookworm"
EMPTY, IMAGE = "edgefl-arm-test/platform:arm64", "edgefl-arm-test/client-arm64:1"
# Samples of each edge: emulation makes a training of seconds one of minutes
FEW = 1000
# Seconds of a playbook that builds, tries, ships and trains by emulation
LONGEST = 5400

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", autouse=True)
def emulator() -> None:
    assert EMULATOR.exists(), "apt-get install qemu-user-static binfmt-support on this machine"


@pytest.fixture
def mixed(lab: Lab, tmp_path: Path) -> Path:
    """An inventory with two of the lab's edges, whose second one is arm64 by the inventory's word."""
    names = {"cloud0": "cloud", "first": lab.edges[0], "second": lab.edges[1]}
    own: dict[str, dict[str, Any]] = {
        "first": {"edgefl_slice_start": 0, "edgefl_slice_stop": FEW},
        "second": {"edgefl_slice_start": FEW, "edgefl_slice_stop": 2 * FEW, "edgefl_architecture": "arm64"},
    }
    return lab.write_inventory(tmp_path / "hosts.yml", names, own)


@pytest.mark.usefixtures("other_training")
def test_an_arm64_client_trains_beside_an_amd64_one(lab: Lab, mixed: Path) -> None:
    """In every round, as well as the other; a second call and check mode find nothing to do, and the next image takes the old one's place."""
    given = values(edgefl_rounds=3, edgefl_round_timeout=1800, federation_timeout=1800)
    first = lab.play("site.yml", given, inventory=mixed, timeout=LONGEST).ok()
    assert "client-arm64:" in first.output and "was not tried" not in first.output
    images = {pod["spec"]["nodeName"]: pod["spec"]["containers"][0]["image"] for pod in lab.pods(clients=True)}
    native, foreign = (images[node] for node in lab.edges[:2])
    assert foreign == platforms.image_for(native, "arm64", "amd64") != native
    assert "linux/arm64" in lab.ssh(lab.edges[1], f"ctr --namespace=k8s.io images ls | grep -F {foreign}")
    asked = f"docker image inspect --format='{{{{json .RootFS.Layers}}}}' {native} {foreign}"
    own, others = ({*json.loads(line)} for line in lab.ssh("cloud", asked).splitlines())
    # Python alone of Flower and of TensorFlow, data, the package and the apps; not the system, nor what has code for a processor
    assert len(own & others) >= 5 and len(own - others) == len(others - own) == 3
    made = [event for event in rounds() if event["event"] == "round"]
    assert len(made) == 3 and all(event["lost"] == [] for event in made)
    for event in made:
        assert {part["node"] for part in event["clients"]} == {*lab.edges[:2]}
    # Both train the same model on as many samples of the same kind
    accuracy = {part["node"]: part["accuracy"] for part in made[-1]["clients"]}
    assert accuracy[lab.edges[0]] == pytest.approx(accuracy[lab.edges[1]], abs=0.1)
    lab.show(f"  accuracy of the last round: {accuracy}, of the whole {made[-1]['accuracy']}")
    for words in ([], ["--check"]):
        assert lab.play("site.yml", given, *words, inventory=mixed, show=False).ok().sums["changed"] == 0


def build(*, foreign: bool) -> None:
    """The client's image by the builder before BuildKit, with the arguments that the role gives it."""
    context = io.BytesIO()
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    Sources(str(ROOT / "fl_src")).pack(context, bundle.read_bytes() if bundle.is_file() else b"")
    given = {"BASE_IMAGE": BASE}
    if foreign:
        subprocess.run(["docker", "load", "--quiet"], input=platforms.empty_image(EMPTY, "arm64"), check=True)
        given |= platforms.arguments("arm64", EMPTY)
    # Whoever measures something on this machine comes first
    words = [
        "docker",
        "build",
        "--cpu-shares=2",
        "--target=client",
        f"--tag={IMAGE}",
        *(f"--build-arg={name}={value}" for name, value in given.items()),
    ]
    subprocess.run([*words, "-"], input=context.getvalue(), env={**os.environ, "DOCKER_BUILDKIT": "0"}, check=True)


@pytest.fixture
def built() -> Iterator[str]:
    build(foreign=True)
    yield IMAGE
    subprocess.run(["docker", "image", "rm", "--force", IMAGE, EMPTY], check=True)


@pytest.mark.usefixtures("lab")
def test_the_builder_before_buildkit_makes_it_too(built: str) -> None:
    """With the architecture in its configuration, by which it is shipped, and with all that the app needs."""
    (about,) = json.loads(subprocess.check_output(["docker", "image", "inspect", built]))
    assert (about["Architecture"], about["Os"], about["Config"]["User"]) == ("arm64", "linux", "10001:10001")
    words = (
        "docker",
        "run",
        "--rm",
        "--network=none",
        "--platform=linux/arm64",
        "--read-only",
        "--tmpfs=/tmp",
        "--entrypoint=python3",
        built,
    )
    machine = run(*words, "-c", "import platform; print(platform.machine())", timeout=120).ok()
    assert machine.output.strip().endswith("aarch64")
    tried = run(*words, "-m", "edgefl.common.check_app", "fashion_mnist", "clientapp", timeout=3600).ok()
    assert "app fashion_mnist works" in tried.output
