"""
stop.yml leaves no object of ours, keeps what was trained, and has nothing to do the second time; site.yml brings all back, as the last thing on the lab
(tests/conftest.py).
"""

from __future__ import annotations

import json
import shutil

import pytest

from support.helpers import ROOT
from support.running_lab import NAMESPACE, Lab, Operator, differences, rounds, values

pytestmark = pytest.mark.usefixtures("other_training")
# The cluster makes these in every namespace
OF_THE_CLUSTER = {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}


def images(lab: Lab) -> dict[str, list[str]]:
    """Our images in the runtimes of each node."""
    asked = "ctr -n k8s.io images ls -q 2>/dev/null; docker images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null"
    return {
        host: sorted(name for name in lab.ssh(host, f"{asked}; true").split() if "fashion-mnist" in name)
        for host in lab.hosts
    }


def results() -> set[str]:
    """The runs whose results are in the checkout."""
    return {path.name for path in (ROOT / "results").iterdir()}


@pytest.fixture(scope="module")
def stopped(lab: Lab, operator: Operator) -> tuple[dict[str, list[str]], set[str]]:
    """What the checkout deployed is stopped, by the installed collection; the images and results that there were before."""
    before = images(lab), results()
    operator.play("stop").ok()
    return before


def test_stop_leaves_no_object(lab: Lab, stopped: tuple[dict[str, list[str]], set[str]]) -> None:
    assert all(stopped[0].values()) and stopped[1]
    kinds = "all,configmaps,secrets,serviceaccounts,endpoints,persistentvolumeclaims,roles.rbac.authorization.k8s.io"
    there = {f"{item['kind']}/{item['metadata']['name']}" for item in lab.ours(kinds)}
    assert there - OF_THE_CLUSTER == set()
    cluster_wide = lab.kubectl("get", "clusterroles,clusterrolebindings,persistentvolumes,crd", "--output=name").split()
    # The lab's cloudcore has an account of its own, which is the cluster's
    assert [name for name in cluster_wide if NAMESPACE in name and not name.endswith("/edgefl-cloudcore")] == []
    assert (images(lab), results()) == stopped, "stop keeps images and results"


@pytest.mark.usefixtures("stopped")
def test_no_process_is_left(lab: Lab) -> None:
    for host in lab.hosts:
        assert lab.ssh(host, "pgrep --full --list-full '[e]dgefl\\.(aggregator|client)' || true") == ""


@pytest.mark.usefixtures("stopped")
def test_second_stop_has_nothing_to_do(lab: Lab) -> None:
    assert lab.play("stop.yml").ok().sums["changed"] == 0


@pytest.mark.usefixtures("stopped")
def test_the_model_is_still_there(lab: Lab) -> None:
    """
    It is fetched again without any pod: the arrays from the run's folder, the rest made of them in the client's image. That of the newest run of the app
    that site.yml trains by default: tests before this one train others.
    """
    found = (ROOT / "results").glob("[0-9]*/model/model.json")
    model = max(path.parent for path in found if json.loads(path.read_text())["app"] == "fashion_mnist")
    before = {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
    again = values(edgefl_run=model.parent.name)
    shutil.rmtree(model)
    checked = lab.play("fetch_model.yml", "--check", again, show=False).ok()
    assert checked.sums["changed"] == 1 and not model.exists()
    run = lab.play("fetch_model.yml", again, show=False).ok()
    assert run.sums["changed"] == 1 and "keras.models.load_model" in run.output
    # What no playbook but site.yml made before is there now in any case
    after = {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
    assert after.keys() == {"model.json", "model.npz", "model.keras", "example.json"} >= before.keys()
    assert after["model.npz"] == before["model.npz"]
    assert lab.play("fetch_model.yml", again, show=False).ok().sums["changed"] == 0


@pytest.mark.usefixtures("stopped")
def test_nothing_is_there_to_train_again(lab: Lab) -> None:
    run = lab.play("retrain.yml")
    assert run.result.code != 0
    assert "run edgefl.kubeedge.site first" in run.output
    assert run.sums.get("changed", 0) == 0


# With "vpa" there is more to announce, all of "none" too
@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize("autoscaler", [pytest.param("none", marks=pytest.mark.long), "vpa"])
def test_check_mode_where_nothing_is_deployed(lab: Lab, autoscaler: str) -> None:
    before = lab.state()
    # What comes before these is as it was
    tags = "--tags=preflight,autoscaler,federation"
    check = lab.play("site.yml", "--check", tags, values(edgefl_autoscale=autoscaler), show=False).ok()
    assert check.sums["changed"] > 0
    for what in ("Namespace | Make the namespace", "Certificates | Issue or renew"):
        assert what in check.output
    assert ("Programs | Apply the manifests of the VPA's programs" in check.output) == (autoscaler == "vpa")
    assert differences(before, lab.state()) == []


def test_site_brings_all_back(lab: Lab) -> None:
    """With a run of its own."""
    before = results()
    lab.bring_defaults("edgefl_run=new")
    begun, *_made = rounds()
    assert sorted(pod["spec"]["nodeName"] for pod in lab.pods(clients=True)) == sorted(lab.edges)
    assert results() - before == {begun["run"]}


@pytest.mark.long
def test_an_edge_that_is_away_is_named(lab: Lab) -> None:
    lab.play("site.yml").ok()
    lab.ssh("edge2", "systemctl stop edgecore")
    try:
        run = lab.play("stop.yml", show=False)
    finally:
        lab.ssh("edge2", "systemctl start edgecore")
    assert run.result.code != 0
    assert "Away: edge2." in run.output
    lab.play("stop.yml").ok()
    assert lab.ours("all") == []


@pytest.mark.long
def test_purge_leaves_nothing_of_ours_on_the_nodes(lab: Lab) -> None:
    """Each role removes what it made; the next site.yml brings it back."""
    lab.play("stop.yml", values(edgefl_purge=True)).ok()
    assert not any(images(lab).values())
    made = (
        "/etc/edgefl/{ssh,tls} /etc/sudoers.d/edgefl /opt/edgefl/kubernetes /usr/local/lib/edgefl /var/lib/edgefl-ship "
        "/var/lib/edgefl/{apps,archives,incoming,models,state,telemetry,tried}"
    )
    for host in lab.hosts:
        assert lab.ssh(host, f"bash -c 'ls -d {made} 2>/dev/null || true'") == ""
        assert lab.ssh(host, "grep /var/lib/edgefl-ship /etc/passwd || true") == "", "the ship agent's account"
        # Wherever the homes are
        keys = (
            "cut -d: -f6 /etc/passwd | sort -u | sed 's,$,/.ssh/authorized_keys,' | xargs grep -ls ' edgefl$' || true"
        )
        assert lab.ssh(host, keys) == ""
    there = {item["metadata"]["name"] for item in lab.objects("deployments", "--namespace=kube-system")}
    assert "metrics-server" not in there
    assert lab.play("stop.yml", values(edgefl_purge=True), show=False).ok().sums["changed"] == 0
    lab.play("site.yml").ok()
    assert lab.play("site.yml", show=False).ok().sums["changed"] == 0
