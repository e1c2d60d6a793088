# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that modules share which wait; the options are in module_utils/_core/module.py."""

from __future__ import annotations


class ModuleDocFragment:
    """For C(extends_documentation_fragment), C(edgefl.kubeedge.wait)."""

    DOCUMENTATION = r"""
options:
  wait_timeout:
    description: Seconds until the module fails.
    type: int
    default: 180
  wait_sleep:
    description: Seconds between two looks.
    type: float
    default: 1.0
"""
