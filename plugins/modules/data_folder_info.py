#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_folder_info
short_description: Look at a host's folder with data as its pods will
version_added: "1.0.0"
description:
  - Runs on an edge, or on the cloud node, as root. Lists every folder and opens every file in O(path) as O(user), the one of the pods, and counts them.
  - Fails when the folder is not there, belongs to the system, is empty, or has something that a pod could not use; the message says what to change.
  - Nothing is copied, and no content is read.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.node
  - edgefl.kubeedge.only_reads
options:
  path:
    description: The folder, an absolute path.
    type: str
    required: true
  user:
    description: Number of the user and group that read it.
    type: int
    default: 10001
  variable:
    description: The variable that names the folder, for messages.
    type: str
    default: edgefl_data
"""

EXAMPLES = r"""
- name: Look at the images on the edges
  edgefl.kubeedge.data_folder_info:
    path: /srv/images
  become: true
"""

RETURN = r"""
files:
  description: Number of files.
  returned: always
  type: int
  sample: 70000
bytes:
  description: Their size.
  returned: always
  type: int
  sample: 54950048
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.data_folder import check


def work(module: AnsibleModule) -> dict[str, Any]:
    found = check(module.params["path"], module.params["user"], module.params["variable"])
    return {"changed": False, "files": found.files, "bytes": found.bytes}


def main() -> None:
    run_module(
        work,
        argument_spec={
            "path": {"type": "str", "required": True},
            "user": {"type": "int", "default": 10001},
            "variable": {"type": "str", "default": "edgefl_data"},
        },
    )


if __name__ == "__main__":
    main()
