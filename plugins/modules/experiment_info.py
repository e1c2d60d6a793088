#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: experiment_info
short_description: Name the runs of an experiment, and tell which are done
version_added: "1.0.0"
description:
  - Checks an experiment, the same training under several settings, and gives its runs in the order in which they are to be done.
  - What was begun with other values is refused, as its runs could not be compared with the new ones.
author:
  - edgefl developers (@edgefl)
extends_documentation_fragment:
  - edgefl.kubeedge.only_reads
options:
  name:
    description: Name of the experiment.
    type: str
    required: true
  settings:
    description: The settings that are compared.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the setting.
        type: str
        required: true
      variables:
        description: Variables that it gives to the roles of the training.
        type: dict
        default: {}
  loops:
    description: How many runs of each setting.
    type: int
    default: 3
  pods:
    description: Whether pods are kept between runs, V(warm), or made anew, V(cold).
    type: str
    choices: [warm, cold]
    default: warm
  known:
    description: Variables that a setting can have.
    type: list
    elements: str
    required: true
  fixed:
    description: Variables that are the same for all runs.
    type: list
    elements: str
    default: []
  common:
    description: Values that all runs share, by host, so that they are the same when the experiment goes on.
    type: dict
    default: {}
  folder:
    description: Folder with the results of the runs.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Name the runs
  edgefl.kubeedge.experiment_info:
    name: replicas
    settings:
      - {name: one, variables: {edgefl_replicas: 1}}
      - {name: three, variables: {edgefl_replicas: 3}}
    known: [edgefl_replicas]
    folder: results/experiments/replicas
"""

RETURN = r"""
runs:
  description: Every run with C(run), C(setting), C(loop), C(variables) and C(done), in the order in which they are to be done.
  returned: success
  type: list
  elements: dict
begun:
  description: Whether the experiment was begun earlier.
  returned: success
  type: bool
about:
  description: What is to be kept in C(experiment.json), so that the experiment can go on.
  returned: success
  type: dict
"""

# The action plugin of the same name does the work, on the controller.
