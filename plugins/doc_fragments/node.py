# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of modules that run on nodes."""

from __future__ import annotations


class ModuleDocFragment:
    """For C(extends_documentation_fragment), C(edgefl.kubeedge.node)."""

    DOCUMENTATION = r"""
options: {}
requirements:
  - python >= 3.8 on the host.
"""
