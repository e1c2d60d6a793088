#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aggregator_ready
short_description: Wait until clients can connect to the aggregator
version_added: "1.0.0"
description:
  - Waits until the pod of the aggregator is ready, its C(/readyz) answers 200, its C(/status) names the run that the Deployment was
    made for, and the Service leads to the pod.
  - Fails early, with the pod, the reason and the last lines of its log, when that can never be, such as for an image that is not on the node.
author:
  - edgefl developers (@edgefl)
requirements:
  - The C(kubectl) command on the host.
attributes:
  check_mode:
    support: full
    description: Looks once and does not wait, as what it would wait for may not be deployed in check mode. Not being ready is no failure then.
  diff_mode:
    support: none
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
options:
  kubeconfig:
    description: Kubeconfig on the host, with the right to read Deployments, pods and their logs, Services and EndpointSlices.
    type: path
    default: /etc/kubernetes/admin.conf
  namespace:
    description: Namespace of the training.
    type: str
    default: edgefl
  deployment:
    description: Name of the aggregator's Deployment.
    type: str
    default: fashion-mnist
  service:
    description: Name of the Service that the clients connect to.
    type: str
    default: federated-learning-svc
  status_url:
    description: Address of the aggregator's status endpoint, as it is reached from the host. The pod uses the network of its node.
    type: str
    default: http://127.0.0.1:8889
  wait_timeout:
    description: Seconds until it fails.
    type: int
    default: 120
  wait_sleep:
    description: Seconds between two looks.
    type: float
    default: 1.0
"""

EXAMPLES = r"""
- name: Wait for the aggregator
  edgefl.kubeedge.aggregator_ready:

- name: Wait for an aggregator with a status port of its own
  edgefl.kubeedge.aggregator_ready:
    namespace: second
    status_url: http://127.0.0.1:9889
    wait_timeout: 300
"""

RETURN = r"""
ready:
  description: Whether clients can connect; always true outside check mode.
  returned: success
  type: bool
pod:
  description: Name of the aggregator's pod.
  returned: when ready
  type: str
node:
  description: Node that it runs on.
  returned: when ready
  type: str
address:
  description: Address that the Service leads to.
  returned: when ready
  type: str
status:
  description: What the aggregator says of itself, its C(/status).
  returned: when ready
  type: dict
reason:
  description: What was missing in the end.
  returned: when not ready, or on failure
  type: str
elapsed:
  description: Seconds that were waited.
  returned: failure after waiting
  type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import pending, wait
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.status import fetcher
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.pods import Lasting, aggregator


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
            "namespace": {"type": "str", "default": "edgefl"},
            "deployment": {"type": "str", "default": "fashion-mnist"},
            "service": {"type": "str", "default": "federated-learning-svc"},
            "status_url": {"type": "str", "default": "http://127.0.0.1:8889"},
            "wait_timeout": {"type": "int", "default": 120},
            "wait_sleep": {"type": "float", "default": 1.0},
        },
        supports_check_mode=True,
    )
    options = module.params
    kubectl = for_module(module, options["kubeconfig"])
    fetch = fetcher(options["status_url"])
    lasting = Lasting()

    def look() -> Any:
        place = options["namespace"], options["deployment"], options["service"], options["status_url"]
        return aggregator(kubectl, fetch, *place, lasting)

    try:
        if module.check_mode:
            try:
                outcome = look()
            except Transient as error:
                outcome = pending(error.message)
            if outcome.state != "done":
                module.exit_json(changed=False, ready=False, reason=outcome.reason)
            module.exit_json(changed=False, ready=True, **outcome.value)
        found = wait(look, options["wait_timeout"], options["wait_sleep"], "the aggregator")
    except EdgeflError as error:
        module.fail_json(msg=error.message, **error.result)
    module.exit_json(changed=False, ready=True, **found)


if __name__ == "__main__":
    main()
