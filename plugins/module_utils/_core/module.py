# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what modules share: options that several of them have, and one way to fail. Their documentation is in plugins/doc_fragments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError

# Doc fragment edgefl.kubeedge.kubernetes; who has it is in the action group of meta/runtime.yml
KUBECONFIG = {"kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"}}
# Doc fragment edgefl.kubeedge.kubernetes.namespace
NAMESPACE = {"namespace": {"type": "str", "default": "edgefl"}}
# Doc fragment edgefl.kubeedge.wait
WAIT = {"wait_timeout": {"type": "int", "default": 180}, "wait_sleep": {"type": "float", "default": 1.0}}


def run_module(work: Callable[[AnsibleModule], dict[str, Any]], **spec: Any) -> None:
    """A module's main(): makes an AnsibleModule of `spec`, which supports check mode, and exits with the results that `work` returns.

    An EdgeflError of `work` fails the module with its message and further results.
    """
    module = AnsibleModule(supports_check_mode=True, **spec)
    try:
        result = work(module)
    except EdgeflError as error:
        module.fail_json(msg=error.message, **error.result)
    else:
        module.exit_json(**result)
