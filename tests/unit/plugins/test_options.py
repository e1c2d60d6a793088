"""The list of the training's options: what programs, variables and files are made of it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.edgefl.kubeedge.plugins.filter.training import FilterModule
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import preflight as check
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _options
from edgefl.common import settings

DEFAULTS = {option.variable: option.variable_default for option in _options.options() if option.variable}


def test_the_defaults_are_what_the_programs_take() -> None:
    """What the roles write without any variable set, and what the programs read."""
    values = _options.values(DEFAULTS, 3)
    aggregator = settings.aggregator(
        _options.arguments(values, "aggregator", {"run": "first", "server_address": "0.0.0.0:8888"})
    )
    assert (aggregator.rounds, aggregator.min_nodes, aggregator.min_num_clients, aggregator.min_sample_size) == (
        5,
        3,
        3,
        2,
    )
    assert aggregator.run == "first" and aggregator.strategy_options == {}
    client = settings.client(
        _options.arguments(values, "client", {"server_address": "cloud:8888", "partition": 5, "clients": 9})
    )
    assert (client.batch_size, client.epochs, client.partition, client.clients) == (32, 1, 5, 9)


def test_counted_values_give_way_to_given_ones() -> None:
    assert _options.values({"edgefl_min_nodes": 1, "edgefl_min_num_clients": None}, 4) == {
        "edgefl_min_nodes": 1,
        "edgefl_min_num_clients": 4,
    }
    assert _options.values({"edgefl_min_sample_size": None}, 1) == {"edgefl_min_sample_size": 1}


@pytest.mark.parametrize("value", [0.5, "0.5", "5e-1"])
def test_a_number_is_the_same_text_however_it_is_written(value: Any) -> None:
    assert _options.arguments({"edgefl_sample_fraction": value}, "aggregator", {}) == ["--sample_fraction=0.5"]


def test_mappings_are_one_argument_an_entry() -> None:
    given = {"edgefl_strategy": "FedAdam", "edgefl_strategy_options": {"tau": "1e-3", "eta": 0.01}}
    filled = {"client_settings": {"edge2": "b", "edge1": "a"}}
    found = _options.arguments(given, "aggregator", filled)
    assert found == [
        "--strategy=FedAdam",
        "--strategy_options=eta=0.01",
        "--strategy_options=tau=0.001",
        "--client_settings=edge1=a",
        "--client_settings=edge2=b",
    ]
    assert settings.aggregator(found).strategy_options == {"eta": 0.01, "tau": 0.001}


def test_only_what_shapes_the_training() -> None:
    given = {"edgefl_rounds": 7}
    filled = {"run": "x", "server_address": "0.0.0.0:1", "state_dir": "/state"}
    assert _options.arguments(given, "aggregator", filled, shaping=True) == ["--rounds=7"]


@pytest.mark.parametrize(
    ("given", "filled", "text"),
    [
        ({"edgefl_rounds": "five"}, {}, "edgefl_rounds is 'five', which is no int"),
        ({"edgefl_strategy_options": "eta=1"}, {}, "edgefl_strategy_options is 'eta=1', which is no dict"),
        ({}, {"epochs": 1}, "the aggregator has no option epochs"),
    ],
)
def test_what_can_be_no_argument_is_refused(given: dict[str, Any], filled: dict[str, Any], text: str) -> None:
    with pytest.raises(EdgeflError, match=text):
        _options.arguments(given, "aggregator", filled)


def test_filters() -> None:
    filters = FilterModule().filters()
    options = filters["training_options"]("client")
    assert {option["variable"] for option in options if option["per_host"]} == {
        "edgefl_epochs",
        "edgefl_batch_size",
        "edgefl_threads",
    }
    assert filters["training_values"]({"edgefl_min_nodes": None}, 2) == {"edgefl_min_nodes": 2}
    assert filters["training_arguments"]({"edgefl_rounds": 1}, "aggregator") == ["--rounds=1"]
    with pytest.raises(AnsibleFilterError, match="there is no program"):
        filters["training_options"]("server")


# What preflight says of their values -----------------------------------------------------------------------------------

OPTIONS = [option.described() for option in _options.options() if option.variable]


def test_the_defaults_of_the_training_have_no_problems() -> None:
    assert check.training(DEFAULTS, OPTIONS) == []
    edges = [check.Edge(name, name, f"app-client-{name}", 0, 10) for name in ("edge1", "edge2")]
    assert check.quorum(_options.values(DEFAULTS, 2), edges) == []


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("edgefl_rounds", 0, "edgefl_rounds is 0: use a whole number, 1 or more."),
        ("edgefl_rounds", "five", "edgefl_rounds is 'five': use a whole number, 1 or more."),
        ("edgefl_rounds", 1.5, "use a whole number"),
        ("edgefl_rounds", True, "use a whole number"),
        ("edgefl_rounds", 2**31, "use a whole number"),
        ("edgefl_loops", -1, "use a whole number, 1 or more."),
        ("edgefl_sample_fraction", 50, "edgefl_sample_fraction is 50: use a number from 0 to 1."),
        ("edgefl_sample_fraction", "nan", "use a number from 0 to 1."),
        ("edgefl_min_round_samples", -0.1, "use a number from 0 to 1."),
        ("edgefl_batch_size", 0, "edgefl_batch_size is 0: use a whole number, 1 or more."),
        ("edgefl_epochs", 0, "edgefl_epochs is 0: use a whole number, 1 or more."),
        ("edgefl_round_timeout", 0, "use a number of seconds from 1 to 10000000."),
        ("edgefl_seed", -1, "use a whole number, 0 or more."),
        ("edgefl_selection", "nodes", "edgefl_selection is 'nodes': use node or pod. Did you mean node?"),
        ("edgefl_strategy", "FedAdm", "Did you mean FedAdam?"),
        ("edgefl_strategy_options", "eta=1", "use names and numbers, such as {proximal_mu: 0.1}."),
        ("edgefl_strategy_options", {"eta": "much"}, "edgefl_strategy_options has eta: 'much': use names and numbers"),
        ("edgefl_strategy_options", {"no name": 1}, "has no name: 1"),
        ("edgefl_strategy_options", {"eta": "inf"}, "has eta: 'inf'"),
    ],
)
def test_values_that_the_programs_would_refuse(variable: str, value: Any, words: str) -> None:
    (problem,) = check.training({variable: value}, OPTIONS)
    assert variable in problem and words in problem


def test_numbers_as_text_are_numbers() -> None:
    assert (
        check.training(
            {"edgefl_rounds": "5", "edgefl_sample_fraction": "0.5", "edgefl_strategy_options": {"eta": "0.1"}}, OPTIONS
        )
        == []
    )


def test_named_values_are_as_toml_has_them() -> None:
    given = {"edgefl_app_config": {"lr": 1.0, "name": 'a "b"\\', "on": True, "rounds": 3}}
    assert _options.arguments(given, "aggregator", {}) == [
        "--app_config=lr=1.0",
        '--app_config=name="a \\"b\\"\\\\"',
        "--app_config=on=true",
        "--app_config=rounds=3",
    ]
