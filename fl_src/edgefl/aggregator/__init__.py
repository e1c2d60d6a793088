"""The aggregator: rounds, checkpoints, status."""
