"""Digits in scikit-learn."""
