"""Who answers an aggregator's messages: one after the other, and once, however often the connection is lost."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from typing import Any

from edgefl.common.journal import say
from edgefl.common.settings import Tls
from edgefl.link import flower
from edgefl.link.connection import Connection

Reply = tuple[dict[str, Any], bytes, flower.Pieces]


class Answering(ABC):
    """One pod: the message that it is at work on, and its last answer, which it may have to give again. `who` is what it says of itself beside `about`."""

    def __init__(self, address: str, tls: Tls | None, who: dict[str, str]) -> None:
        self._who = who | {"instance": uuid.uuid4().hex}
        self._busy = ""
        self._last: tuple[str, Reply] | None = None
        self._connection = Connection(address, tls, self)

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What the aggregator is told beside names."""

    @abstractmethod
    def answer(self, note: dict[str, Any], head: bytes, body: bytes) -> Reply:
        """The answer to a message, whatever it is."""

    # -- called by the connection -----------------------------------------------------------------------------------

    def greeting(self) -> dict[str, Any]:
        about = self.about()  # it may wait, and what is held is what is held then
        holds = [key for key in (self._busy, self._last[0] if self._last else "") if key]
        return self._who | {"about": about, "holds": holds}

    def welcomed(self, welcome: dict[str, Any]) -> None:
        last = self._last
        if last and last[0] in welcome["wanted"]:  # the connection was lost before the aggregator had it
            self._connection.send(*last[1])

    @abstractmethod
    def refused(self, app: str) -> None: ...

    @abstractmethod
    def over(self) -> None: ...

    @abstractmethod
    def left(self) -> None: ...

    # -- the work ----------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Answer messages for ever, in the thread that calls this: apps expect it to be the main one."""
        while True:
            note, head, body = self._connection.inbox.get()
            key = str(note["key"])
            if self._last and self._last[0] == key:  # asked again, for the answer was lost on its way
                self._connection.send(*self._last[1])
                continue
            if note["end"] <= time.monotonic():  # it came while we were at work on another
                say("a message is left out: nobody waits for its answer any more")
                continue
            self._busy = key
            answer = self.answer(note, head, body)
            self._last, self._busy = (key, answer), ""
            self._connection.send(*answer)
            del body, answer
