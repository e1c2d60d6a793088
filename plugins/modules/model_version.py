#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: model_version
short_description: Put a version of a model on a host
version_added: "1.0.0"
description:
  - Sends the files of a model from the controller to C(versions/VERSION) below O(path), those that the host has in no version; compares each with its
    SHA-256, and lets the link C(current) lead to them in one step. Whoever opens C(current) sees one version, never half of one.
  - Without O(src) it goes to a version that is there.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.node
attributes:
  check_mode:
    support: full
    description: Says what would be sent and switched.
  diff_mode:
    support: none
    description: RV(sent) and RV(previous) name what differed.
  idempotent:
    support: full
    description: A version that is there and whole is not sent again.
options:
  src:
    description: Folder on the controller with the model, as M(edgefl.kubeedge.model_fetch) leaves it.
    type: path
  path:
    description: Folder on the host for the versions. It is ours alone; one that holds something else is refused.
    type: path
    default: /var/lib/edgefl/models
  version:
    description: Name of a version that is there. Needed without O(src).
    type: str
  activate:
    description: Whether C(current) leads to the version afterwards.
    type: bool
    default: true
  served:
    description: Whether an endpoint predicts with the version. It stays, whatever becomes current, until an endpoint predicts with another one.
    type: bool
    default: false
  keep:
    description:
      - How many versions are kept on the host when one becomes current; those that were current longest ago go. One that is O(served) stays beside them.
    type: int
    default: 2
  files:
    description: Used by the action plugin. Path and SHA-256 of each file.
    type: dict
  given:
    description: Used by the action plugin. Path of each file that was sent, and where it is on the host.
    type: dict
"""

EXAMPLES = r"""
- name: Put the model of the newest results on the edge
  edgefl.kubeedge.model_version:
    src: results/latest/model
  become: true

- name: Go back
  edgefl.kubeedge.model_version:
    version: 20300101-120000-1f9a0c2b
  become: true
"""

RETURN = r"""
version:
  description: Name of the version; of a model from O(src) that of its run, with 8 digits of a checksum over all of its files.
  returned: success
  type: str
current:
  description: The version that C(current) leads to.
  returned: success
  type: str
previous:
  description: The version that it led to before; empty when there was none.
  returned: success
  type: str
sent:
  description: Files that were sent, or would be in check mode.
  returned: success
  type: list
  elements: str
bytes:
  description: Their size.
  returned: success
  type: int
removed:
  description: Versions that were removed, or would be in check mode.
  returned: success
  type: list
  elements: str
about:
  description: What C(model.json) of O(src) says; V({}) without.
  returned: success
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.versions import SERVED, Store


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    if not options["version"]:
        raise EdgeflError("Give src, the folder of a model, or the version that is to be current.")
    store, version, files = Store(Path(options["path"])), options["version"], options["files"] or {}
    previous = store.current()
    lacking = store.lacking(version, files)
    held = store.held() if lacking else {}
    missing = [path for path in lacking if files[path] not in held]
    switches = options["activate"] and previous != version
    before = store.current(SERVED)
    served = version if options["served"] else before
    found: dict[str, Any] = {
        "changed": bool(lacking) or switches or served != before,
        "version": version,
        "previous": previous,
        "current": version if options["activate"] else previous,
        "missing": missing,
        "removed": store.beyond(options["keep"], version, served) if switches else [],
    }
    # What is missing comes first; the action plugin calls again then
    if module.check_mode or (missing and not options["given"]):
        if not files and version not in store.names():
            store.switch(version)
        return found
    if lacking:
        try:
            store.stage(version, files, options["given"] or {})
        except OSError as error:
            raise EdgeflError(
                f"The model can't be written to {store.root} ({error.strerror}): make room or give rights there."
            ) from error
    if served != before:
        store.switch(served, SERVED)
    if switches:
        store.switch(version)
        store.remove(found["removed"])
    return found


def main() -> None:
    run_module(
        work,
        argument_spec={
            "src": {"type": "path"},
            "path": {"type": "path", "default": "/var/lib/edgefl/models"},
            "version": {"type": "str"},
            "activate": {"type": "bool", "default": True},
            "served": {"type": "bool", "default": False},
            "keep": {"type": "int", "default": 2},
            "files": {"type": "dict"},
            "given": {"type": "dict"},
        },
    )


if __name__ == "__main__":
    main()
