#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_lock
short_description: Lock the dependencies of a Flower app
version_added: "1.0.0"
description:
  - Resolves what a Flower app needs on top of the images' own packages, for Linux and the images' Python 3.11, and keeps the versions with hashes in a file.
  - Packages that the images have are not in it. Where they don't do for the app the task fails, and says which.
  - What was resolved before for the same dependencies is taken as it is, so that nothing changes until somebody changes something; remove
    the file to have newer versions.
  - This is an action plugin and does all of its work on the controller; no host is connected to.
author:
  - edgefl developers (@edgefl)
requirements:
  - C(uv) on the controller, when the app needs packages that the images have not, and O(lock) is not given.
attributes:
  check_mode:
    support: full
    description: Resolves, but keeps no file.
  diff_mode:
    support: none
    description: RV(locks) has the packages.
  idempotent:
    support: full
    description: The same dependencies are resolved once.
options:
  app:
    description: The app, as P(edgefl.kubeedge.app_info#filter) gives it.
    type: dict
    required: true
  dest:
    description: Folder of the files on the controller. It is made when it is not there.
    type: path
    required: true
  source:
    description: Folder on the controller that the images are built from, whose locks say what is in them; the collection's own when empty.
    type: path
    default: ""
  machine:
    description: Architecture of the cloud node, and of the edges that O(others) has not, as uname(1) names it.
    type: str
    default: x86_64
  others:
    description: >-
      Architectures of other edges, by the names that they have in Kubernetes. For each the clients' dependencies are locked, too, which tells what has no
      wheel for it before anything is built.
    type: dict
    default: {}
  lock:
    description:
      - A lock to take instead, with versions and hashes. Where the aggregator's dependencies are not the clients', it gets the part that its lines
        C(# via) tell.
    type: path
    default: ""
  pip_options:
    description: Options that pip and uv have in common, such as V(--extra-index-url=https://...).
    type: list
    elements: str
    default: []
  wheels:
    description: Folder on the controller with wheels, which is looked in instead of any index.
    type: path
    default: ""
  ca_bundle:
    description: File on the controller with certificates to trust.
    type: path
    default: ""
  debian_packages:
    description:
      - Debian packages that the images get. What is a Python package among them, such as C(torch) of C(python3-torch), is not locked, whatever version the
        app asks for. As these are built for NumPy 1, the app gets that one.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Lock the app's dependencies
  edgefl.kubeedge.app_lock:
    app: "{{ '~/apps/quickstart' | edgefl.kubeedge.app_info }}"
    dest: results/locks
  register: locked
"""

RETURN = r"""
locks:
  description:
    - For C(aggregator) and C(client) the C(path) of the file, its C(text), the names of the C(packages), and the C(framework) that the image
      begins with, V(tensorflow_there) or V(plain).
  returned: success
  type: dict
others:
  description: The same of the clients, for each of O(others).
  returned: success
  type: dict
machines:
  description: What was locked for, O(others) and, by an empty name, O(machine).
  returned: success
  type: dict
"""

# The action plugin of the same name does the work, on the controller.
