"""An app with a mistake is told by its line, and what the cluster does not take, through the real playbooks; test_artifact.py trains an edited one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import until
from support.running_lab import Lab, edited

pytestmark = pytest.mark.usefixtures("other_training")


def test_a_broken_app_is_told_before_a_pod_starts(lab: Lab, tmp_path: Path) -> None:
    sources, number = edited(tmp_path, "layers.Dense", "layers.Dens")
    before = lab.pod_ids()
    run = lab.play("site.yml", sources, "--tags=preflight,build_images,federation")
    assert run.result.code != 0
    assert f"fashion_mnist/model.py line {number}" in run.output and "Dens" in run.output
    assert lab.pod_ids() == before


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
    """What it takes of the manifests stays, as always with kubectl; the next training that it takes brings the rest."""
    run = lab.play("retrain.yml", "-e", "edgefl_service_port=12346", show=False)
    assert run.result.code != 0
    assert "The cluster does not take aggregator and clients" in run.output and "12346 is taken" in run.output


def test_a_broken_edit_is_told_by_its_pods(lab: Lab, tmp_path: Path) -> None:
    sources, number = edited(tmp_path, "layers.Dense", "layers.Dens")
    run = lab.play("retrain.yml", sources)
    assert run.result.code != 0
    assert f"fashion_mnist/model.py line {number}" in run.output and "Dens" in run.output
    assert run.result.seconds < 120
