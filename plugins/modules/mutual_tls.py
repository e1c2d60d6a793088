#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mutual_tls
short_description: Certificates for the aggregator and each edge node, and the Secrets that bring them to the pods
version_added: "1.0.0"
description:
  - Keeps an authority in a folder of the host, and one certificate for each of O(certificates). One that is missing, ends soon, has other names
    or was signed by another authority is made anew; the others stay as they are.
  - Brings each into the cluster as a Secret of the type C(kubernetes.io/tls) with C(ca.crt). Secrets of certificates that are not wanted
    any more are removed.
  - Keys are made on the host and leave it only in their Secret. No key is in the module's parameters or results.
author:
  - edgefl developers (@edgefl)
requirements:
  - The Python library C(cryptography), 42 or newer, on the host.
  - The C(kubectl) command on the host.
attributes:
  check_mode:
    support: full
    description: Says what would be made.
  diff_mode:
    support: none
    description: The reasons in RV(certificates) say what changes.
  idempotent:
    support: full
    description: What is right is left as it is.
options:
  folder:
    description: Folder of the authority and the certificates; made, for root only, when it is not there.
    type: path
    default: /etc/edgefl/tls
  certificates:
    description: The certificates that are to be there.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of its folder, and of its Secret.
        type: str
        required: true
      names:
        description: Names and addresses of its holder, like V(DNS:edge1) or V(IP:192.0.2.7).
        type: list
        elements: str
        required: true
      server:
        description: Whether its holder is connected to. The certificate of one that is not can only be used to connect.
        type: bool
        default: false
  days:
    description: Days that a certificate is valid.
    type: int
    default: 365
  renew_days:
    description: A certificate that has this many days left, or fewer, is made anew.
    type: int
    default: 30
  kubeconfig:
    description: Kubeconfig on the host, with the right to read and write Secrets.
    type: path
    default: /etc/kubernetes/admin.conf
  namespace:
    description: Namespace of the Secrets.
    type: str
    default: edgefl
  labels:
    description: Labels of the Secrets.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Certificates for an aggregator and one edge
  edgefl.kubeedge.mutual_tls:
    certificates:
      - name: fashion-mnist-tls
        names: [DNS:cloud, IP:192.0.2.2]
        server: true
      - name: fashion-mnist-client-edge1-tls
        names: [DNS:edge1]
"""

RETURN = r"""
certificates:
  description: What was found and done, in the order of O(certificates).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name as given.
      type: str
    reason:
      description: Why it was made, like V(missing) or V(it ends in 12 days); empty when it was right.
      type: str
    fingerprint:
      description: Changes with the certificate and with its authority; empty for one that check mode would make.
      type: str
secrets:
  description: What was done to Secrets, a line each.
  returned: success
  type: list
  elements: str
"""

import datetime
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.certificates import (
    HAS_CRYPTOGRAPHY,
    Authority,
    Wanted,
    hand_over,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "default": "/etc/edgefl/tls"},
            "certificates": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "names": {"type": "list", "elements": "str", "required": True},
                    "server": {"type": "bool", "default": False},
                },
            },
            "days": {"type": "int", "default": 365},
            "renew_days": {"type": "int", "default": 30},
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
            "namespace": {"type": "str", "default": "edgefl"},
            "labels": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    options = module.params
    if not HAS_CRYPTOGRAPHY:
        module.fail_json(msg=missing_required_lib("cryptography"), exception=traceback.format_exc())
    wanted = [Wanted(one["name"], tuple(one["names"]), one["server"]) for one in options["certificates"]]
    # Python before 3.11, as some nodes have it, knows no datetime.UTC
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)  # noqa: UP017
    try:
        authority = Authority(options["folder"], options["days"], options["renew_days"], now)
        held = authority.ensure(wanted, module.check_mode)
        secrets = hand_over(
            for_module(module, options["kubeconfig"]),
            options["namespace"],
            authority,
            held,
            options["labels"],
            module.check_mode,
        )
    except EdgeflError as error:
        module.fail_json(msg=error.message, **error.result)
    module.exit_json(
        changed=bool(secrets) or any(one.reason for one in held),
        certificates=[{"name": one.name, "reason": one.reason, "fingerprint": one.fingerprint} for one in held],
        secrets=secrets,
    )


if __name__ == "__main__":
    main()
