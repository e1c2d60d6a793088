# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what was read from the cluster after a training, as files of its results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

# What kubectl apply notes of an object; what a controller made of it has no such note
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def logs(results: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """File name -> log of each pod, from a task that looped over their names; of one that could not be read, why.

    A cluster without KubeEdge's tunnel has no log of an edge to give, which is no reason to fail.
    """
    return {
        f"{result['item']}.log": f"{result['stdout']}\n"
        if result["rc"] == 0
        else f"kubectl logs gave nothing: {result['stderr']}\n"
        for result in results
    }


def manifests(objects: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """File name -> manifest of each object, as it was applied."""
    found = {}
    for each in objects:
        applied = (each["metadata"].get("annotations") or {}).get(APPLIED)
        if applied:
            name = f"{each['kind'].lower()}-{each['metadata']['name']}.yaml"
            found[name] = yaml.safe_dump(json.loads(applied), indent=2)
    return found
