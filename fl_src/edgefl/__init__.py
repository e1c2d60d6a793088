"""Federated learning on KubeEdge: what runs in the aggregator's and the clients' pods."""

from __future__ import annotations

__version__ = "1.0.0"
SCHEMA = 1
"""Version of the lines in rounds.jsonl and of the /status document."""
