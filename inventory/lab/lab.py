#!/usr/bin/env python3
"""Inventory of the lab: reads what the role lab_nodes wrote outside the checkout; empty groups when no lab is there."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

HOME = Path(os.environ.get("EDGEFL_LAB_HOME") or Path.home() / ".local/share/edgefl/lab")

# A host may not be called as its group is (Ansible warns at every run); the node's own name stays `cloud`
CLOUD = "cloud0"

# First and end index of each edge's samples: the how-to's 10 000 and 20 000, then 3 000 each
SLICES = [(0, 10_000), (10_000, 30_000)] + [(first, first + 3_000) for first in range(30_000, 54_000, 3_000)]


def inventory(home: Path) -> dict[str, object]:
    """Groups `cloud` and `edges` in the form that Ansible reads from a script (--list), host variables in _meta."""
    try:
        lab = json.loads((home / "inventory.json").read_text())
    except FileNotFoundError:
        lab = {"nodes": {}}
    # Ansible splits it at spaces, then ssh does: one kind of quotes for each
    known_hosts = shlex.quote(f'UserKnownHostsFile="{home / "known_hosts"}"')
    hosts = {}
    for index, (node, address) in enumerate(lab["nodes"].items()):
        name = CLOUD if node == "cloud" else node
        hosts[name] = {
            "edgefl_node_name": node,
            "ansible_host": address,
            "ansible_user": lab["user"],
            "ansible_ssh_private_key_file": str(home / "id_ed25519"),
            "ansible_ssh_common_args": f"-o {known_hosts} -o GlobalKnownHostsFile=/dev/null",
            "ansible_python_interpreter": "/usr/bin/python3",
            # Each node's own share of the pod range, by its place in the lab
            "containerd_pod_subnet": ".".join(lab["pod_subnet"].split(".")[:2]) + f".{index}.0/24",
        }
        if name != CLOUD:
            hosts[name]["edgefl_partition"], hosts[name]["edgefl_clients"] = SLICES[index - 1]
    shared = {f"lab_{key}": lab[key] for key in ("service_subnet", "ca_bundle", "cache") if key in lab}
    return {
        "_meta": {"hostvars": hosts},
        "all": {"children": ["cloud", "edges"], "vars": shared},
        "cloud": {"hosts": [name for name in hosts if name == CLOUD]},
        "edges": {"hosts": [name for name in hosts if name != CLOUD]},
    }


if __name__ == "__main__":
    print(json.dumps(inventory(HOME), indent=2))
