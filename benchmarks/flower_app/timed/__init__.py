"""The app of benchmarks/flower.py."""
