#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: training_lock
short_description: Let one controller at a time change a training
version_added: "1.0.0"
description:
  - Holds a Lease of the cluster, C(edgefl-NAMESPACE) in C(kube-system), which says who changes the training, since when, and until when that counts.
  - Another controller is refused, with the name of who holds it. Of two that ask at the same moment the API server lets one win.
  - Who gets it is told in the same call what the cluster has, as by M(edgefl.kubeedge.cluster_info), which nobody changes from then on.
  - A lock that nobody renews ends after O(seconds). The action plugin of this module breaks one at once whose C(ansible-playbook) ran on this controller and
    is no more.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.kubernetes.namespace
  - edgefl.kubeedge.kubernetes.resources
  - edgefl.kubeedge.node
attributes:
  check_mode:
    support: full
    description: Takes nothing and refuses nobody.
  diff_mode:
    support: none
    description: Who holds it is no difference of the host.
  idempotent:
    support: full
    description: Who holds it already renews it; RV(ignore:changed) is never true.
options:
  state:
    description:
      - V(held) takes or renews it, V(released) gives it back. V(renewed) renews it where it is held already.
    type: str
    choices: [held, renewed, released]
    default: held
  holder:
    description: Who asks. The action plugin puts user, host and process of C(ansible-playbook) here.
    type: str
    default: ""
  seconds:
    description: Seconds after which it ends, unless it is renewed.
    type: int
    default: 900
  break_lock:
    description: Whether it is taken from whoever has it.
    type: bool
    default: false
  break_holder:
    description: Who has no claim to it any more. The action plugin fills it in.
    type: str
"""

EXAMPLES = r"""
- name: Hold the training
  edgefl.kubeedge.training_lock:
    namespace: edgefl

- name: Give it back
  edgefl.kubeedge.training_lock:
    namespace: edgefl
    state: released
"""

RETURN = r"""
nodes:
  description: The nodes by name, as RV(edgefl.kubeedge.cluster_info#module:nodes).
  returned: with O(state=held)
  type: dict
training:
  description: What is deployed in O(namespace), as RV(edgefl.kubeedge.cluster_info#module:training).
  returned: with O(state=held)
  type: dict
holder:
  description: Who holds it.
  returned: when that is another one
  type: str
  sample: ops@controller (process 4711 of 1f2e3d4c)
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, NAMESPACE, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import deployed
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.lock import Lock
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.resources import RESOURCES


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    kubectl, namespace = for_module(module, options["kubeconfig"]), options["namespace"]
    lock = Lock(kubectl, namespace, options["holder"], options["seconds"])
    broken = "" if options["break_lock"] else options["break_holder"]
    if not module.check_mode:
        if options["state"] == "held":
            lock.hold(broken)
        elif options["state"] == "renewed":
            lock.renew()
        else:
            lock.release()
    resources = {name: options[name] for name in RESOURCES}
    return {"changed": False, **(deployed.info(kubectl, namespace, resources) if options["state"] == "held" else {})}


def main() -> None:
    run_module(
        work,
        argument_spec={
            "state": {"type": "str", "choices": ["held", "renewed", "released"], "default": "held"},
            "holder": {"type": "str", "default": ""},
            "seconds": {"type": "int", "default": 900},
            "break_lock": {"type": "bool", "default": False},
            "break_holder": {"type": "str"},
            **RESOURCES,
            **KUBECONFIG,
            **NAMESPACE,
        },
    )


if __name__ == "__main__":
    main()
