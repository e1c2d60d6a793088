# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what is to be deployed for a training, from the inventory and what the cluster has: names, edges, clients, certificates."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.platforms import MACHINES, image_for, own_image
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _options, _regions

# A StatefulSet's pods carry its name and a hash of ten characters in a label, which has 63 at most
LONGEST = 52
# As in the how-to, whatever is trained
SERVICE = "federated-learning-svc"
# Field of an edge's row -> variable of the host
FIELDS = {
    "replicas": "edgefl_replicas",
    "kind": "edgefl_kind",
    "runtime": "edgefl_runtime",
    "architecture": "edgefl_architecture",
    "resources": "edgefl_client_resources",
    "autoscale": "edgefl_autoscale",
    "data": "edgefl_data",
}
# Where a pod finds its edge's folder
DATA_MOUNT = "/data"
# Where a pod finds states of the app that came after its image, on the cloud node the file with the aggregator's run too
APPS_MOUNT = "/apps"
# Of the aggregator's options, those that its pod is made with; all others are of a run
_OF_THE_POD = ("app", "server_address", "status_address", "state_dir", "data_dir", "tls_dir", "apps_dir", "run_file")
# An image's name: what runs its app, and the hash of all
_TAG = re.compile(r"(.*:.*-[0-9a-f]{12})-[0-9a-f]{12}")
# Of a client's row: what shapes the training
_SHAPING = ("node", "replicas", "kind", "autoscale", "settings", "resources")
# Kinds of objects that kubectl replaces where they are; the pods of the others would wait for one that never gets ready, or cannot be changed
_IN_PLACE = ("Deployment", "Service", "NetworkPolicy")
# Of the training's variables, those that a region's aggregator takes from its root's: all others are the root's to decide
_OF_A_REGION = ("edgefl_app", "edgefl_app_config", "edgefl_norm_bound", "edgefl_round_timeout")


def object_name(app: str, *parts: str) -> str:
    """Name of a Kubernetes object that belongs to an app: C(fashion_mnist), C(client), C(edge1) give C(fashion-mnist-client-edge1).

    A label as in RFC 1123. What would be longer than LONGEST ends with a hash instead.
    """
    name = re.sub(r"[^a-z0-9]+", "-", "-".join((app, *parts)).lower()).strip("-")
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def secret_name(workload: str) -> str:
    """Name of the Secret with the certificate of a workload."""
    return f"{workload}-tls"


def object_names(app: str) -> dict[str, str]:
    """Names of an app's objects that are there once: C(aggregator), C(secret) of its certificate, C(service), and C(clients), that of StatefulSets."""
    return {
        "aggregator": object_name(app),
        "secret": secret_name(object_name(app)),
        "service": SERVICE,
        "clients": object_name(app, "client"),
    }


def plain(value: Any) -> Any:
    """The same as plain dicts, lists, texts and numbers; Ansible's own containers hold templates until each value is asked for."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def digest(value: Any) -> str:
    """Checksum of a value, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True, default=str).encode()).hexdigest()[:16]


def _number(value: Any) -> Any:
    """A whole number when it is one; else as it was given, for preflight to refuse."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return value


def noted_engine(image: str, engine_: str, noted: str) -> str:
    """What is noted of an aggregator that is deployed: the part of its image's tag that names what runs the app, and the checksum of what that was built from.

    :param engine_: that checksum, empty where no image was built in this playbook
    :param noted: what was noted before
    """
    tag = engine(image).rpartition(":")[2]
    if engine_:
        return f"{tag} {engine_}"
    return noted if noted.startswith(f"{tag} ") else ""


def engine(image: str) -> str:
    """Of an image's name what does not depend on its app; all of a name that has no such tag."""
    found = _TAG.fullmatch(image)
    return found[1] if found else image


def built_images(tagged: Iterable[str], repository: str, version: str, newest: str = "") -> dict[str, str]:
    """
    Names of C(aggregator) and C(client) with the tag of their content, of all names that Docker has for the newest build of both.

    An image that another build has made byte for byte the same has that one's name, too: it is the build that is noted as the `newest`, else one that both
    have. Without such a tag, the plain version.

    :param tagged: C(RepoTags) of both images
    :param newest: a tag
    """
    plain_ = {target: f"{repository}-{target}:{version}" for target in ("aggregator", "client")}
    both = set.intersection(
        *({name.removeprefix(start) for name in tagged if name.startswith(f"{start}-")} for start in plain_.values())
    )
    noted = newest.removeprefix(version)
    common = noted if noted in both else min(both, default="")
    return {target: name + common for target, name in plain_.items()}


def architecture(wanted: Any, node: Mapping[str, Any]) -> str:
    """Architecture of an edge's image: what its edgefl_architecture wants, or that of its node, of C(edgefl_cluster); empty where nothing is known."""
    return str(node.get("arch", "") if wanted in (None, "", "auto") else wanted)


def architectures(hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]], cloud: str) -> dict[str, Any]:
    """
    What images are built for: C(machine), the cloud node's architecture as uname(1) names it, C(edges), that of each host as Kubernetes does, and
    C(others), those among them that are not the cloud node's, with their machines. Where no cluster was asked, all are as the cloud node.

    :param variables: host -> its variables (C(hostvars)), of the cloud node perhaps with C(edgefl_cluster)
    :param cloud: host of the cloud node
    """
    nodes = (variables[cloud].get("edgefl_cluster") or {}).get("nodes") or {}
    own = nodes.get(variables[cloud].get("edgefl_node_name") or cloud, {}).get("arch", "")
    found = {
        host: architecture(
            variables[host].get("edgefl_architecture"), nodes.get(variables[host].get("edgefl_node_name") or host, {})
        )
        for host in hosts
        if own
    }
    return {
        "machine": MACHINES.get(own, MACHINES["amd64"]),
        "edges": found,
        "others": {name: MACHINES[name] for name in sorted({*found.values()} - {own}) if name in MACHINES},
    }


def client_image(image: str, wanted: Any, node: str, nodes: Mapping[str, Mapping[str, Any]], cloud: str) -> str:
    """Name of the clients' image for a node.

    :param image: its name for the cloud node's architecture
    :param wanted: edgefl_architecture of the edge
    :param nodes: of C(edgefl_cluster)
    :param cloud: name of the cloud node
    """
    return image_for(image, architecture(wanted, nodes.get(node, {})), nodes.get(cloud, {}).get("arch", ""))


def edges(
    hosts: Iterable[str],
    variables: Mapping[str, Mapping[str, Any]],
    app: str,
    samples: int,
    defaults: Mapping[str, Any],
    regions: Mapping[str, Mapping[str, Any]] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """
    What each edge contributes, in the order of the inventory.

    :param variables: host -> its variables (C(hostvars)), which win over `defaults`
    :param app: what is trained; the C(name) of an edge's workload, HPA and VPA begins with it
    :param samples: number of training samples; they are shared out evenly among edges that have no slice of their own
    :param regions: C(edgefl_regions); an edge in one has its C(region), and C(region_node), where that one's aggregator is
    :param groups: of the inventory, by which regions name edges
    """
    hosts = list(hosts)
    of_hosts = _regions.of_hosts(regions, groups or {}) if regions else {}
    found = []
    for index, host in enumerate(hosts):
        values = variables[host]

        def of(name: str, default: Any, values: Mapping[str, Any] = values) -> Any:
            value = values.get(name)
            return default if value is None else value

        node = of("edgefl_node_name", host)
        name = object_name(app, "client", node)
        row = {
            "host": host,
            "node": node,
            "name": name,
            "slice_start": _number(of("edgefl_slice_start", int(samples) * index // len(hosts))),
            "slice_stop": _number(of("edgefl_slice_stop", int(samples) * (index + 1) // len(hosts))),
            **{field: of(variable, defaults[variable]) for field, variable in FIELDS.items()},
        }
        row["replicas"] = _number(row["replicas"])
        own_config = of("edgefl_node_config", defaults["edgefl_node_config"])
        counted = {"partition-id": index, "num-partitions": len(hosts)}
        row["node_config"] = {**counted, **own_config} if isinstance(own_config, Mapping) else own_config
        own = [option.variable for option in _options.of("all") if option.per_host]
        row["training"] = {variable: values[variable] for variable in own if values.get(variable) is not None}
        found.append(plain(row))
    # Rows of a training without regions stay as they are: pods would be replaced for another key
    named = {row["host"]: row["node"] for row in found} if of_hosts else {}
    for row in found:
        if regions and row["host"] in of_hosts:
            at = regions[of_hosts[row["host"]]]["node"]
            row |= {"region": of_hosts[row["host"]], "region_node": named.get(at, str(at))}
    return found


def clients(
    rows: Iterable[Mapping[str, Any]],
    training: Mapping[str, Any],
    image: str,
    nodes: Mapping[str, Mapping[str, Any]],
    common: Mapping[str, Any],
    fingerprints: Mapping[str, str],
    there: Iterable[Mapping[str, str]] = (),
    cloud: str = "",
) -> list[dict[str, Any]]:
    """
    The clients' workloads: C(edges) with what their pods are made of.

    C(settings) names what a node trains with: the aggregator takes no client of others, which may be on its way out, or on an edge that was away.
    C(made_of) changes when its pods must: a renewed certificate is part of it, though it does not make another training.

    :param training: values by variable; those of an edge win
    :param image: of the cloud node's architecture
    :param nodes: of C(edgefl_cluster)
    :param common: options without a variable that all clients have, by option; those of a region go to the same port of its node
    :param fingerprints: name of a Secret -> the certificate that it has
    :param there: C(clients) of C(training) of C(edgefl_cluster): pods that differ from the image in the app alone stay, as they get that beside the image
    :param cloud: name of the cloud node; without it all edges are as that
    """
    found = []
    deployed = {item["name"]: item["image"] for item in there}
    port = str(common.get("server_address", "")).rpartition(":")[2]
    for edge in rows:
        own = client_image(image, edge.get("architecture"), edge["node"], nodes, cloud) if cloud else image
        stays = [deployed.get(name, "") for name in (edge["name"], f"{edge['name']}-pod-0")]
        given = {**training, **edge["training"]}
        region = edge.get("region_node")
        filled = {
            **common,
            **({"server_address": f"{nodes[region]['internal_ip']}:{port}"} if region else {}),
            "node": edge["node"],
            "partition": edge["slice_start"],
            "clients": edge["slice_stop"],
            "node_config": edge["node_config"],
            "data_dir": DATA_MOUNT if edge["data"] else None,
            "apps_dir": APPS_MOUNT,
        }
        # The app has an identity of its own, by which the aggregator knows it
        settings = digest([_options.arguments(given, "client", filled, shaping=True), engine(own), edge["data"]])
        row = {
            **edge,
            "image": next((each for each in stays if engine(each) == engine(own)), own),
            "settings": settings,
            "slice": f"{edge['slice_start']}:{edge['slice_stop']}",
            "arguments": _options.arguments(given, "client", {**filled, "settings": settings}),
            "resources": nodes[edge["node"]]["client_resources"],
            "certificate": fingerprints.get(secret_name(edge["name"]), ""),
        }
        row["made_of"] = digest({key: value for key, value in row.items() if key != "host"})
        found.append(plain(row))
    return found


def aggregator(
    training: Mapping[str, Any], run: str, image: str, filled: Mapping[str, Any], pod: Mapping[str, str]
) -> dict[str, Any]:
    """
    The aggregator: C(image) and C(arguments) of its pod, C(begun), the run that this begins with, and C(run), the content of the file that says what it does.

    :param training: values by variable
    :param image: with the newest state of the app
    :param filled: options without a variable, by option
    :param pod: C(aggregator_pod) of C(training) of C(edgefl_cluster): one that differs from the image in the app alone stays, and takes this run, too
    """
    given = _options.arguments(training, "aggregator", {**filled, "run": run})
    words = {name: [text for text in given if text.startswith(f"--{name}=")] for name in _OF_THE_POD}
    own = [text for texts in words.values() for text in texts]
    made_for = digest([engine(image), own])
    stays = bool(pod) and engine(pod["image"]) == engine(image)
    return {
        "image": pod["image"] if stays else image,
        "begun": pod["run"] if stays else run,
        "arguments": [*own, f"--made_for={made_for}"],
        "run": {"made_for": made_for, "arguments": [text for text in given if text not in own]},
    }


def workloads(
    rows: Iterable[Mapping[str, Any]],
    regions: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str],
    training: Mapping[str, Any],
    image: str,
    nodes: Mapping[str, Mapping[str, Any]],
    filled: Mapping[str, Any],
    fingerprints: Mapping[str, str],
) -> dict[str, list[Any]]:
    """
    C(clients), the rows as they are, and C(regions), the workload of each region's aggregator: C(region), C(node), C(name), C(address), C(image),
    C(arguments), C(resources), C(certificate), and C(settings) and C(slice), by which the root knows it.

    What is of a run of the root's is no part of a region: it goes on from one run to the next.

    :param rows: C(clients)
    :param regions: C(edgefl_regions)
    :param names: C(object_names)
    :param image: of the aggregator, with the newest state of the app
    :param nodes: of C(edgefl_cluster)
    :param filled: options without a variable that all of them have, by option; C(upstream) is the address of the root
    :param fingerprints: name of a Secret -> the certificate that it has
    """
    rows = list(rows)
    own: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows if regions else []:
        if row.get("region"):
            own.setdefault(row["region"], []).append(row)
    found = []
    for name, mine in own.items():
        node = mine[0]["region_node"]
        address = nodes[node]["internal_ip"]
        least = min(int(regions[name].get("min_nodes") or len(mine)), len(mine))
        # With all of those who are there: which share of the samples has to come back is the root's to judge
        quorum = {"edgefl_min_nodes": least, "edgefl_min_num_clients": least, "edgefl_min_sample_size": 1}
        given = {key: training[key] for key in _OF_A_REGION if key in training} | quorum
        shaping = _options.arguments(given, "aggregator", {}, shaping=True)
        settings = digest([shaping, engine(image), [row["settings"] for row in mine]])
        status_port = filled["status_address"].rpartition(":")[2]
        options = {
            **filled,
            "client_settings": {row["node"]: row["settings"] for row in mine},
            "client_slices": {row["node"]: row["slice"] for row in mine},
            "upstream": f"{name}@{filled['upstream']}",
            "status_address": f"127.0.0.1:{status_port},{address}:{status_port}",
            "settings": settings,
            "run": f"region-{name}",
        }
        region = {
            "region": name,
            "node": node,
            "name": region_name(names, name),
            "address": address,
            "image": image,
            "settings": settings,
            "slice": f"0:{sum(row['slice_stop'] - row['slice_start'] for row in mine)}",
            "arguments": _options.arguments(given, "aggregator", options),
            "resources": nodes[node]["aggregator_resources"],
            "certificate": fingerprints.get(secret_name(region_name(names, name)), ""),
        }
        found.append(plain(region))
    return {"clients": rows, "regions": found}


def region_name(names: Mapping[str, str], region: str) -> str:
    """Name of the workload of a region's aggregator."""
    return object_name(names["aggregator"], "region", region)


def root_members(rows: Iterable[Mapping[str, Any]], regions: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """C(client_settings) and C(client_slices) of the root's aggregator: those of regions, and of the edges, rows of C(clients), that are in none."""
    own = {row["node"]: row for row in rows if not row.get("region")} | {row["region"]: row for row in regions}
    taken = {"client_settings": "settings", "client_slices": "slice"}
    return {option: {name: row[key] for name, row in own.items()} for option, key in taken.items()}


def pods_stay(training: Mapping[str, Any], engine_: str) -> dict[str, str]:
    """Images of C(aggregator) and C(client) whose pods stay, as they need nothing but the app, which comes beside their images; else nothing.

    :param training: of C(edgefl_cluster)
    :param engine_: checksum of what runs the app in new images
    """
    tag, _space, there = training["engine"].partition(" ")
    aggregator_ = training["aggregator_pod"].get("image", "")
    workloads = [item["image"] for item in training["clients"] if item["kind"] in ("Deployment", "StatefulSet", "Pod")]
    stay = (
        there == engine_
        and bool(workloads)
        and all(engine(image).endswith(f":{tag}") for image in (aggregator_, *workloads))
    )
    return {"aggregator": aggregator_, "client": own_image(workloads[0])} if stay else {}


def run_settings(
    rows: Iterable[Mapping[str, Any]],
    training: Mapping[str, Any],
    images: Mapping[str, str],
    app: str,
    tls: bool,
    data: str,
    regions: Iterable[Mapping[str, Any]] = (),
) -> str:
    """Checksum of all that shapes a training; when it changes, so does the run. What a host is called in the inventory is no part of it.

    :param rows: C(clients)
    :param training: values by variable
    :param app: identity of the app; empty where it comes with its images alone
    :param tls: whether aggregator and clients prove to each other who they are
    :param data: the aggregator's folder with data, or nothing
    :param regions: workloads of the regions' aggregators
    """
    trained = [{key: row[key] for key in _SHAPING} for row in rows]
    made_of = [app, {name: engine(image) for name, image in images.items()}] if app else images
    shaping = [_options.arguments(training, "aggregator", {}, shaping=True), bool(tls), trained, made_of, data]
    return digest([*shaping, *({key: row[key] for key in ("region", "node", "settings")} for row in regions)])


def retired(
    training: Mapping[str, Any],
    rows: Iterable[Mapping[str, Any]],
    names: Mapping[str, str],
    begins: bool,
    fresh: bool,
    network_policy: str,
    regions: Iterable[Mapping[str, Any]] = (),
) -> list[str]:
    """
    What goes before a run begins, as kubectl takes it (C(Deployment/NAME)): an app's aggregator when another is trained; clients of an edge that left, of
    another kind, or that cannot be replaced where they are. And pods of the aggregator that failed: Kubernetes would wait for the end of the last old pod
    of a Deployment that is recreated, which they never tell. And pods of clients: those that were evicted, of which the next run would tell again, and those
    that another state of the app has broken, which Kubernetes lets wait for minutes. And aggregators of regions that are not wanted any more.

    :param training: of C(edgefl_cluster)
    :param rows: C(clients), those that are wanted
    :param names: C(object_names)
    :param begins: whether another run begins
    :param fresh: whether all clients get new pods then
    :param network_policy: C(none) when the clients shall have none
    :param regions: workloads of the regions' aggregators, those that are wanted
    """
    stay = set() if network_policy == "none" else {("NetworkPolicy", names["clients"], "")}
    for row in [] if begins and fresh else rows:
        settings = "" if row["kind"] in _IN_PLACE else row["made_of"]
        copies = [f"{row['name']}-pod-{index}" for index in range(row["replicas"])]
        stay |= {(row["kind"], name, settings) for name in (copies if row["kind"] == "Pod" else [row["name"]])}
        if row["kind"] == "StatefulSet":
            stay.add(("Service", names["clients"], ""))
    there = [
        (item["kind"], item["name"], "" if item["kind"] in _IN_PLACE else item["settings"])
        for item in training["clients"]
    ]
    gone = {f"Pod/{name}" for name in training["failed_pods"] + (training["broken_pods"] if begins else [])}
    gone |= {f"{kind}/{name}" for kind, name, settings in there if (kind, name, settings) not in stay}
    wanted = {row["name"] for row in regions}
    gone |= {f"Deployment/{item['name']}" for item in training["regions"] if item["name"] not in wanted}
    if training["aggregator"] not in ("", names["aggregator"]):
        gone.add(f"Deployment/{training['aggregator']}")
    return sorted(gone)


def certificates(
    rows: Iterable[Mapping[str, Any]],
    names: Mapping[str, str],
    holders: Iterable[str],
    nodes: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """The certificates of a training, as M(edgefl.kubeedge.mutual_tls) takes them. An edge's has the name of its node; a region's, whose aggregator is
    connected to and connects to the root, that of the region and the address of its node: nobody speaks for another.

    :param holders: names and addresses of the aggregator, like C(DNS:cloud)
    :param nodes: of C(edgefl_cluster); needed where there are regions
    """
    rows = list(rows)
    server = {"name": names["secret"], "names": list(holders), "server": True}
    at = {row["region"]: row["region_node"] for row in rows if row.get("region")}
    regions = [
        {
            "name": secret_name(region_name(names, region)),
            "names": [f"DNS:{region}", f"IP:{(nodes or {})[node]['internal_ip']}"],
            "server": True,
            "client": True,
        }
        for region, node in at.items()
    ]
    edges_ = ({"name": secret_name(edge["name"]), "names": [f"DNS:{edge['node']}"]} for edge in rows)
    return [server, *regions, *edges_]
