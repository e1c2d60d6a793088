#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_certificates_info
short_description: Tell which kubelets prove who they are
version_added: "1.0.0"
description:
  - Connects to the kubelet of every node as metrics-server does, for an edge through cloudcore's tunnel, and checks its certificate
    with the cluster's CA.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.node
  - edgefl.kubeedge.only_reads
  - edgefl.kubeedge.wait
attributes:
  check_mode:
    support: full
    description: Looks once and does not wait; an API server that does not answer is no failure then, and nothing is known of any node.
"""

EXAMPLES = r"""
- name: Look at the certificates of the kubelets
  edgefl.kubeedge.kubelet_certificates_info:
  register: kubelets

- name: Check that every kubelet has a certificate of the cluster
  ansible.builtin.assert:
    that: kubelets.refused | length == 0
"""

RETURN = r"""
refused:
  description: Nodes whose certificate is not of the cluster's CA, or not for their address, by name, with the reason.
  returned: success
  type: dict
  sample:
    edge1: "172.30.0.3:10351: IP address mismatch, certificate is not valid for '172.30.0.3'."
silent:
  description: Nodes that did not answer, by name, with the reason; of them nothing is known.
  returned: success
  type: dict
  sample: {}
elapsed:
  description: Seconds that were waited.
  returned: failure after waiting
  type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, WAIT, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import Outcome, done, wait
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubelets import refused


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    kubectl = for_module(module, options["kubeconfig"])

    def look() -> Outcome:
        return done(refused(kubectl))

    if module.check_mode:
        try:
            bad, silent = refused(kubectl)
        except Transient:
            bad, silent = {}, {}
    else:
        bad, silent = wait(look, options["wait_timeout"], options["wait_sleep"], "the cluster's CA and nodes")
    return {"changed": False, "refused": bad, "silent": silent}


def main() -> None:
    run_module(work, argument_spec={**KUBECONFIG, **WAIT})


if __name__ == "__main__":
    main()
