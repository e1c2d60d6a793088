"""What the programs in benchmarks/ print and write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.table import Bench, grid, number


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.000"), (0.0123, "0.012"), (0.9, "0.900"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_columns_are_in_line() -> None:
    assert grid(["", "a"], [["long", "1"], ["b", "22"]]).splitlines() == [
        "|      |  a |",
        "| ---- | -: |",
        "| long |  1 |",
        "| b    | 22 |",
    ]


def test_medians_ratios_and_goals_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench("Training", None)
    bench.options(["--json", str(tmp_path / "figures.json")])
    for value in (3.0, 1.0, 2.0):
        bench.add("five rounds", "ours", "s", value)
        bench.add("five rounds", "tutorial", "s", 10 * value)
    bench.add("memory", "ours", "MB", 400.0)
    bench.goal("tutorial / ours", bench.ratio("five rounds", "tutorial", "ours"), at_least=5)
    bench.goal("memory", bench.median("memory", "ours"), at_most=300, unit="MB")
    bench.finish()
    said = capsys.readouterr().out
    assert "| five rounds, s | 2.00 (1.00 to 3.00) | 20.0 (10.0 to 30.0) |" in said
    assert "| tutorial / ours |     10.0 |   >= 5.00 | yes |" in said
    assert "|   400 MB | <= 300 MB |  NO |" in said
    kept = json.loads((tmp_path / "figures.json").read_text())
    assert set(kept) == {"machine", "figures", "ratios", "goals"}
    assert kept["figures"]["five rounds"]["ours"] == {"median": 2.0, "values": [3.0, 1.0, 2.0]}
    assert kept["ratios"] == {"five rounds: tutorial / ours": 10.0}
    assert kept["goals"]["memory"] == {"value": 400.0, "goal": 300, "met": False}


def test_one_work_has_one_unit() -> None:
    bench = Bench("Training", None)
    bench.add("five rounds", "ours", "s", 1)
    with pytest.raises(ValueError, match="measured in s, not in ms"):
        bench.add("five rounds", "floor", "ms", 1)
