#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_build
short_description: Build images that are named after all that goes into them
version_added: "1.0.0"
description:
  - Builds an image for each of O(targets) from sources on the controller, with the host's Docker, and tries the application in the client's image.
  - The tag is O(version) and a hash of sources, base image and build arguments; nothing is sent or built when images of that content are there.
    The newest in which the application works also has the plain O(version) as a tag.
  - The work goes on in the background. Whoever has other things to do meanwhile begins it with O(wait=none), and waits later by O(tag).
  - With BuildKit where Docker has it; C(DOCKER_BUILDKIT) in the task's environment chooses otherwise.
author:
  - edgefl developers (@edgefl)
requirements:
  - Docker 20.10 or newer, and root.
attributes:
  check_mode:
    support: full
    description: Says what would be built.
  diff_mode:
    support: none
    description: Docker builds an image as a whole.
  idempotent:
    support: full
    description: Images of the same content are not built again, and an application that was tried in one is not tried again.
options:
  source:
    description: Folder on the controller with a Dockerfile, and what that copies. One of O(source) and O(tag) is needed.
    type: path
  tag:
    description: Tag of images whose build was begun before, instead of O(source).
    type: str
    default: ""
  repository:
    description: Beginning of the images' names, to which C(-) and the target are added.
    type: str
    required: true
  version:
    description: The plain tag, and the beginning of the other.
    type: str
    required: true
  base_image:
    description:
      - Base image. The build gets it as the argument C(BASE_IMAGE). Needed with O(source).
      - Where the host's Docker does not have it, nothing is done, and RV(wants_base) says so.
    type: str
    default: ""
  arguments:
    description: More build arguments.
    type: dict
    default: {}
  targets:
    description: Targets of the Dockerfile.
    type: list
    elements: str
    default: [aggregator, client]
  ca_bundle:
    description: File on the controller with certificates that the build must trust. The build finds it as C(ca.crt), which is empty without.
    type: path
  app:
    description: Application that is tried in the image of the target C(client), by C(edgefl.client.check_app); none when empty.
    type: str
    default: ""
  wait:
    description: V(tried) waits for all of it, V(built) until the images are there, V(none) only begins, and waits for a second.
    type: str
    choices: [none, built, tried]
    default: tried
  sources:
    description: Checksum of O(source). The action plugin of this module gives it.
    type: str
    default: ""
  packed:
    description: Archive of O(source), compressed by zlib, in Base64. The action plugin of this module gives it when it is small.
    type: str
    default: ""
  context:
    description: Archive of O(source) on the host. The action plugin of this module brings a large one where it is wanted.
    type: path
  linger:
    description: Seconds that one call of the module stays for the build. The action plugin calls again, and shows what Docker says.
    type: float
    default: 3.0
"""

EXAMPLES = r"""
- name: Begin
  edgefl.kubeedge.image_build:
    source: "{{ playbook_dir }}/fl_src"
    repository: kubeedge/fashion-mnist
    version: v1.0.0
    base_image: python:3.11-slim-bookworm
    app: fashion_mnist
    wait: none
  register: begun

- name: Wait until they are built
  edgefl.kubeedge.image_build:
    tag: "{{ begun.tag }}"
    repository: kubeedge/fashion-mnist
    version: v1.0.0
    app: fashion_mnist
    wait: built
"""

RETURN = r"""
tag:
  description: Tag of the content; empty when the base image has to be brought first.
  returned: always
  type: str
  sample: v1.0.0-0123456789ab
missing:
  description: Targets that had no image of this content when it was looked at.
  returned: always
  type: list
  elements: str
running:
  description: Whether the work goes on in the background.
  returned: always
  type: bool
progress:
  description: What is done, C(stage), and what was said last, C(line).
  returned: while the work goes on in the background
  type: dict
wants_base:
  description: Whether O(base_image) has to be brought first.
  returned: always
  type: bool
wants_context:
  description: Whether O(context) or O(packed) is needed; only the action plugin sees it.
  returned: when images are missing and it was not given
  type: bool
"""

import base64
import os
import platform
import zlib
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.job import Job
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.build import Build, Builder, Recipe

JOBS = "/run/edgefl-build"
TRIED = "/var/lib/edgefl/tried"
# A build that nobody waits for any more goes on, so that the next run finds the images; for hours it does not
FORGOTTEN = 7200.0
# Seconds that who only begins waits: after a change of the code alone all is done by then
BRIEF = 1.0


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path"},
            "tag": {"type": "str", "default": ""},
            "repository": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "base_image": {"type": "str", "default": ""},
            "arguments": {"type": "dict", "default": {}},
            "targets": {"type": "list", "elements": "str", "default": ["aggregator", "client"]},
            "ca_bundle": {"type": "path"},
            "app": {"type": "str", "default": ""},
            "wait": {"type": "str", "choices": ["none", "built", "tried"], "default": "tried"},
            "sources": {"type": "str", "default": ""},
            # Not secret; but nobody wants it in the system's log
            "packed": {"type": "str", "default": "", "no_log": True},
            "context": {"type": "path"},
            "linger": {"type": "float", "default": 3.0},
        },
        supports_check_mode=True,
    )
    options = module.params

    recipe = Recipe(
        repository=options["repository"],
        version=options["version"],
        base_image=options["base_image"],
        sources=options["sources"],
        arguments={name: str(value) for name, value in options["arguments"].items()},
        targets=tuple(options["targets"]),
        app=options["app"],
    )
    try:
        module.exit_json(**work(Builder(recipe, TRIED), options, module.check_mode))
    except EdgeflError as error:
        module.fail_json(msg=error.message, **error.result)


def work(builder: Builder, options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """One call's part of it."""
    if not options["tag"] and not (options["sources"] and options["base_image"]):
        raise EdgeflError("Give source and base_image of what is to be built, or the tag of what was begun.")
    tag: str = options["tag"] or builder.tag(lenient=check_mode)
    result: dict[str, Any] = {"tag": tag, "missing": [], "changed": False, "running": False, "wants_base": not tag}
    if not tag:
        return result
    recipe = builder.recipe
    name = f"{recipe.repository.replace('/', '_')}-{tag}-{recipe.app}"
    job = Job(os.path.join(JOBS, name), "builds the images", FORGOTTEN)
    if options["sources"] and not check_mode and job.there() and job.over():
        # Of an earlier run, which did not wait for it
        job.forget()
    if check_mode or not job.there():
        look = builder.look(tag)
        result |= {"missing": look.missing, "changed": bool(look.missing or look.untagged)}
        if check_mode:
            return result
        if look.missing and not options["sources"]:
            raise EdgeflError(
                f"{recipe.name(look.missing[0], tag)} is neither built nor being built on {platform.node()}: run the role images first."
            )
        if look.missing and not (options["context"] or options["packed"]):
            return result | {"wants_context": True}
        if not look.missing and not look.untried:
            builder.give_plain_tag(tag, look.untagged)
            return result
        job.begin(Build(builder, look, context(options), platform.node()))
    found = job.follow(
        BRIEF if options["wait"] == "none" else options["linger"],
        lambda progress: options["wait"] != "tried" and progress["stage"] == "tries",
    )
    if not found["running"]:
        # Not by the job, which may be that of a run that was broken off, and end after a newer one. And whoever ships by the
        # plain tag gets no image whose app does not work.
        builder.give_plain_tag(tag, builder.look(tag).untagged)
    elif options["wait"] == "built":
        found["running"] = found["progress"]["stage"] == "builds"
    return result | found | {"changed": result["changed"]}


def context(options: dict[str, Any]) -> bytes:
    """The archive of the sources; empty where none was given."""
    if options["context"]:
        return Path(options["context"]).read_bytes()
    return zlib.decompress(base64.b64decode(options["packed"])) if options["packed"] else b""


if __name__ == "__main__":
    main()
