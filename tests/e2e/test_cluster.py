"""After `make lab`: the cluster, the workloads and the results are what the README promises."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path

import numpy
import pytest

from support.helpers import ROOT, inventory, run
from support.running_lab import NAMESPACE, Lab, rounds

pytestmark = pytest.mark.usefixtures("default_training")
LATEST = ROOT / "results/latest"


def test_nodes_are_ready(lab: Lab) -> None:
    states = {}
    for node in lab.objects("nodes"):
        ready = next(condition["status"] for condition in node["status"]["conditions"] if condition["type"] == "Ready")
        states[node["metadata"]["name"]] = (ready, node["status"]["nodeInfo"]["kubeletVersion"])
    assert set(states) == set(lab.hosts)
    assert {ready for ready, _version in states.values()} == {"True"}
    assert states["cloud"][1] == "v1.34.4"
    assert all("kubeedge-v1.23.1" in states[edge][1] for edge in lab.edges)


def test_every_node_has_figures(lab: Lab) -> None:
    names = [line.split()[0] for line in lab.kubectl("top", "nodes", "--no-headers").splitlines()]
    assert sorted(names) == sorted(lab.hosts)


def test_metrics_server_reads_the_figures_of_nobody_else(lab: Lab) -> None:
    """With the cluster's CA and nothing else the kubelet, and the tunnel to each edge, prove their addresses; metrics-server asks for it."""
    server = next(item for item in lab.objects("deployments", "-n", "kube-system", "-l", "k8s-app=metrics-server"))
    arguments = server["spec"]["template"]["spec"]["containers"][0]["args"]
    assert [word for word in arguments if "insecure" in word] == []
    for node in lab.objects("nodes"):
        at = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
        port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        ask = f"openssl s_client -connect {at}:{port} -CAfile /etc/kubernetes/pki/ca.crt -verify_ip"
        assert "Verify return code: 0 (ok)" in lab.ssh("cloud", f"{ask} {at} </dev/null 2>&1 || true"), at
        assert "IP address mismatch" in lab.ssh("cloud", f"{ask} 192.0.2.1 </dev/null 2>&1 || true"), at


def test_aggregator_runs_on_the_cloud_in_its_network(lab: Lab) -> None:
    aggregators = lab.pods(clients=False)
    assert [
        (pod["spec"]["nodeName"], pod["spec"].get("hostNetwork"), pod["status"]["phase"]) for pod in aggregators
    ] == [("cloud", True, "Running")]


def test_aggregator_has_requests_and_limits(lab: Lab) -> None:
    for pod in lab.ours("pods"):
        resources = pod["spec"]["containers"][0]["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"]), pod["metadata"]["name"]
        assert {"cpu", "memory"} <= set(resources["limits"]), pod["metadata"]["name"]


def test_one_client_on_each_edge(lab: Lab) -> None:
    clients = lab.pods(clients=True)
    assert sorted(pod["spec"]["nodeName"] for pod in clients) == sorted(lab.edges)
    for pod in clients:
        assert pod["metadata"]["name"].startswith(f"fashion-mnist-client-{pod['spec']['nodeName']}")
        assert pod["status"]["phase"] == "Running", pod["status"]


def test_status_is_told_at_the_node_s_address_and_loopback_alone(lab: Lab) -> None:
    """From the network of the cloud node's containers, say, nobody reaches it."""
    address = lab.hosts["cloud"]["ansible_host"]
    shown = lab.ssh(
        "cloud",
        f"ip address add 192.0.2.1/32 dev lo; for host in 127.0.0.1 {address} 192.0.2.1; do curl --silent http://$host:8889/healthz || echo refused: $?; done;"
        " ip address delete 192.0.2.1/32 dev lo",
    )
    assert shown.splitlines() == ["ok", "ok", "refused: 7"]


def test_system_calls_of_the_pods_are_filtered(lab: Lab) -> None:
    """By the runtime's profile, which lets nobody become root of a namespace of its own, where kernels have had their holes."""
    program = "import ctypes, os; made = ctypes.CDLL(None, use_errno=True).unshare(0x10000000); print(made, os.strerror(ctypes.get_errno()))"
    for pod in [*lab.pods(clients=True), *lab.pods(clients=False)]:
        name = pod["metadata"]["name"]
        said = lab.kubectl(f"--namespace={NAMESPACE}", "exec", name, "--", "python3", "-c", program)
        assert said == "-1 Operation not permitted\n", name


def test_service_leads_to_the_aggregator(lab: Lab) -> None:
    service = next(item for item in lab.ours("services") if item["metadata"]["name"] == "federated-learning-svc")
    assert [port["port"] for port in service["spec"]["ports"]] == [12345]
    slices = [
        item for item in lab.ours("endpointslices") if item["metadata"]["name"].startswith("federated-learning-svc")
    ]
    found = {
        (address, port["port"])
        for piece in slices
        for endpoint in piece["endpoints"]
        if endpoint["conditions"].get("ready")
        for address in endpoint["addresses"]
        for port in piece["ports"]
    }
    assert found == {(lab.hosts["cloud"]["ansible_host"], 8888)}


def test_five_rounds_with_every_node(lab: Lab) -> None:
    trained = [event for event in rounds() if event["event"] == "round"]
    assert [event["round"] for event in trained] == [1, 2, 3, 4, 5]
    for event in trained:
        assert sorted({client["node"] for client in event["clients"]}) == sorted(lab.edges)
        assert event["lost"] == []
    wanted = {edge: lab.hosts[edge]["edgefl_slice_stop"] - lab.hosts[edge]["edgefl_slice_start"] for edge in lab.edges}
    assert {
        edge: sum(c["examples"] for c in trained[-1]["clients"] if c["node"] == edge) for edge in lab.edges
    } == wanted


def test_accuracy(lab: Lab) -> None:
    trained = [event for event in rounds() if event["event"] == "round"]
    lab.show(f"\n  accuracy per round: {', '.join(format(event['accuracy'], '.3f') for event in trained)}")
    assert trained[-1]["accuracy"] >= 0.82


def test_results_agree_with_each_other(lab: Lab) -> None:
    events = rounds()
    trained = [event for event in events if event["event"] == "round"]
    summary = json.loads((LATEST / "summary.json").read_text())
    assert summary["run"] == trained[0]["run"] == LATEST.resolve().name
    with (LATEST / "rounds.csv").open(newline="") as stream:
        assert {int(row["round"]) for row in csv.DictReader(stream)} == {1, 2, 3, 4, 5}
    assert any((LATEST / "manifests").iterdir())
    logs = {path.name: path.read_text() for path in (LATEST / "logs").iterdir()}
    assert logs
    assert all(logs.values())


def test_results_are_those_of_the_cloud(lab: Lab) -> None:
    there = lab.ssh("cloud", "find /var/lib/edgefl/state -name rounds.jsonl -exec sha256sum {} +")
    assert hashlib.sha256((LATEST / "rounds.jsonl").read_bytes()).hexdigest() in there


def test_model_came_back(lab: Lab) -> None:
    folder = LATEST / "model"
    about = json.loads((folder / "model.json").read_text())
    assert (about["run"], about["app"], about["round"]) == (LATEST.resolve().name, "fashion_mnist", 5)
    assert about["accuracy"] == rounds()[-1]["accuracy"]
    with numpy.load(folder / "model.npz") as arrays:
        assert {name: list(arrays[name].shape) for name in arrays.files} == {
            each["name"]: each["shape"] for each in about["arrays"]
        }
    there = lab.ssh("cloud", f"sha256sum /var/lib/edgefl/state/{about['run']}/model/model.npz")
    assert there.split()[0] == about["sha256"] == hashlib.sha256((folder / "model.npz").read_bytes()).hexdigest()
    assert hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest() == about["keras"]["sha256"]
    assert about["keras"]["variables"][0].endswith("dense/kernel")


def test_report_needs_nothing_else(lab: Lab) -> None:
    report = (LATEST / "report.html").read_text()
    assert "<svg" in report
    outside = re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*|url\((?!["']?(?:data:|#))[^)]*|@import[^;]*""", report)
    assert outside == [], f"the report loads something: {outside[:3]}"


@pytest.mark.parametrize("path", ["rounds.jsonl", "rounds.csv", "summary.json", "report.html"])
def test_nothing_secret_in_results(path: str) -> None:
    text = (LATEST / path).read_text()
    for word in ("PRIVATE KEY", "client-key-data", "token:"):
        assert word not in text


def test_the_labs_own_inventory_is_the_checkouts(lab: Lab) -> None:
    home = Path(lab.hosts["cloud"]["ansible_ssh_private_key_file"]).parent
    listed = inventory(run("ansible-inventory", "--inventory", home / "inventory.yml", "--list").ok().output)
    assert {about["edgefl_node_name"]: about for about in listed["_meta"]["hostvars"].values()} == lab.hosts
