#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: go_programs
short_description: Compile programs from published Go modules, once
version_added: "1.0.0"
description:
  - Compiles programs from the modules that a C(go.mod) and a C(go.sum) name, and keeps them in a folder of O(cache) named after all that goes into
    them, which is the version of Go, the two files, the programs and the flags.
  - Nothing is compiled when that folder is there and each of O(programs) in it has the checksum that it was built with.
  - After a compilation the folders of the same O(name) with other content are removed.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.node
requirements:
  - The C(go) command (see O(go)), C(setpriv) and C(nice) on the host; with O(cgo) a C compiler.
attributes:
  check_mode:
    support: full
    description: Says whether something would be compiled, and why. Older builds are neither removed nor named.
  diff_mode:
    support: none
    description: Programs have no readable difference.
  idempotent:
    support: full
    description: Programs that are there and have their checksums are left alone.
options:
  name:
    description: Name of the set of programs; the folder's name begins with it.
    type: str
    required: true
  source:
    description: Folder with C(go.mod) and C(go.sum).
    type: path
    required: true
  programs:
    description: File name of each program and the package that it is compiled from.
    type: dict
    required: true
  cache:
    description: Folder that keeps the programs, and the caches of the C(go) command.
    type: path
    required: true
  go:
    description: The C(go) command.
    type: path
    default: go
  ldflags:
    description: Flags of the linker, such as version stamps.
    type: str
    default: ""
  tags:
    description: Build tags, separated by commas.
    type: str
    default: ""
  cgo:
    description: Whether C code is part of the programs; needs a C compiler.
    type: bool
    default: false
  progress:
    description: File that gets a line for each package compiled; written anew with each compilation.
    type: path
    required: true
  parent:
    description:
      - Number of the process that the programs are for; when it ends, so does the compilation.
      - For a task in the background (C(async)), which would else go on when the playbook is broken off. 0 watches nothing.
    type: int
    default: 0
  nice:
    description: How much the compilation gives way to other processes, 0 to 19, as in C(nice); what it gives way to ends earlier.
    type: int
    default: 0
notes:
  - Sets of programs from the same C(source) are compiled one after the other, so that what they share is compiled once; others at the same time.
  - Called again while a task in the background compiles the same, it waits for it.
"""

EXAMPLES = r"""
- name: Compile KubeEdge
  edgefl.kubeedge.go_programs:
    name: kubeedge
    source: "/srv/go/kubeedge"
    programs:
      cloudcore: github.com/kubeedge/kubeedge/cloud/cmd/cloudcore
    cache: /var/cache/edgefl
    ldflags: -s -w
    progress: /var/cache/edgefl/kubeedge.log
"""

RETURN = r"""
path:
  description: Folder with the programs; in check mode where they would be.
  returned: success
  type: str
reason:
  description: Why they were compiled, or would be, such as V(not built yet) or V(kubectl is damaged); empty when nothing was to be done.
  returned: success
  type: str
removed:
  description: Names of folders of older builds of the same set that were removed; empty when nothing was compiled.
  returned: success
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._lab.go_programs import Recipe, bring


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    cache = Path(options["cache"])
    recipe = Recipe(
        name=options["name"],
        source=Path(options["source"]),
        programs=options["programs"],
        go=options["go"],
        go_version=module.run_command([options["go"], "env", "GOVERSION"], check_rc=True)[1].strip(),
        ldflags=options["ldflags"],
        tags=options["tags"],
        cgo=options["cgo"],
        environment={
            "GOCACHE": str(cache / "go/build"),
            "GOMODCACHE": str(cache / "go/mod"),
            "GOFLAGS": "-modcacherw -mod=readonly",
            "GOTOOLCHAIN": "local",
        },
        nice=options["nice"],
    )
    return bring(recipe, cache / "programs", Path(options["progress"]), options["parent"], module.check_mode)


def main() -> None:
    run_module(
        work,
        argument_spec={
            "name": {"type": "str", "required": True},
            "source": {"type": "path", "required": True},
            "programs": {"type": "dict", "required": True},
            "cache": {"type": "path", "required": True},
            "go": {"type": "path", "default": "go"},
            "ldflags": {"type": "str", "default": ""},
            "tags": {"type": "str", "default": ""},
            "cgo": {"type": "bool", "default": False},
            "progress": {"type": "path", "required": True},
            "parent": {"type": "int", "default": 0},
            "nice": {"type": "int", "default": 0},
        },
    )


if __name__ == "__main__":
    main()
