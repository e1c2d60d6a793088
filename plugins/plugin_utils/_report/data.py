# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what a report is made of. docs/report.md describes every field for those who write them.

Times are seconds since 1970 UTC, CPU is in cores, memory in bytes. What a report has no data for, it leaves out.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.events import Event

TELEMETRY, DETAILS = "telemetry.jsonl", "details.json"

T = TypeVar("T")


@dataclass(frozen=True)
class NodeUse:
    """What a node used at a time (kind C(node))."""

    time: float
    node: str
    cpu_cores: float
    memory_bytes: float


@dataclass(frozen=True)
class PodUse:
    """What a pod used at a time (kind C(pod))."""

    time: float
    node: str
    pod: str
    cpu_cores: float
    memory_bytes: float


@dataclass(frozen=True)
class Replicas:
    """How many pods a node's workload was to have, and how many were ready (kind C(replicas))."""

    time: float
    node: str
    wanted: int
    ready: int


@dataclass(frozen=True)
class Hpa:
    """What a HorizontalPodAutoscaler saw and wanted (kind C(hpa)); use and target in percent of the pods' requests."""

    time: float
    node: str
    metric: str
    target_percent: float
    current: int
    desired: int
    use_percent: float | None = None


@dataclass(frozen=True)
class ClusterEvent:
    """Something that happened to a pod or a node, such as a restart (kind C(event))."""

    time: float
    node: str
    reason: str
    pod: str = ""
    text: str = ""


KINDS: dict[str, type] = {"node": NodeUse, "pod": PodUse, "replicas": Replicas, "hpa": Hpa, "event": ClusterEvent}


@dataclass(frozen=True)
class Limits:
    """Requests and limits of a pod; None where it has none."""

    node: str
    pod: str
    cpu_request: float | None = None
    cpu_limit: float | None = None
    memory_request: float | None = None
    memory_limit: float | None = None


@dataclass(frozen=True)
class Capacity:
    """What a node can give to pods (its allocatable)."""

    node: str
    cpu_cores: float
    memory_bytes: float


@dataclass(frozen=True)
class Shipment:
    """An image on its way to a node: bytes that went over the wire, those that other edges of the site gave, and those that did not have to be sent."""

    node: str
    image: str
    reason: str
    sent: float
    relayed: float
    saved: float
    seconds: float


@dataclass(frozen=True)
class Scaling:
    """A decision of an autoscaler, explained in a sentence."""

    time: float
    node: str
    text: str


@dataclass(frozen=True)
class RegionEdge:
    """An edge in a region, whose aggregator is on C(node)."""

    region: str
    node: str
    edge: str


@dataclass(frozen=True)
class Listing:
    """What a command printed."""

    title: str
    command: str
    text: str


@dataclass(frozen=True)
class Details:
    """What is known of a run apart from its rounds and telemetry."""

    limits: list[Limits] = field(default_factory=list)
    capacity: list[Capacity] = field(default_factory=list)
    shipping: list[Shipment] = field(default_factory=list)
    scalings: list[Scaling] = field(default_factory=list)
    regions: list[RegionEdge] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    versions: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)


LISTS: dict[str, type] = {
    "limits": Limits,
    "capacity": Capacity,
    "shipping": Shipment,
    "scalings": Scaling,
    "regions": RegionEdge,
    "listings": Listing,
}


@dataclass(frozen=True)
class Run:
    """A training: its name, the lines of rounds.jsonl, telemetry in the order of its time, and the rest."""

    name: str
    events: list[Event]
    telemetry: list[Any] = field(default_factory=list)
    details: Details = field(default_factory=Details)

    def records(self, kind: type[T]) -> list[T]:
        """The records of a kind."""
        return [record for record in self.telemetry if isinstance(record, kind)]


@dataclass(frozen=True)
class Setting:
    """One of the settings that are compared, and its runs."""

    name: str
    runs: list[Run]


def _entry(kind: type[T], given: Any, where: str) -> T:
    """A dataclass from a mapping; fields that it does not know are left alone."""
    if not isinstance(given, Mapping):
        raise EdgeflError(f"{where} is {given!r}, and is to be a mapping (docs/report.md).")
    values = {}
    for each in dataclasses.fields(kind):  # type: ignore[arg-type]
        value = given.get(each.name)
        if value is None:
            if each.default is dataclasses.MISSING:
                raise EdgeflError(f"{where} has no {each.name!r} (docs/report.md).")
            continue
        word = str(each.type).split(" ", maxsplit=1)[0]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if (word == "str") != isinstance(value, str) or (word != "str" and not number):
            raise EdgeflError(
                f"{each.name!r} of {where} is {value!r}, and is to be {'a text' if word == 'str' else 'a number'}."
            )
        values[each.name] = int(value) if word == "int" else value
    return kind(**values)


def parse_telemetry(given: Iterable[Any]) -> list[Any]:
    """The records as objects, in the order of their time. Raises EdgeflError for one of an unknown kind or without a field."""
    found: list[Any] = []
    for number, entry in enumerate(given, 1):
        where = f"record {number}"
        kind = entry.get("kind") if isinstance(entry, Mapping) else None
        if kind not in KINDS:
            raise EdgeflError(f"{where} is of the kind {kind!r}; known are {', '.join(KINDS)} (docs/report.md).")
        found.append(_entry(KINDS[kind], entry, where))
    return sorted(found, key=lambda record: record.time)


def parse_details(given: Mapping[str, Any]) -> Details:
    """The details as objects. Raises EdgeflError for an unknown or incomplete one."""
    known = [each.name for each in dataclasses.fields(Details)]
    if unknown := sorted(set(given) - set(known)):
        raise EdgeflError(f"details has {', '.join(unknown)}; known are {', '.join(known)} (docs/report.md).")
    values: dict[str, Any] = {}
    for name, value in given.items():
        if not isinstance(value, list if name in LISTS else Mapping):
            raise EdgeflError(f"details.{name} is to be a {'list' if name in LISTS else 'mapping'} (docs/report.md).")
        if name in LISTS:
            values[name] = [
                _entry(LISTS[name], entry, f"details.{name}[{number}]") for number, entry in enumerate(value)
            ]
        else:
            values[name] = dict(value)
    return Details(**values)


def dump_telemetry(given: Iterable[Mapping[str, Any]]) -> bytes:
    """The content of telemetry.jsonl."""
    return "".join(json.dumps(entry, separators=(",", ":"), allow_nan=False) + "\n" for entry in given).encode()
