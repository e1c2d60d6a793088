"""How aggregator and clients talk: all that knows gRPC and Flower."""
