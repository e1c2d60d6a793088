"""The Grafana dashboard asks for what a real aggregator tells, in PromQL that a parser takes."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

from support.processes import Federation, until

DASHBOARD = Path(__file__).resolve().parents[2] / "docs/grafana/edgefl.json"


def queries() -> list[str]:
    """Its queries, with Grafana's own variables replaced as Grafana does."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    return [text.replace("$__rate_interval", "1m").replace("$instance", ".*") for text in found]


def test_every_query_is_promql() -> None:
    assert len(queries()) >= 10
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
        for label in re.findall(r"by \((\w+)\)", query):
            assert all(label in labels[name] for name in re.findall(r"edgefl_\w+", query)), query
