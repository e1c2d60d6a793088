"""Keeps the framework loaded while the app changes: each state of the app runs in a process forked from one that has imported it, and nothing more.

A framework that has only been imported has no threads yet; what has threads (gRPC's connection, TensorFlow's runtime) begins in the forked process.
"""

from __future__ import annotations

import importlib
import importlib.util
import mmap
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from edgefl.client import limits, memory
from edgefl.common import app_folder, app_store
from edgefl.common.forked import Forked
from edgefl.common.journal import say
from edgefl.common.settings import ClientSettings

FRAMEWORKS = ("tensorflow", "torch", "jax")
"""What takes long to import, where the image has it."""
POLL = 0.1
"""Seconds between two looks at the store."""


class Supervised:
    """A worker's end of what it has with process 1: whether it is joined, and which other state of the app the aggregator has."""

    def __init__(self, store: Path, own: str, identity: str, joined: mmap.mmap, pipe: int) -> None:
        self._store, self._own, self._identity, self._joined, self._pipe = store, own, identity, joined, pipe

    def joined(self, now: bool) -> None:
        """Whether the aggregator has taken the client, and has work: then it works on what is wanted, whatever comes to the store."""
        self._joined[0] = now

    def refused(self, app: str) -> None:
        """Ends this process when `app`, which the aggregator has, is another state of this one's that is on this node."""
        if app == self._identity or app.partition("@")[0] != self._own.partition("@")[0]:
            return
        if app == self._own or app_store.holds(self._store, app):
            os.write(self._pipe, app.encode())
            os._exit(os.EX_TEMPFAIL)


Work = Callable[[ClientSettings, Supervised], None]


class Worker:
    """A process forked from this one, at work on the app `identity`, which it unpacks in `folder` unless it is the `own` one of the image."""

    def __init__(self, chosen: ClientSettings, store: Path, own: str, identity: str, folder: str, work: Work) -> None:
        self._pipe, pipe = os.pipe()
        self._joined = mmap.mmap(-1, 1)  # shared by both

        def begin() -> None:
            os.close(self._pipe)
            if identity != own:
                chosen.app = str(app_store.unpacked(store, identity, Path(folder)))
            work(chosen, Supervised(store, own, identity, self._joined, pipe))

        self._process = Forked(begin)
        self.ended, self.kill, self.say_signal = self._process.ended, self._process.kill, self._process.say_signal
        os.close(pipe)

    @property
    def joined(self) -> bool:
        """Whether the aggregator has taken it, and has work for it."""
        return bool(self._joined[0])

    def wanted(self) -> str:
        """Of one that has ended: the app that the aggregator has, when it ended for that."""
        with open(self._pipe, "rb") as pipe:
            return pipe.read().decode()


def run(chosen: ClientSettings, store: Path, work: Work) -> None:
    """Call `work` in a process of its own for the newest state of the app, and again for each that comes. Ends as that process does.

    One that nobody has asked for yet may be broken: then the image's own is taken, and the aggregator says what it wants. Raises AppError, in that process too.
    """
    own = app_folder.read(chosen.app).identity
    name = own.partition("@")[0]
    begin = time.perf_counter()
    preload(chosen)
    say(f"the framework is loaded after {time.perf_counter() - begin:.1f} s")
    seen, asked = app_store.newest(store, name), ""
    identity = seen or own
    while True:
        with tempfile.TemporaryDirectory(prefix=f"{identity}-") as folder:
            worker = Worker(chosen, store, own, identity, folder, work)
            newest, code = seen, None
            while code is None and (worker.joined or newest == seen):
                time.sleep(POLL)
                newest, code = app_store.newest(store, name), worker.ended()
            if code is None:
                worker.kill()
        wanted = worker.wanted()
        if code is None:
            seen, identity = newest, newest or own
            say(f"app {identity} came")
        elif wanted:
            identity = asked = wanted
            say(f"the aggregator has app {identity}")
        elif identity in (own, asked) or worker.joined:
            worker.say_signal(code)
            os._exit(code)
        else:
            say(
                f"app {identity} ended with exit code {code}: the image's own is taken, until an aggregator has that one"
            )
            identity = own


def preload(chosen: ClientSettings) -> None:
    """Import what the app and its connection will need."""
    if app_folder.read(chosen.app).is_classifier:
        from edgefl.client import trainer

        trainer.tensorflow(limits.threads(limits.cpu_limit(), chosen.threads))
    else:
        for name in FRAMEWORKS:
            if importlib.util.find_spec(name):
                importlib.import_module(name)
    importlib.import_module("edgefl.client.clientapp")
    memory.give_back()
