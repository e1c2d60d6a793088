#!/usr/bin/python
# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: results_write
short_description: Write the results of a training to a folder
version_added: "1.0.0"
description:
  - Writes C(rounds.jsonl), C(rounds.csv), C(summary.json), C(report.html), and logs and manifests, to a folder named after the run, and makes
    C(latest) point to it.
  - Each file is replaced in one step and read back. Meant for the controller.
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
    description: Name of the run.
    type: str
    required: true
  events:
    description: All events of the run, as M(edgefl.kubeedge.training_results) returned them.
    type: list
    elements: dict
    required: true
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
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: Folder of the run.
  returned: success
  type: str
report:
  description: Path of the report.
  returned: success
  type: str
files:
  description: Files that were written, or would be in check mode, by their path in the folder; V(latest) for the link.
  returned: success
  type: list
  elements: str
sizes:
  description: Bytes of each file of the run, by its path in the folder.
  returned: success
  type: dict
sha256:
  description: Checksum of C(rounds.jsonl).
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

import hashlib
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgefl.kubeedge.plugins.module_utils import _results, _training
from ansible_collections.edgefl.kubeedge.plugins.module_utils._errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._reader import check_run


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "run": {"type": "str", "required": True},
            "events": {"type": "list", "elements": "dict", "required": True},
            "sha256": {"type": "str", "default": ""},
            "logs": {"type": "dict", "default": {}},
            "manifests": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    options = module.params
    dest, run, events = Path(options["dest"]), options["run"], options["events"]
    try:
        folder = dest / check_run(run)
        wanted = _results.files(events, run, options["logs"], options["manifests"], options["sha256"])
        names = _results.differing(folder, wanted)
        link = _results.link_differs(dest, run)
        if not module.check_mode:
            _results.write(folder, wanted, names)
            if link:
                _results.link(dest, run)
    except EdgeflError as error:
        module.fail_json(msg=error.message, **error.result)
    report = str(folder / "report.html")
    found = _training.summary(events, run)
    module.exit_json(
        changed=bool(names) or link,
        path=str(folder),
        report=report,
        files=names + [_results.LATEST] * link,
        sizes={name: len(data) for name, data in wanted.items()},
        sha256=hashlib.sha256(wanted[_training.FILE]).hexdigest(),
        summary=found,
        text=_training.words(found, report),
    )


if __name__ == "__main__":
    main()
