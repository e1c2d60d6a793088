"""Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28 grey values (0 to 255), in 10 classes.

Images have shape (n, 28, 28), their classes (n,); both are unsigned bytes, memory-mapped.
"""

from __future__ import annotations

from edgefl.common.idx import test, train

__all__ = ["test", "train"]
