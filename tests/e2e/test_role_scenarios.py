"""Molecule's scenarios of the roles that need a cluster, on the lab (`make test-long`); tests/molecule has those of bare machines."""

from __future__ import annotations

import pytest

from support import scenarios
from support.helpers import ROOT
from support.running_lab import Lab

pytestmark = [pytest.mark.usefixtures("other_training"), pytest.mark.long]
# Says nothing in check mode: what it would write is only known when the training has ended, which check mode does not wait for
SILENT = {"results", "results_alternative"}


@pytest.mark.parametrize("scenario", scenarios.ON_THE_LAB)
def test_scenario(scenario: str, lab: Lab) -> None:
    before = sorted((ROOT / "results").iterdir())
    seconds = scenarios.play(scenario, lab.show, silent=scenario in SILENT).seconds
    lab.show(f"  {scenario}: {seconds:.0f} s")
    assert sorted((ROOT / "results").iterdir()) == before, "the scenario wrote among the results of the checkout"
