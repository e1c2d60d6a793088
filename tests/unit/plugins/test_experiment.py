"""The runs of an experiment: which, in which order, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _experiment, _options
from support.helpers import load_yaml

# Variables of the role edgefl, beside the training's options, that a run takes when its workloads are deployed: a setting may have them
OF_A_RUN = {
    "edgefl_aggregator_data",
    "edgefl_aggregator_resources",
    "edgefl_autoscale",
    "edgefl_client_resources",
    "edgefl_data",
    "edgefl_host_network",
    "edgefl_kind",
    "edgefl_network_policy",
    "edgefl_node_config",
    "edgefl_replicas",
    "edgefl_samples",
    "edgefl_server_port",
    "edgefl_service_port",
    "edgefl_status_port",
    "edgefl_telemetry_after",
    "edgefl_telemetry_interval",
    "edgefl_tls",
}
KNOWN = ["edgefl_replicas", "edgefl_rounds"]
FIXED = ["edgefl_run"]


def setting(name: str, **variables: Any) -> dict[str, Any]:
    return {"name": name, "variables": variables}


def about(*settings: dict[str, Any], pods: str = "warm", **common: Any) -> dict[str, Any]:
    return {"name": "x", "pods": pods, "settings": list(settings), "common": {"cloud": common}}


@given(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), st.integers(1, 5))
def test_settings_take_turns(names: list[str], loops: int) -> None:
    runs = _experiment.plan("x", [setting(name) for name in names], loops, Path("/nowhere"))
    assert [run["setting"] for run in runs] == names * loops
    assert [run["loop"] for run in runs] == [loop for loop in range(1, loops + 1) for _dummy in names]
    assert len({run["run"] for run in runs}) == len(runs)
    assert not any(run["done"] for run in runs)


def test_only_runs_that_ended_well_are_done(tmp_path: Path) -> None:
    for loop, state in ((1, "done"), (2, "failed")):
        folder = tmp_path / f"experiment-x-a-{loop}"
        folder.mkdir()
        (folder / "summary.json").write_text(json.dumps({"state": state}))
    runs = _experiment.plan("x", [setting("a")], 3, tmp_path)
    assert [run["done"] for run in runs] == [True, False, False]
    (tmp_path / "experiment-x-a-3").mkdir()
    (tmp_path / "experiment-x-a-3/summary.json").write_text("{")
    with pytest.raises(EdgeflError, match="remove its folder"):
        _experiment.plan("x", [setting("a")], 3, tmp_path)


@pytest.mark.parametrize(
    ("name", "settings", "loops", "words"),
    [
        ("x", [], 1, "give at least one setting"),
        ("X y", [setting("a")], 1, "experiment_name is 'X y'"),
        ("x", [setting("a")], 0, "at least 1"),
        ("x", [setting("a"), setting("a")], 1, "Two settings have the name a"),
        ("x", [setting("A/b")], 1, "Setting A/b: use up to 40 small letters"),
        ("x", [setting("a", edgefl_replica=1)], 1, "Did you mean edgefl_replicas?"),
        ("x", [setting("a", edgefl_run="y")], 1, "edgefl_run is the same for all runs"),
    ],
)
def test_what_is_wrong_is_said(name: str, settings: list[dict[str, Any]], loops: int, words: str) -> None:
    assert words in " ".join(_experiment.problems(name, settings, loops, KNOWN, FIXED))


def test_nothing_is_wrong() -> None:
    assert _experiment.problems("x-1", [setting("a", edgefl_replicas=2), setting("b")], 3, KNOWN, FIXED) == []


def test_it_goes_on_with_the_same_values_only(tmp_path: Path) -> None:
    path = tmp_path / "experiment.json"
    first = about(setting("a", edgefl_replicas=1), edgefl_rounds=2)
    assert not _experiment.was_begun(first, path)
    path.write_text(json.dumps(first))
    assert _experiment.was_begun(first, path)
    more = about(setting("b", edgefl_replicas=3), setting("a", edgefl_replicas=1), edgefl_rounds=2)
    assert _experiment.was_begun(more, path)
    for other, words in (
        (about(setting("a", edgefl_replicas=2), edgefl_rounds=2), "setting a"),
        (about(setting("a", edgefl_replicas=1), edgefl_rounds=3), "edgefl_rounds of cloud"),
        (about(setting("a", edgefl_replicas=1)), "edgefl_rounds of cloud"),
        (about(setting("a", edgefl_replicas=1), pods="cold", edgefl_rounds=2), "experiment_pods"),
    ):
        with pytest.raises(EdgeflError, match=words):
            _experiment.was_begun(other, path)


def test_a_setting_that_is_left_out_is_not_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(about(setting("a", edgefl_replicas=1), setting("b"))))
    kept = _experiment.with_earlier_settings(about(setting("c"), setting("b")), path)
    assert [each["name"] for each in kept["settings"]] == ["c", "b", "a"]
    path.write_text(json.dumps(kept))
    with pytest.raises(EdgeflError, match="setting a"):
        _experiment.was_begun(about(setting("a", edgefl_replicas=9)), path)


def test_what_all_runs_have_in_common() -> None:
    variables = {"cloud": {"edgefl_rounds": 9, "other": 1}, "edge1": {"edgefl_slice_start": 0}}
    assert _experiment.common(list(variables), variables, {"edgefl_rounds", "edgefl_slice_start"}) == {
        "cloud": {"edgefl_rounds": 9},
        "edge1": {"edgefl_slice_start": 0},
    }


def test_runs_as_tasks() -> None:
    runs = [
        {"run": f"experiment-x-hpa-{loop}", "setting": "hpa", "loop": loop, "variables": {"edgefl_autoscale": "hpa"}}
        for loop in (1, 2)
    ]
    first, second = _experiment.tasks(runs, "/results", cold=True)
    assert (first["name"], second["name"]) == ("experiment-x-hpa-1 (1 of 2)", "experiment-x-hpa-2 (2 of 2)")
    assert first["vars"] == {
        "edgefl_autoscale": "hpa",
        "__experiment_run": {"setting": "hpa", "loop": 1},
        "edgefl_run": "experiment-x-hpa-1",
        "edgefl_results_dir": "/results",
        "federation_fresh_pods": True,
    }
    assert first["when"] == '"experiment-x-hpa-1" not in __experiment_done'
    assert _experiment.compared(runs, [{"name": "hpa"}, {"name": "none"}]) == [
        {"name": "hpa", "runs": ["experiment-x-hpa-1", "experiment-x-hpa-2"]},
        {"name": "none", "runs": []},
    ]


def test_an_experiment_that_cannot_be_read_needs_another_name(tmp_path: Path) -> None:
    path = tmp_path / "experiment.json"
    assert _experiment.with_earlier_settings(about(setting("a")), path) == about(setting("a"))
    path.write_text("{")
    with pytest.raises(EdgeflError, match="choose another experiment_name"):
        _experiment.was_begun(about(setting("a")), path)


def test_each_variable_is_a_run_s_or_the_same_for_all() -> None:
    given = load_yaml(Path("roles/experiment/vars/main.yml"))
    fixed = [*given["__experiment_prepared"], *given["__experiment_trained"]]
    assert len(fixed) == len(set(fixed))
    ours = {name for name in fixed if name.startswith("edgefl_")}
    options = {option.variable for option in _options.options() if option.variable}
    assert set(load_yaml(Path("roles/edgefl/defaults/main.yml"))) - options == (ours - options) ^ OF_A_RUN
    # All images have one app
    assert ours & options == {"edgefl_app"}
