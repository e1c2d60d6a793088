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
  - With O(regions), until the pods of the aggregators of these are ready, too.
  - Fails early, with the pod, the reason and the last lines of its log, when that can never be, such as for an image that is not on the node.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.kubernetes.namespace
  - edgefl.kubeedge.node
  - edgefl.kubeedge.wait
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
  deployment:
    description: Name of the aggregator's Deployment.
    type: str
    required: true
  service:
    description: Name of the Service that the clients connect to.
    type: str
    default: federated-learning-svc
  regions:
    description: Names of regions; the pods of their aggregators have to be ready, too.
    type: list
    elements: str
    default: []
  status_url:
    description: Address of the aggregator's status endpoint, as it is reached from the host. The pod uses the network of its node.
    type: str
    default: http://127.0.0.1:8889
"""

EXAMPLES = r"""
- name: Wait for the aggregator
  edgefl.kubeedge.aggregator_ready:
    deployment: fashion-mnist

- name: Wait for an aggregator with a status port of its own
  edgefl.kubeedge.aggregator_ready:
    deployment: footwear
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
  returned: when not ready in check mode, or failure after waiting
  type: str
elapsed:
  description: Seconds that were waited.
  returned: failure after waiting
  type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import (
    KUBECONFIG,
    NAMESPACE,
    WAIT,
    run_module,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import pending, wait
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.aggregator import Aggregator
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.status import fetcher
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    aggregator = Aggregator(
        for_module(module, options["kubeconfig"]),
        fetcher(options["status_url"]),
        options["namespace"],
        options["deployment"],
        options["service"],
        options["status_url"],
        regions=tuple(options["regions"]),
    )
    if not module.check_mode:
        found = wait(aggregator.ready, options["wait_timeout"], options["wait_sleep"], "the aggregator")
        return {"changed": False, "ready": True, **found}
    try:
        outcome = aggregator.ready()
    except Transient as error:
        outcome = pending(error.message)
    if outcome.state == "done":
        return {"changed": False, "ready": True, **outcome.value}
    return {"changed": False, "ready": False, "reason": outcome.reason}


def main() -> None:
    run_module(
        work,
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "service": {"type": "str", "default": "federated-learning-svc"},
            "regions": {"type": "list", "elements": "str", "default": []},
            "status_url": {"type": "str", "default": "http://127.0.0.1:8889"},
            **KUBECONFIG,
            **NAMESPACE,
            **WAIT,
        },
    )


if __name__ == "__main__":
    main()
