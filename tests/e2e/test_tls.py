"""Who is let in on the lab: nobody without a certificate, and nobody for another node; and a certificate is renewed without another training."""

from __future__ import annotations

import json
import shlex

import pytest

from support.helpers import ROOT
from support.processes import until
from support.running_lab import NAMESPACE, Lab, values

pytestmark = pytest.mark.usefixtures("default_training")
SECRETS = {"fashion-mnist-tls", "fashion-mnist-client-edge1-tls", "fashion-mnist-client-edge2-tls"}


def wait_for_log(lab: Lab, text: str) -> None:
    """Until the aggregator's log says it."""
    words = ("logs", "deployment/fashion-mnist", f"--namespace={NAMESPACE}", "--tail=400")
    until(lambda: text in lab.kubectl(*words), f"the aggregator's log says {text!r}", 60, pause=1)


def port(lab: Lab) -> str:
    address = next(
        entry["address"]
        for entry in lab.objects("nodes", "--selector=node-role.kubernetes.io/control-plane")[0]["status"]["addresses"]
        if entry["type"] == "InternalIP"
    )
    return f"{address}:8888"


def test_no_certificate_no_entry(lab: Lab) -> None:
    # In TLS 1.3 a client learns of it after its own handshake: it must wait for the answer
    answer = lab.ssh("edge1", f"(sleep 2) | openssl s_client -connect {port(lab)} 2>&1 || true")
    assert "unexpected eof" in answer or "certificate required" in answer
    wait_for_log(lab, "showed no certificate that this CA signed")


def test_nobody_speaks_for_another_node(lab: Lab) -> None:
    """A pod with the Secret of edge1 that says it is edge2."""
    genuine = next(pod for pod in lab.pods(clients=True) if pod["spec"]["nodeName"] == "edge1")
    spec = {key: value for key, value in genuine["spec"].items() if key != "serviceAccountName"} | {
        "restartPolicy": "Never"
    }
    spec["containers"][0]["args"] = [
        "--node=edge2" if word.startswith("--node=") else word for word in spec["containers"][0]["args"]
    ]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "impostor", "namespace": NAMESPACE}, "spec": spec}
    lab.ssh(
        "cloud", f"echo {shlex.quote(json.dumps(pod))} | kubectl --kubeconfig /etc/kubernetes/admin.conf apply -f -"
    )
    try:
        wait_for_log(lab, "edge1 says it is node edge2")
    finally:
        lab.kubectl("delete", "pod", "impostor", f"--namespace={NAMESPACE}", "--wait=true")


def test_keys_are_nowhere_else(lab: Lab) -> None:
    modes = lab.ssh("cloud", "find /etc/edgefl/tls -printf '%m %u %y\\n' | sort -u").split("\n")[:-1]
    assert modes == ["600 root f", "700 root d"]
    assert {item["metadata"]["name"] for item in lab.ours("secrets")} == SECRETS
    for path in (ROOT / "results/latest").rglob("*"):
        assert path.is_dir() or b"PRIVATE KEY" not in path.read_bytes(), path
    for edge in lab.edges:
        assert lab.ssh(edge, "grep -rlsI 'PRIVATE KEY' /etc/edgefl /var/lib/edgefl /var/log/pods || true") == ""


@pytest.mark.long
def test_renewal(lab: Lab) -> None:
    def secrets() -> dict[str, str]:
        return {item["metadata"]["name"]: item["data"]["tls.crt"] for item in lab.ours("secrets")}

    before, run = secrets(), (ROOT / "results/latest").resolve().name
    lab.play("site.yml", values(federation_tls_renew_days=364)).ok()
    after = secrets()
    assert set(after) == SECRETS and all(before[name] != after[name] for name in SECRETS)
    assert (ROOT / "results/latest").resolve().name == run
    assert lab.play("site.yml", show=False).ok().sums["changed"] == 0
    assert secrets() == after
