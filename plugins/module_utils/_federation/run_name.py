# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the name of a run, which is also the name of its folders."""

from __future__ import annotations

import re

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError

# Begins another run; the link to the newest results; the folder of the experiments; the results of one of them
NEW, LATEST, EXPERIMENTS, COMPARISON = "new", "latest", "experiments", "comparison"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_run(run: str, reserved: tuple[str, ...] = (NEW, LATEST, EXPERIMENTS, COMPARISON)) -> str:
    """The name of a run; EdgeflError when it can't be one, or is one of those that have another meaning."""
    if run in reserved:
        raise EdgeflError(
            f"{run!r} cannot be the name of a run: {', '.join(reserved)} have a meaning of their own. Give the run another name (edgefl_run)."
        )
    if not _NAME.fullmatch(run):
        raise EdgeflError(
            f"{run!r:.120} is no name of a run: use letters, digits, `.`, `_` and `-`, 100 at most, and begin with a letter or digit (edgefl_run)."
        )
    return run


def check_results(name: str, comparison: bool) -> str:
    """The name of the folder that results are written to: that of a run, or that of a `comparison`."""
    return check_run(name, (NEW, LATEST, EXPERIMENTS)) if comparison else check_run(name)
