# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that modules share which talk to Kubernetes; the options are in module_utils/_core/module.py and _kubernetes/resources.py."""

from __future__ import annotations


class ModuleDocFragment:
    """For C(extends_documentation_fragment), C(edgefl.kubeedge.kubernetes), with C(.namespace) and C(.resources)."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Kubeconfig on the host, with the right to read, and where the module writes to write, the objects that the module is about.
    type: path
    default: /etc/kubernetes/admin.conf
attributes:
  action_group:
    description: Use C(group/edgefl.kubeedge.kubeedge) in C(module_defaults) to set O(kubeconfig) once for all modules of the group.
    support: full
    membership:
      - edgefl.kubeedge.kubeedge
requirements:
  - The C(kubectl) command on the host.
"""

    NAMESPACE = r"""
options:
  namespace:
    description: Namespace of the training.
    type: str
    default: edgefl
"""

    RESOURCES = r"""
options:
  aggregator_resources:
    description: Single values that replace the scaled ones of an aggregator.
    type: dict
    default: {}
    suboptions: &resources
      cpu_request:
        description: CPUs that are reserved, such as V(500m).
        type: str
      memory_request:
        description: Memory that is reserved, such as V(512Mi).
        type: str
      cpu_limit:
        description: CPUs at most, such as V(2).
        type: str
      memory_limit:
        description: Memory at most, such as V(2Gi).
        type: str
      disk_limit:
        description: Most in C(/tmp) and in the log, such as V(1Gi).
        type: str
  client_resources:
    description: Single values that replace the scaled ones of a client.
    type: dict
    default: {}
    suboptions: *resources
"""
