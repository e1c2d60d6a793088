"""Values that are made to break out of a template: the objects of Kubernetes differ in that value alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

from support.helpers import ROOT, files, load_yaml

HOSTILE = [
    "x\n  namespace: kube-system\nspec: {hostPID: true}",
    "x}, {name: other, image: other}",
    "\"'}]{[",
    "&anchor *alias !!python/object:os.system",
    "{% raw %}{ # x: y | > - ? @ `",
    "---\n...\n",
    "{{ 7 * 7 }}{% for x in y %}",
    "\u2028\u0085\u202e\t\r\x1b",
    "x" * 100_000,
]
CLIENT = {
    "node": "edge1", "name": "app-client-edge1", "kind": "Deployment", "replicas": 1, "autoscale": "none", "arguments": ["--a=b"], "certificate": "c",
    "made_of": "m", "image": "i:1", "data": "/data", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi", "ephemeral-storage": "4Gi"}},
}  # fmt: skip
REGION = {
    "region": "north", "node": "edge1", "name": "app-region-north", "address": "192.0.2.2", "image": "a:1", "arguments": ["--a=b"], "certificate": "c",
    "resources": {"requests": {"cpu": "1"}},
}  # fmt: skip
SHARED: dict[str, Any] = {
    "ansible_managed": "made",
    "edgefl_names": {"aggregator": "app", "secret": "app-tls", "service": "svc", "clients": "app-client"},
    "edgefl_namespace": "edgefl",
    "edgefl_labels": {"a": "b"},
    "edgefl_node_name": "cloud",
    "edgefl_state_dir": "/state", "edgefl_aggregator_data": "/test",
    "edgefl_service_port": 1, "edgefl_server_port": 2, "edgefl_status_port": 3,
    "edgefl_tls": True, "edgefl_host_network": True, "edgefl_network_policy": "both",
    "edgefl_cluster": {"nodes": {"cloud": {"aggregator_resources": {}}}},
    "federation_run": "run",
    "__federation_settings": "s", "__federation_engine": "e",
    "__federation_fingerprints": {"app-tls": "f"},
    "__federation_images": {"aggregator": "a:1", "client": "c:1"},
    "__federation_aggregator": {"image": "a:1", "begun": "run", "arguments": ["--x=y"]}, "__federation_apps": "/apps",
    "__federation_address": "192.0.2.1",
    "__federation_workloads": {"clients": [CLIENT, {**CLIENT, "kind": "StatefulSet"}, {**CLIENT, "kind": "Pod"}], "regions": [REGION]},
    "__autoscaler_hpa": [CLIENT],
    "__autoscaler_vpa": [CLIENT],
    "__autoscaler_digests": {"recommender": "sha256:0"},
    "__autoscaler_programs": {"recommender": {"port": 1, "args": ["--x"]}, "admission-controller": {"port": 2, "args": []}},
    "groups": {"cloud": ["cloud0"], "edges": ["edge1"]},
    "hostvars": {"cloud0": {}, "edge1": {"edgefl_node_name": "edge1"}},
    "__model_deployment_image": "c:1",
    "__model_deployment_name": "app-server-edge1", "model_deployment_version": {"version": "v"}, "__model_deployment_address": "192.0.2.2",
    "__model_deployment_resources": {"limits": {"cpu": "1"}}, "edgefl_training": {"edgefl_app": "app"}, "edgefl_model_dir": "/models",
    "edgefl_serve_port": 4,
    "__cloudcore_server": {"stdout": "https://192.0.2.1:6443"},
    "__cloudcore_token_secret": {"stdout": '{"data": {"ca.crt": "Y2E=", "token": "dG9rZW4="}}'},
    "__metrics_server_insecure": True, "__metrics_server_image": "m:1",
    "control_plane_node_name": "cloud", "control_plane_address": "192.0.2.1",
    "cloudcore_address": "192.0.2.1", "cloudcore_dns_name": "cloud",
    "edgecore_kubelet_config": {"x": "y"}, "control_plane_kubelet_config": {"x": "y"}, "control_plane_kube_proxy_config": {"x": "y"},
    "edgecore_node_name": "edge1", "edgecore_address": "192.0.2.2", "edgecore_cloud_address": "192.0.2.1",
}  # fmt: skip
TEMPLATES = [
    "federation/templates/aggregator.yaml.j2", "federation/templates/clients.yaml.j2", "autoscaler/templates/scalers.yaml.j2",
    "autoscaler/templates/vpa.yaml.j2", "metrics_server/templates/manifests.yaml.j2", "cloudcore/templates/cloudcore.yaml.j2",
    "cloudcore/templates/access.yaml.j2", "cloudcore/templates/kubeconfig.j2", "control_plane/templates/kubeadm.yaml.j2",
    "edgecore/templates/edgecore.yaml.j2", "model_deployment/templates/endpoint.yaml.j2", "containerd/templates/bridge.conflist.j2",
]  # fmt: skip


# What decides which lines a template has, of which there are few choices
CHOICES = ("kind", "edgefl_network_policy", "autoscale", "ansible_managed", "control_plane_skip_phases")
# JSON of the API server, and keys of the inventory
ELSEWHERE = ("__cloudcore_token_secret", "groups")
MARK = "marked"
# Whose rows a template goes through
ITEMS = ("__federation_workloads", "__autoscaler_hpa", "__autoscaler_vpa")


@pytest.fixture(scope="module", autouse=True)
def filters() -> Iterator[None]:
    """Ansible's loader of collections, for these tests alone: it knows nothing of what others loaded without it, and refuses to load more of that."""
    before = sys.meta_path.copy(), sys.path_hooks.copy()
    init_plugin_loader([str(ROOT / ".ansible/collections")])
    yield
    sys.meta_path[:], sys.path_hooks[:] = before
    sys.path_importer_cache.clear()


def variables(role: str) -> dict[str, Any]:
    """What a role's templates find: its defaults without templates, and what the roles make of variables."""
    path = ROOT / "roles" / role / "defaults/main.yml"
    defaults = load_yaml(path) if path.exists() else {}
    return {**{name: value for name, value in defaults.items() if "{{" not in str(value)}, **SHARED}


def rendered(template: str, given: dict[str, Any]) -> list[Any]:
    """The objects that a template makes, through Ansible's own engine; values are data, as those of -e and of facts."""
    text = trust_as_template((ROOT / "roles" / template).read_text())
    made = str(Templar(loader=DataLoader(), variables=given).template(text))
    return list(yaml.load_all(made, yaml.CSafeLoader))


def texts(value: Any, where: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Paths of the texts in nested mappings and lists."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from texts(part, (*where, key))
    elif isinstance(value, str) and not {*where} & {*CHOICES, *ELSEWHERE}:
        yield where


def put(given: Any, where: tuple[Any, ...], text: str) -> Any:
    """A copy with a text at a path."""
    if not where:
        return text
    copy = given.copy()
    copy[where[0]] = put(given[where[0]], where[1:], text)
    return copy


def replaced(value: Any, text: str) -> Any:
    """A copy in which a text stands for the mark."""
    if isinstance(value, dict):
        return {replaced(key, text): replaced(part, text) for key, part in value.items()}
    if isinstance(value, list):
        return [replaced(part, text) for part in value]
    return value.replace(MARK, text) if isinstance(value, str) else value


def with_text(template: str, text: str) -> list[Any]:
    """The objects with a text in place of each text that the template is given."""
    given = variables(template.partition("/")[0])
    source = (ROOT / "roles" / template).read_text()
    for where in [each for name in given for each in texts(given[name], (name,)) if name in source or name in ITEMS]:
        given = put(given, where, text)
    # Where the template looks up what the cluster has
    given["edgefl_cluster"] = {"nodes": {given["edgefl_node_name"]: {"aggregator_resources": {}}}}
    return rendered(template, given)


@pytest.mark.parametrize("template", TEMPLATES)
def test_objects_differ_in_the_values_alone(template: str) -> None:
    marked = with_text(template, MARK)
    assert MARK in str(marked)
    for text in HOSTILE:
        assert with_text(template, text) == replaced(marked, text), text[:60]


def test_the_templates_of_objects_are_all_here() -> None:
    there = {
        str(path.relative_to("roles"))
        for path in files("roles/*/templates/*")
        if "apiVersion" in (ROOT / path).read_text()
    }
    assert there <= set(TEMPLATES)


PODS = ("federation/templates/aggregator.yaml.j2", "federation/templates/clients.yaml.j2", "autoscaler/templates/vpa.yaml.j2",
        "metrics_server/templates/manifests.yaml.j2", "model_deployment/templates/endpoint.yaml.j2")  # fmt: skip


@pytest.mark.parametrize("template", PODS)
def test_pods_may_do_little(template: str) -> None:
    """Their system calls are filtered, nothing in them is root or becomes it, and what they may not write to is read-only."""
    objects = rendered(template, variables(template.partition("/")[0]))
    pods = [item if item["kind"] == "Pod" else item["spec"]["template"] for item in objects if pods_of(item)]
    assert pods
    for pod in pods:
        for container in pod["spec"]["containers"]:
            limits = pod["spec"].get("securityContext", {}) | container["securityContext"]
            assert limits["seccompProfile"] == {"type": "RuntimeDefault"}
            assert limits["runAsNonRoot"] and limits["runAsUser"] > 0 and limits["readOnlyRootFilesystem"]
            assert limits["capabilities"] == {"drop": ["ALL"]} and limits["allowPrivilegeEscalation"] is False
            assert "privileged" not in limits


def pods_of(item: dict[str, Any]) -> bool:
    """Whether an object is a pod, or has pods."""
    return item["kind"] in ("Pod", "Deployment", "StatefulSet", "DaemonSet", "Job")


def test_other_templates_have_no_pods() -> None:
    others = [template for template in TEMPLATES if template not in PODS]
    assert not [
        template
        for template in others
        for item in rendered(template, variables(template.partition("/")[0]))
        if isinstance(item, dict) and "kind" in item and pods_of(item)
    ]


@pytest.mark.parametrize("archive", ["", "/srv/images.tar"])
def test_images_of_a_registry_are_taken_by_their_digests(archive: str) -> None:
    """An archive has them by their tags alone."""
    roles = {
        "metrics_server": ("manifests.yaml.j2", "__metrics_server_image", {}),
        "autoscaler": ("vpa.yaml.j2", "__autoscaler_digests", {"autoscaler_vpa_digests": {"recommender": "sha256:1a"}}),
    }
    found: list[str] = []
    for role, (template, private, more) in roles.items():
        given = (
            variables(role)
            | more
            | dict.fromkeys(("metrics_server_image_archive", "autoscaler_vpa_image_archive"), archive)
        )
        given[private] = trust_as_template(load_yaml(ROOT / "roles" / role / "vars/main.yml")[private])
        objects = rendered(f"{role}/templates/{template}", given)
        pods = [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "Deployment"]
        found += [container["image"] for pod in pods for container in pod["containers"]]
    digests = [image.partition("@")[2] for image in found]
    assert all(":" in image.partition("@")[0] for image in found)
    if archive:
        assert digests == ["", "", ""]
    else:
        assert digests[1:] == ["sha256:1a", ""] and len(digests[0]) == len("sha256:") + 64


def test_the_aggregator_of_a_region_is_on_its_node_and_keeps_nothing() -> None:
    """The Service leads to the root alone, and an edge that is offline keeps the pod."""
    given = variables("federation")
    service, root, region = rendered("federation/templates/aggregator.yaml.j2", given)
    pod, of_root = region["spec"]["template"], root["spec"]["template"]
    assert service["spec"]["selector"].items() <= of_root["metadata"]["labels"].items()
    assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert region["spec"]["selector"]["matchLabels"] == {
        "app": "federated-learning-region",
        "edgefl.kubeedge/region": "north",
    }
    assert (pod["spec"]["nodeName"], pod["spec"]["hostNetwork"]) == ("edge1", True)
    assert pod["spec"]["tolerations"] == [{"operator": "Exists"}] and "tolerations" not in of_root["spec"]
    assert {volume["name"] for volume in pod["spec"]["volumes"]} == {"tmp", "tls"}
    assert {"state", "apps", "data"} < {volume["name"] for volume in of_root["spec"]["volumes"]}
    given["__federation_workloads"] = {**given["__federation_workloads"], "regions": []}
    assert rendered("federation/templates/aggregator.yaml.j2", given) == [service, root]


def test_clients_reach_the_root_and_the_regions() -> None:
    policy = rendered("federation/templates/clients.yaml.j2", variables("federation"))[0]
    (rule,) = policy["spec"]["egress"]
    assert [to["ipBlock"]["cidr"] for to in rule["to"]] == ["192.0.2.1/32", "192.0.2.2/32"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 2}]
