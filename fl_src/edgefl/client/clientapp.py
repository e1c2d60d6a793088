"""Runs the ClientApp of any app: imported once, called for each message that the aggregator sends."""

from __future__ import annotations

import errno
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

from edgefl.apps import AppError
from edgefl.client import limits
from edgefl.client.supervisor import Supervised
from edgefl.common import app_folder
from edgefl.common.app_folder import AppFolder
from edgefl.common.journal import say
from edgefl.common.settings import ClientSettings
from edgefl.link import flower
from edgefl.link.answering import Answering, Reply

LONGEST_REASON = 500


class Client(Answering):
    """One pod: the app, and its context in each run."""

    def __init__(
        self,
        chosen: ClientSettings,
        app: AppFolder,
        call: Callable[[Any, Any], Any],
        supervised: Supervised | None = None,
    ) -> None:
        self._chosen, self._app, self._call = chosen, app, call
        self._supervised = supervised
        self._contexts: dict[int, Any] = {}
        self._welcome: dict[str, Any] = {}
        who = {"node": chosen.node, "pod": chosen.pod, "app": app.identity, "settings": chosen.settings}
        super().__init__(chosen.server_address, chosen.tls, who)

    # -- called by the connection -----------------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        return samples(self._chosen, self._app)

    def refused(self, app: str) -> None:
        if self._supervised:
            self._supervised.refused(app)

    def over(self) -> None:
        if self._supervised:
            self._supervised.joined(False)

    left = over

    def welcomed(self, welcome: dict[str, Any]) -> None:
        if self._supervised:
            self._supervised.joined(not welcome.get("over", False))
        self._welcome = welcome
        super().welcomed(welcome)

    # -- the work ----------------------------------------------------------------------------------------------------

    def answer(self, note: dict[str, Any], head: bytes, body: bytes) -> Reply:
        with limits.deadline(note["end"]):
            return self._answer(note, head, body)

    def _answer(self, note: dict[str, Any], head: bytes, body: bytes) -> Reply:
        usage = limits.Usage()
        run, node = int(self._welcome["run"]), int(self._welcome["node"])
        shard = note.get("shard", [0, 1])
        try:
            message = flower.decode(head, body)
            context = self._context(run, node, shard)
            reply = self._call(message, context)
            if not isinstance(reply, flower.Message):
                raise TypeError(f"the ClientApp gave {type(reply).__name__} instead of a Message")
            encoded = flower.encode(reply)
        except KeyboardInterrupt:
            raise
        except BaseException as err:  # SystemExit too: an app that exits must not take the pod with it
            traceback.print_exc()
            encoded = flower.failed(head, flower.RAISED, _told(err)), ()
        return {"key": note["key"], "shard": shard, **usage.figures()}, *encoded

    def _context(self, run: int, node: int, shard: list[int]) -> Any:
        """The context of a run stays as long as no other one begins; what it knows of the pods of this node is new each time."""
        if run not in self._contexts:
            self._contexts = {
                run: flower.context(run, node, node_config(self._chosen, self._app), self._welcome["config"])
            }
        context = self._contexts[run]
        context.node_config |= {"shard-index": shard[0], "shard-count": shard[1]}
        return context


def samples(chosen: ClientSettings, app: AppFolder) -> dict[str, Any]:
    """Which samples the node has; empty where the app is no classifier."""
    return {"start": chosen.partition, "stop": chosen.clients} if app.is_classifier else {}


def node_config(chosen: ClientSettings, app: AppFolder) -> dict[str, Any]:
    """What the app is told of the node."""
    found: dict[str, Any] = {"node-name": chosen.node} | samples(chosen, app)
    if chosen.data_dir:
        found["data-path"] = str(chosen.data_dir)
    if app.is_classifier:
        found |= {"epochs": chosen.epochs, "batch-size": chosen.batch_size, "threads": chosen.threads}
    return found | chosen.node_config


def prepare(chosen: ClientSettings, app: AppFolder, call: Callable[[Any, Any], Any]) -> None:
    """Have a classifier make TensorFlow and its model ready, which it does when it is asked for that model."""
    context = flower.context(0, flower.SERVER, node_config(chosen, app), {})
    call(flower.Message(flower.RecordDict(), flower.SERVER, "query"), context)


HINTS = {
    errno.EROFS: "the ClientApp runs in the node's data folder, which is read-only: let it write below /tmp",
    errno.EFBIG: "a file may have as many bytes as disk_limit of edgefl_client_resources says: raise it if that much is meant",
}
"""What to change, of errors that an app does not get on a laptop."""


def _told(err: BaseException) -> str:
    """The reason for which an app's answer is lost."""
    text = f"{type(err).__name__}: {err}"[:LONGEST_REASON]
    hint = HINTS.get(err.errno or 0) if isinstance(err, OSError) else None
    return f"{text}; {hint}" if hint else text


def run(chosen: ClientSettings, supervised: Supervised | None) -> None:
    """Load the app, then work for ever. Raises AppError when it can't be loaded."""
    begin = time.perf_counter()
    app = app_folder.read(chosen.app)
    # Relative paths, and datasets that are looked for by a name such as owner/name, are those of the node's data
    try:
        os.chdir(chosen.data_dir or tempfile.gettempdir())
    except OSError as err:
        raise AppError(
            f"--data_dir={chosen.data_dir} can't be used ({err.strerror}): name a folder that is there"
        ) from err
    clientapp = app.load("clientapp", dict(flower.components())["clientapp"])
    if app.is_classifier:  # before it is connected: a round would wait
        prepare(chosen, app, clientapp)
        own = f"samples {chosen.partition} to {chosen.clients} of {app.name}"
        say(f"TensorFlow is ready after {time.perf_counter() - begin:.1f} s; {own}")
    else:
        say(f"app {app.name} is ready")
    Client(chosen, app, clientapp, supervised).work()
