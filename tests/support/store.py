"""A folder with states of an app beside the image, as the ship agent keeps it."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import agent
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _app, _app_archive


def put(store: Path, app: str, sources: Path) -> str:
    """Has the app of these sources (the path of a Flower app: its own) there as the newest; gives its identity."""
    archive = _app_archive.archive(_app.app_info(app, str(sources)), str(sources))
    assert archive
    agent.keep_app(archive, str(store))
    return archive["name"]
