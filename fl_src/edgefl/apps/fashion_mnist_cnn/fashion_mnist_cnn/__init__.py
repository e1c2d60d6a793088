"""Fashion-MNIST with a convolutional net, written as a Keras model and nothing else; the clients evaluate it."""

from __future__ import annotations
