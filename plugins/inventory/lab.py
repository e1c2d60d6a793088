# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: lab
short_description: The machines of the lab
version_added: "1.0.0"
description:
  - Reads what the role C(lab_nodes) wrote in the lab's folder. The groups C(cloud) and C(edges) are empty while there is no lab.
  - Brings the group variables with it that only a lab needs, so that an inventory of one line is enough.
author:
  - edgefl developers (@edgefl)
options:
  plugin:
    description: Name of this plugin.
    required: true
    choices: [edgefl.kubeedge.lab]
  home:
    description: Folder of the lab.
    default: ~/.local/share/edgefl/lab
    env:
      - name: EDGEFL_LAB_HOME
"""

EXAMPLES = r"""
# inventory/lab/lab.yml
plugin: edgefl.kubeedge.lab
"""

import json
import typing as t
from pathlib import Path

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin

# What only containers as nodes need, and where the programs are that the lab compiled
VARIABLES = Path(__file__).parents[2] / "roles/lab_nodes/files/variables"

# A host may not be called as its group is (Ansible warns at every run); the node's own name stays `cloud`
CLOUD = "cloud0"

# First and end index of each edge's samples: the how-to's 10 000 and 20 000, then 3 000 each
SLICES = [(0, 10_000), (10_000, 30_000)] + [(first, first + 3_000) for first in range(30_000, 54_000, 3_000)]


def hosts(lab: dict[str, t.Any], home: Path) -> dict[str, dict[str, t.Any]]:
    """Variables of each host, by its name in the inventory; `lab` is the content of inventory.json."""
    network = ".".join(lab["pod_subnet"].split(".")[:2])
    found = {}
    # By address: the file has the names sorted, edge10 before edge2
    nodes = sorted(lab["nodes"].items(), key=lambda node: int(node[1].rpartition(".")[2]))
    for index, (node, address) in enumerate(nodes):
        found[CLOUD if node == "cloud" else node] = {
            "edgefl_node_name": node,
            "ansible_host": address,
            "ansible_user": lab["user"],
            "ansible_ssh_private_key_file": str(home / "id_ed25519"),
            "ansible_ssh_common_args": f"-o 'UserKnownHostsFile=\"{home / 'known_hosts'}\"' -o GlobalKnownHostsFile=/dev/null",
            "ansible_python_interpreter": "/usr/bin/python3",
            # Each node's own share of the pod range, by its place in the lab
            "containerd_pod_subnet": f"{network}.{index}.0/24",
        }
        if node != "cloud":
            first, end = SLICES[index - 1]
            found[node] |= {"edgefl_slice_start": first, "edgefl_slice_stop": end}
    return found


class InventoryModule(BaseInventoryPlugin):
    NAME = "edgefl.kubeedge.lab"

    def verify_file(self, path: str) -> bool:
        return super().verify_file(path) and path.endswith((".yml", ".yaml"))

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        home = Path(self.get_option("home")).expanduser()
        for group in ("cloud", "edges"):
            inventory.add_group(group)
        try:
            lab = json.loads((home / "inventory.json").read_text())
        except FileNotFoundError:
            return
        except ValueError as error:
            raise AnsibleParserError(
                f"{home / 'inventory.json'} is damaged ({error}): run edgefl.kubeedge.lab (make lab in a checkout) again"
            ) from error
        for name, variables in hosts(lab, home).items():
            inventory.add_host(name, group="cloud" if name == CLOUD else "edges")
            for key, value in variables.items():
                inventory.set_variable(name, key, value)
        for key in ("service_subnet", "ca_bundle", "cache"):
            inventory.set_variable("all", f"lab_{key}", lab[key])
        for group in ("all", "cloud"):
            variables = loader.load_from_file(str(VARIABLES / f"{group}.yml"), trusted_as_template=True)
            for key, value in variables.items():
                inventory.set_variable(group, key, value)
