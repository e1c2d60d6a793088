"""Histograms of columns that lie on each node."""
