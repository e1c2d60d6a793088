"""What tests of several modules use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from unit.plugins.docker_api import DockerApi

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import agent

# How long an example takes says how busy this machine is
hypothesis.settings.register_profile("unit", deadline=None)
hypothesis.settings.load_profile("unit")


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerApi]:
    """It answers instead of this machine's Docker."""
    monkeypatch.setattr(agent, "SOCKET", str(tmp_path / "docker.sock"))
    with DockerApi(agent.SOCKET) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()
