"""What is given is checked on the controller: each case of tests/bad_input alone, the rules themselves, and that every variable has one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible.errors import AnsibleError

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _input, _input_rules, _options
from support.bad_input import CASES, HOSTS, Case
from support.helpers import ROOT, files, load_yaml

# Neither reaches the playbooks that check what is given
OF_THE_LAB = ("lab_artifacts_", "lab_nodes_")


class Templated(dict[str, Any]):
    """A host's variables, of which one is a template that fails."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if isinstance(value, str) and "{{" in value:
            raise AnsibleError(f"{value} is undefined")
        return value


def given(case: Case) -> dict[str, Templated]:
    """The variables of each host, as hostvars has them."""
    plain = {host: {"ansible_host": f"192.0.2.{number}"} for number, host in enumerate(HOSTS)}
    return {host: Templated({**own, **case.hosts.get(host, {}), **case.variables}) for host, own in plain.items()}


def groups(case: Case) -> dict[str, list[str]]:
    return {"all": HOSTS, "ungrouped": [], **case.groups}


def played(case: Case) -> list[str]:
    """What --limit leaves."""
    chosen = {"edge1": ["edge1"], "cloud": ["cloud0"], "edges": ["edge1", "edge2"], "all:!edge2": ["cloud0", "edge1"]}
    return chosen.get(case.limit, HOSTS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_alone(case: Case) -> None:
    """One problem is told, all of which can be shown on a terminal."""
    found = _input.problems(given(case), groups(case), case.purpose, played(case))
    assert len(found) == case.problems, found
    assert case.missing(found[0]) == [], found
    assert found[0].isprintable() and len(found[0]) < 700


def test_there_are_many_cases() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 60
    assert all(len(case.told) >= 2 for case in CASES), (
        "a case names at least the variable with its value, and what to change"
    )


@pytest.mark.parametrize("purpose", ["train", "cloud", "some"])
def test_right_input_has_no_problems(purpose: str) -> None:
    assert _input.told(given(Case("", [])), groups(Case("", [])), purpose, HOSTS) == ""


def test_defaults_are_right() -> None:
    """What the roles' own defaults give is what the rules take, templates left out."""
    for path in files("roles/*/defaults/main.yml"):
        values = {
            name: value
            for name, value in load_yaml(path).items()
            if "{{" not in str(value) and not name.startswith(OF_THE_LAB)
        }
        assert _input.values(values) == {}, path


def test_what_a_command_line_gives_is_text() -> None:
    """-e edgefl_rounds=7 gives a text."""
    variables = {
        "edgefl_rounds": "7",
        "edgefl_tls": "no",
        "edgefl_sample_fraction": "0.5",
        "edgefl_replicas": "2",
        "edgefl_server_port": "9000",
    }
    assert _input.problems(given(Case("", [], variables=variables)), groups(Case("", [])), "train", HOSTS) == []


@pytest.mark.parametrize(
    "folder", ["inventory/example", "molecule/federation_alternative", "molecule/autoscaler_alternative"]
)
def test_inventories_of_the_repository_are_right(folder: str) -> None:
    for path in files(f"{folder}/group_vars/*.yml"):
        assert (
            _input.values(
                {
                    name: value
                    for name, value in load_yaml(path).items()
                    if name in _input.specs() and "{{" not in str(value)
                },
                "some",
            )
            == {}
        )


def test_every_variable_has_a_rule() -> None:
    """A variable of the roles that are played on a cluster is a number of a range, one of few choices, true or false, or has a rule."""
    own = {option.variable for option in _options.options()}
    for path in files("roles/*/meta/argument_specs.yml"):
        options = load_yaml(path)["argument_specs"]["main"].get("options") or {}
        for name, spec in options.items():
            known = name in {*_input_rules.NUMBERS, *_input_rules.RULES, *_input_rules.FILES, *own}
            assert (
                known
                or spec["type"] == "bool"
                or spec.get("choices")
                or spec.get("required")
                or name.startswith(OF_THE_LAB)
            ), f"{path}: {name}"
    assert {*_input_rules.NUMBERS, *_input_rules.RULES, *_input_rules.FILES} <= set(_input.specs())


def test_facts_are_no_misspelt_variables() -> None:
    """What the roles' READMEs name as facts may be among a host's variables."""
    noted = set()
    for path in files("roles/*/README.md"):
        _before, _title, section = (ROOT / path).read_text().partition("\n## Facts\n")
        noted |= set(re.findall(r"^\| `(\w+)` \|", section.partition("\n## ")[0], re.MULTILINE))
    assert noted == set(_input.FACTS)


@pytest.mark.parametrize(
    "name",
    [
        "ansible_host",
        "docker_users",
        "docker_packages",
        "docker_edition",
        "containerd_version",
        "results",
        "my_rounds",
        "experiment_owner",
        "images_dir",
        "lab_cache",
        "__cloudcore_crds",
    ],
)
def test_variables_of_others_are_left_alone(name: str) -> None:
    assert _input.unknown(name) == ""


def test_a_hostile_value_is_one_line_of_bounded_length() -> None:
    for value in ("x\n\x1b[2J" * 20_000, {"a": ["\u202e" * 100_000]}, 10**5000, ["\0"] * 50_000):
        for name in (
            "edgefl_version",
            "edgefl_rounds",
            "edgefl_tls",
            "edgefl_strategy_options",
            "docker_apt_packages",
            "edgefl_kind",
        ):
            text = _input.values({name: value}).get(name, "")
            assert text.isprintable() and 0 < len(text) < 500, (name, text[:200])


@pytest.mark.parametrize(
    "path", ["/var/lib/edgefl/state", "/srv/fl/state", "/data/edgefl", "/etc/edgefl/tls", "/home/ops/fl"]
)
def test_folders_that_we_may_have(path: str) -> None:
    assert _input_rules.own_folder(path) == ""


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/srv",
        "/var/lib",
        "/etc/kubernetes",
        "/etc/kubernetes/pki",
        "/root",
        "/root/.ssh",
        "/var/lib/kubelet/pods",
        "/usr/local/x",
        "/proc/1",
        "/etc/./ssh",
        "//usr/lib",
    ],
)
def test_folders_that_we_may_not_have(path: str) -> None:
    assert "belongs to the system" in _input_rules.own_folder(path)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, []),
        ({"autoscaler_hpa_min": "5"}, []),
        ({"autoscaler_hpa_min": 0, "autoscaler_hpa_max": 0}, ["autoscaler_hpa_min is 0", "autoscaler_hpa_max is 0"]),
        ({"autoscaler_hpa_min": 6}, ["autoscaler_hpa_min is 6, more than autoscaler_hpa_max, which is 5"]),
        ({"autoscaler_hpa_cpu": 0}, ["autoscaler_hpa_cpu and autoscaler_hpa_memory are both 0"]),
    ],
)
def test_limits_and_targets_of_an_hpa(given: dict[str, Any], told: list[str]) -> None:
    """As the role autoscaler asks, which may be called without the checks before."""
    names = ("autoscaler_hpa_min", "autoscaler_hpa_max", "autoscaler_hpa_cpu", "autoscaler_hpa_memory")
    found = _input.hpa({name: _input.defaults("autoscaler")[name] for name in names} | given)
    assert len(found) == len(told)
    assert all(text.startswith(begin) for text, begin in zip(found, told))
