"""Wrong input, through the real playbook: refused before anything is changed, all of it at once, and the message says what to change."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.running_lab import Lab, Run, differences

Values = dict[str, Any]

# name -> (variables, words that the message must have)
WRONG: dict[str, tuple[Values, list[str]]] = {
    "misspelt variable": ({"edgefl_ronds": 3}, ["edgefl_ronds", "edgefl_rounds"]),
    "overlapping slices": (
        {"edgefl_slice_start": 0, "edgefl_slice_stop": 1000},
        ["overlap", "edge1", "edge2", "edgefl_slice_start"],
    ),
    "partition after clients": (
        {"edgefl_slice_start": 2000, "edgefl_slice_stop": 1000},
        ["2000", "1000", "edgefl_slice_start", "edgefl_slice_stop"],
    ),
    "empty slice": (
        {"edgefl_slice_start": 1000, "edgefl_slice_stop": 1000},
        ["no samples", "1000", "edgefl_slice_stop"],
    ),
    "slice out of range": ({"edgefl_slice_start": 59000, "edgefl_slice_stop": 61000}, ["61000", "60000"]),
    "namespace of the cluster": ({"edgefl_namespace": "kube-system"}, ["kube-system", "edgefl_namespace"]),
    "unknown kind": ({"edgefl_kind": "DaemonSet"}, ["DaemonSet", "Deployment", "StatefulSet", "Pod"]),
    "unknown selection": ({"edgefl_selection": "random"}, ["random", "node", "pod"]),
    "unknown app": ({"edgefl_app": "mnist_fashion"}, ["mnist_fashion", "fashion_mnist"]),
    "unsupported runtime": ({"edgefl_runtime": "rkt"}, ["rkt", "docker", "containerd"]),
    "no rounds": ({"edgefl_rounds": 0}, ["edgefl_rounds is 0", "1 or more"]),
    "a fraction in per cent": ({"edgefl_sample_fraction": 50}, ["edgefl_sample_fraction is 50", "from 0 to 1"]),
    "empty batches": ({"edgefl_batch_size": 0}, ["edgefl_batch_size is 0", "1 or more"]),
    "no epochs": ({"edgefl_epochs": 0}, ["edgefl_epochs is 0", "1 or more"]),
    "unknown strategy": ({"edgefl_strategy": "FedAvgg"}, ["FedAvgg", "FedAvg"]),
    "a word for a strategy's number": (
        {"edgefl_strategy_options": {"eta": "much"}},
        ["edgefl_strategy_options", "much"],
    ),
    "more clients than there will be": ({"edgefl_min_num_clients": 20}, ["edgefl_min_num_clients is 20", "no round"]),
    "words for a number": ({"edgefl_rounds": "five"}, ["edgefl_rounds", "five", "int"]),
    "request larger than the node": (
        {"edgefl_client_resources": {"cpu_request": "64"}},
        ["64", "edge1", "cpu", "edgefl_client_resources"],
    ),
    "request larger than limit": (
        {"edgefl_client_resources": {"memory_request": "2Gi", "memory_limit": "1Gi"}},
        ["2Gi", "1Gi", "memory", "edgefl_client_resources"],
    ),
}


@pytest.fixture(scope="module", autouse=True)
def untouched(lab: Lab) -> Iterator[None]:
    """After all refusals everything is as it was before the first: to ask after each of them would take minutes."""
    before = lab.state()
    yield
    assert differences(before, lab.state()) == []


def refused(lab: Lab, words: list[str], *arguments: str, inventory: Path | None = None) -> Run:
    """Runs site.yml, which must fail, say that it changed nothing, be quick, and have the words in its message."""
    run = lab.play("site.yml", *arguments, inventory=inventory, show=False)
    assert run.result.code != 0, f"accepted:\n{run.result.output}"
    assert [word for word in words if word not in run.output] == [], f"missing from the message:\n{run.result.output}"
    assert run.sums.get("changed", 0) == 0, run.result.output
    assert run.result.seconds < 60
    return run


@pytest.mark.parametrize("name", WRONG)
def test_wrong_value(lab: Lab, name: str) -> None:
    values, words = WRONG[name]
    refused(lab, words, "-e", json.dumps(values))


def test_all_problems_in_one_message(lab: Lab) -> None:
    values = {
        "edgefl_ronds": 3,
        "edgefl_slice_start": 0,
        "edgefl_slice_stop": 1000,
        "edgefl_client_resources": {"cpu_request": "64"},
    }
    refused(lab, ["edgefl_ronds", "overlap", "64"], "-e", json.dumps(values))


@pytest.fixture
def taken_port(lab: Lab) -> Iterator[int]:
    """A port of the cloud node on which something else than the aggregator listens."""
    port = 18888
    listener = f"import socket, time; s = socket.create_server(('0.0.0.0', {port})); print('ready', flush=True); time.sleep(300)"
    words = [*lab.ssh_words("cloud"), "-tt", f"python3 -c {shlex.quote(listener)}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        yield port
        # The terminal goes, and the listener with it
        process.kill()
    for _attempt in range(20):
        if f":{port} " not in lab.ssh("cloud", "ss -Hltn"):
            return
        time.sleep(0.5)
    pytest.fail(f"something still listens on the cloud's port {port}")


def test_port_taken(lab: Lab, taken_port: int) -> None:
    refused(
        lab, [str(taken_port), "python3", "edgefl_server_port"], "-e", json.dumps({"edgefl_server_port": taken_port})
    )


@pytest.fixture
def held(lab: Lab) -> Iterator[str]:
    """The lock of another controller, which is at work."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    holder = "anna@elsewhere (process 1)"
    spec = {"holderIdentity": holder, "acquireTime": now, "renewTime": now, "leaseDurationSeconds": 900}
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "edgefl-edgefl"},
        "spec": spec,
    }
    kubectl = "kubectl --kubeconfig=/etc/kubernetes/admin.conf --namespace=kube-system"
    lab.ssh("cloud", f"echo {shlex.quote(json.dumps(lease))} | {kubectl} create -f -")
    yield holder
    lab.ssh("cloud", f"{kubectl} delete lease edgefl-edgefl --ignore-not-found")


def test_another_controller_is_at_work(lab: Lab, held: str) -> None:
    """Neither a training nor an edit, a stop or an experiment takes the training from it."""
    refused(lab, [f"held by {held} since", "edgefl_break_lock=true"])
    for playbook in ("retrain.yml", "stop.yml"):
        run = lab.play(playbook, show=False)
        assert run.result.code != 0 and f"held by {held}" in run.output and run.sums["changed"] == 0
    lab.play("retrain.yml", "-e", "edgefl_break_lock=true", show=False).ok()
    left = [lease["metadata"]["name"] for lease in lab.objects("leases", "--namespace=kube-system")]
    assert "edgefl-edgefl" not in left


def test_edge_that_is_no_node(lab: Lab, tmp_path: Path) -> None:
    inventory = lab.write_inventory(
        tmp_path / "hosts.yml",
        {"cloud0": "cloud", "edge1": "edge1", "edge2": "edge2"},
        {"edge2": {"edgefl_node_name": "egde2"}},
    )
    refused(lab, ["egde2", "edge2", "edgefl_node_name"], inventory=inventory)


def test_two_hosts_for_one_node(lab: Lab, tmp_path: Path) -> None:
    inventory = lab.write_inventory(tmp_path / "hosts.yml", {"cloud0": "cloud", "edge1": "edge1", "again": "edge1"})
    refused(lab, ["edge1", "again"], inventory=inventory)


def test_two_clouds(lab: Lab, tmp_path: Path) -> None:
    inventory = lab.write_inventory(tmp_path / "hosts.yml", {"cloud0": "cloud", "second": "cloud", "edge1": "edge1"})
    refused(lab, ["2 hosts in the group `cloud`", "exactly one"], inventory=inventory)


def test_no_edge(lab: Lab, tmp_path: Path) -> None:
    inventory = lab.write_inventory(tmp_path / "hosts.yml", {"cloud0": "cloud"})
    refused(lab, ["0 in the group `edges`", "at least one"], inventory=inventory)


def test_unreachable_edge(lab: Lab, tmp_path: Path) -> None:
    inventory = lab.write_inventory(
        tmp_path / "hosts.yml",
        {"cloud0": "cloud", "edge1": "edge1", "far": "edge2"},
        {"far": {"ansible_host": "127.0.0.1", "ansible_port": 1}},
    )
    refused(lab, ["far", "127.0.0.1", lab.hosts["edge2"]["ansible_user"]], inventory=inventory)


def test_no_sudo(lab: Lab, tmp_path: Path) -> None:
    inventory = lab.write_inventory(
        tmp_path / "hosts.yml",
        {"cloud0": "cloud", "edge1": "edge1", "edge2": "edge2"},
        {"edge2": {"ansible_become_exe": "/bin/false"}},
    )
    refused(lab, ["edge2", "sudo"], inventory=inventory)


@pytest.mark.parametrize(
    "playbook", ["site", "retrain", "ship_images", "experiment", "stop", "cluster", "cluster_down"]
)
def test_groups_of_other_names(lab: Lab, tmp_path: Path, playbook: str) -> None:
    """No playbook passes over plays whose groups are not there, as Ansible does."""
    right = lab.write_inventory(tmp_path / "right.yml", {"cloud0": "cloud", "edge1": "edge1"})
    wrong = tmp_path / "hosts.yml"
    wrong.write_text(right.read_text().replace("edges:", "edge_nodes:"))
    run = lab.play(f"{playbook}.yml", inventory=wrong, show=False)
    assert run.result.code != 0
    for words in ("1 hosts in the group `cloud`", "0 in the group `edges`", "Its groups are cloud, edge_nodes"):
        assert words in run.output, run.result.output
    assert run.sums.get("changed", 0) == 0


def test_no_inventory(lab: Lab, tmp_path: Path) -> None:
    empty = tmp_path / "hosts.yml"
    empty.write_text("all: {}\n")
    run = lab.play("stop.yml", inventory=empty, show=False)
    assert run.result.code != 0
    assert "0 hosts in the group `cloud`" in run.output and "It has no groups" in run.output


def test_a_host_of_another_family(lab: Lab, tmp_path: Path) -> None:
    """The edge says for a moment that it is a Rocky Linux."""
    lab.ssh("edge2", "cp /etc/os-release /etc/os-release.kept && rm /etc/os-release")
    rocky = 'PRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)"\nID="rocky"\nID_LIKE="rhel centos fedora"\n'
    try:
        lab.ssh("edge2", f"printf %s {shlex.quote(rocky)} >/etc/os-release")
        refused(lab, ["edge2 runs Rocky Linux 9.4", "no Debian or Ubuntu", "edge_access", "SELinux"])
    finally:
        lab.ssh("edge2", "rm /etc/os-release; ln -s ../usr/lib/os-release /etc/os-release; rm /etc/os-release.kept")
