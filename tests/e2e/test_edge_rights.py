"""An edge that was taken over: what its certificate opens on cloudcore, and what not. And who has the cloud node's key: what it opens on the edges."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.helpers import ROOT
from support.processes import until
from support.running_lab import NAMESPACE, OPENINGS, Lab
from support.ship_nodes import CHANNEL

pytestmark = pytest.mark.usefixtures("default_training")
PROGRAM = ROOT / "tests/support/edge_session.py"


def ask(lab: Lab, resource: str, node: str = "edge1") -> str:
    """What edge1, as `node`, gets from cloudcore when it asks for an object."""
    program = base64.b64encode(PROGRAM.read_bytes()).decode()
    words = shlex.join([lab.hosts["cloud"]["ansible_host"], node, resource, "6"])
    return lab.ssh(
        "edge1", f"echo {program} | base64 -d >/run/session.py; python3 /run/session.py {words}; rm /run/session.py"
    )


@pytest.fixture(scope="module")
def foreign(lab: Lab) -> Iterator[str]:
    """A Secret that no pod of edge1 has."""
    lab.kubectl("-n", NAMESPACE, "create", "secret", "generic", "of-edge2", "--from-literal=mark=of another node")
    yield f"{NAMESPACE}/secret/of-edge2"
    lab.kubectl("-n", NAMESPACE, "delete", "secret", "of-edge2")


def refusals(lab: Lab) -> str:
    """What cloudcore said in the last minute of messages and connections that it refused."""
    return lab.ssh(
        "cloud", "journalctl --unit=cloudcore --since='1 minute ago' --output=cat | grep -e rejected || true"
    )


def gets_nothing(lab: Lab, resource: str) -> None:
    """Edge1 gets no answer, and cloudcore says why. It asks again where edgecore, which connects anew as the same node, ended the session before that."""

    def told() -> bool:
        assert ask(lab, resource) == ""
        lines = [line for line in refusals(lab).splitlines() if f"Resource:{resource}" in line]
        return any("no relationship found between node 'edge1' and this object" in line for line in lines)

    until(told, f"cloudcore says why edge1 gets no {resource}", 60, pause=1)


def test_an_edge_gets_no_other_secret(lab: Lab, foreign: str) -> None:
    gets_nothing(lab, foreign)


@pytest.mark.parametrize("resource", ["kube-system/configmap/kubeadm-config", "kubeedge/secret/tokensecret"])
def test_an_edge_gets_nothing_of_the_system(lab: Lab, resource: str) -> None:
    gets_nothing(lab, resource)


@pytest.mark.parametrize("edge", ["edge1", "edge2"])
def test_no_token_to_join_with_is_left_on_an_edge(lab: Lab, edge: str) -> None:
    """Who has one gets a certificate for any node."""
    assert lab.ssh(edge, "grep --recursive --files-with-matches 'token: [^\"]' /etc/kubeedge || true") == ""
    assert lab.ssh(edge, "grep --count 'token: \"\"' /etc/kubeedge/config/edgecore.yaml").strip() == "1"


def test_an_edge_is_no_other_edge(lab: Lab, foreign: str) -> None:
    assert ask(lab, foreign, node="edge2") == ""
    assert "common name of peer certificate didn't match node ID" in refusals(lab)


def test_cloudcore_is_no_administrator(lab: Lab) -> None:
    kubeconfig = "--kubeconfig=/etc/kubeedge/config/kubeconfig"
    allowed = [
        lab.ssh("cloud", f"kubectl {kubeconfig} auth can-i {what} || true").strip()
        for what in (
            "create deployments -A",
            "create pods -A",
            "update secrets -n edgefl",
            "create clusterrolebindings",
            "get pods -A",
        )
    ]
    assert allowed == ["no", "no", "no", "no", "yes"]


def test_preflight_warns_of_what_is_open(lab: Lab) -> None:
    """By the file alone, which cloudcore reads when it starts. That it is quiet else: test_second_run_changes_nothing."""
    file = "/etc/kubeedge/config/cloudcore.yaml"
    opened = (
        "/^    authorization:/,/^      modes/d; s/dynamicController: {enable: false}/dynamicController: {enable: true}/"
    )
    lab.ssh("cloud", f"cp -p {file} /run/cloudcore.yaml && sed -i '{opened}' {file}")
    try:
        warned = lab.play("site.yml", "--tags=preflight", show=False).ok()
    finally:
        lab.ssh("cloud", f"cp -p /run/cloudcore.yaml {file} && rm /run/cloudcore.yaml")
    assert [part for part in OPENINGS if part not in warned.output] == []


def log_in(lab: Lab, words: str, key: str = CHANNEL, host: str = "cloud") -> tuple[int, str]:
    """Exit code and output of an SSH to edge1 with the cloud node's key, asked for nothing but an empty order."""
    options = {
        "UserKnownHostsFile": f"{Path(key).parent}/known_hosts.d/edge1",
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "ExitOnForwardFailure": "yes",
    }
    login = shlex.join(["ssh", "-T", "-i", key, *(f"-o{name}={value}" for name, value in options.items())])
    *output, code = lab.ssh(host, f"echo '{{}}' | {login} {words} 2>&1; code=$?; echo; echo $code").splitlines()
    return int(code), "\n".join(output).strip()


def test_the_cloud_nodes_key_runs_one_program(lab: Lab) -> None:
    """Whatever is asked for: no command, no files, no way into the edge's network, no other account."""
    edge = lab.hosts["edge1"]["ansible_host"]
    answers = [
        log_in(lab, f"{ask} edgefl@{edge} {command}")
        for ask, command in (("", ""), ("", "'cat /etc/shadow'"), ("", "'sudo -n id'"), ("-s", "sftp"))
    ]
    program = hashlib.sha256((ROOT / "plugins/module_utils/_images/ship/agent.py").read_bytes()).hexdigest()
    assert answers == [(0, json.dumps({"agent": program}))] * len(answers)
    for words, reason in (
        (f"-W 127.0.0.1:22 edgefl@{edge}", "administratively prohibited"),
        (f"-N -R 127.0.0.1:8765:127.0.0.1:22 edgefl@{edge}", "remote port forwarding failed"),
        (f"ops@{edge} id", "Permission denied"),
    ):
        code, said = log_in(lab, words)
        assert code == 255 and reason in said
    allowed = lab.ssh("edge1", "sudo --list --other-user=edgefl").splitlines()
    assert [line.strip() for line in allowed if "NOPASSWD" in line] == [
        '(root) NOPASSWD: /usr/local/lib/edgefl/ship ""'
    ]


@pytest.fixture
def stolen(lab: Lab) -> Iterator[str]:
    """The cloud node's key, on edge2."""
    folder = "/run/stolen"
    files = lab.ssh(
        "cloud", f"tar --create --directory={Path(CHANNEL).parent} id_ed25519 known_hosts.d/edge1 | base64 --wrap=0"
    )
    lab.ssh("edge2", f"mkdir -m 700 {folder}; echo {files} | base64 -d | tar --extract --directory={folder}")
    yield f"{folder}/id_ed25519"
    lab.ssh("edge2", f"rm -r {folder}")


def test_the_cloud_nodes_key_opens_nothing_from_elsewhere(lab: Lab, stolen: str) -> None:
    edge = lab.hosts["edge1"]["ansible_host"]
    assert log_in(lab, f"edgefl@{edge}")[0] == 0
    code, said = log_in(lab, f"edgefl@{edge}", stolen, "edge2")
    assert code == 255 and "Permission denied" in said
