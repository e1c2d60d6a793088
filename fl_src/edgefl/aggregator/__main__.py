"""The aggregator: `python -m edgefl.aggregator`. See `--help`."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgefl.aggregator import memory, status, supervisor
from edgefl.aggregator.coordinator import RunError
from edgefl.apps import AppError
from edgefl.common import app_folder, app_store, ending, settings
from edgefl.common.journal import printable, say
from edgefl.common.settings import AggregatorSettings

EXPECTED = (AppError, RunError, ValueError, OSError)
"""Errors whose text is enough for the user; others are shown with their traceback."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until a signal ends it. Exit code 1 when the run failed, 2 when an option is wrong."""
    _obey_signals()
    given = sys.argv[1:] if arguments is None else arguments
    chosen = settings.aggregator(given)
    if chosen.run_file:
        supervisor.run(given, chosen, _work)
    else:
        memory.give_back_large_blocks()
        _work(chosen)


def _work(chosen: AggregatorSettings, apps_here: Path | None = None) -> None:
    """One run, to a signal or its failure; the state of the app that is asked for is unpacked in `apps_here` when it is not the image's own."""
    memory.give_back_free_pages()
    state = status.Status()
    run: Any = None
    try:
        if chosen.apps_dir and apps_here:
            _take(chosen, chosen.apps_dir, apps_here)
        folder = chosen.state_dir / chosen.run if chosen.state_dir else None
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        elif not chosen.upstream:
            say("no --state_dir: nothing survives a restart")
        port = status.serve(state, *chosen.status_address)
        say(f"status at port {port}: /healthz /readyz /status /metrics")
        # Flower takes half a second: probes are answered meanwhile
        app = app_folder.read(chosen.app)
        if app.is_classifier:
            from edgefl.aggregator.training import TrainingRun

            run = TrainingRun(chosen, app, state, folder)
        else:
            if chosen.upstream:
                raise AppError(
                    f"app {app.name} can't be trained in a region: its ServerApp talks to its clients itself, and nobody else knows how their answers "
                    "are combined; leave out --upstream and have its clients join the root, or give a classifier"
                )
            from edgefl.aggregator.serverapp import AppRun, stdout_for_lines

            run = AppRun(chosen, app, state, folder, stdout_for_lines())
        run.accept()
        run.open()
        state.update(ready=True)
        say(f"clients can connect to {chosen.server_address}{' with TLS' if chosen.tls else ''}")
        run.run()
        run.hub.finish()
        while True:
            signal.pause()
    except EXPECTED as err:
        _fail(run, str(err))
    except BaseException as err:
        traceback.print_exc()
        _fail(run, f"{type(err).__name__}: {err}")


def _take(chosen: AggregatorSettings, store: Path, folder: Path) -> None:
    """Have the state of the app taken that is asked for, where the image's own is another. Raises AppError when it is in neither."""
    wanted = chosen.app_identity
    if wanted and wanted != app_folder.read(chosen.app).identity:
        chosen.app = str(app_store.unpacked(store, wanted, folder))


def _obey_signals() -> None:
    """End at once when told to; as process 1 of a container we would get no signal that we don't ask for."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda told, _frame: ending.end(told, "aggregator"))


def _fail(run: Any, reason: str) -> None:
    reason = printable(" ".join(reason.split()))  # an app's error may quote what a client said
    say(f"failed: {reason}")
    try:
        if run:
            run.fail(reason)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # gRPC's threads would keep a broken aggregator alive


if __name__ == "__main__":
    main()
