"""Stumps that are boosted on each node, and put together by bagging."""
