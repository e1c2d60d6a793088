#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: results_write
short_description: Write the results of a training, or of a comparison of several, to a folder
version_added: "1.0.0"
description:
  - Writes C(rounds.jsonl), C(rounds.csv), C(summary.json), C(report.html), the data of its plots in C(plots), and logs and manifests, to a
    folder named after the run, and makes C(latest) point to it.
  - With O(settings) it compares runs whose results are there, and writes C(comparison.csv), C(summary.json), C(report.html) and C(plots).
  - C(drawn.json) tells what report and plots were drawn from; what is there of the same data is not drawn again.
  - Each file is replaced in one step and read back. The task runs on the controller, whatever its host.
requirements:
  - matplotlib >= 3.11 for the Python that runs Ansible, unless O(report=false)
author:
  - edgefl developers (@edgefl)
seealso:
  - module: edgefl.kubeedge.training_results
attributes:
  check_mode:
    support: full
    description: Says which files would be written.
  diff_mode:
    support: none
    description: RV(files) names what differed.
  idempotent:
    support: full
    description: The same events give the same bytes; files that hold them are left alone.
options:
  dest:
    description: Folder that has a folder for each run.
    type: path
    required: true
  run:
    description: Name of the run, or of the comparison.
    type: str
    required: true
  events:
    description: All events of the run, as M(edgefl.kubeedge.training_results) returned them.
    type: list
    elements: dict
  settings:
    description: What to compare instead, in this order; the first is what the others are measured against.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the setting.
        type: str
        required: true
      runs:
        description: Names of its runs; their results are in folders of O(dest).
        type: list
        elements: str
        required: true
  telemetry:
    description:
      - CPU, memory, pods and events during the run, with fields and units as C(docs/report.md) of the collection says.
      - Kept as C(telemetry.jsonl). Those that are there already stay when none are given.
    type: list
    elements: dict
  details:
    description:
      - C(limits), C(capacity), C(shipping), C(scalings), C(listings), C(versions) and C(variables) for the report, as C(docs/report.md) of the
        collection says.
      - Kept as C(details.json). Those that are there already stay when none are given.
    type: dict
  sha256:
    description: Checksum of the aggregator's file, as M(edgefl.kubeedge.training_results) returned it; what is written must have it. Empty for no check.
    type: str
    default: ""
  logs:
    description: File name and text of each log. Logs that are there already and are not named stay.
    type: dict
    default: {}
  manifests:
    description: File name and text of each manifest. Manifests that are there already and are not named stay.
    type: dict
    default: {}
  report:
    description:
      - Whether C(report.html) and the data of its plots are drawn.
      - With V(false), a report that is there of the same data stays, and one of other data is removed. With V(true) later, it is drawn.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Keep the results on the controller
  edgefl.kubeedge.results_write:
    dest: results
    run: "20300101-120000"
    events: "{{ training.events }}"
    sha256: "{{ training.sha256 }}"
    logs:
      aggregator.log: "{{ aggregator_log.stdout }}"

- name: Compare three settings
  edgefl.kubeedge.results_write:
    dest: results
    run: autoscalers
    settings:
      - name: none
        runs: ["20300101-120000", "20300101-121500"]
      - name: hpa
        runs: ["20300101-120500", "20300101-122000"]
"""

RETURN = r"""
path:
  description: Folder of the run.
  returned: success
  type: str
report:
  description: Path of the report; empty when there is none.
  returned: success
  type: str
files:
  description: Files that were written, or would be in check mode, by their path in the folder; V(latest) for the link.
  returned: success
  type: list
  elements: str
removed:
  description: Files of an earlier report that showed other data, and were removed, or would be in check mode.
  returned: success
  type: list
  elements: str
sizes:
  description: Bytes of each file of the run, by its path in the folder.
  returned: success
  type: dict
sha256:
  description: Checksum of C(rounds.jsonl); for a comparison, of C(comparison.csv).
  returned: success
  type: str
summary:
  description: The content of C(summary.json).
  returned: success
  type: dict
text:
  description: The summary in a few lines for people.
  returned: success
  type: list
  elements: str
"""

# The action plugin of the same name does the work, on the controller.
