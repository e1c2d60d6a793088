#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_ship
short_description: Bring images from Docker to the runtime of a node, without a registry
version_added: "1.0.0"
description:
  - Runs on the host that built the images, and brings them to the container runtime of one node over one SSH connection.
    Call it once per node; Ansible does the nodes at the same time.
  - Asks the runtime first what it has. Only layers that it lacks are sent, in one stream; no file is written on either side.
  - Afterwards the runtime is asked again, and what it has must be what was built. With containerd an image gets its name only when all of it is there.
  - Where the layers of the local Docker cannot be read one by one (a storage driver other than overlay2), images are sent whole.
author:
  - edgefl developers (@edgefl)
requirements:
  - Docker on the host that built the images, and root there.
  - On the node Python 3, and C(sudo) unless the user is root. Nothing of the images is needed there.
  - C(zstd) on both, for O(compression=zstd).
attributes:
  check_mode:
    support: full
    description: Says what would be sent, and checks that it would fit.
  diff_mode:
    support: none
    description: The reasons in RV(images) say what differs.
  idempotent:
    support: full
    description: An image that is there as it was built is not sent.
options:
  images:
    description: Names with tags, as the local Docker knows them.
    type: list
    elements: str
    required: true
  target:
    description: The node; without it, the images go to the runtime of this host itself.
    type: dict
    suboptions:
      host:
        description: Name or address.
        type: str
        required: true
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
    description: What runs the pods of the node. Of containerd it is the namespace C(k8s.io).
    type: str
    choices: [containerd, docker]
    required: true
  ssh_key:
    description: Private key on this host; the user's own keys when not given.
    type: path
  known_hosts:
    description: File on this host with the host keys of the nodes; the user's own when not given. A host key that is not in it is refused.
    type: path
  compression:
    description: V(zstd) pays off where the link is slower than about 50 MB/s.
    type: str
    choices: [none, zstd]
    default: none
  connect_timeout:
    description: Seconds until a node that does not answer counts as away.
    type: int
    default: 10
  timeout:
    description: Seconds until a transfer that is not done is given up.
    type: int
    default: 1800
"""

EXAMPLES = r"""
- name: Send the client's image to an edge
  edgefl.kubeedge.image_ship:
    images: [kubeedge/fashion-mnist-client:v1.0.0]
    target:
      host: 192.0.2.11
      user: ops
    runtime: containerd
    ssh_key: /etc/edgefl/ssh/id_ed25519
    known_hosts: /etc/edgefl/ssh/known_hosts

- name: Hand an image to the containerd of the cloud node itself
  edgefl.kubeedge.image_ship:
    images: [kubeedge/fashion-mnist-aggregator:v1.0.0]
    runtime: containerd
"""

RETURN = r"""
images:
  description: What was done for each image, in the order of O(images).
  returned: success
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
      description: Bytes of these layers, before compression.
      type: int
    saved:
      description: Bytes that did not have to be sent.
      type: int
    seconds:
      description: Seconds for all images of this call.
      type: float
bytes:
  description: Bytes that were sent for all images, after compression.
  returned: success
  type: int
seconds:
  description: Seconds that it took, with looking before and after.
  returned: success
  type: float
whole:
  description: Whether images were sent whole because the local Docker's layers cannot be read one by one.
  returned: success
  type: bool
note:
  description: Why they were; empty when they were not.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._ship import RUNTIMES, Source, Target, ship, ssh_command


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "images": {"type": "list", "elements": "str", "required": True},
            "target": {
                "type": "dict",
                "options": {
                    "host": {"type": "str", "required": True},
                    "user": {"type": "str", "default": "root"},
                    "port": {"type": "int", "default": 22},
                    "become": {"type": "bool"},
                },
            },
            "runtime": {"type": "str", "choices": list(RUNTIMES), "required": True},
            "ssh_key": {"type": "path"},
            "known_hosts": {"type": "path"},
            "compression": {"type": "str", "choices": ["none", "zstd"], "default": "none"},
            "connect_timeout": {"type": "int", "default": 10},
            "timeout": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    options = module.params
    target = None
    if options["target"]:
        given = options["target"]
        become = given["user"] != "root" if given["become"] is None else given["become"]
        target = Target(given["host"], given["user"], given["port"], become)

    def run(arguments: list[str]) -> tuple[int, str, str]:
        result: tuple[int, str, str] = module.run_command(
            arguments, environ_update={"LC_ALL": "C"}, handle_exceptions=False
        )
        return result

    try:
        result = ship(
            Source(run),
            options["images"],
            target,
            options["runtime"],
            ssh_command(options["ssh_key"], options["known_hosts"], options["connect_timeout"]),
            options["compression"],
            module.check_mode,
            options["timeout"],
        )
    except EdgeflError as error:
        module.fail_json(msg=error.message, **error.result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
