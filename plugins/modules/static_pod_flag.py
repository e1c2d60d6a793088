#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: static_pod_flag
short_description: Set or remove one flag of a static pod
version_added: "1.0.0"
description:
  - Sets or removes one command line flag in the manifest of a static pod, such as C(kube-apiserver) of a kubeadm cluster.
  - Only the lines of this flag change where the arguments stand one a line; comments and order stay.
    A manifest that is written in another way is written anew, with a warning.
  - The file is replaced atomically and keeps its mode and owner. A copy of the former one is kept outside the folder that the kubelet reads.
  - Waits until the kubelet has started the pod anew, told by a new config hash of its mirror pod, since a former API server answers for a while,
    and until the pod works. When it does not come back in time, the former manifest is put back and the module fails.
  - Nothing changes, and nothing restarts, when the flag is right.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.node
  - edgefl.kubeedge.wait
attributes:
  check_mode:
    support: full
    description: Says what would change; writes nothing and does not wait.
  diff_mode:
    support: full
    description: Shows the manifest before and after.
  idempotent:
    support: full
    description: A flag that is right is left alone, however it is written.
options:
  path:
    description: The manifest.
    type: path
    default: /etc/kubernetes/manifests/kube-apiserver.yaml
  flag:
    description: Name of the flag, with or without its dashes. Flags that may be given several times become one.
    type: str
    required: true
  value:
    description: Its value; required when O(state=present).
    type: str
  state:
    description: Whether the flag shall be there.
    type: str
    choices: [present, absent]
    default: present
  container:
    description: Name of the container; the first one of the pod when not given.
    type: str
  node:
    description:
      - Name of this host's node in the cluster.
      - Needed only where several nodes run this static pod and the node is not called like the host.
    type: str
  backup_dir:
    description: Folder for the former manifest; made with mode V(0700). Must not be in the folder of the manifest, as the kubelet would run the copy.
    type: path
    default: /var/lib/edgefl/backup
  wait:
    description: Whether to wait until the pod runs with the flag as it shall be.
    type: bool
    default: true
  wait_timeout:
    description: Seconds until the former manifest is put back; and again, until the former pod must be back.
    type: int
    default: 180
"""

EXAMPLES = r"""
- name: Let the API server reach metrics-server at its endpoint
  edgefl.kubeedge.static_pod_flag:
    flag: enable-aggregator-routing
    value: "true"

- name: Remove the flag again
  edgefl.kubeedge.static_pod_flag:
    flag: enable-aggregator-routing
    state: absent

- name: Log more of the scheduler
  edgefl.kubeedge.static_pod_flag:
    path: /etc/kubernetes/manifests/kube-scheduler.yaml
    flag: v
    value: "4"
"""

RETURN = r"""
arguments:
  description: Command line of the container after the change.
  returned: success
  type: list
  elements: str
backup_file:
  description: Copy of the former manifest; empty when nothing was written.
  returned: success
  type: str
formatting_kept:
  description: Whether nothing but lines of this flag changed.
  returned: success
  type: bool
restored:
  description: Whether the former manifest was put back.
  returned: failure after waiting
  type: bool
reason:
  description: What was missing in the end.
  returned: failure after waiting
  type: str
elapsed:
  description: Seconds that were waited.
  returned: failure after waiting
  type: float
"""

import os
import socket
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, WAIT, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.static_pod import Flag, Task


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params

    def replace(path: str, content: bytes) -> None:
        # Mode and owner stay; temporary files in the target's folder begin with a dot, which the kubelet skips
        descriptor, temporary = tempfile.mkstemp(dir=module.tmpdir)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        module.atomic_move(temporary, path)

    task = Task(
        path=options["path"],
        flag=Flag.of(options["flag"], options["value"] if options["state"] == "present" else None),
        container=options["container"],
        node=options["node"],
        hostname=socket.gethostname(),
        backup_dir=options["backup_dir"],
        wait=options["wait"],
        timeout=options["wait_timeout"],
        sleep=options["wait_sleep"],
        kubectl=for_module(module, options["kubeconfig"]),
        replace=replace,
    )
    try:
        result = task.run(dry=module.check_mode)
    except OSError as error:
        raise EdgeflError(f"{error}: run this with become, on a host of the control plane.") from error
    if not result["formatting_kept"]:
        module.warn(f"{options['path']} does not have one argument a line: it is written anew, without its comments.")
    return result


def main() -> None:
    run_module(
        work,
        argument_spec={
            "path": {"type": "path", "default": "/etc/kubernetes/manifests/kube-apiserver.yaml"},
            "flag": {"type": "str", "required": True},
            "value": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "container": {"type": "str"},
            "node": {"type": "str"},
            "backup_dir": {"type": "path", "default": "/var/lib/edgefl/backup"},
            "wait": {"type": "bool", "default": True},
            **KUBECONFIG,
            **WAIT,
        },
        required_if=[("state", "present", ("value",))],
    )


if __name__ == "__main__":
    main()
