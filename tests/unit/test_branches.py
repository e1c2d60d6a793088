"""The gate of the branches that tests take."""

from __future__ import annotations

from typing import Any

from support import branches


def figures(covered: int, there: int) -> dict[str, Any]:
    return {"summary": {"covered_branches": covered, "num_branches": there}}


def test_each_folder_has_to_reach_its_floor() -> None:
    files = {
        "one/a.py": figures(8999, 9999),
        "one/b.py": figures(0, 1),
        "two/a.py": figures(9, 10),
        "onetwo.py": figures(0, 9),
    }
    lines, reached = branches.told(files, {"one": 90, "two": 90})
    assert not reached
    assert lines == [
        "one: 89.9 % of 10000 branches, at least 90 %",
        "  one/a.py: 1000 of 9999 are not taken",
        "  one/b.py: 1 of 1 are not taken",
        "two: 90.0 % of 10 branches, at least 90 %",
    ]
    assert branches.told(files, {"two": 90})[1]


def test_what_nobody_measured_is_not_reached() -> None:
    assert branches.told({}, {"one": 90}) == (["one: 0.0 % of 0 branches, at least 90 %"], False)
