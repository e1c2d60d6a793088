"""Faults at random, one upon the other, while the lab trains: the right number of rounds, and no hand needed."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from e2e.faults.inflict import inflict, wait_until_whole
from e2e.faults.table import STORM, Fault
from e2e.faults.training import ROUNDS, Row, Training, hole, lost, pauses
from support.running_lab import Lab

# A client that was killed often is started again after 5 minutes at most
LAST = 360
# Trainings in a minute at most, on an idle machine: enough for a storm of any length
A_MINUTE = 2


@pytest.mark.long
def test_storm(lab: Lab, rows: list[Row], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    minutes, seed = request.config.getoption("minutes"), request.config.getoption("seed")
    dice, came = random.Random(seed), Counter[str]()
    lab.other_training.set()
    training = Training.begin(f"storm-{seed}", tmp_path, loops=round(A_MINUTE * minutes) + 2)
    try:
        training.measure_undisturbed()
        begin = time.time()
        while time.time() < begin + 60 * minutes and training.play.poll() is None:
            fault = dice.choice(STORM)
            try:
                inflict(fault, training)
                came[fault.name] += 1
            except AssertionError as error:
                # What it should hit lies down already
                came["found nothing to hit"] += 1
                lab.show(f"  {error}")
            lab.show(f"  {time.time() - begin:6.0f} s  {fault.name}; training {training.place()}")
            time.sleep(dice.uniform(5, 25))
        end = time.time()
        whole = wait_until_whole(Fault("storm", "cloud", "", limit=LAST), set(), end)
        assert training.wait() == 0, training.log.read_text()
        lines = training.of(1, training.loops)
        proof = training.prove(1, training.loops)
        after = next((line["time"] for line in lines if line["time"] > end and not line["lost"]), end) - end
        shown = ", ".join(f"{name} {count}x" for name, count in came.most_common())
        rows.append(
            Row(
                f"storm of {(end - begin) / 60:.0f} min, seed {seed}: {shown}",
                lost(lines),
                after,
                max(pauses(lines)),
                whole,
                proof,
            )
        )
        assert len(lines) == training.loops * ROUNDS
        seconds, _at = hole(training)
        lab.show(f"  longest time without a figure of CPU and memory: {seconds:.0f} s")
    finally:
        training.end()
