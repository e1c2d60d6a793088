"""Whether those who are connected may have a part in the run, and whether they are enough; what is missing is said."""

from __future__ import annotations

import time

from edgefl.aggregator.status import Status
from edgefl.common import plan
from edgefl.common.journal import printable, say
from edgefl.common.plan import Member
from edgefl.common.settings import AggregatorSettings
from edgefl.link.protocol import Link

REPORT_EVERY = 10.0
"""Seconds between two messages of the same kind."""
KINDS_REMEMBERED = 1000
"""Beyond it all are forgotten: clients that come and go must not fill the memory."""


class Roster:
    """Of an aggregator with these settings that trains the app of this name."""

    def __init__(self, settings: AggregatorSettings, app: str, status: Status) -> None:
        self._settings, self._app, self._status = settings, app, status
        self._reported: dict[str, float] = {}

    def wait(self, link: Link) -> list[Member]:
        """Members, as soon as there are enough; says what is missing every ten seconds."""
        while True:
            members = self.fitting(link.members())
            missing = self.missing(members)
            self._status.update(waiting_for=missing or None)
            if not missing:
                return members
            if self._status.state == "training":
                self._status.update(state="waiting")
            self._report(
                "wait",
                f"waiting for {missing}; connected: {', '.join(sorted(f'{m.node}/{m.pod}' for m in members)) or 'none'}",
            )
            link.wait(lambda found: not self.missing(self.fitting(found)), REPORT_EVERY)

    def fitting(self, members: list[Member]) -> list[Member]:
        """Members that have the run's app and their node's slice; others (an image not yet replaced, say) are named and left out."""
        fitting = []
        for member in members:
            flaw = self._misfit(member)
            if flaw:
                self._report(member.instance, f"{member.node}/{member.pod} {flaw}")
            else:
                fitting.append(member)
        return fitting

    def _misfit(self, member: Member) -> str:
        """Why a member has no part in the run; empty when it has."""
        s = self._settings
        if member.app != self._app:
            return f"has app {member.app}, not {self._app}: left out; give it the same --app"
        own, wanted = f"{member.start}:{member.stop}", s.client_slices.get(member.node, "none")
        if s.client_slices and own != wanted and not (member.region and _is_within(member.stop, wanted)):
            return f"says that it has samples {own}, its node's slice is {wanted} (--client_slices): left out; replace its pod"
        return ""

    def missing(self, members: list[Member]) -> str:
        """What there is too little of, in words; empty when a round can begin."""
        s = self._settings
        nodes = len({member.node for member in members})
        have, needed = self._sample(members)
        unit = "nodes" if s.selection == "node" else "clients"
        lacks = []
        if len(members) < s.min_num_clients:
            lacks.append(f"{s.min_num_clients} clients (--min_num_clients; {len(members)} there)")
        if nodes < s.min_nodes:
            lacks.append(f"{s.min_nodes} nodes (--min_nodes; {nodes} there)")
        if have < needed:
            lacks.append(f"{needed} {unit} (--min_sample_size; {have} there)")
        return " and ".join(lacks)

    def suffice(self, members: list[Member]) -> bool:
        """Whether a round can be done with these alone."""
        have, needed = self._sample(members)
        return have >= needed

    def _sample(self, members: list[Member]) -> tuple[int, int]:
        """How many there are to choose from, nodes or pods, and how many a round takes."""
        s = self._settings
        have = len({member.node for member in members}) if s.selection == "node" else len(members)
        return have, plan.sample_size(have, s.sample_fraction, s.min_sample_size)

    def _report(self, kind: str, text: str) -> None:
        now = time.monotonic()
        if now - self._reported.get(kind, -REPORT_EVERY) >= REPORT_EVERY:
            if len(self._reported) >= KINDS_REMEMBERED:
                self._reported.clear()
            self._reported[kind] = now
            say(printable(text))


def _is_within(samples: int, wanted: str) -> bool:
    """Whether a region, of whose clients some may be away, has no more samples than its slice."""
    start, _dummy, stop = wanted.partition(":")
    return start == "0" and stop.isdecimal() and samples <= int(stop)
