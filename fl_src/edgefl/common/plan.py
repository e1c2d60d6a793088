"""Who trains on which samples in a round. Pure functions: nothing here knows of Flower, TensorFlow or the network.

Two ways are offered. By node (the default): nodes are chosen, and the slice of a chosen node is divided among the pods
that live on it, so that more replicas share the work. By pod: pods are chosen at random whatever node they are on, and
each trains on its node's whole slice; that is how a plain FedAvg server samples (McMahan et al. 2017, arXiv:1602.05629,
algorithm 1: a random set of max(C*K, 1) clients), and it may leave a node out and train another one's data twice.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Member:
    """A pod that is connected and has said who it is.

    `id` names the connection, `instance` the process: a pod that comes back after a cut has a new id and the same
    instance. `start` and `stop` bound the slice of its node, stop excluded, in samples of the training set; of a region,
    which is an aggregator with clients of its own, they tell how many samples all of these have together.
    """

    node: str
    pod: str
    instance: str
    id: str
    start: int
    stop: int
    app: str
    region: bool = False


@dataclass(frozen=True)
class Task:
    """The samples `start` to `stop` (excluded) for one pod: part `index` (from 0) of `count` of its node's slice."""

    member: Member
    index: int
    count: int
    start: int
    stop: int

    @property
    def samples(self) -> int:
        return self.stop - self.start

    @property
    def shard(self) -> str:
        """For people: "1/2" is the first of two parts."""
        return f"{self.index + 1}/{self.count}"


def part(start: int, stop: int, index: int, count: int) -> tuple[int, int]:
    """The `index`-th (from 0) of `count` disjoint parts of range(start, stop); sizes differ by at most one.

    >>> [part(0, 10, i, 3) for i in range(3)]
    [(0, 3), (3, 6), (6, 10)]
    """
    size = stop - start
    return start + size * index // count, start + size * (index + 1) // count


def sample_size(available: int, fraction: float, minimum: int) -> int:
    """How many of `available` nodes (or pods) a round takes: the fraction, rounded down, but `minimum` at least.

    May exceed `available`: then there are too few, and the round has to wait.
    """
    return max(int(available * fraction), minimum)


def nodes_of(members: Iterable[Member]) -> dict[str, list[Member]]:
    """Members by node, both sorted, so that the same members always give the same plan."""
    nodes: dict[str, list[Member]] = defaultdict(list)
    for member in sorted(members):
        nodes[member.node].append(member)
    return dict(nodes)


def split(members: Sequence[Member]) -> list[Task]:
    """Divide the slices of one node among its pods.

    Pods of one node normally have one slice. While a rollout moves it, some have the old and some the new one: each
    of the two is divided among the pods that have it, so that no sample of either is lost. Pods of a region have clients
    of their own each, and nothing is divided. A pod for which no sample
    is left (more pods than samples) gets no task.
    """
    slices: dict[tuple[int, int, str], list[Member]] = defaultdict(list)
    for member in sorted(members):
        slices[member.start, member.stop, member.id if member.region else ""].append(member)
    tasks = []
    for (start, stop, _own), pods in sorted(slices.items()):
        count = min(len(pods), stop - start)
        for index in range(count):
            tasks.append(Task(pods[index], index, count, *part(start, stop, index, count)))
    return tasks


def by_node(members: Iterable[Member], fraction: float, minimum: int, rng: random.Random) -> list[Task]:
    """Choose nodes, divide the slice of each among its pods. Empty when fewer than `minimum` nodes are there."""
    nodes = nodes_of(members)
    size = sample_size(len(nodes), fraction, minimum)
    if not nodes or size > len(nodes):
        return []
    return [task for node in sorted(rng.sample(list(nodes), size)) for task in split(nodes[node])]


def by_pod(members: Iterable[Member], fraction: float, minimum: int, rng: random.Random) -> list[Task]:
    """Choose pods, each with the whole slice of its node. Empty when fewer than `minimum` pods are there."""
    pods = sorted(members)
    size = sample_size(len(pods), fraction, minimum)
    if not pods or size > len(pods):
        return []
    return [Task(member, 0, 1, member.start, member.stop) for member in sorted(rng.sample(pods, size))]


def shares(members: Iterable[Member], start: int, stop: int) -> list[Task]:
    """Divide samples `start` to `stop` of the test set among the members; for apps that are evaluated by the clients."""
    pods = sorted(members)
    count = min(len(pods), stop - start)
    return [Task(pods[index], index, count, *part(start, stop, index, count)) for index in range(count)]
