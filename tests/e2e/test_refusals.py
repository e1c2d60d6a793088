"""What only the hosts and the cluster can tell to be wrong, through the real playbook: refused before anything is changed, with what to change. All else
that can be wrong is in tests/bad_input.
"""

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

# Variables that only the cluster and its nodes make wrong, all of them told at once
WRONG: Values = {
    "edgefl_client_resources": {"cpu_request": "64"},
    "edgefl_aggregator_resources": {"memory_request": "900Gi"},
}


@pytest.fixture(scope="module", autouse=True)
def untouched(lab: Lab, default_training: None) -> Iterator[None]:
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


def test_an_edit_of_another_app(lab: Lab) -> None:
    """It has neither certificates nor a folder."""
    run = lab.play("retrain.yml", "-e", "edgefl_app=fashion_mnist_cnn", show=False)
    assert run.result.code != 0 and run.sums["changed"] == 0
    assert "fashion-mnist is deployed, not fashion-mnist-cnn: give edgefl_app" in run.output


def test_all_problems_in_one_message(lab: Lab, tmp_path: Path, taken_port: int) -> None:
    """A taken port, requests that no node has, and an edge that is no node."""
    inventory = lab.write_inventory(
        tmp_path / "hosts.yml",
        {"cloud0": "cloud", "edge1": "edge1", "edge2": "edge2"},
        {"edge2": {"edgefl_node_name": "egde2"}},
    )
    values = {**WRONG, "edgefl_server_port": taken_port}
    port = [str(taken_port), "python3", "edgefl_server_port"]
    node = ["egde2", "edge2", "edgefl_node_name"]
    requests = [
        "cpu_request 64 is more than node edge1 has",
        "memory_request 900Gi is more than",
        "edgefl_client_resources",
        "edgefl_aggregator_resources",
    ]
    refused(lab, [*port, *node, *requests, "nothing was changed"], "-e", json.dumps(values), inventory=inventory)


def test_no_kubeconfig(lab: Lab) -> None:
    refused(
        lab,
        ["/nonexistent/admin.conf does not exist", "edgefl_kubeconfig"],
        "-e",
        json.dumps({"edgefl_kubeconfig": "/nonexistent/admin.conf"}),
    )


def test_what_is_wrong_with_each_host(lab: Lab, tmp_path: Path) -> None:
    """All told in one play: an edge that nobody reaches, one without sudo, and one that says for a moment that it is a Rocky Linux."""
    inventory = lab.write_inventory(
        tmp_path / "hosts.yml",
        {"cloud0": "cloud", "edge1": "edge1", "edge2": "edge2", "far": "edge2"},
        {
            "edge1": {"ansible_become_exe": "/bin/false"},
            "far": {
                "edgefl_node_name": "far",
                "edgefl_slice_start": 30_000,
                "edgefl_slice_stop": 31_000,
                "ansible_host": "127.0.0.1",
                "ansible_port": 1,
            },
        },
    )
    lab.ssh("edge2", "cp /etc/os-release /etc/os-release.kept && rm /etc/os-release")
    rocky = 'PRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)"\nID="rocky"\nID_LIKE="rhel centos fedora"\n'
    unreachable = ["far", "127.0.0.1", lab.hosts["edge2"]["ansible_user"], "can't be used"]
    no_root = ["on edge1 can't become root"]
    of_another_family = ["edge2 runs Rocky Linux 9.4", "no Debian or Ubuntu", "edge_access", "SELinux"]
    try:
        lab.ssh("edge2", f"printf %s {shlex.quote(rocky)} >/etc/os-release")
        refused(lab, [*unreachable, *no_root, *of_another_family], inventory=inventory)
    finally:
        lab.ssh("edge2", "rm /etc/os-release; ln -s ../usr/lib/os-release /etc/os-release; rm /etc/os-release.kept")
