"""Logs and manifests as files of the results."""

from __future__ import annotations

import json
from typing import Any

import yaml

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _collected as collected


def test_logs() -> None:
    results = [
        {"item": "aggregator-1", "rc": 0, "stdout": "ready", "stderr": ""},
        {"item": "client-1", "rc": 1, "stdout": "", "stderr": "dial tcp: no route"},
    ]
    assert collected.logs(results) == {
        "aggregator-1.log": "ready\n",
        "client-1.log": "kubectl logs gave nothing: dial tcp: no route\n",
    }


def test_manifests() -> None:
    applied: dict[str, Any] = {"kind": "Service", "metadata": {"name": "svc"}, "spec": {"ports": [{"port": 12345}]}}
    objects = [
        {"kind": "Service", "metadata": {"name": "svc", "annotations": {collected.APPLIED: json.dumps(applied)}}},
        {"kind": "Pod", "metadata": {"name": "client-1"}},
        {"kind": "Pod", "metadata": {"name": "client-2", "annotations": None}},
    ]
    found = collected.manifests(objects)
    assert list(found) == ["service-svc.yaml"]
    assert yaml.safe_load(found["service-svc.yaml"]) == applied
