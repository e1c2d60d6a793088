#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: region_ports_info
short_description: Look whether the ports of a region's aggregator are free on its node
version_added: "1.0.0"
description:
  - Runs on the node of a region, as root, and looks who listens at the ports that the region's aggregator will open there.
  - Fails when that is another program; the message names it, and says what to change. An aggregator of this collection is none.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.node
  - edgefl.kubeedge.only_reads
options:
  host:
    description: Name of the host in the inventory, for messages.
    type: str
    required: true
  server_port:
    description: Port of the aggregator for clients.
    type: int
    default: 8888
  status_port:
    description: Port of the aggregator for its status.
    type: int
    default: 8889
"""

EXAMPLES = r"""
- name: Look at the ports on the node of a region
  edgefl.kubeedge.region_ports_info:
    host: "{{ inventory_hostname }}"
  become: true
"""

RETURN = r"""
ports:
  description: The ports that were looked at.
  returned: always
  type: list
  elements: int
  sample: [8888, 8889]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import preflight


def work(module: AnsibleModule) -> dict[str, Any]:
    found = preflight.taken(module.params, module.params["host"])
    if found:
        raise EdgeflError(preflight.message(found))
    return {"changed": False, "ports": [module.params["server_port"], module.params["status_port"]]}


def main() -> None:
    run_module(
        work,
        argument_spec={
            "host": {"type": "str", "required": True},
            "server_port": {"type": "int", "default": 8888},
            "status_port": {"type": "int", "default": 8889},
        },
    )


if __name__ == "__main__":
    main()
