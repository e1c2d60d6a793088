"""Properties of the plan: whatever comes and goes, each sample of a chosen node is trained on exactly once."""

from __future__ import annotations

import itertools
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from edgefl.common import plan
from edgefl.common.plan import Member

SLICES = {"edge1": (0, 10_000), "edge2": (10_000, 30_000), "edge3": (30_000, 30_007), "edge4": (40_000, 40_001)}


def member(node: str, number: int, slice_: tuple[int, int] | None = None) -> Member:
    start, stop = slice_ or SLICES[node]
    return Member(node, f"{node}-{number}", f"process{number}", f"{node}{number}", start, stop, "fashion_mnist")


@st.composite
def clusters(draw: st.DrawFn) -> list[Member]:
    """Any number of pods on any of the nodes, in any order."""
    found = [member(node, number) for node in SLICES for number in range(draw(st.integers(0, 12)))]
    return draw(st.permutations(found))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 300))
def test_parts_are_disjoint_complete_and_balanced(start: int, size: int, count: int) -> None:
    parts = [plan.part(start, start + size, index, count) for index in range(count)]
    assert parts[0][0] == start and parts[-1][1] == start + size
    assert all(before[1] == after[0] for before, after in itertools.pairwise(parts))
    sizes = {stop - begin for begin, stop in parts}
    assert max(sizes) - min(sizes) <= 1


@given(clusters(), st.floats(0, 1), st.integers(1, 4), st.integers())
def test_by_node_covers_each_chosen_node_once(members: list[Member], fraction: float, minimum: int, seed: int) -> None:
    tasks = plan.by_node(members, fraction, minimum, random.Random(seed))
    nodes = {one.node for one in members}
    size = plan.sample_size(len(nodes), fraction, minimum)
    if not nodes or size > len(nodes):
        assert tasks == []
        return
    chosen = {task.member.node for task in tasks}
    assert len(chosen) == size
    for node in chosen:
        covered = Counter(
            sample for task in tasks if task.member.node == node for sample in range(task.start, task.stop)
        )
        assert covered == Counter(range(*SLICES[node]))
        sizes = [task.samples for task in tasks if task.member.node == node]
        assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
    assert len({task.member.id for task in tasks}) == len(tasks)


@given(clusters(), st.integers())
def test_the_plan_does_not_depend_on_the_order_of_joining(members: list[Member], seed: int) -> None:
    shuffled = members[:]
    random.Random(seed).shuffle(shuffled)
    assert plan.by_node(members, 1.0, 1, random.Random(1)) == plan.by_node(shuffled, 1.0, 1, random.Random(1))


@given(clusters(), st.sets(st.integers(0, 40)))
def test_after_a_loss_the_rest_takes_over(members: list[Member], gone: set[int]) -> None:
    rest = [one for index, one in enumerate(sorted(members)) if index not in gone]
    tasks = plan.by_node(rest, 1.0, 1, random.Random(1))
    for node in {one.node for one in rest}:
        start, stop = SLICES[node]
        assert sum(task.samples for task in tasks if task.member.node == node) == stop - start


@given(clusters(), st.floats(0, 1), st.integers(1, 6), st.integers())
def test_by_pod_gives_whole_slices_to_that_many_pods(
    members: list[Member], fraction: float, minimum: int, seed: int
) -> None:
    tasks = plan.by_pod(members, fraction, minimum, random.Random(seed))
    size = plan.sample_size(len(members), fraction, minimum)
    assert len(tasks) == (size if members and size <= len(members) else 0)
    assert all((task.start, task.stop) == SLICES[task.member.node] and task.shard == "1/1" for task in tasks)


def test_by_pod_can_leave_a_node_out_and_by_node_never_does() -> None:
    """The first of the how-to's open problems: with three pods on edge2, two of them may be all that is sampled."""
    members = [member("edge1", 0), *(member("edge2", number) for number in range(3))]
    by_pod = [{task.member.node for task in plan.by_pod(members, 0.5, 2, random.Random(seed))} for seed in range(50)]
    by_node = [{task.member.node for task in plan.by_node(members, 0.5, 2, random.Random(seed))} for seed in range(50)]
    assert {"edge2"} in by_pod
    assert all(nodes == {"edge1", "edge2"} for nodes in by_node)


def test_two_slices_of_one_node_are_both_covered() -> None:
    members = [member("edge1", 0), member("edge1", 1, (0, 500)), member("edge1", 2, (0, 500))]
    assert [(task.start, task.stop, task.shard) for task in plan.split(members)] == [
        (0, 250, "1/2"),
        (250, 500, "2/2"),
        (0, 10_000, "1/1"),
    ]


def test_more_pods_than_samples_leaves_pods_without_a_task() -> None:
    tasks = plan.split([member("edge4", number) for number in range(3)])
    assert [(task.start, task.stop, task.shard) for task in tasks] == [(40_000, 40_001, "1/1")]


def test_the_sample_size_is_the_fraction_rounded_down_but_the_minimum_at_least() -> None:
    assert [plan.sample_size(available, 0.5, 2) for available in (1, 2, 5, 10)] == [2, 2, 2, 5]


@given(clusters(), st.integers(1, 20_000))
def test_shares_of_the_test_set_are_complete(members: list[Member], total: int) -> None:
    tasks = plan.shares(members, 0, total)
    assert sum(task.samples for task in tasks) == (total if members else 0)
    assert all(task.samples for task in tasks)
