"""Both sides of the app, as Flower calls them."""

from __future__ import annotations

from edgefl.apps import components

from . import data, model

serverapp = components.server(data, model)
clientapp = components.client(data, model)
