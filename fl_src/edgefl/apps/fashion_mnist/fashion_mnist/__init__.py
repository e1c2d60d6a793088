"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747) with a small dense net, as in the how-to."""

from __future__ import annotations
