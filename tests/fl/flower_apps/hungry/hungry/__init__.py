"""Takes what it can get."""
