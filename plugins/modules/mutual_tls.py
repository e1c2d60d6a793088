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
    or another purpose, or was signed by another authority is made anew; the others stay as they are.
  - The authority lives for ten years and O(days), and is made anew when it would end before what it signs, and with it all certificates.
  - Brings each into the cluster as a Secret of the type C(kubernetes.io/tls) with C(ca.crt). Secrets that this module made in O(namespace), known by
    the label C(edgefl.kubeedge/workload=tls), of certificates that are not wanted any more are removed.
  - Keys are made on the host and leave it only in their Secret. No key is in the module's parameters or results.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.kubernetes
  - edgefl.kubeedge.kubernetes.namespace
  - edgefl.kubeedge.node
requirements:
  - The Python library C(cryptography), 42 or newer, on the host.
attributes:
  check_mode:
    support: full
    description: Says which certificates and Secrets would be made or removed; writes nothing, on the host or in the cluster.
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
      client:
        description: Whether a holder that is connected to connects to others with it, too, as the aggregator of a region does.
        type: bool
        default: false
  days:
    description: Days that a certificate is valid, more than O(renew_days).
    type: int
    default: 365
  renew_days:
    description: A certificate that has this many days left, or fewer, is made anew.
    type: int
    default: 30
  labels:
    description: Labels that the Secrets get besides C(edgefl.kubeedge/workload=tls).
    type: dict
    default: {}
notes:
  - Why this module and not those of community.crypto - an authority, a certificate of each node and a Secret of each would be five tasks for each
    node (private key, request, certificate, its verification, Secret), with each key once more in a task's parameters on its way into its Secret,
    and renewal, removal and an honest check mode of all of it put together by hand. Here it is one call for any number of nodes, and no key leaves
    the cloud node but in its Secret.
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
      description: Why it was made, or would be, like V(missing) or V(it ends in 12 days); empty when it was right.
      type: str
    fingerprint:
      description: Changes with the certificate and with its authority, 16 hexadecimal digits; empty for one that would be made in check mode.
      type: str
secrets:
  description: 'What was done to Secrets, or would be, a line each, such as C(Secret edge1-tls: renewed).'
  returned: success
  type: list
  elements: str
"""

import datetime
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import KUBECONFIG, NAMESPACE, run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.certificates import (
    IMPORT_ERROR,
    Authority,
    Wanted,
    apply_secrets,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import for_module

CERTIFICATE = {
    "name": {"type": "str", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "server": {"type": "bool", "default": False},
    "client": {"type": "bool", "default": False},
}


def work(module: AnsibleModule) -> dict[str, Any]:
    options, check_mode = module.params, module.check_mode
    if IMPORT_ERROR:
        raise EdgeflError(missing_required_lib("cryptography >= 42"), exception=IMPORT_ERROR)
    wanted = [Wanted(one["name"], tuple(one["names"]), one["server"], one["client"]) for one in options["certificates"]]
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    authority = Authority(options["folder"], options["days"], options["renew_days"], now)
    held = authority.ensure(wanted, check_mode)
    kubectl = for_module(module, options["kubeconfig"])
    secrets = apply_secrets(kubectl, options["namespace"], authority, held, options["labels"], check_mode)
    return {
        "changed": bool(secrets) or any(one.reason for one in held),
        "certificates": [asdict(one) for one in held],
        "secrets": secrets,
    }


def main() -> None:
    run_module(
        work,
        argument_spec={
            "folder": {"type": "path", "default": "/etc/edgefl/tls"},
            "certificates": {"type": "list", "elements": "dict", "required": True, "options": CERTIFICATE},
            "days": {"type": "int", "default": 365},
            "renew_days": {"type": "int", "default": 30},
            "labels": {"type": "dict", "default": {}},
            **KUBECONFIG,
            **NAMESPACE,
        },
    )


if __name__ == "__main__":
    main()
