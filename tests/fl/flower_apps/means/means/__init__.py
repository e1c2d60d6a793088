"""A vector that is pulled towards a mean."""
