"""What aggregator and clients share."""
