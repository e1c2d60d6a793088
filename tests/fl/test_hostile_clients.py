"""What one edge that was taken over can do with what it sends: real processes, the others are honest."""

from __future__ import annotations

import math
import os

import pytest

from support.processes import Federation, Program, until


def hostile(federation: Federation, deed: str, start: int = 0, stop: int = 500, node: str = "edge1") -> Program:
    return federation.client(node, start, stop, module="support.hostile_client", HOSTILE=deed, LIGHT_CLIENT_FIT="0")


def honest(federation: Federation, count: int) -> None:
    for number in range(count):
        federation.light_client(f"edge{number + 2}", 12_000 + 1_000 * number, 13_000 + 1_000 * number)


def test_what_it_says_of_its_error_stays_small_and_printable(federation: Federation) -> None:
    aggregator = federation.aggregator("--rounds=2", "--min_round_samples=0.3", "--min_num_clients=3")
    hostile(federation, "reason")
    honest(federation, 2)
    federation.event(aggregator, "done")
    (lost,) = federation.event(aggregator, "round", 1)["lost"]
    assert lost["node"] == "edge1" and lost["reason"].isprintable() and len(lost["reason"]) <= 500
    harmless(aggregator)


def test_what_it_says_of_itself_stays_small_and_printable(federation: Federation) -> None:
    aggregator = federation.aggregator("--rounds=2", "--min_num_clients=2")
    hostile(federation, "greeting")
    until(lambda: aggregator.told("refused: edge1/"), "the refusal")
    honest(federation, 2)
    federation.event(aggregator, "done")
    harmless(aggregator)


def harmless(aggregator: Program) -> None:
    """Nothing that a client said is a row of the log by itself, moves a terminal's cursor, or takes much room."""
    rows = aggregator.err.read_text().split(os.linesep)
    assert all(row.isprintable() and len(row) <= 600 for row in rows)
    assert sum("run default is done" in row and "; another --run" in row for row in rows) == 1
    assert not any(row.startswith("12:00:00 run default is done x") for row in rows)


def test_weights_times_minus_20(federation: Federation) -> None:
    aggregator = federation.aggregator("--rounds=3", "--min_num_clients=4")
    hostile(federation, "turned", 0, 1_000)
    honest(federation, 3)
    line = federation.event(aggregator, "round", 3)
    assert [one["node"] for one in line["lost"]] == ["edge1"] and "--norm_bound=10" in line["lost"][0]["reason"]
    print(f"accuracy {line['accuracy']}")
    assert line["accuracy"] > 0.5


NOTHING_TO_CALCULATE_WITH = {
    "complex": "sent weights of type complex128",
    "times": "sent weights of type timedelta64[s]",
    "huge": "sent weights of",
    "figures": "sent a figure that is no finite number",
}


def test_answers_that_nothing_can_be_calculated_with(federation: Federation) -> None:
    """Each is lost, and the run goes on with the others'."""
    count = 2 + len(NOTHING_TO_CALCULATE_WITH)
    aggregator = federation.aggregator("--rounds=2", "--min_round_samples=0.3", f"--min_num_clients={count}")
    for number, deed in enumerate(NOTHING_TO_CALCULATE_WITH):
        hostile(federation, deed, 500 * number, 500 * (number + 1), node=deed)
    honest(federation, 2)
    federation.event(aggregator, "done")
    for number in (1, 2):
        line = federation.event(aggregator, "round", number)
        reasons = {one["node"]: one["reason"] for one in line["lost"]}
        assert reasons.keys() == NOTHING_TO_CALCULATE_WITH.keys()
        assert [deed for deed, reason in NOTHING_TO_CALCULATE_WITH.items() if reason not in reasons[deed]] == [], line
        assert {one["node"] for one in line["clients"]} == {"edge2", "edge3"}
        assert math.isfinite(line["loss"])


def test_samples_that_its_node_does_not_have(federation: Federation) -> None:
    """They would outweigh all others'."""
    slices = ("edge1=0:500", "edge2=12000:13000", "edge3=13000:14000")
    given = [f"--client_slices={one}" for one in slices]
    aggregator = federation.aggregator("--rounds=2", "--min_num_clients=2", *given)
    hostile(federation, "samples")
    until(lambda: aggregator.told("edge1"), "the hostile client")
    honest(federation, 2)
    federation.event(aggregator, "done")
    assert aggregator.told("says that it has samples 0:1000000000000000, its node's slice is 0:500")
    line = federation.event(aggregator, "round", 2)
    assert {one["node"]: one["examples"] for one in line["clients"]} == {"edge2": 1_000, "edge3": 1_000}


@pytest.mark.parametrize("others", [2, 1])
def test_weights_of_nan_with_most_of_the_samples(federation: Federation, others: int) -> None:
    """Two others go on without it; one alone is too few, and the run ends with the reason."""
    aggregator = federation.aggregator("--rounds=2", f"--min_num_clients={others + 1}")
    hostile(federation, "nan", 0, 3_000)
    honest(federation, others)
    if others == 2:
        line = federation.event(aggregator, "round", 2)
        assert [one["node"] for one in line["lost"]] == ["edge1"] and line["lost"][0]["reason"].startswith("set aside")
        assert {one["node"] for one in line["clients"]} == {"edge2", "edge3"}
    else:
        failed = federation.event(aggregator, "failed")
        assert "of edge1 can't be used" in failed["reason"] and "not finite" in failed["reason"]
        assert len(failed["reason"]) <= 500 and aggregator.process.wait(10) == 1
