"""An edited app that is broken is told by the line, through the real playbooks; tests/e2e/test_artifact.py trains one that is not."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.helpers import ROOT
from support.processes import until
from support.running_lab import Lab, edited, rounds, values


def test_a_broken_app_is_told_before_a_pod_starts(lab: Lab, tmp_path: Path) -> None:
    sources, number = edited(tmp_path, "layers.Dense", "layers.Dens")

    def there() -> set[str]:
        """Pods but those on their way out: `make lab` may have replaced some a moment ago."""
        return {pod["metadata"]["uid"] for clients in (True, False) for pod in lab.pods(clients)}

    before = there()

    run = lab.play("site.yml", sources)
    assert run.result.code != 0
    assert f"fashion_mnist/model.py line {number}" in run.output and "Dens" in run.output
    assert there() == before


# As a cluster's own rules may say; what is wrong for any cluster is refused before
RULE: list[dict[str, Any]] = [
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "test-ports"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["services"],
                    }
                ]
            },
            "validations": [{"expression": "object.spec.ports.all(p, p.port != 12346)", "message": "12346 is taken"}],
        },
    },
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "test-ports"},
        "spec": {"policyName": "test-ports", "validationActions": ["Deny"]},
    },
]


@pytest.fixture
def rule(lab: Lab) -> Iterator[None]:
    """A rule of the cluster against a port, in force."""
    kubectl = "kubectl --kubeconfig=/etc/kubernetes/admin.conf"
    objects = shlex.quote(json.dumps({"apiVersion": "v1", "kind": "List", "items": RULE}))
    lab.ssh("cloud", f"echo {objects} | {kubectl} apply --filename=-")
    service = f"{kubectl} create service clusterip test --tcp=12346 --dry-run=server 2>&1 || true"
    until(lambda: "12346 is taken" in lab.ssh("cloud", service), "the rule is in force", 60, pause=1)
    yield
    kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings"
    lab.kubectl("delete", kinds, "test-ports")


@pytest.mark.usefixtures("rule")
def test_what_the_cluster_does_not_take_is_told(lab: Lab) -> None:
    """What it takes of the manifests stays, as always with kubectl; the corrected value brings the rest."""
    run = lab.play("retrain.yml", "-e", "edgefl_service_port=12346", show=False)
    assert run.result.code != 0
    assert "The cluster does not take aggregator and clients" in run.output and "12346 is taken" in run.output
    lab.play("retrain.yml", show=False).ok()
    assert lab.play("site.yml", show=False).ok().sums["changed"] == 0


def test_a_broken_edit_is_told_by_its_pods(lab: Lab, tmp_path: Path) -> None:
    sources, number = edited(tmp_path, "layers.Dense", "layers.Dens")
    run = lab.play("retrain.yml", sources)
    assert run.result.code != 0
    assert f"fashion_mnist/model.py line {number}" in run.output and "Dens" in run.output
    assert run.result.seconds < 120


def test_a_flower_app_of_somebody_s_own(lab: Lab) -> None:
    """Its folder as it is: each node pulls towards its partition's number, 1 and 2. After it the lab is as it was before the broken edit."""
    own = values(edgefl_app="tests/fl/flower_apps/means", edgefl_app_config={"num-server-rounds": 2})
    lab.play("site.yml", own).ok()
    begun, *made, _done = rounds()
    assert begun["settings"]["app"] == "means" and begun["settings"]["config"]["num-server-rounds"] == 2
    assert [[client["node"] for client in one["clients"]] for one in made] == [lab.edges] * 2
    assert all(one["lost"] == [] and {"train_loss", "calls"} <= one["metrics"]["train"].keys() for one in made)
    assert made[1]["metrics"]["evaluate"]["eval_loss"] < made[0]["metrics"]["evaluate"]["eval_loss"]
    # Made by the app's own predict() in the clients' image
    about = json.loads((ROOT / "results/latest/model/model.json").read_text())
    assert about["example"]["outputs"][0]["shape"] == [1]
    assert "train calls after each round" in (ROOT / "results/latest/report.html").read_text()
    lab.play("site.yml", show=False).ok()
