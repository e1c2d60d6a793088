"""What both adapters set up around Flower: import this before flwr, call `quiet` after."""

from __future__ import annotations

import logging
import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"  # Flower would report each start to its makers
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def quiet() -> None:
    """Silence Flower's and gRPC's own messages, the deprecation notice among them; ours say what matters."""
    for name in ("flwr", "grpc"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
