#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_ship
short_description: Bring images from Docker to the runtimes of many nodes, without a registry
version_added: "1.0.0"
description:
  - Runs on the host that built the images, and brings them to the container runtimes of all O(targets) at once, over one SSH connection each.
  - Asks each runtime first what it has. Only layers that it lacks are sent; nodes that lack the same share one archive, which is read once.
  - Of a layer that differs only those files are sent that the target has in no layer of an older image (O(reuse)).
  - Of targets that share a site each chunk is sent to one; the others get it from there (O(relay)). Its SHA-256 comes from the host that built the images.
  - A connection that was lost is made again, and goes on with the chunk that was cut; so does a later call. Each chunk is proven as it arrives.
  - Afterwards the runtime is asked again, and what it has must be what was built. With containerd an image gets its name only when all of it is there.
  - A target that fails does so alone; the others get their images, and the module fails at its end. RV(nodes) has the result of each.
  - Reads the layers of a Docker with the storage driver overlay2, or with containerd's image store. With another driver images are sent whole.
  - Shows every few seconds how far each target is.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.node
requirements:
  - Docker and C(ssh) on the host that built the images, and root there; C(openssl) where targets share a site. C(kubectl) only where O(targets[].runtime)
    or O(targets[].architecture) is V(auto).
  - python >= 3.7 on the targets, as C(python3), and C(sudo) unless the user is root. Nothing of the images is needed there.
  - Where a Docker has containerd's image store, on either side, C(ctr), which comes with containerd.
attributes:
  check_mode:
    support: full
    description: Asks all targets, says what would be sent and removed, and checks that it would fit; always waits for that, whatever O(job) is.
  diff_mode:
    support: none
    description: The reasons in RV(table) say what differs.
  idempotent:
    support: full
    description: An image that is there as it was built is not sent.
options:
  images:
    description: Names with tags, as the local Docker knows them, for all targets that have none of their own.
    type: list
    elements: str
    default: []
  targets:
    description: The nodes.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the target in results and messages.
        type: str
        required: true
      host:
        description: Name or address; empty for this host itself.
        type: str
        default: ""
      user:
        description: User to log in as.
        type: str
        default: root
      port:
        description: Port of the SSH server.
        type: int
        default: 22
      become:
        description: Whether to use C(sudo) there; by default, when the user is not root.
        type: bool
      runtime:
        description: What runs the pods of the node. Of containerd it is the namespace C(k8s.io). V(auto) asks the cluster, by O(kubeconfig).
        type: str
        choices: [auto, containerd, docker]
        default: auto
      node:
        description: Name of the node in the cluster, which is asked for with V(auto); by default O(targets[].name).
        type: str
      known_hosts:
        description: File on this host with the host key of the target; the user's own when not given. A host key that is not in it is refused.
        type: path
      installed:
        description:
          - Whether the role P(edgefl.kubeedge.edge_access#role) has installed the program there that takes images; then it is not sent.
          - A O(ssh_key) that may run nothing else needs it.
        type: bool
        default: false
      site:
        description: Name of the place where the target is; targets of one site give chunks to each other (O(relay)).
        type: str
        default: ""
      site_host:
        description: Name or address by which other targets of its site reach it; by default O(targets[].host).
        type: str
        default: ""
      images:
        description: Images for this target, instead of O(images).
        type: list
        elements: str
      architecture:
        description:
          - Architecture of the images for this target, which have it at the end of their names where it is not that of the host that built them.
          - V(auto) asks the cluster. Empty for images with the names that were given.
        type: str
        default: ""
  ssh_key:
    description: Private key on this host; the user's own keys when not given.
    type: path
  parallel:
    description:
      - Most targets that are sent to at the same time; V(0) for all at once.
      - Where all share one slow link a few at a time are done sooner, as one unpacks while the next one is sent to.
    type: int
    default: 0
  bandwidth:
    description: Most bytes a second, for all targets together, as a number or with a unit such as V(12MB) (of 1048576 bytes); V(0) for no limit.
    type: bytes
    default: "0"
  chunk:
    description: Bytes that are proven and counted as one, before compression. A connection that is cut loses one chunk at most.
    type: bytes
    default: 8MB
  compression:
    description: V(auto) takes zstd where both sides have its library (libzstd), else zlib. Nothing is compressed on the way to this host itself.
    type: str
    choices: [auto, zstd, zlib, none]
    default: auto
  reuse:
    description:
      - Whether files that a target has in an older image are copied there instead of being sent. It reads them twice for that.
      - Only layers of a local Docker with overlay2 are sent that way, and into containerd only from layers that were not compressed.
    type: bool
    default: true
  relay:
    description:
      - Whether targets of one site (O(targets[].site)) that lack the same give chunks to each other, so that each is sent there once.
      - While an archive of more than one O(chunk) is on its way, each of them listens at O(relay_port). It speaks TLS to those alone that have the certificate
        that was made for this call. A chunk that a neighbour does not give, or not as it was built, is sent from here.
    type: bool
    default: true
  relay_port:
    description: Port for that, from V(1024) on, the same on all targets; V(0) takes any that is free.
    type: int
    default: 10360
  keep:
    description:
      - How many images of each repository stay on the targets and in the local Docker, the newest; V(0) removes none.
      - Only tags that end with a dash and twelve hexadecimal digits of the content count. One that a container uses stays in any case.
    type: int
    default: 0
  app:
    description:
      - Name and archive of an app, which lies beside the images, in C(/var/lib/edgefl/apps). Who runs the images has that folder
        mounted. Clients work with the newest state of their app, the aggregator with the one that its run names.
      - The action plugin of this module makes it of C(edgefl_app_info) and, for an app of the images' own sources, of their folder.
    type: dict
    suboptions:
      info:
        description: The fact C(edgefl_app_info). Only the action plugin sees it.
        type: dict
      source:
        description: Folder that the images were built from. Only the action plugin sees it.
        type: str
      name:
        description: The app and the hash of its files.
        type: str
      digest:
        description: SHA-256 of the archive.
        type: str
      data:
        description: The archive, a zip of these files, in Base64. It is sent where it is not the newest of its app.
        type: str
  connect_timeout:
    description: Seconds until a target that does not answer counts as away.
    type: int
    default: 10
  persist:
    description:
      - Seconds that connections stay open after their last use, so that the next call within that time need not make them again.
      - V(0) closes them at once.
    type: int
    default: 0
  retries:
    description: How many times in a row a connection that was lost without a chunk of progress is made again.
    type: int
    default: 5
  timeout:
    description: Seconds until a target that does not have its images is given up, with waiting for its turn.
    type: int
    default: 1800
  job:
    description:
      - Name of the work, when it is to go on in the background after O(linger) seconds; a later call with the same name follows it.
      - The action plugin of this module gives it a name, and shows the progress between the calls.
    type: str
    default: ""
  linger:
    description: Seconds that a call with O(job) stays until the work is done.
    type: float
    default: 3.0
"""

EXAMPLES = r"""
- name: Send the client's image to two edges, and the aggregator's into the containerd of this host itself
  edgefl.kubeedge.image_ship:
    images: [kubeedge/fashion-mnist-client:v1.0.0]
    targets:
      - name: edge1
        host: 192.0.2.11
        user: ops
      - name: edge2
        host: 192.0.2.12
        user: ops
        runtime: docker
      - name: cloud
        runtime: containerd
        images: [kubeedge/fashion-mnist-aggregator:v1.0.0]
    ssh_key: /etc/edgefl/ssh/id_ed25519
    bandwidth: 12MB
"""

RETURN = r"""
nodes:
  description: The result of each target, by its name.
  returned: when all targets are done, also if some failed
  type: dict
  contains:
    changed:
      description: Whether something was sent or removed, or would be; not for a target that failed.
      type: bool
    failed:
      description: Whether it failed.
      type: bool
    msg:
      description: Why it failed; empty when it did not.
      type: str
    images:
      description: What was done for each of its images, or would be; empty when the target failed before it said what it has.
      type: list
      elements: dict
      contains:
        name:
          description: Name as given.
          type: str
        reason:
          description: V(missing), like V(2 of 9 layers differ), V(same layers, another configuration), V(only its name is missing), or V(up to date).
          type: str
        digest:
          description: Digest of the image's configuration, which names all that is in the image.
          type: str
        layers:
          description: Number of its layers.
          type: int
        layers_sent:
          description: Number of layers that were sent, or would be.
          type: int
        bytes:
          description: >-
            Bytes of these layers as the local Docker keeps them, without files that were copied; compressed if it has containerd's image store. A layer
            that two images share counts for the first.
          type: int
        wire:
          description: Its share of the bytes that went over the wire; V(0) in check mode.
          type: int
        relayed:
          description: Its share of the bytes that came from other targets of the site.
          type: int
        saved:
          description: Bytes of layers that did not have to be sent.
          type: int
        seconds:
          description: Seconds for all images of this target, the same for each of them.
          type: float
    app:
      description: Whether the app beside the images was another one there.
      type: bool
    removed:
      description: Names of old images that were removed, or would be.
      type: list
      elements: str
    bytes:
      description: Bytes that went over the wire, after compression; V(0) in check mode.
      type: int
    relayed:
      description: Bytes that came from other targets of the site, after compression.
      type: int
    refused:
      description:
        - Other targets of the site that did not give what they have, and why. V(away) for no connection, V(slow) for three times the time that the host that
          built the images takes, V(false) for something else than was built.
      type: dict
    seconds:
      description: Seconds that it took, with looking before and after.
      type: float
    copied:
      description: Bytes of files that were not sent, as the target had them in an older image.
      type: int
    cuts:
      description: How many times the connection was lost and made again.
      type: int
    whole:
      description: Whether images were sent whole, or would be, because the local Docker's layers cannot be read one by one.
      type: bool
table:
  description: >-
    A row for each image of each target, with C(node), C(image), C(reason) (which begins with C(failed:) for a target that failed), C(sent) (its share
    of the wire), C(relayed) (what came from other targets) and C(saved) (all in bytes), and C(seconds).
  returned: when all targets are done
  type: list
  elements: dict
bytes:
  description: Bytes that went over the wire to all targets.
  returned: when all targets are done
  type: int
relayed:
  description: Bytes that targets got from each other.
  returned: when all targets are done
  type: int
removed:
  description: Names of old images that were removed from the local Docker, or would be.
  returned: when all targets are done
  type: list
  elements: str
seconds:
  description: Seconds that all of it took.
  returned: when all targets are done
  type: float
whole:
  description: Whether images were sent whole to some target.
  returned: when all targets are done
  type: bool
note:
  description: Why they were; empty when they were not.
  returned: when all targets are done
  type: str
running:
  description: Whether the work goes on in the background; only the action plugin sees it.
  returned: with O(job), not in check mode
  type: bool
progress:
  description: How far each target is; only the action plugin sees it.
  returned: while the work goes on in the background
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.job import Job
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.platforms import image_for
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.agent import Docker, architecture_here
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.fleet import Fleet
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.link import Target
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.plan import Settings
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.source import Source
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.nodes import RUNTIMES, Node, parse_nodes

JOBS = "/run/edgefl-ship"
# Seconds without a question after which nobody follows any more, and the work ends
ABANDONED = 60.0
TARGET = {
    "name": {"type": "str", "required": True},
    "host": {"type": "str", "default": ""},
    "user": {"type": "str", "default": "root"},
    "port": {"type": "int", "default": 22},
    "become": {"type": "bool"},
    "runtime": {"type": "str", "choices": ["auto", *RUNTIMES], "default": "auto"},
    "node": {"type": "str"},
    "known_hosts": {"type": "path"},
    "installed": {"type": "bool", "default": False},
    "site": {"type": "str", "default": ""},
    "site_host": {"type": "str", "default": ""},
    "images": {"type": "list", "elements": "str"},
    "architecture": {"type": "str", "default": ""},
}


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    if options["job"] and not module.check_mode:
        job = Job(f"{JOBS}/{options['job'].rpartition('/')[2]}", "ships the images", ABANDONED)
        if not job.exists():
            job.begin(fleet(module))
        result = job.follow(options["linger"])
    else:
        result = fleet(module).run()
    failed = [node["msg"] for node in result.get("nodes", {}).values() if node["failed"]]
    if failed:
        raise EdgeflError("\n".join(failed), **result)
    return result


def fleet(module: AnsibleModule) -> Fleet:
    """All that the module's options ask for. The cluster is asked only for runtimes and architectures that are not given."""
    options = module.params
    asked = any("auto" in (given["runtime"], given["architecture"]) for given in options["targets"])
    nodes = parse_nodes(for_module(module, options["kubeconfig"]).get("nodes")) if asked else {}
    wanted = []
    for given in options["targets"]:
        found = target(given, nodes)
        names = given["images"] or options["images"]
        wanted.append((found, [image_for(name, found.architecture, architecture_here()) for name in names]))
    given = {name: options[name] for name in Settings.__dataclass_fields__ if name in options}
    return Fleet(Source(Docker()), wanted, Settings(check_mode=module.check_mode, **given))


def target(given: dict[str, Any], nodes: dict[str, Node]) -> Target:
    """The target that an item of the option describes; EdgeflError when its node runs pods with something else."""
    runtime, architecture = given["runtime"], given["architecture"]
    if "auto" in (runtime, architecture):
        name = given["node"] or given["name"]
        if name not in nodes:
            raise EdgeflError(
                f"{given['name']}: {name} (edgefl_node_name) is no node of this cluster; its nodes are {', '.join(nodes)}. Correct the name, or let it join."
            )
        if runtime == "auto" and nodes[name].unsupported:
            raise EdgeflError(f"{given['name']}: {nodes[name].unsupported}")
        runtime = nodes[name].runtime if runtime == "auto" else runtime
        architecture = nodes[name].arch if architecture == "auto" else architecture
    return Target(
        name=given["name"],
        runtime=runtime,
        host=given["host"],
        user=given["user"],
        port=given["port"],
        become=given["user"] != "root" if given["become"] is None else given["become"],
        known_hosts=given["known_hosts"] or "",
        installed=given["installed"],
        site=given["site"],
        site_host=given["site_host"],
        architecture=architecture,
    )


def main() -> None:
    run_module(
        work,
        argument_spec={
            "images": {"type": "list", "elements": "str", "default": []},
            "targets": {"type": "list", "elements": "dict", "required": True, "options": TARGET},
            "ssh_key": {"type": "path"},
            "parallel": {"type": "int", "default": 0},
            "bandwidth": {"type": "bytes", "default": "0"},
            "chunk": {"type": "bytes", "default": "8MB"},
            "compression": {"type": "str", "choices": ["auto", "zstd", "zlib", "none"], "default": "auto"},
            "reuse": {"type": "bool", "default": True},
            "relay": {"type": "bool", "default": True},
            "relay_port": {"type": "int", "default": 10360},
            "keep": {"type": "int", "default": 0},
            "app": {
                "type": "dict",
                # The action plugin makes the others of the first two. Not secret; but nobody wants an archive in the system's log
                "options": {
                    "info": {"type": "dict"},
                    "source": {"type": "str"},
                    "name": {"type": "str"},
                    "digest": {"type": "str"},
                    "data": {"type": "str", "no_log": True},
                },
            },
            "connect_timeout": {"type": "int", "default": 10},
            "persist": {"type": "int", "default": 0},
            "retries": {"type": "int", "default": 5},
            "timeout": {"type": "int", "default": 1800},
            "job": {"type": "str", "default": ""},
            "linger": {"type": "float", "default": 3.0},
            **KUBECONFIG,
        },
    )


if __name__ == "__main__":
    main()
