"""The aggregator: `python -m edgefl.aggregator`. See `--help`."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from edgefl import apps
from edgefl.aggregator import status
from edgefl.aggregator.checkpoint import Store
from edgefl.aggregator.coordinator import Coordinator, RunError
from edgefl.common import settings
from edgefl.common.idx import DataError
from edgefl.common.journal import Journal, say

EXPECTED = (apps.AppError, DataError, RunError, ValueError, OSError)
"""Errors whose text is enough for the user; others are shown with their traceback."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until a signal ends it. Exit code 1 when the run failed, 2 when an option is wrong."""
    _obey_signals()
    chosen = settings.aggregator(arguments)
    state = status.Status()
    coordinator: Coordinator | None = None
    try:
        folder = chosen.state_dir / chosen.run if chosen.state_dir else None
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        else:
            say("no --state_dir: nothing survives a restart")
        port = status.serve(chosen.status_address, state)
        say(f"status at port {port}: /healthz /readyz /status /metrics")
        app = apps.load(chosen.app)
        coordinator = Coordinator(chosen, app, Journal(folder), Store(folder) if folder else None, state)
        coordinator.accept()
        from edgefl.link import server  # half a second: probes are answered meanwhile

        def work(link: server.FlowerLink) -> None:
            assert coordinator
            _obey_signals()  # Flower has put its own handlers there: they wait for threads that wait for clients
            state.members = link.members
            state.update(ready=True)
            say(f"clients can connect to {chosen.server_address}{' with TLS' if chosen.tls else ''}")
            coordinator.run(link)

        server.serve(chosen, work)
    except SystemExit as err:  # Flower's way to say that the port is taken
        _fail(coordinator, f"{err.code}; end what uses it, or choose another --server_address")
    except EXPECTED as err:
        _fail(coordinator, str(err))
    except BaseException as err:
        traceback.print_exc()
        _fail(coordinator, f"{type(err).__name__}: {err}")


def _obey_signals() -> None:
    """End at once when told to; as process 1 of a container we would get no signal that we don't ask for."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def _end(number: int, _frame: Any) -> None:
    say(f"{signal.Signals(number).name}: the aggregator ends")
    os._exit(0)  # every line and checkpoint is on the disk; gRPC's threads would wait for clients


def _fail(coordinator: Coordinator | None, reason: str) -> None:
    say(f"failed: {reason}")
    try:
        if coordinator:
            coordinator.fail(reason)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # gRPC's threads would keep a broken aggregator alive


if __name__ == "__main__":
    main()
