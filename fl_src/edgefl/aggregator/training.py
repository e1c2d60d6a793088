"""A run of a classifier: the coordinator, or a region, on the link."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edgefl.aggregator.checkpoint import Store
from edgefl.aggregator.coordinator import Coordinator
from edgefl.aggregator.region import Region
from edgefl.aggregator.status import Status
from edgefl.common.app_folder import AppFolder
from edgefl.common.journal import Journal
from edgefl.common.settings import AggregatorSettings
from edgefl.link import flower
from edgefl.link.endpoint import Endpoint, admission
from edgefl.link.grid import LinkGrid, Nothing
from edgefl.link.hub import Hub, RefusedError
from edgefl.link.training import TrainingLink


class TrainingRun:
    """One run. Make it, `accept` the run, `open` the port, then `run` it."""

    def __init__(self, chosen: AggregatorSettings, app: AppFolder, status: Status, folder: Path | None) -> None:
        flower.quiet()
        if chosen.data_dir:
            os.environ["EDGEFL_DATA_DIR"] = str(chosen.data_dir)
        self._settings, self._app, self._status, self._folder = chosen, app, status, folder
        number = flower.node_id(f"run {chosen.run}")
        flower.context(number, flower.SERVER, {}, {})
        self.hub = Hub(flower.node_id, flower.unavailable, shards=True, most_of_a_node=chosen.max_pods)
        self._leader: Coordinator | Region
        if chosen.upstream:
            self._leader = Region(chosen, app.classifier(), app.identity, status, folder)
        else:
            store = Store(folder) if folder else None
            self._leader = Coordinator(chosen, app.classifier(), Journal(folder), store, status)
        nothing = Nothing()
        grid = LinkGrid(self.hub, number, nothing, nothing, chosen.round_timeout)
        self._link = TrainingLink(chosen, self.hub, grid)
        self._welcome = {"run": number, "config": {}}

    def accept(self) -> None:
        self._leader.accept()

    def open(self) -> None:
        s = self._settings
        known = admission(self._app.identity, self.hub, s.tls, s.client_settings)

        def admit(about: dict[str, Any], names: frozenset[str]) -> None:
            known(about, names)
            start, stop = about["about"].get("start"), about["about"].get("stop")
            if not isinstance(start, int) or not isinstance(stop, int) or not 0 <= start < stop < 2**63:
                raise RefusedError(f"{about['node']}/{about['pod']} has no samples ({start!s:.20} to {stop!s:.20})")

        Endpoint(self.hub, s.server_address, s.tls, self._welcome, admit, self._folder)
        self._status.members = self._link.members

    def run(self) -> None:
        self._leader.run(self._link)

    def fail(self, reason: str) -> None:
        self._leader.fail(reason)
