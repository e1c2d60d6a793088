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
  - The tag is O(version) and two hashes, of base image, build arguments and the sources without the app O(app_name), and of all of it. Nothing is sent or
    built when images of that content are there.
    The newest in which the application works also has the plain O(version) as a tag.
  - The work goes on in the background. Whoever has other things to do meanwhile begins it with O(wait=none), and waits later by O(tag).
  - With BuildKit where Docker has it; C(DOCKER_BUILDKIT) in the task's environment chooses otherwise.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.node
requirements:
  - Docker 20.10 or newer on the host, and root.
attributes:
  check_mode:
    support: full
    description: >-
      Says what would be built, and begins nothing. Where the base image is not there yet, RV(tag) is not the one that the build will give.
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
  architectures:
    description:
      - Architectures, besides the host's own, that the target C(client) is built for, too. The image has the architecture at the end of its name.
      - Nothing of them is run while that is built. The application is tried in it where the host runs their programs by emulation (binfmt_misc).
    type: list
    elements: str
    choices: [amd64, arm64]
    default: []
  own_arguments:
    description: Build arguments of each of O(architectures). The action plugin of this module gives them.
    type: dict
    default: {}
  ca_bundle:
    description: File on the controller with certificates that the build must trust. The build finds it as C(ca.crt), which is empty without.
    type: path
  app:
    description:
      - Application that is tried; none when empty. Its name, or its path in the images. Both components are tried, each in its own image, by
        C(edgefl.common.check_app).
    type: str
    default: ""
  stages:
    description: What the stages of the Dockerfile are called that make the O(targets), before the target's name. The action plugin of this module gives it.
    type: str
    default: ""
  app_name:
    description:
      - Name of the app that the images are for, one of the sources or O(flower_app).
      - Only the action plugin of this module sees it.
    type: str
    default: ""
  flower_app:
    description:
      - A Flower app that goes into the images, as their last layer, with its dependencies in one of its own. The Dockerfile's stages for it are used.
      - Only the action plugin of this module sees it.
    type: dict
    suboptions:
      name:
        description: Name of the app, that of its folder in the images.
        type: str
        required: true
      path:
        description: Its folder or .fab on the controller.
        type: path
        required: true
      locks:
        description: The dependencies, as RV(edgefl.kubeedge.app_lock#module:locks) has them.
        type: dict
        required: true
      others:
        description: The same for the clients of O(architectures), as RV(edgefl.kubeedge.app_lock#module:others) has it.
        type: dict
        default: {}
      pip_options:
        description: Options of pip while the dependencies are installed. They are in no layer.
        type: list
        elements: str
        default: []
      wheels:
        description: Folder on the controller with the dependencies' wheels, instead of an index.
        type: path
        default: ""
      packages:
        description: Debian packages.
        type: list
        elements: str
        default: []
  wait:
    description: V(tried) waits for all of it, V(built) until the images are there, V(none) only begins.
    type: str
    choices: [none, built, tried]
    default: tried
  sources:
    description: Checksum of O(source). The action plugin of this module gives it.
    type: str
    default: ""
  engine:
    description: Checksum of O(source) without the app O(app_name). The action plugin of this module gives it.
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
  description: Tag of the content; empty when the base image has to be brought first (see RV(wants_base)).
  returned: success
  type: str
  sample: v1.0.0-0123456789ab-ba9876543210
missing:
  description: >-
    Ends of the names of images that were not there with this content before the build, a target or C(client-) and an architecture; empty when a build is
    followed that was begun before.
  returned: success
  type: list
  elements: str
running:
  description: Whether what was waited for still goes on in the background; only with O(wait=none), as the other two wait for its end.
  returned: success
  type: bool
untried:
  description: O(architectures) that the application was not tried for, as the host runs no programs of them.
  returned: unless something has to be brought first, and not in check mode
  type: list
  elements: str
progress:
  description: What is done, C(stage) (V(builds) or V(tries)), and what Docker said last, C(line).
  returned: when the work goes on in the background, with O(wait=built) also when the application is still being tried
  type: dict
wants_base:
  description: Whether O(base_image) has to be brought to the host first; never in check mode.
  returned: success
  type: bool
wants_context:
  description: Whether O(context) or O(packed) is needed; only the action plugin sees it.
  returned: when images are missing and neither was given
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.module import run_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images import build_job
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.build import Builder, Recipe
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.platforms import MACHINES

TRIED = "/var/lib/edgefl/tried"


def work(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    recipe = Recipe(
        repository=options["repository"],
        version=options["version"],
        base_image=options["base_image"],
        sources=options["sources"],
        arguments={name: str(value) for name, value in options["arguments"].items()},
        targets=tuple(options["targets"]),
        app=options["app"],
        stages=options["stages"],
        engine=options["engine"],
        architectures={name: options["own_arguments"].get(name, {}) for name in options["architectures"]},
    )
    return build_job.call(Builder(recipe, TRIED), options, module.check_mode)


def main() -> None:
    run_module(
        work,
        argument_spec={
            "source": {"type": "path"},
            "tag": {"type": "str", "default": ""},
            "repository": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "base_image": {"type": "str", "default": ""},
            "arguments": {"type": "dict", "default": {}},
            "targets": {"type": "list", "elements": "str", "default": ["aggregator", "client"]},
            "architectures": {"type": "list", "elements": "str", "choices": [*MACHINES], "default": []},
            "own_arguments": {"type": "dict", "default": {}},
            "ca_bundle": {"type": "path"},
            "app": {"type": "str", "default": ""},
            "stages": {"type": "str", "default": ""},
            # The action plugin takes it out
            "app_name": {"type": "str", "default": ""},
            "flower_app": {
                "type": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "path": {"type": "path", "required": True},
                    "locks": {"type": "dict", "required": True},
                    "others": {"type": "dict", "default": {}},
                    "pip_options": {"type": "list", "elements": "str", "default": [], "no_log": True},
                    "wheels": {"type": "path", "default": ""},
                    "packages": {"type": "list", "elements": "str", "default": []},
                },
            },
            "wait": {"type": "str", "choices": ["none", "built", "tried"], "default": "tried"},
            "sources": {"type": "str", "default": ""},
            "engine": {"type": "str", "default": ""},
            # Not secret; but nobody wants it in the system's log
            "packed": {"type": "str", "default": "", "no_log": True},
            "context": {"type": "path"},
            "linger": {"type": "float", "default": 3.0},
        },
    )


if __name__ == "__main__":
    main()
