"""Keeps the framework loaded while the app changes: each state of the app runs in a process forked from one that has imported it, and nothing more.

A framework that has only been imported has no threads yet; what has threads (gRPC's connection, TensorFlow's runtime) begins in the forked process.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from edgefl import apps
from edgefl.client import limits, memory
from edgefl.client.clientapp import Switch
from edgefl.common import app_folder, app_store
from edgefl.common.journal import say
from edgefl.common.settings import ClientSettings

FRAMEWORKS = ("tensorflow", "torch")
"""What takes long to import, where the image has it."""
POLL = 0.1
"""Seconds between two looks at the store."""
PR_SET_PDEATHSIG = 1
"""prctl(2)"""


def run(chosen: ClientSettings, store: Path, work: Callable[[ClientSettings, Switch], None]) -> None:
    """Call `work` in a process of its own for the newest state of the app, and again for each that comes. Ends as that process does."""
    own = app_folder.identity(chosen.app)
    name = own.partition("@")[0]
    begin = time.perf_counter()
    preload(chosen)
    say(f"the framework is loaded after {time.perf_counter() - begin:.1f} s")
    seen = app_store.newest(store, name)
    identity = seen or own
    while True:
        reading, writing = os.pipe()
        process = os.fork()
        if not process:
            os.close(reading)
            _be_ended_with_parent()
            work(_located(chosen, store, own, identity), _switch(store, own, identity, writing))
            os._exit(0)
        os.close(writing)
        with open(reading) as pipe:
            status = None
            while status is None and (newest := app_store.newest(store, name)) == seen:
                time.sleep(POLL)
                ended, code = os.waitpid(process, os.WNOHANG)
                status = code if ended else None
            if status is None:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
                seen = identity = newest
                say(f"app {identity} came")
                continue
            wanted = pipe.read()
        if not wanted:
            code = os.waitstatus_to_exitcode(status)
            os._exit(128 - code if code < 0 else code)  # 128 and the signal, as a shell says
        identity = wanted
        say(f"the aggregator has app {identity}")


def preload(chosen: ClientSettings) -> None:
    """Import what the app will need."""
    if app_folder.is_folder(chosen.app):
        limits.limit_libraries(chosen.threads)
        for name in FRAMEWORKS:
            if importlib.util.find_spec(name):
                importlib.import_module(name)
    else:
        from edgefl.client import trainer

        trainer.tensorflow(limits.threads(limits.cpu_limit(), chosen.threads))
    memory.give_back()


def _located(chosen: ClientSettings, store: Path, own: str, identity: str) -> ClientSettings:
    """The settings with the app where this state of it is."""
    if identity == own:
        return chosen
    folder = app_store.unpacked(store, identity)
    if app_folder.is_folder(chosen.app):
        chosen.app = str(next(folder.iterdir()))
    else:
        apps.__path__.insert(0, str(folder))
    return chosen


def _switch(store: Path, own: str, identity: str, pipe: int) -> Switch:
    def switch(wanted: str) -> None:
        if wanted != identity and (wanted == own or app_store.holds(store, wanted)):
            os.write(pipe, wanted.encode())
            os._exit(os.EX_TEMPFAIL)

    return switch


def _be_ended_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(0)
