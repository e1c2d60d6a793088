"""Edges that are out of reach when a training begins: as many as may fail are left out, and the others train."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.faults.training import PREFIX
from support.helpers import run
from support.running_lab import Lab, rounds, values

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("other_training")]
SHORT = values(edgefl_rounds=2)


@pytest.fixture(scope="module")
def dead(lab: Lab) -> Iterator[str]:
    """An edge without power."""
    name = "edge2"
    run("docker", "kill", f"{PREFIX}{name}").ok()
    yield name
    run("docker", "start", f"{PREFIX}{name}").ok()
    run("make", "lab", timeout=600).ok()


def test_none_may_fail_by_default(lab: Lab, dead: str) -> None:
    refused = lab.play("site.yml", SHORT, show=False)
    assert refused.result.code != 0 and refused.sums["changed"] == 0
    assert f"{dead} failed, as told above, of 2 edges and the cloud node" in refused.output
    assert "edgefl_max_failed" in refused.output


def test_a_share_may_fail(lab: Lab, dead: str) -> None:
    """The others train, each with its own slice; the exit code tells of the failed host."""
    done = lab.play("site.yml", SHORT, "-e", "edgefl_max_failed=0.5", show=False)
    assert done.result.code == 2 and done.sums["failed"] == 1, done.result.output
    done_rounds = [line for line in rounds() if line["event"] == "round"]
    assert [[one["node"] for one in line["clients"]] for line in done_rounds] == [["edge1"], ["edge1"]]
    assert {(one["start"], one["stop"]) for line in done_rounds for one in line["clients"]} == {(0, 10000)}
    assert all(line["lost"] == [] for line in done_rounds)


def test_a_region_whose_node_is_dead_is_left_out(lab: Lab, dead: str) -> None:
    """The other region trains, and the play says which is missing."""
    regions = {"north": {"edges": ["edge1"], "node": "edge1"}, "south": {"edges": [dead], "node": dead}}
    given = values(edgefl_rounds=2, edgefl_regions=regions)
    done = lab.play("site.yml", given, "-e", "edgefl_max_failed=0.5", show=False)
    assert done.result.code == 2 and done.sums["failed"] == 1, done.result.output
    assert "south: the node of the region failed, and the training begins without its edges" in done.output
    done_rounds = [line for line in rounds() if line["event"] == "round"]
    assert [[(one["node"], one["parts"]) for one in line["clients"]] for line in done_rounds] == [[("north", 1)]] * 2
