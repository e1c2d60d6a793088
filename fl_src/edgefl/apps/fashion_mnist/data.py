"""Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28 grey values (0 to 255), in 10 classes."""

from __future__ import annotations

from edgefl.apps import Slice
from edgefl.common import idx


def train(start: int, stop: int | None) -> Slice:
    """Training images, shape (n, 28, 28), and their classes, shape (n,); both unsigned bytes, memory-mapped."""
    own = idx.training_folder()
    images, labels = idx.read("train-images-idx3-ubyte", own), idx.read("train-labels-idx1-ubyte", own)
    return images[start:stop], labels[start:stop]


def test(start: int, stop: int | None) -> Slice:
    """Test images and their classes, shaped like the training ones."""
    return idx.read("t10k-images-idx3-ubyte")[start:stop], idx.read("t10k-labels-idx1-ubyte")[start:stop]
