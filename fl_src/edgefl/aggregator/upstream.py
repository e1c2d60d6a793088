"""A region's connection to its root: what the root's messages ask is done by the region, and answered as a client answers."""

from __future__ import annotations

import threading
import time
import traceback
from typing import Any

from edgefl.aggregator.region import NothingCameError, Region
from edgefl.common.journal import printable, say
from edgefl.common.settings import pod_name
from edgefl.link import flower
from edgefl.link.answering import Answering, Reply
from edgefl.link.protocol import Link

SETTLED = 2.0
"""Seconds for which a region's samples are others than the root was told before it is told so: a client that comes back is no change."""
OWN_SHARE = 0.1
"""Of the time that the root gives: for what comes after the clients, so that one that hangs does not cost the whole region its part."""


class RegionClient(Answering):
    """The region's connection to the root. It joins when the region has enough members, and again when they have other samples than it said."""

    def __init__(self, region: Region, link: Link) -> None:
        self._region, self._link = region, link
        self._announced = 0
        s = region.settings
        who = {"node": region.upstream.region, "pod": pod_name(), "app": region.identity, "settings": s.settings}
        super().__init__(region.upstream.address, s.tls, who)
        threading.Thread(target=self._watch, name="samples", daemon=True).start()

    def about(self) -> dict[str, Any]:
        self._announced = self._region.wait(self._link)
        return {"start": 0, "stop": self._announced, "region": True}

    def welcomed(self, welcome: dict[str, Any]) -> None:
        if welcome.get("over"):
            self.over()
        elif self._region.status.state == "done":  # another run of the root's
            self._region.status.update(state="waiting")
        super().welcomed(welcome)

    def over(self) -> None:
        # Our clients are not told: they would be free to take another state of the app, which the root's next run may not have
        self._region.status.update(state="done")

    def refused(self, app: str) -> None:
        pass  # the connection tells why

    def left(self) -> None:
        pass  # clients stay: the root is back in a moment, or a round is lost

    def _watch(self) -> None:
        before = 0
        while True:
            time.sleep(SETTLED)
            now = self._region.samples(self._link)
            if now == before != self._announced and not self._busy:
                self._connection.greet_again()
            before = now

    def answer(self, note: dict[str, Any], head: bytes, body: bytes) -> Reply:
        seconds = min(self._region.settings.round_timeout, (1 - OWN_SHARE) * (note["end"] - time.monotonic()))
        try:
            message = flower.decode(head, body)
            encoded = flower.encode(flower.Message(self._done(message, seconds), reply_to=message))
        except NothingCameError as err:
            say(printable(str(err)))
            encoded = flower.failed(head, flower.RAISED if err.error else flower.UNAVAILABLE, printable(str(err))), ()
        except Exception as err:
            traceback.print_exc()
            encoded = flower.failed(head, flower.RAISED, printable(f"{type(err).__name__}: {err}")), ()
        return {"key": note["key"]}, *encoded

    def _done(self, message: Any, seconds: float) -> Any:
        kind, content = message.metadata.message_type, message.content
        if kind == "query":
            return flower.RecordDict(
                {"arrays": flower.arrays_record(self._region.initial_weights(self._link, seconds))}
            )
        weights, config = list(flower.ndarrays(content["arrays"]).values()), dict(content["config"].items())
        start, stop = config.pop("start"), config.pop("stop")
        if kind == "evaluate":
            done = self._region.evaluate(self._link, weights, start, stop, seconds)
        else:
            done = self._region.train(self._link, weights, config, stop - start, seconds)
        metrics = flower.MetricRecord(done.figures | {flower.EXAMPLES: done.examples})
        records = {"arrays": flower.arrays_record(done.weights)} if done.weights else {}
        return flower.RecordDict(records | {"metrics": metrics})
