"""The Grafana dashboard and the alerts of docs/monitoring.md ask for what a real aggregator tells, in PromQL that a parser takes."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families

from support.processes import Federation, until

DOCS = Path(__file__).resolve().parents[2] / "docs"
DASHBOARD = DOCS / "grafana/edgefl.json"


def alerts() -> list[dict[str, Any]]:
    """The rules that docs/monitoring.md shows to copy."""
    block = re.search(r"^```yaml\n(groups:\n.*?)^```", (DOCS / "monitoring.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    return [rule for group in yaml.safe_load(block[1])["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    """Those of the dashboard, with Grafana's own variables replaced as Grafana does, and those of the alerts."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    found = [text.replace("$__rate_interval", "1m").replace("$instance", ".*") for text in found]
    return found + [rule["expr"] for rule in alerts()]


def test_every_query_is_promql() -> None:
    assert len(queries()) >= 15
    for query in queries():
        promql_parser.parse(query)


def test_every_metric_is_there(federation: Federation) -> None:
    aggregator = federation.aggregator("--rounds=2", "--min_sample_size=1", "--min_num_clients=2")
    until(federation.ready, "ready")
    federation.light_client("edge1", 0, 500)
    lost = federation.light_client("edge2", 500, 1000, fit=3)
    until(lambda: federation.status()["state"] == "training", "training")
    lost.kill()
    until(lambda: aggregator.told("is lost"), "a lost part")
    federation.light_client("edge2", 500, 1000, pod="another")
    federation.event(aggregator, "done")
    with urllib.request.urlopen(f"http://127.0.0.1:{federation.status_port}/metrics", timeout=5) as answer:
        samples = [
            sample for family in text_string_to_metric_families(answer.read().decode()) for sample in family.samples
        ]
    told = {sample.name for sample in samples}
    labels = {sample.name: set(sample.labels) for sample in samples}
    for query in queries():
        for name in re.findall(r"edgefl_\w+", query):
            assert name in told, f"{query}: the aggregator does not tell {name}"
        # Prometheus adds `instance` itself
        for label in set(", ".join(re.findall(r"by \(([\w, ]+)\)", query)).split(", ")) - {"", "instance"}:
            assert all(label in labels[name] for name in re.findall(r"edgefl_\w+", query)), query
