"""Predictions of a model that was trained: an endpoint on an edge, and the files that it needs, made of the trained arrays."""
