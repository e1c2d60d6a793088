"""Other settings, each in the place of the ones before: another app, one edge only, another kind of workload."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.helpers import ROOT
from support.running_lab import Lab, rounds, values
from support.wheels import write_wheel

pytestmark = pytest.mark.usefixtures("other_training")


def clients(lab: Lab) -> dict[str, str]:
    """Node of each live client pod -> kind of its owner; waits until those that go have gone."""
    for _attempt in range(60):
        if not [pod for pod in lab.ours("pods") if "deletionTimestamp" in pod["metadata"]]:
            break
        time.sleep(1)
    found = {}
    for pod in lab.pods(clients=True):
        owner = pod["metadata"].get("ownerReferences", [{"kind": "Pod"}])[0]["kind"]
        found[pod["spec"]["nodeName"]] = "Deployment" if owner == "ReplicaSet" else owner
    return found


def trained() -> list[set[str]]:
    """The nodes in each round of the newest results."""
    return [{client["node"] for client in event["clients"]} for event in rounds() if event["event"] == "round"]


LOCKS = ROOT / "results/locks"
# Bytes of data on each edge, that no compression makes smaller; their mean is 127.5
DATA = 40_000_000


@pytest.fixture
def data(lab: Lab) -> Iterator[str]:
    """A folder on each edge with numbers, and on the cloud node with what the ServerApp compares with."""
    folder = "/srv/edgefl-test"
    lab.ssh("cloud", f"mkdir -p {folder}/owner && echo 127.5 >{folder}/owner/truth.txt")
    for edge in lab.edges:
        lab.ssh(edge, f"mkdir -p {folder} && head -c {DATA} /dev/urandom >{folder}/numbers.bin")
    yield folder
    for host in lab.hosts:
        lab.ssh(host, f"rm -r {folder}")


def bytes_sent(lab: Lab) -> dict[str, int]:
    """What each edge has sent, as its network interface counts it."""
    return {edge: int(lab.ssh(edge, "cat /sys/class/net/eth0/statistics/tx_bytes")) for edge in lab.edges}


def with_a_package(folder: Path) -> dict[str, str]:
    """The app `means` with a package that no image has, which both of its parts import and its clients report; as variables, with a wheel of the package."""
    app = shutil.copytree(ROOT / "tests/fl/flower_apps/means", folder / "means")
    changes = {
        "pyproject.toml": ('["flwr", "numpy"]', '["flwr", "numpy", "edgefl-levels"]'),
        "means/__init__.py": ("def predict", "from edgefl_levels import LEVEL\n\n\ndef predict"),
        "means/client_app.py": ("app = ClientApp()", "from means import LEVEL\n\napp = ClientApp()"),
    }
    for name, (before, after) in changes.items():
        text = (app / name).read_text()
        assert before in text
        (app / name).write_text(text.replace(before, after))
    client = app / "means/client_app.py"
    client.write_text(client.read_text().replace('"num-examples": 10,', '"num-examples": 10, "level": LEVEL,'))
    wheels = folder / "wheels"
    wheels.mkdir()
    write_wheel(wheels, "edgefl_levels", "LEVEL = 7\n")
    return {"edgefl_app": str(app), "edgefl_app_wheels": str(wheels)}


def test_a_flower_app_of_somebody_s_own(lab: Lab, data: str, tmp_path: Path) -> None:
    """Each node pulls half of the way towards the mean of its data, which do not leave it; by a package that comes from a folder of wheels."""
    own = values(
        **with_a_package(tmp_path),
        edgefl_app_config={"num-server-rounds": 2},
        edgefl_data=data,
        edgefl_aggregator_data=data,
    )
    before, locks = bytes_sent(lab), set(LOCKS.glob("means-*.txt"))
    lab.play("site.yml", own).ok()
    (lock,) = set(LOCKS.glob("means-*.txt")) - locks
    assert "edgefl-levels==1.0" in lock.read_text() and "--hash=sha256:" in lock.read_text()
    lock.unlink()
    sent = {edge: count - before[edge] for edge, count in bytes_sent(lab).items()}
    lab.show(f"  of {DATA / 1e6:g} MB on each edge, sent in the whole play: {sent}")
    assert all(0 < count < DATA / 10 for count in sent.values())
    begun, *made, _done = rounds()
    assert begun["settings"]["app"] == "means" and begun["settings"]["config"]["num-server-rounds"] == 2
    assert [[client["node"] for client in one["clients"]] for one in made] == [lab.edges] * 2
    assert all(one["lost"] == [] and {"train_loss", "calls"} <= one["metrics"]["train"].keys() for one in made)
    assert [one["metrics"]["train"]["level"] for one in made] == [7, 7]
    for who, name in (("evaluate", "eval_loss"), ("aggregator", "distance")):
        assert [one["metrics"][who][name] for one in made] == pytest.approx([63.5, 31.7], abs=0.5)
    # Made by the app's own predict() in the clients' image
    about = json.loads((ROOT / "results/latest/model/model.json").read_text())
    assert about["example"]["outputs"][0]["shape"] == [1]
    assert "train calls after each round" in (ROOT / "results/latest/report.html").read_text()


@pytest.mark.long
def test_a_new_app_and_an_edit(lab: Lab, tmp_path: Path) -> None:
    """What new_app.yml writes, on rows of each edge; an edit is trained by retrain.yml in the pods that are there, and leaves nothing to do."""
    lab.play("new_app.yml", "-e", "name=rows", "-e", "framework=numpy", "-e", f"new_app_parent={tmp_path}").ok()
    given = values(edgefl_app=str(tmp_path / "rows"))
    lab.play("site.yml", given).ok()
    first, pods = rounds()[0], lab.pod_ids()
    model = tmp_path / "rows/rows/model.py"
    model.write_text(model.read_text() + "# An edit\n")
    lab.play("retrain.yml", given).ok()
    begun, *_made, done = rounds()
    assert begun["settings"]["identity"] != first["settings"]["identity"] and done["lost_total"] == 0
    assert lab.pod_ids() == pods
    assert lab.play("retrain.yml", given, show=False).ok().sums["changed"] == 0
    assert lab.play("site.yml", given, show=False).ok().sums["changed"] == 0


def kinds(lab: Lab) -> set[str]:
    """The kinds of the objects that own the clients."""
    return {item["kind"] for item in lab.ours("deployments,statefulsets") if "client" in item["metadata"]["name"]}


@pytest.mark.long
def test_one_edge_only_by_any_name_and_another_kind(lab: Lab, tmp_path: Path) -> None:
    """Nothing is left of the other edge, nor of the kind there was."""
    given = values(edgefl_kind="StatefulSet")
    inventory = lab.write_inventory(tmp_path / "hosts.yml", {"cloud0": "cloud", "edge1": "edge1"})
    lab.play("site.yml", given, inventory=inventory).ok()
    assert clients(lab) == {"edge1": "StatefulSet"} and kinds(lab) == {"StatefulSet"}
    assert trained() == [{"edge1"}] * 5
    # Other names in the inventory are the same training
    renamed = lab.write_inventory(tmp_path / "renamed.yml", {"office": "cloud", "harbour-8": "edge1"})
    assert lab.play("site.yml", given, inventory=renamed, show=False).ok().sums["changed"] == 0


@pytest.mark.long
@pytest.mark.parametrize(("kind", "owners"), [("Deployment", {"Deployment"}), ("Pod", set())])
def test_other_kind_leaves_nothing_of_the_old(lab: Lab, kind: str, owners: set[str]) -> None:
    lab.play("site.yml", "-e", f"edgefl_kind={kind}").ok()
    assert clients(lab) == dict.fromkeys(lab.edges, kind) and kinds(lab) == owners
