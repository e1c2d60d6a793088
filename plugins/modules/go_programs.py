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
  - Compiles the programs of a folder that holds only a C(go.mod) and a C(go.sum), and keeps them in a folder named after all that goes into them.
  - Nothing is compiled when that folder is there and each of its files has the checksum that it was built with.
author:
  - edgefl developers (@edgefl)
attributes:
  check_mode:
    support: full
    description: Says whether something would be compiled, and why.
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
    description: File that gets a line for each package compiled.
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
  description: Folder with the programs.
  returned: always
  type: str
reason:
  description: Why they were compiled; empty when nothing was to be done.
  returned: always
  type: str
removed:
  description: Names of folders of older builds of the same set that were removed.
  returned: always
  type: list
  elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._lab.go_programs import (
    Recipe,
    build,
    remove_older,
    wrong,
)


def main() -> None:
    module = AnsibleModule(
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
        supports_check_mode=True,
    )
    options = module.params
    cache = Path(options["cache"])
    environment = {
        "GOCACHE": str(cache / "go/build"),
        "GOMODCACHE": str(cache / "go/mod"),
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
    }
    try:
        recipe = Recipe(
            name=options["name"],
            source=Path(options["source"]),
            programs=options["programs"],
            go=options["go"],
            go_version=module.run_command([options["go"], "env", "GOVERSION"], check_rc=True)[1].strip(),
            ldflags=options["ldflags"],
            tags=options["tags"],
            cgo=options["cgo"],
            environment=environment,
            nice=options["nice"],
        )
        folder = cache / "programs" / f"{recipe.name}-{recipe.key()}"
        reason = wrong(folder, recipe.programs)
        removed: list[str] = []
        if reason and not module.check_mode:
            build(recipe, folder, Path(options["progress"]), options["parent"])
            removed = remove_older(folder)
    except EdgeflError as error:
        module.fail_json(msg=error.message, **error.result)
    module.exit_json(changed=bool(reason), path=str(folder), reason=reason, removed=removed)


if __name__ == "__main__":
    main()
