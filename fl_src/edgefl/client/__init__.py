"""The client: trains on its node's slice."""
