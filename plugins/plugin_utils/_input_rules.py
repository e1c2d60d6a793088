# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what the value of each variable may be. A rule takes a value and gives what to write in its place, or "" for a value that is right."""

from __future__ import annotations

import ipaddress
import os
import posixpath
import re
import tempfile
import typing as t
from collections.abc import Callable, Mapping
from pathlib import Path

from ansible.module_utils.common.text.formatters import human_to_bytes

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import preflight
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes import resources
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.quantity import quantity
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _input_regions
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._experiment import NAME

Rule = Callable[[t.Any], str]

# Of the command line of a process, and of a field of a Kubernetes object
LONGEST = 1000
# Pods of one node that the aggregator takes at a time (--max_pods)
MOST_PODS = 64
# Nothing of ours may be made, changed owner or be removed in or above these
SYSTEM_TREES = (
    "/bin", "/boot", "/dev", "/etc/kubernetes", "/etc/kubeedge", "/etc/ssh", "/etc/ssl", "/lib", "/proc", "/root/.ssh", "/sbin", "/sys", "/usr",
    "/var/lib/containerd", "/var/lib/docker", "/var/lib/etcd", "/var/lib/kubelet", "/var/lib/kubeedge", "/var/log",
)  # fmt: skip
_SYSTEM_FOLDERS = ["/etc/cni", "/etc/default", "/etc/systemd", "/var/lib", "/var/run", "/var/spool", "/var/tmp"]

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:%-]{0,252}[A-Za-z0-9])?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = rf"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{{1,5}})?/)?{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_IMAGE = re.compile(rf"{_REPOSITORY}(?::{_TAG})?(?:@{_DIGEST.pattern})?")
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*(?::[a-z0-9]+)?(?:=[A-Za-z0-9.+:~-]+)?")
_SERVICE = re.compile(r"[A-Za-z0-9@_.-]+")


def like(pattern: str | re.Pattern[str], advice: str, longest: int = LONGEST) -> Rule:
    """The value is a text of this pattern, of at most `longest` characters."""
    wanted = re.compile(pattern)

    def rule(value: t.Any) -> str:
        text = str(value)
        return "" if len(text) <= longest and wanted.fullmatch(text) else advice

    return rule


def empty_or(other: Rule) -> Rule:
    """The value is empty, or what another rule takes."""
    return lambda value: "" if value == "" else other(value)


def text(value: t.Any) -> str:
    """Any text of one line."""
    written = str(value)
    return (
        ""
        if written.isprintable() and len(written) <= LONGEST
        else f"use at most {LONGEST} characters, all of them printable."
    )


def absolute(value: t.Any) -> str:
    """A path on a node."""
    path = str(value)
    if (
        path.startswith("/")
        and ".." not in path.split("/")
        and path.isprintable()
        and path.isascii()
        and len(path) <= LONGEST
    ):
        return ""
    return "use the whole path on the node, from / on, without ~ and .., such as /var/lib/edgefl/state."


def own_folder(value: t.Any) -> str:
    """A path on a node that the roles make, write to and remove."""
    advice = absolute(value)
    if advice:
        return advice
    path = posixpath.normpath("/" + str(value).lstrip("/"))
    above = path.count("/") < 2 or path in _SYSTEM_FOLDERS or any(each.startswith(f"{path}/") for each in SYSTEM_TREES)
    if above or any(path == each or path.startswith(f"{each}/") for each in SYSTEM_TREES):
        return "that folder belongs to the system; name one for edgefl alone, such as /var/lib/edgefl/state."
    return ""


def file_here(value: t.Any) -> str:
    """A file on the controller."""
    if not str(value).startswith("/"):
        return "use the whole path of a file on the controller, from / on."
    return readable(value)


def readable(value: t.Any) -> str:
    """A file on the controller, its path as a whole or from where ansible-playbook is called."""
    try:
        with Path(str(value)).expanduser().open("rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:
        return f"there is no such file on the controller ({getattr(error, 'strerror', None) or error}); name one that can be read, or leave the variable out."
    return ""


def folder_here(value: t.Any) -> str:
    """A folder on the controller, its path as a whole or from where ansible-playbook is called."""
    if Path(str(value)).expanduser().is_dir():
        return ""
    return "there is no such folder on the controller; name one that is there, or leave the variable out."


def file_or_address(value: t.Any) -> str:
    """A file on the controller, or an address of the web."""
    if re.fullmatch(r"https?://[!-~]{1,1000}", str(value)):
        return ""
    return (
        file_here(value)
        and "use an address that begins with https://, or the whole path of a file on the controller that can be read."
    )


def sources(value: t.Any) -> str:
    """The folder that images are built from; empty for the collection's own."""
    if not value or (Path(str(value)) / "Dockerfile").is_file():
        return ""
    return "it has no Dockerfile on the controller; name the folder that holds one, with the targets aggregator and client."


def results(value: t.Any) -> str:
    """A folder of the controller that can be made, and written to."""
    folder = Path(os.path.realpath(os.path.expanduser(str(value))))
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    try:
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return f"nothing can be written to {there} on the controller ({error.strerror}); name a folder of yours, or get the right to write there."


def address(value: t.Any) -> str:
    """An IPv4 address, or a name of a host."""
    return "" if _HOST.fullmatch(str(value)) else "use an IP address or the name of a host."


def subnet(value: t.Any) -> str:
    """A range of IP addresses."""
    try:
        ipaddress.ip_network(str(value))
    except ValueError:
        return "use a range of IP addresses that begins with its network, such as 10.244.1.0/24."
    return (
        "" if "/" in str(value) else "use a range of IP addresses with the length of its prefix, such as 10.244.1.0/24."
    )


def rate(value: t.Any) -> str:
    """Bytes a second."""
    try:
        return (
            ""
            if human_to_bytes(str(value)) >= 0 and str(value).isprintable()
            else "use bytes a second, such as 12MB, or 0 for no limit."
        )
    except ValueError:
        return "use bytes a second, such as 12MB, or 0 for no limit."


def duration(value: t.Any) -> str:
    """A duration as Go's programs take it."""
    wanted = _DURATION.fullmatch(str(value)) and re.search("[1-9]", str(value)) and len(str(value)) < 20
    return "" if wanted else "use a time with its unit, such as 15s."


def pod_resources(value: t.Any) -> str:
    """Requests and limits of a pod."""
    if not isinstance(value, Mapping):
        return "use names and quantities, such as {cpu_request: 500m, memory_limit: 2Gi}."
    unknown = sorted(set(map(str, value)) - set(resources.KEYS))
    if unknown:
        return f"{', '.join(unknown)} is not among what it takes: {', '.join(resources.KEYS)}."
    advice = _quantities({key: part for key, part in value.items() if part is not None})
    if advice:
        return advice
    for what in ("cpu", "memory"):
        request, limit = value.get(f"{what}_request"), value.get(f"{what}_limit")
        if request is not None and limit is not None and quantity(request) > quantity(limit):
            return f"{what}_request {request} is more than {what}_limit {limit}: lower the request or raise the limit."
    return ""


def vpa_resources(value: t.Any) -> str:
    """Least or most that a VPA may give."""
    if not isinstance(value, Mapping) or not set(value) <= {"cpu", "memory"}:
        return "use quantities of cpu and memory, such as {cpu: 100m, memory: 200Mi}."
    return _quantities(value)


def _quantities(value: Mapping[str, t.Any]) -> str:
    for name, part in value.items():
        try:
            if isinstance(part, bool | Mapping | list) or len(str(part)) > 30 or not quantity(part) > 0:
                return f"{name} must be a quantity above 0: write CPUs like 2 or 500m, memory like 512Mi or 2Gi."
        except EdgeflError as error:
            return f"{name}: {error.message}"
    return ""


def vpa_controlled(value: t.Any) -> str:
    """What of a pod a VPA looks after."""
    sound = isinstance(value, list) and value and set(map(str, value)) <= {"cpu", "memory"}
    return "" if sound else "use a list of cpu, memory, or both."


def vpa_digests(value: t.Any) -> str:
    """Digests of the VPA's images."""
    sound = isinstance(value, Mapping) and all(
        program in ("recommender", "updater", "admission-controller") and _DIGEST.fullmatch(str(digest))
        for program, digest in value.items()
    )
    return (
        ""
        if sound
        else "use recommender, updater and admission-controller, each with sha256: and 64 hexadecimal digits."
    )


def hpa_behavior(value: t.Any) -> str:
    """The behavior of an autoscaling/v2 HorizontalPodAutoscaler."""
    advice = "use scaleUp and scaleDown as in Kubernetes' autoscaling/v2"
    if not isinstance(value, Mapping) or not set(value) <= {"scaleUp", "scaleDown"}:
        return f"{advice}."
    for direction, rules in value.items():
        wrong = _hpa_rules(rules)
        if wrong:
            return f"{direction}: {wrong}; {advice}."
    return ""


def _hpa_rules(rules: t.Any) -> str:
    if not isinstance(rules, Mapping) or not set(rules) <= {
        "stabilizationWindowSeconds",
        "policies",
        "selectPolicy",
        "tolerance",
    }:
        return "it has stabilizationWindowSeconds, policies, selectPolicy and tolerance"
    if not whole(rules.get("stabilizationWindowSeconds", 0), 0, 3600):
        return "stabilizationWindowSeconds is a whole number from 0 to 3600"
    if rules.get("selectPolicy", "Max") not in ("Max", "Min", "Disabled"):
        return "selectPolicy is Max, Min or Disabled"
    policies = rules.get("policies", [])
    for policy in policies if isinstance(policies, list) else [None]:
        sound = (
            isinstance(policy, Mapping)
            and policy.get("type") in ("Pods", "Percent")
            and whole(policy.get("value"), 1, preflight.LARGEST)
            and whole(policy.get("periodSeconds"), 1, 1800)
        )
        if not sound:
            return "policies is a list of {type: Pods or Percent, value: above 0, periodSeconds: 1 to 1800}"
    return ""


def whole(value: t.Any, least: int, most: int) -> bool:
    """Whether it is a whole number of this range, and written as one."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def texts(pattern: str, advice: str) -> Rule:
    """A list of texts of a pattern."""
    wanted = re.compile(pattern)

    def rule(value: t.Any) -> str:
        sound = isinstance(value, list) and all(
            isinstance(part, str) and len(part) <= LONGEST and wanted.fullmatch(part) for part in value
        )
        return "" if sound else advice

    return rule


def mapping(value: t.Any) -> str:
    """Names and values."""
    return "" if isinstance(value, Mapping) else "use names and values, such as {name: value}."


def named_texts(value: t.Any) -> str:
    """Names that a shell or Docker takes, and texts of one line."""
    sound = isinstance(value, Mapping) and all(
        re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name)) and isinstance(part, str | int | float) and not text(part)
        for name, part in value.items()
    )
    return "" if sound else "use names and texts of one line, such as {NAME: value}."


def rows(*keys: str) -> Rule:
    """A list of mappings that have these keys."""

    def rule(value: t.Any) -> str:
        sound = isinstance(value, list) and all(isinstance(row, Mapping) and set(keys) <= set(row) for row in value)
        return "" if sound else f"use a list of mappings with {' and '.join(keys)}."

    return rule


def settings(value: t.Any) -> str:
    """The settings of an experiment."""
    sound = isinstance(value, list) and all(
        isinstance(row, Mapping) and isinstance(row.get("name"), str) and isinstance(row.get("variables", {}), Mapping)
        for row in value
    )
    return (
        ""
        if sound
        else "use a list in which each setting has a name and variables, such as {name: hpa, variables: {edgefl_autoscale: hpa}}."
    )


IMAGE = like(_IMAGE, "use the name of an image, with its tag, such as registry.k8s.io/pause:3.10.1.", 255)
REPOSITORY = like(
    _REPOSITORY,
    "use the name of an image without its tag: small letters, digits, `.`, `_`, `-` and `/`, such as kubeedge/mine.",
    200,
)
VERSION = like(_TAG, "use letters, digits, `.`, `_` and `-`, 100 at most, such as v1.0.0.")
OPTIONS = texts(r"--[!-~]+", "use a list of options that begin with --, such as [--v=2].")
PACKAGES = texts(_PACKAGE.pattern, "use a list of names of Debian packages.")
USER = like(_USER, "use the name of a user.")
SERVICE = like(_SERVICE, "use the name of a systemd service, such as ssh.")

# Numbers: type, least, most (None: what fits into 32 bits), unit
NUMBERS: dict[str, tuple[str, float, float | None, str]] = {
    "edgefl_ssh_port": ("int", 1, 65535, ""),
    "edgefl_replicas": ("int", 1, MOST_PODS, ""),
    "edgefl_samples": ("int", 1, None, ""),
    "edgefl_slice_start": ("int", 0, None, ""),
    "edgefl_slice_stop": ("int", 0, None, ""),
    # The pods are nobody's, and may not open a port below
    "edgefl_server_port": ("int", 1024, 65535, ""),
    "edgefl_status_port": ("int", 1024, 65535, ""),
    "edgefl_service_port": ("int", 1, 65535, ""),
    "edgefl_model_keep": ("int", 1, 1000, ""),
    "edgefl_serve_port": ("int", 1024, 65535, ""),
    "edgefl_serve_timeout": ("int", 1, None, "seconds"),
    "edgefl_telemetry_interval": ("float", 0, 86400, "seconds"),
    "edgefl_telemetry_after": ("float", 0, 86400, "seconds"),
    "edgefl_max_failed": ("float", 0, 1, ""),
    "edgefl_min_disk_mb": ("int", 0, None, "MB"),
    "edgefl_min_memory_mb": ("int", 0, None, "MB"),
    "autoscaler_hpa_min": ("int", 1, MOST_PODS, ""),
    "autoscaler_hpa_max": ("int", 1, MOST_PODS, ""),
    "autoscaler_hpa_cpu": ("int", 0, 10_000, "per cent"),
    "autoscaler_hpa_memory": ("int", 0, 10_000, "per cent"),
    "autoscaler_timeout": ("int", 1, None, "seconds"),
    "cloudcore_node_limit": ("int", 1, None, ""),
    "experiment_loops": ("int", 1, 1000, ""),
    "federation_timeout": ("int", 1, None, "seconds"),
    "federation_telemetry_timeout": ("int", 1, None, "seconds"),
    "federation_tls_days": ("int", 1, 36500, "days"),
    "federation_tls_renew_days": ("int", 0, 36500, "days"),
    "metrics_server_timeout": ("int", 1, None, "seconds"),
    "results_model_mb": ("int", 1, None, "MB"),
    "results_timeout": ("int", 1, None, "seconds"),
    "ship_images_relay_port": ("int", 0, 65535, ""),
    "ship_images_parallel": ("int", 0, None, ""),
    "ship_images_keep": ("int", 0, None, ""),
    "ship_images_retries": ("int", 0, None, ""),
    "ship_images_timeout": ("int", 1, None, "seconds"),
    "ship_images_persist": ("int", 0, None, "seconds"),
}

# What is neither a number nor one of few choices nor true or false. None: another check looks at it
RULES: dict[str, Rule | None] = {
    "edgefl_node_name": None,
    "edgefl_namespace": None,
    "edgefl_run": None,
    "edgefl_app": text,
    "edgefl_app_config": None,
    "edgefl_app_packages": PACKAGES,
    "edgefl_pip_options": texts(
        r"-[ -~]+", "use a list of options that begin with -, such as [--index-url=https://example.com/simple]."
    ),
    "edgefl_data": empty_or(absolute),
    "edgefl_node_config": None,
    "edgefl_aggregator_data": empty_or(absolute),
    "edgefl_strategy_options": None,
    "edgefl_regions": _input_regions.rule,
    "edgefl_kubeconfig": absolute,
    "edgefl_ssh_dir": own_folder,
    "edgefl_ssh_host": address,
    "edgefl_ssh_user": USER,
    "edgefl_site": empty_or(like(_TAG, "use letters, digits, `.`, `_` and `-`, 100 at most, such as harbour.")),
    "edgefl_site_host": empty_or(address),
    "edgefl_repository": REPOSITORY,
    "edgefl_version": VERSION,
    "edgefl_base_image": IMAGE,
    "edgefl_tls_dir": own_folder,
    "edgefl_aggregator_resources": pod_resources,
    "edgefl_client_resources": pod_resources,
    "edgefl_state_dir": own_folder,
    "edgefl_model_dir": own_folder,
    "edgefl_model_version": empty_or(
        like(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}", "use the name of a version, such as 20300101-120000-1f9a0c2b.")
    ),
    "edgefl_serve_resources": pod_resources,
    "edgefl_kubernetes_python": absolute,
    "autoscaler_hpa_behavior": hpa_behavior,
    "autoscaler_vpa_min_allowed": vpa_resources,
    "autoscaler_vpa_max_allowed": vpa_resources,
    "autoscaler_vpa_controlled": vpa_controlled,
    "autoscaler_vpa_repository": REPOSITORY,
    "autoscaler_vpa_version": VERSION,
    "autoscaler_vpa_digests": vpa_digests,
    "autoscaler_vpa_crds_sha256": empty_or(
        like(r"[0-9a-f]{64}", "use the SHA-256 of the file, 64 hexadecimal digits, as sha256sum prints it.")
    ),
    "autoscaler_vpa_recommender_args": OPTIONS,
    "autoscaler_vpa_updater_args": OPTIONS,
    "build_images_args": named_texts,
    "build_images_app": text,
    "cloudcore_binary": text,
    "cloudcore_crds": text,
    "cloudcore_address": address,
    "cloudcore_dns_name": address,
    "cloudcore_edge_addresses": texts(
        r"[A-Za-z0-9.:_-]{1,253}", "use a list of addresses or names, such as [192.0.2.11]."
    ),
    "cloudcore_kubeconfig": absolute,
    "containerd_apt_packages": PACKAGES,
    "containerd_sandbox_image": IMAGE,
    "containerd_pod_subnet": empty_or(subnet),
    "containerd_image_archives": rows("path", "images"),
    "control_plane_kubernetes_version": like(r"[0-9]+\.[0-9]+\.[0-9]+", "use a version of Kubernetes, such as 1.34.4."),
    "control_plane_binaries": text,
    "control_plane_node_name": address,
    "control_plane_address": address,
    "control_plane_service_subnet": subnet,
    "control_plane_etcd_image_tag": empty_or(VERSION),
    "control_plane_etcd_extra_args": rows("name", "value"),
    "control_plane_apiserver_extra_args": rows("name", "value"),
    "control_plane_taints": rows("key", "effect"),
    "control_plane_skip_phases": texts(r"[a-z0-9/-]+", "use a list of kubeadm's phases, such as [addon/coredns]."),
    "control_plane_kubelet_config": mapping,
    "control_plane_kube_proxy_config": mapping,
    "docker_apt_packages": PACKAGES,
    "docker_daemon_config": mapping,
    "edge_access_apt_packages": PACKAGES,
    "edge_access_from": texts(
        r"[A-Za-z0-9.:*?!/_-]{1,255}",
        "use a list of addresses, networks or patterns, such as [192.0.2.10, 192.0.2.0/24].",
    ),
    "edge_access_service": SERVICE,
    "edgecore_binary": text,
    "edgecore_node_name": address,
    "edgecore_address": address,
    "edgecore_cloud_address": address,
    "edgecore_cloud_kubeconfig": absolute,
    "edgecore_sandbox_image": IMAGE,
    "edgecore_kubelet_config": mapping,
    "edgecore_environment": named_texts,
    "experiment_name": like(
        NAME, "use up to 40 small letters, digits, `.` and `-`; begin and end with a letter or digit."
    ),
    "experiment_settings": settings,
    "metrics_server_image": IMAGE,
    "metrics_server_resolution": duration,
    "new_app_parent": text,
    "ship_images_hosts": None,
    "ship_images_bandwidth": rate,
}

# Of the controller, looked at only where they are needed
FILES: dict[str, Rule] = {
    "edgefl_source": sources,
    "edgefl_ca_bundle": empty_or(file_here),
    "edgefl_app_lock": empty_or(readable),
    "edgefl_app_wheels": empty_or(folder_here),
    "edgefl_results_dir": results,
    "build_images_base_archive": empty_or(file_here),
    "autoscaler_vpa_image_archive": empty_or(file_here),
    "autoscaler_vpa_crds": file_or_address,
    "metrics_server_image_archive": empty_or(file_here),
}
