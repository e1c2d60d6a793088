#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: model_ready
short_description: Wait until an endpoint predicts with a model
version_added: "1.0.0"
description:
  - Waits until the endpoint is ready with the version, asks it for a prediction by the Open Inference Protocol, and compares the answer with what is
    expected.
  - Fails early when the prediction is another.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.node
  - edgefl.kubeedge.wait
attributes:
  check_mode:
    support: full
    description: Does nothing, as the endpoint may not be deployed in check mode.
  diff_mode:
    support: none
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
options:
  url:
    description: Address of the endpoint as it is reached from the host.
    type: str
    required: true
  name:
    description: Name of the model.
    type: str
    required: true
  version:
    description: Version that is to be served.
    type: str
    required: true
  request:
    description: Body of the request, as C(example.json) of the model has it. Empty asks for no prediction.
    type: dict
    default: {}
  outputs:
    description: Outputs that are expected, as C(example.outputs) of C(model.json) has them.
    type: list
    elements: dict
    default: []
  tolerance:
    description: How far a number may be off, as a share of it, or of 1 where it is smaller. Processors differ in the last digits.
    type: float
    default: 0.001
"""

EXAMPLES = r"""
- name: Wait for the endpoint
  edgefl.kubeedge.model_ready:
    url: http://192.0.2.21:8890
    name: fashion_mnist
    version: 20300101-120000-1f9a0c2b
"""

RETURN = r"""
outputs:
  description: What was predicted; empty when no prediction was asked for.
  returned: success
  type: list
  elements: dict
reason:
  description: What was missing in the end.
  returned: failure
  type: str
elapsed:
  description: Seconds that were waited.
  returned: failure
  type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import WAIT, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import wait
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.endpoint import Endpoint
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.status import fetcher


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    if module.check_mode:
        return {"changed": False, "outputs": []}
    endpoint = Endpoint(
        fetcher(options["url"], timeout=30),
        options["name"],
        options["version"],
        options["request"],
        options["outputs"],
        options["tolerance"],
    )
    outputs = wait(endpoint.predicts, options["wait_timeout"], options["wait_sleep"], f"the endpoint {options['url']}")
    return {"changed": False, "outputs": outputs}


def main() -> None:
    run_module(
        work,
        argument_spec={
            "url": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "request": {"type": "dict", "default": {}},
            "outputs": {"type": "list", "elements": "dict", "default": []},
            "tolerance": {"type": "float", "default": 0.001},
            **WAIT,
        },
    )


if __name__ == "__main__":
    main()
