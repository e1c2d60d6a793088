"""The same data as the app fashion_mnist."""

from __future__ import annotations

from edgefl.apps.fashion_mnist.data import test, train

__all__ = ["test", "train"]
