"""
The installed collection does the whole job on the lab: read-only, from an empty folder, without the checkout's ansible.cfg, and with host names that
are not the nodes' names. tests/e2e/test_stop.py stops with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.artifact import content
from support.helpers import ROOT, inventory, run
from support.running_lab import LONGEST, Lab, Operator, differences, edited, one_task, rounds, values


@pytest.fixture(scope="module", autouse=True)
def untouched(other_training: None, collection: Path) -> Iterator[None]:
    """Nobody writes into the installed collection, nor into the checkout's results, until the checkout plays again."""
    before = content(collection)
    results = sorted((ROOT / "results").iterdir()) if (ROOT / "results").exists() else []
    yield
    assert content(collection) == before
    assert (sorted((ROOT / "results").iterdir()) if (ROOT / "results").exists() else []) == results


def clients(lab: Lab) -> dict[str, Any]:
    """The clients' pods, and of each container how often it was started again, and how the one before ended."""
    containers = {pod["metadata"]["name"]: pod["status"]["containerStatuses"][0] for pod in lab.pods(clients=True)}
    return {name: {key: found.get(key) for key in ("restartCount", "lastState")} for name, found in containers.items()}


# `make test` begins with a `make lab`, which is the same play from the checkout
@pytest.mark.long
def test_lab(operator: Operator) -> None:
    """
    As somebody calls it who has the collection and no inventory, it finds the lab that `make lab` made from the checkout, trained, and has nothing to do
    there but to bring the results.
    """
    before = operator.lab.state()
    again = operator.play("lab", inventory=Path("/dev/null")).ok()
    assert "lab_artifacts : Programs" not in again.output, "it compiles what is compiled"
    assert "edge1 : ok=" in again.output
    assert differences(before, operator.lab.state()) == []
    limit = LONGEST * one_task()
    operator.lab.show(f"  the lab with the cluster up: {again.result.seconds:.1f} s, at most {limit:.1f}")
    assert again.result.seconds <= limit
    assert [event["event"] for event in rounds(operator.folder)] == ["start", *["round"] * 5, "done"]


def test_an_inventory_of_one_line_is_the_lab(operator: Operator, tmp_path: Path) -> None:
    line = tmp_path / "lab.yml"
    line.write_text("plugin: edgefl.kubeedge.lab\n")
    env = {"ANSIBLE_COLLECTIONS_PATH": str(operator.collections)}
    listed = inventory(
        run("ansible-inventory", "--inventory", line, "--list", cwd=operator.folder, env=env).ok().output
    )
    assert {about["edgefl_node_name"] for about in listed["_meta"]["hostvars"].values()} == set(operator.lab.hosts)


def test_site(operator: Operator) -> None:
    """Its training; experiment.yml below plays all that comes before, as the same playbook."""
    operator.play("site", values(edgefl_run="new"), "--tags=preflight,federation,results").ok()
    events = rounds(operator.folder)
    assert [event["event"] for event in events] == ["start", *["round"] * 5, "done"]
    # In results and objects the nodes have the cluster's names
    assert {client["node"] for event in events[1:6] for client in event["clients"]} == {"edge1", "edge2"}
    assert events[-1]["accuracy"] >= 0.82
    assert sorted(path.name for path in operator.folder.iterdir()) == ["hosts.yml", "results"]
    assert (operator.folder / "results/latest/report.html").exists()


def test_one_edge_has_all_images(operator: Operator) -> None:
    shipped = operator.play("ship_images", "-l", "lighthouse", show=False).ok()
    assert shipped.sums["changed"] == 0
    assert "lighthouse" in shipped.output and "harbour-7" not in shipped.output


def test_an_edit_is_trained_and_leaves_nothing_to_do(operator: Operator, tmp_path: Path) -> None:
    """The clients' pods stay, and train what was edited; what retrain did is as site wants it."""
    before, pods = rounds(operator.folder)[0], clients(operator.lab)
    sources, _number = edited(tmp_path, "layers.Dropout(", "layers.Dropout(0.05 + ")
    operator.play("retrain", sources).ok()
    events = rounds(operator.folder)
    assert events[0]["run"] != before["run"]
    assert events[0]["settings"]["identity"] != before["settings"]["identity"]
    after = clients(operator.lab)
    assert after.keys() == pods.keys()
    # A container that ends begins anew in its pod (seen once in some forty edits)
    ended = [name for name in pods if after[name] != pods[name]]
    for name in ended:
        operator.lab.show(f"  {name} began anew: {after[name]}")
    assert len(ended) < len(pods), f"the framework was loaded again: {after}"
    assert [event["event"] for event in events] == ["start", *["round"] * 5, "done"]
    assert events[-1]["accuracy"] >= 0.82
    # The rest of site.yml in test_idempotence.py
    tags = "--tags=preflight,build_images,ship_images,federation,results"
    assert operator.play("site", sources, tags, show=False).ok().sums["changed"] == 0


def test_experiment(operator: Operator) -> None:
    """With every role that site.yml has before the training."""
    one = {"experiment_name": "short", "experiment_loops": 1, "experiment_settings": [{"name": "one"}]}
    operator.play("experiment", values(**one, edgefl_rounds=1)).ok()
    assert (operator.folder / "results/experiments/short/comparison/report.html").exists()
