# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what can be known to be wrong before anything is changed. Every check returns its problems: sentences that say what to change."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.run_name import NEW, check_run
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.platforms import MACHINES
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import RUNTIMES, Node
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.quantity import millicores, size
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.resources import problems as resource_problems
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.resources import scale

KINDS = ("Deployment", "StatefulSet", "Pod")
AUTOSCALERS = ("none", "hpa", "vpa")
# Of a number that has no maximum of its own: what fits into 32 bits
LARGEST = 2**31 - 1
# In the command line of our own aggregator, whose ports are no problem
OURS = "edgefl.aggregator"
# A key of TOML without quotes
_KEY = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
# Of a node_config: what the client itself knows
FILLED_IN = {
    "node-name": "is the name of the node",
    "data-path": "is set by edgefl_data",
    "shard-index": "is counted among the node's pods",
    "shard-count": "is counted among the node's pods",
}
# RFC 1123, which Kubernetes asks of the names of nodes
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
# Of a label, which pods have with the name of their node
LONGEST_NAME = 63
# Of a namespace: the same without dots, 63 characters at most
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# Of the cluster itself; what the training keeps and removes must not meet what is there
SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "kubeedge")
_LISTEN = "0A"


@dataclass(frozen=True)
class Edge:
    """What one host of the inventory contributes; `slice_start` and `slice_stop` are first (included) and last (excluded) sample of its slice."""

    host: str
    node: str
    name: str
    slice_start: int
    slice_stop: int
    replicas: int = 1
    kind: str = "Deployment"
    runtime: str = "auto"
    architecture: str = "auto"
    autoscale: str = "none"
    data: str = ""
    node_config: Any = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    # The region that it is in, and the node that one's aggregator is on
    region: str = ""
    region_node: str = ""


def settings(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with the module's `options` alone."""
    edges = _edges(options)
    found = namespace(options["namespace"])
    found += run(options["run"])
    found += training(options["training"], options["training_options"])
    for edge in edges:
        own = {name: value for name, value in edge.training.items() if value != options["training"].get(name)}
        found += [f"{edge.host}: {text}" for text in training(own, options["training_options"])]
    found += quorum(options["training"], edges)
    found += names(edges, options["cloud_node"])
    found += [f"The cloud: {text}" for text in node_name(options["cloud_node"])]
    found += workloads(edges)
    found += node_configs(edges)
    app = os.path.basename(options["training"].get("edgefl_app", ""))
    found += scaled(edges, app, options["app_shards"])
    found += slices(edges, options["samples"])
    return found + port_numbers(_ports_of(options))


def taken(options: Mapping[str, Any], where: str = "the cloud node") -> list[str]:
    """Ports of the module's `options` that something else has on this host, which is called as messages shall."""
    return ports(listening(_ports_of(options).values()), _ports_of(options), where)


def fit(options: Mapping[str, Any], nodes: Mapping[str, Node]) -> list[str]:
    """What of the module's `options` does not fit to the nodes of the cluster."""
    edges = _edges(options)
    found = cluster(edges, options["cloud_node"], options["aggregator_resources"], nodes)
    found += processors(edges, options["cloud_node"], nodes, options.get("app_packages", ()))
    return found + crowds(edges, nodes, options["aggregator_resources"])


def _ports_of(options: Mapping[str, Any]) -> dict[str, int]:
    return {"edgefl_server_port": options["server_port"], "edgefl_status_port": options["status_port"]}


def _edges(options: Mapping[str, Any]) -> list[Edge]:
    return [Edge(**each) for each in options["edges"]]


def quoted(value: Any) -> str:
    """A value as a message shows it: printable, and not longer than a line."""
    try:
        return printable(repr(value), 100)
    except ValueError:
        return "a number of thousands of digits"


def near(word: str, known: Iterable[str]) -> str:
    """C(" Did you mean x?"), or nothing when no known word is like it."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {found[0]}?" if found else ""


def choices(name: str, value: str, known: Iterable[str]) -> list[str]:
    """Whether a variable has one of the values it can have."""
    known = list(known)
    if value in known:
        return []
    return [f"{name} is {quoted(value)}: use {' or '.join(known)}.{near(value, known)}"]


def training(values: Mapping[str, Any], options: Iterable[Mapping[str, Any]]) -> list[str]:
    """Values of the training's variables, by variable, that the programs would refuse; `options` say what there is, as training_options gives them."""
    found = []
    for option in options:
        variable = option["variable"]
        if variable not in values or values[variable] is None:
            continue
        value = values[variable]
        if option["choices"]:
            found += choices(variable, value, option["choices"])
        elif option["type"] == "numbers":
            found += _named_numbers(variable, value)
        elif option["type"] in ("int", "float") and not _in_range(value, option):
            found.append(f"{variable} is {quoted(value)}: use {_range(option)}.")
    return found


def _in_range(value: Any, option: Mapping[str, Any]) -> bool:
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        return False
    whole = not isinstance(value, bool) and (option["type"] != "int" or number.is_integer())
    return whole and option["min"] <= number <= (LARGEST if option["max"] is None else option["max"])


def _range(option: Mapping[str, Any]) -> str:
    """The numbers that an option takes, in words."""
    what = "a whole number" if option["type"] == "int" else "a number"
    what += f" of {option['unit']}" if option["unit"] else ""
    if option["max"] is None:
        return f"{what}, {option['min']} or more"
    return f"{what} from {option['min']} to {option['max']}"


def _named_numbers(variable: str, value: Any) -> list[str]:
    """Whether a variable is a mapping of names to numbers."""
    advice = "use names and numbers, such as {proximal_mu: 0.1}."
    if not isinstance(value, Mapping):
        return [f"{variable} is {quoted(value)}: {advice}"]
    found = []
    for name, number in value.items():
        try:
            sound = str(name).isidentifier() and not isinstance(number, bool) and math.isfinite(float(number))
        except (OverflowError, TypeError, ValueError):
            sound = False
        if not sound:
            found.append(f"{variable} has {printable(str(name), 100)}: {quoted(number)}: {advice}")
    return found


def quorum(values: Mapping[str, Any], edges: Iterable[Edge]) -> list[str]:
    """Numbers of nodes and clients that a round would wait for in vain."""
    edges = list(edges)
    regions = {edge.region for edge in edges if edge.region}
    own = [edge for edge in edges if not edge.region]
    clients = sum(max(edge.replicas, 0) for edge in own) + len(regions)
    by_pod = values.get("edgefl_selection") == "pod"
    nodes = (
        len(own) + len(regions),
        "regions, and edges in none, there are" if regions else "edges are in the inventory",
    )
    counted = (
        "clients there will be (each region is one)"
        if regions
        else "clients there will be (edgefl_replicas of each edge)"
    )
    there = {
        "edgefl_min_nodes": nodes,
        "edgefl_min_num_clients": (clients, counted),
        "edgefl_min_sample_size": (clients, "clients there will be") if by_pod else nodes,
    }
    found = []
    for variable, (most, what) in there.items():
        try:
            wanted = int(values.get(variable) or 0)
        except (TypeError, ValueError):
            continue  # told already
        if wanted > most:
            found.append(
                f"{variable} is {wanted}, but only {most} {what}: no round would ever begin; set it to {most} at most, or leave it out."
            )
    return found


def namespace(name: str) -> list[str]:
    """Whether a training may have this namespace."""
    if name in SYSTEM_NAMESPACES:
        return [f"edgefl_namespace is {name}, which belongs to the cluster: name one of its own, such as edgefl."]
    if not _LABEL.fullmatch(name):
        return [
            f"edgefl_namespace is {quoted(name)}: use lower-case letters, digits and dashes, 63 at most, such as edgefl-team2."
        ]
    return []


def run(name: str) -> list[str]:
    """Whether a training may have this name; it is named by the time when it has none, or NEW."""
    if name not in ("", NEW):
        try:
            check_run(name)
        except EdgeflError as error:
            return [error.message]
    return []


def slices(edges: Iterable[Edge], samples: int) -> list[str]:
    """Slices that are empty, outside of the data, or overlap."""
    edges = list(edges)
    found = []
    sound = []
    for edge in edges:
        what = f"{edge.host}: edgefl_slice_start {edge.slice_start} and edgefl_slice_stop {edge.slice_stop}"
        if edge.slice_start == edge.slice_stop:
            found.append(
                f"{what} give it no samples: the slice goes from edgefl_slice_start to just before edgefl_slice_stop, make the latter larger."
            )
        elif edge.slice_start > edge.slice_stop:
            found.append(
                f"{what} are in the wrong order: edgefl_slice_start is the first sample of its slice, edgefl_slice_stop the end."
            )
        elif edge.slice_start < 0 or (edge.slice_stop > samples and not edge.data):
            found.append(f"{what} are outside of the data, which has samples 0 to {samples} (edgefl_samples).")
        elif not edge.data:
            # An edge's own folder has its own samples 0, 1, ...
            sound.append(edge)
    sound.sort(key=lambda edge: (edge.slice_start, edge.slice_stop))
    for index, first in enumerate(sound):
        for second in sound[index + 1 :]:
            if second.slice_start < first.slice_stop:
                found.append(
                    f"{first.host} and {second.host} both have samples {second.slice_start} to {min(first.slice_stop, second.slice_stop)}: "
                    f"their slices are {first.slice_start}-{first.slice_stop} and {second.slice_start}-{second.slice_stop} "
                    "(edgefl_slice_start-edgefl_slice_stop), they must not overlap."
                )
    return found


def names(edges: Iterable[Edge], cloud_node: str) -> list[str]:
    """Hosts that stand for the same node, and hosts that are twice in the inventory's group."""
    edges = list(edges)
    hosts: dict[str, list[str]] = {}
    for edge in edges:
        hosts.setdefault(edge.node, []).append(edge.host)
    found = [
        f"{' and '.join(owners)} have the same node name {node}: set edgefl_node_name of each to the name of its own node."
        for node, owners in hosts.items()
        if len(owners) > 1
    ]
    workloads: dict[str, list[str]] = {}
    for edge in edges:
        workloads.setdefault(edge.name, []).append(edge.node)
    found += [
        f"The nodes {' and '.join(nodes)} would have the same workload {name}: call one of the nodes by a name that differs in letters or digits."
        for name, nodes in workloads.items()
        if len(set(nodes)) > 1
    ]
    if cloud_node in hosts:
        found.append(
            f"{hosts[cloud_node][0]} is in the group of the edges with the node name of the cloud, {cloud_node}: correct edgefl_node_name."
        )
    return found


def workloads(edges: Iterable[Edge]) -> list[str]:
    """Kinds and numbers of pods that cannot be."""
    found = []
    for edge in edges:
        found += [f"{edge.host}: {text}" for text in choices("edgefl_kind", edge.kind, KINDS)]
        found += [f"{edge.host}: {text}" for text in choices("edgefl_autoscale", edge.autoscale, AUTOSCALERS)]
        if edge.autoscale in ("hpa", "vpa") and edge.kind == "Pod":
            found.append(
                f"{edge.host}: edgefl_autoscale is {edge.autoscale}, but a single Pod has nobody who would make another one for it: "
                "set edgefl_kind to Deployment or StatefulSet, or edgefl_autoscale to none."
            )
        found += [f"{edge.host}: {text}" for text in choices("edgefl_runtime", edge.runtime, ("auto", *RUNTIMES))]
        if edge.replicas < 1:
            found.append(
                f"{edge.host}: edgefl_replicas is {edge.replicas}: an edge needs at least 1 pod; take it out of the inventory to leave it out."
            )
        found += [f"{edge.host}: {text}" for text in node_name(edge.node)]
    return found


def node_configs(edges: Iterable[Edge]) -> list[str]:
    """What an app would be told of its node, and Flower could not hold or the client fills in itself."""
    found = []
    for edge in edges:
        if not isinstance(edge.node_config, Mapping):
            found.append(
                f"{edge.host}: edgefl_node_config is {quoted(edge.node_config)}: use names and values, such as {{sensor: 3, site: harbour}}."
            )
            continue
        for key, value in edge.node_config.items():
            given = f"{edge.host}: edgefl_node_config has {quoted(key)}: {quoted(value)}"
            if not _KEY.fullmatch(str(key)):
                found.append(f"{given}: use letters, digits, '-' and '_' for names, with dots between parts.")
            elif key in FILLED_IN:
                found.append(f"{given}, which {FILLED_IN[key]}: take it out.")
            elif not isinstance(value, (bool, int, float, str)):
                found.append(
                    f"{given}: a value is a number, a text, true or false; give {{a: {{b: 1}}}} as {{a.b: 1}}, and a list as a text."
                )
            elif isinstance(value, str) and not value.isprintable():
                found.append(f"{given}: use printable characters on one line.")
            elif isinstance(value, int) and not -(2**63) <= value < 2**63:
                found.append(f"{given}: use a number of 64 bits, or a text.")
    return found


def scaled(edges: Iterable[Edge], app: str, shards: bool) -> list[str]:
    """Edges whose pods would become more for an app of which one pod of a node works."""
    if shards:
        return []
    return [
        f"{edge.host}: edgefl_autoscale is hpa, but app {app} does not divide a node's data among its pods: one pod of a node works, further ones only"
        " stand by for it. Set edgefl_autoscale to none or vpa (and edgefl_replicas to 2 for one that stands by); or let the app read shard-index and"
        " shard-count of its node_config, and say so by `shards = true` under [tool.edgefl] in its pyproject.toml."
        for edge in edges
        if edge.autoscale == "hpa"
    ]


def node_name(name: str) -> list[str]:
    """Whether a node of a training may have this name."""
    if not _NAME.fullmatch(name):
        return [
            f"edgefl_node_name is {quoted(name)}, which cannot be the name of a node: set edgefl_node_name to the name that `kubectl get nodes` shows."
        ]
    if len(name) > LONGEST_NAME:
        return [
            f"edgefl_node_name is {quoted(name)}, of {len(name)} characters; a label of the pods has the node's name, and {LONGEST_NAME} at most:"
            " let the machine join the cluster again under a shorter name."
        ]
    return []


def cluster(
    edges: Iterable[Edge], cloud_node: str, aggregator_resources: Mapping[str, Any], nodes: Mapping[str, Node]
) -> list[str]:
    """Hosts that are no nodes, or nodes that cannot run what they shall."""
    found = []
    everyone = [(edge.host, edge.node, edge.runtime, edge.resources, "edgefl_client_resources") for edge in edges]
    everyone.insert(0, ("The cloud", cloud_node, "auto", aggregator_resources, "edgefl_aggregator_resources"))
    for host, name, runtime, resources, variable in everyone:
        node = nodes.get(name)
        if node is None:
            found.append(
                f"{host}: {name} is not a node of the cluster, which has {', '.join(sorted(nodes)) or 'none'}:"
                f" let it join, or set edgefl_node_name of this host.{near(name, nodes)}"
            )
            continue
        if not node.ready:
            found.append(
                f"{host}: node {name} is not ready ({node.reason}): repair it (kubectl describe node {name}), or leave it out."
            )
        if name == cloud_node and ":" in node.internal_ip:
            found.append(
                f"{host}: node {name} has the IPv6 address {node.internal_ip}, and the aggregator is reached by IPv4 alone: let the node have an IPv4"
                " address (kubelet's --node-ip)."
            )
        if runtime == "auto" and node.unsupported:
            found.append(f"{host}: {node.unsupported}")
        elif runtime in RUNTIMES and node.runtime in RUNTIMES and runtime != node.runtime:
            found.append(
                f"{host}: edgefl_runtime is {runtime}, but node {name} runs its pods with {node.runtime}: set it to auto or {node.runtime}."
            )
        found += [f"{host}: {text}" for text in resource_problems(dict(resources), node, variable)]
    return found + _of_regions(edges, aggregator_resources, nodes)


def _regions(edges: Iterable[Edge]) -> dict[str, str]:
    """The node of each region's aggregator -> the region."""
    return {edge.region_node: edge.region for edge in edges if edge.region}


def _of_regions(edges: Iterable[Edge], aggregator_resources: Mapping[str, Any], nodes: Mapping[str, Node]) -> list[str]:
    """Nodes that cannot run the aggregator of a region. That they are there, and ready, is told of edges."""
    found = []
    for name, region in _regions(edges).items():
        node = nodes.get(name)
        if node is None:
            continue
        if ":" in node.internal_ip or not node.internal_ip:
            found.append(
                f"Region {region}: node {name} has {f'the IPv6 address {node.internal_ip}' if node.internal_ip else 'no address'}, and its aggregator is"
                " reached by IPv4 alone: let the node have an IPv4 address (nodeIP of edgecore), or name another edge as the region's node in edgefl_regions."
            )
        found += [
            f"Region {region}: {text}"
            for text in resource_problems(dict(aggregator_resources), node, "edgefl_aggregator_resources")
        ]
    return found


def processors(edges: Iterable[Edge], cloud_node: str, nodes: Mapping[str, Node], packages: Iterable[str]) -> list[str]:
    """Edges for whose architecture no image can be built on the cloud node; `packages` are the app's of Debian."""
    own, edges = nodes[cloud_node].arch if cloud_node in nodes else "", list(edges)
    found, regions = [], _regions(edges)
    for edge in edges:
        known = nodes[edge.node].arch if edge.node in nodes else ""
        wanted = known if edge.architecture == "auto" else edge.architecture
        if not own or wanted in ("", own):
            continue
        if edge.node in regions:
            found.append(
                f"Region {regions[edge.node]}: node {edge.node} is {wanted}, the cloud node is {own}, and the aggregator's image is built for {own} alone:"
                " name another edge as the region's node in edgefl_regions."
            )
        if wanted not in MACHINES:
            found.append(
                f"{edge.host}: node {edge.node} is {wanted}, the cloud node is {own}: images are built for the cloud node's architecture and for"
                f" {' and '.join(MACHINES)}; take the edge out of the inventory."
            )
        elif packages:
            found.append(
                f"{edge.host}: its image is for {wanted}, the cloud node is {own}, and {', '.join(packages)} (edgefl_app_packages) can only be in images for"
                f" {own}: let the app have Python packages among its dependencies instead, or take the edge out of the inventory."
            )
    return found


def crowds(
    edges: Iterable[Edge], nodes: Mapping[str, Node], aggregator_resources: Mapping[str, Any] | None = None
) -> list[str]:
    """Several pods of one edge, the aggregator of a region among them, that together ask for more than it has."""
    edges = list(edges)
    found, regions, given = [], _regions(edges), dict(aggregator_resources or {})
    for edge in edges:
        node, region = nodes.get(edge.node), regions.get(edge.node)
        if (
            node is None
            or (edge.replicas < 2 and not region)
            or resource_problems(dict(edge.resources), node, "")
            or (region and resource_problems(given, node, ""))
        ):
            continue
        requests = scale(dict(edge.resources), node)["requests"]
        beside = scale(given, node)["requests"] if region else {"cpu": "0", "memory": "0"}
        for what, parse, capacity in (("cpu", millicores, node.cpu), ("memory", size, node.memory)):
            if parse(requests[what]) * edge.replicas + parse(beside[what]) > capacity:
                more = f" and the aggregator of region {region} with {beside[what]}" if region else ""
                found.append(
                    f"{edge.host}: {edge.replicas} pods with a {what} request of {requests[what]}{more} are more than node {edge.node} has:"
                    f" lower edgefl_replicas or {what}_request in edgefl_client_resources{' or edgefl_aggregator_resources' if region else ''}."
                )
    return found


def port_numbers(given: Mapping[str, int]) -> list[str]:
    """Ports that are none, or the same one twice."""
    found = [
        f"{name} is {port}: a port of the aggregator is a number from 1024 to 65535, for its user may open none below."
        for name, port in given.items()
        if not 1024 <= port < 65536
    ]
    seen: dict[int, str] = {}
    for name, port in given.items():
        if port in seen:
            found.append(f"{seen[port]} and {name} are both {port}: give each its own port.")
        seen[port] = name
    return found


@dataclass(frozen=True)
class Listener:
    """A process that listens at a port; `pid` is 0 and `command` empty when it cannot be seen from here."""

    port: int
    pid: int
    command: str

    @property
    def ours(self) -> bool:
        """Whether it is an aggregator of this collection."""
        return OURS in self.command

    def __str__(self) -> str:
        if not self.pid:
            return "a process that cannot be seen from this host"
        return f"process {self.pid} ({self.command[:80]})"


def ports(listeners: Iterable[Listener], wanted: Mapping[str, int], where: str = "the cloud node") -> list[str]:
    """Ports that something else than our own aggregator has."""
    listeners = list(listeners)
    return [
        f"Port {port} of {where} is taken by {listener}: stop it, or set {name} to a free port."
        for name, port in wanted.items()
        for listener in [each for each in listeners if each.port == port and not each.ours][:1]
    ]


def listening(wanted: Iterable[int], proc: Path = Path("/proc")) -> list[Listener]:
    """Who listens at these TCP ports of this host, read as root from C(/proc) (proc(5): C(net/tcp), C(PID/fd))."""
    inodes = _listening_inodes(set(wanted), proc)
    if not inodes:
        return []
    found = {}
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        for inode in _sockets(folder) & set(inodes):
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
            # Of a parent and its children that share a socket, one of ours is enough
            if inode not in found or OURS in command:
                found[inode] = Listener(inodes[inode], int(folder.name), command)
    return [found.get(inode, Listener(port, 0, "")) for inode, port in sorted(inodes.items(), key=lambda item: item[1])]


def _listening_inodes(wanted: set[int], proc: Path) -> dict[str, int]:
    """The port of each socket that listens at one of `wanted`, by its inode."""
    inodes: dict[str, int] = {}
    for table in ("net/tcp", "net/tcp6"):
        try:
            rows = (proc / table).read_text().splitlines()[1:]
        except OSError:
            # A kernel without IPv6 has no such table
            continue
        for row in rows:
            words = row.split()
            port = int(words[1].rpartition(":")[2], 16)
            if words[3] == _LISTEN and port in wanted:
                inodes[words[9]] = port
    return inodes


def _sockets(folder: Path) -> set[str]:
    """Inodes of the sockets that a process has open; none of a process that ended meanwhile."""
    found = set()
    try:
        for handle in os.scandir(folder / "fd"):
            try:
                link = os.readlink(handle.path)
            except OSError:
                continue
            if link.startswith("socket:["):
                found.add(link[8:-1])
    except OSError:
        return set()
    return found


def message(found: list[str]) -> str:
    """All problems as one text."""
    if len(found) == 1:
        return found[0]
    return f"{len(found)} problems, nothing was changed:\n" + "\n".join(
        f"{number}. {text}" for number, text in enumerate(found, 1)
    )
