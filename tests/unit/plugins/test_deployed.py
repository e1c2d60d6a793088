"""What is deployed of a training, from what kubectl answers."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._deployed import deployed
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubectl import Kubectl

OURS = {"app.kubernetes.io/part-of": "edgefl"}


def item(kind: str, name: str, labels: dict[str, str], annotations: dict[str, str] | None = None) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "labels": labels, "annotations": annotations or {}}}


def look(space: dict[str, Any] | None, *items: dict[str, Any]) -> dict[str, Any]:
    def run(arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        if "namespace" in arguments:
            return 0, json.dumps(space) if space else "", ""
        assert arguments[-4:] == ["-n", "training", "-l", "app.kubernetes.io/part-of=edgefl"]
        return 0, json.dumps({"items": list(items)}), ""

    return deployed(Kubectl(run, "/x"), "training")


def test_nothing_is_there() -> None:
    nothing = {"there": False, "ours": False, "run": "", "settings": "", "certificates": {}, "clients": []}
    assert look(None) == nothing
    assert look(item("Namespace", "training", {})) == nothing | {"there": True}
    assert look({"kind": "Namespace", "metadata": {"name": "training"}}) == nothing | {"there": True}


def test_a_run_and_its_clients() -> None:
    notes = {"edgefl.kubeedge/run": "r1", "edgefl.kubeedge/settings": "s1"}
    client = OURS | {"edgefl.kubeedge/workload": "client"}
    found = look(
        item("Namespace", "training", OURS),
        item("Deployment", "fashion-mnist", OURS, notes),
        item("Deployment", "edge1", client | {"edgefl.kubeedge/settings": "s2"}),
        item("Pod", "edge2-pod-0", client),
        item("Pod", "edge1-0123", OURS),
        item("Secret", "edge1-tls", OURS, {"edgefl.kubeedge/certificate": "0123"}),
        item("Secret", "another", OURS),
    )
    assert found["certificates"] == {"edge1-tls": "0123"}
    assert (found["there"], found["ours"], found["run"], found["settings"]) == (True, True, "r1", "s1")
    assert found["clients"] == [
        {"kind": "Deployment", "name": "edge1", "settings": "s2"},
        {"kind": "Pod", "name": "edge2-pod-0", "settings": ""},
    ]
