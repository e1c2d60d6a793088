"""Keeps Flower loaded from one run to the next: each run works in a process forked from one that has imported what all runs need.

Which run that is stands in a file beside the container, so that another run needs no other pod. It is taken again when the pod begins anew.
"""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edgefl.aggregator import memory
from edgefl.common import settings
from edgefl.common.forked import Forked
from edgefl.common.journal import say
from edgefl.common.settings import AggregatorSettings

LOADED = ("edgefl.aggregator.serverapp", "edgefl.aggregator.training")
"""With Flower, and what else runs need of whatever app."""
POLL = 0.1
"""Seconds between two looks at the file."""
REPORT_EVERY = 10.0


def run(arguments: Sequence[str], chosen: AggregatorSettings, work: Callable[[AggregatorSettings, Path], None]) -> None:
    """Call `work` in a process of its own for the run in the file, and again for each that comes. Ends as that process does.

    :param arguments: those of this process, which the file's come after
    :param work: is given the settings of the run, and a folder that is there as long as it works
    """
    assert chosen.run_file is not None
    memory.give_back_large_blocks()
    for name in LOADED:
        importlib.import_module(name)
    wanted, told = wanted_by(chosen.run_file, chosen.made_for), 0.0
    while True:
        while wanted is None:
            if not told or time.monotonic() - told >= REPORT_EVERY:
                told = time.monotonic()
                say(
                    f"waiting for a run that is made for this pod in {chosen.run_file}: where none comes, run site.yml again"
                )
            time.sleep(POLL)
            wanted = wanted_by(chosen.run_file, chosen.made_for)
        with tempfile.TemporaryDirectory(prefix="app-") as folder:
            begun, code = wanted, None

            def begin(begun: list[str] = begun, folder: str = folder) -> None:
                work(settings.aggregator([*arguments, *begun]), Path(folder))

            process = Forked(begin)
            while code is None and wanted == begun:
                time.sleep(POLL)
                # What is not for this pod is for the one that replaces it
                wanted, code = wanted_by(chosen.run_file, chosen.made_for) or begun, process.ended()
            if code is not None:
                process.say_signal(code)
                os._exit(code)
            # Every line and checkpoint is on the disk
            process.kill()
        say("another run is wanted")


def wanted_by(file: Path, made_for: str) -> list[str] | None:
    """The arguments in the file; None when there is none, it can't be read, or it is for another pod."""
    try:
        found = json.loads(file.read_text())
        if found["made_for"] != made_for:
            return None
        return [str(argument) for argument in found["arguments"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None
