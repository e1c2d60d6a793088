# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what is wrong with inventory, variables and command line, known on the controller before any host is reached."""

from __future__ import annotations

import difflib
import typing as t
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import BOOLEANS
from jinja2 import Undefined, UndefinedError

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation import preflight
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _app, _deployment, _input_regions, _options
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._input_rules import FILES, NUMBERS, RULES, Rule, whole

ROLES = Path(__file__).resolve().parents[2] / "roles"
# What roles note for each other is among a host's variables, too
FACTS = (
    "build_images_engine",
    "build_images_result",
    "edgefl_absent",
    "edgefl_app_info",
    "edgefl_app_locked",
    "edgefl_address",
    "edgefl_apps_path",
    "edgefl_architectures",
    "edgefl_cluster",
    "edgefl_edges",
    "edgefl_labels",
    "edgefl_names",
    "edgefl_own_namespace",
    "edgefl_regions_there",
    "edgefl_results_path",
    "edgefl_telemetry_path",
    "edgefl_training",
    "federation_run",
    "kubernetes_python_missing",
    "lab_artifacts_missing",
    "lab_nodes_cluster_made",
    "lab_nodes_ready",
    "model_deployment_version",
    "results_model",
    "ship_images_table",
)
# Other roles and people have variables that begin like these; there a name must be like one of ours to be taken for a misspelt one
COMMON = ("containerd", "docker", "experiment", "results", "preflight")
# Begins some of our roles' names and none of anybody else's
FAMILIES = ("images",)
# Of two names, from 0 to 1: so that one may be meant by the other, without and with what all names of a role begin with; so that nothing else can be meant
ALIKE, WHOLE, MISSPELT = 0.6, 0.8, 0.92

Variables = Mapping[str, t.Any]


@cache
def specs() -> dict[str, dict[str, t.Any]]:
    """Every variable of the roles, with what its argument spec says of it."""
    found: dict[str, dict[str, t.Any]] = {}
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        entries = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["argument_specs"]
        for entry in entries.values():
            found |= entry.get("options") or {}
    return found


@cache
def defaults(role: str = "edgefl") -> dict[str, t.Any]:
    """Defaults of a role, templates as they are written."""
    found: dict[str, t.Any] = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
    return found


def told(
    hosts: Mapping[str, Variables], groups: Mapping[str, Sequence[str]], purpose: str, played: Iterable[str]
) -> str:
    """Everything that is wrong as one text; empty when nothing is."""
    found = problems(hosts, groups, purpose, played)
    return preflight.message(found) if found else ""


def problems(
    hosts: Mapping[str, Variables], groups: Mapping[str, Sequence[str]], purpose: str, played: Iterable[str]
) -> list[str]:
    """
    Everything that is wrong: sentences that name the variable, its value, and what to change.

    :param hosts: host -> its variables (C(hostvars))
    :param groups: group -> its hosts
    :param purpose: C(train), C(cloud) or C(some), see the role input
    :param played: hosts that are not left out by C(--limit)
    """
    found = inventory(groups)
    told: dict[str, list[str]] = {}
    sound: dict[str, dict[str, t.Any]] = {}
    names = [name for name in groups.get("all", ()) if name in hosts]
    for host in names:
        given, wrong = _given(hosts[host])
        wrong |= values(given, purpose)
        sound[host] = {name: value for name, value in given.items() if name not in wrong}
        for text in wrong.values():
            told.setdefault(text, []).append(host)
    found += [text if len(owners) == len(names) else f"{', '.join(owners)}: {text}" for text, owners in told.items()]
    if not groups.get("cloud") or not groups.get("edges"):
        return found
    found += limits(purpose, groups, played)
    found += addresses(hosts, [*groups["cloud"], *groups["edges"]])
    found += together(sound, groups)
    for setting in _settings(sound[groups["cloud"][0]]):
        found += _of_setting(setting, sound, groups, purpose, found)
    return list(dict.fromkeys(found))


def inventory(groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Groups that are missing, or have too few or too many hosts."""
    cloud, edges = groups.get("cloud", ()), groups.get("edges", ())
    if len(cloud) == 1 and edges:
        return [
            f"{host} is in both groups, cloud and edges: the cloud node is no edge; take it out of one of them."
            for host in cloud
            if host in edges
        ]
    others = sorted(set(groups) - {"all", "ungrouped"})
    named = f"Its groups are {', '.join(others)}: name them cloud and edges." if others else "It has no groups."
    return [
        f"The inventory has {len(cloud)} hosts in the group `cloud` and {len(edges)} in the group `edges`; exactly one and at least one are needed."
        f" {named} Give an inventory of yours with -i; https://github.com/edgefl/kubeedge/blob/main/inventory/example/hosts.yml is one to begin with."
    ]


def limits(purpose: str, groups: Mapping[str, Sequence[str]], played: Iterable[str]) -> list[str]:
    """Hosts that --limit must not leave out: without them a playbook would do nothing, or deploy images that are not there."""
    wanted = {"train": [*groups["cloud"], *groups["edges"]], "cloud": groups["cloud"]}.get(purpose, [])
    left_out = [host for host in wanted if host not in set(played)]
    if not left_out:
        return []
    if purpose == "cloud":
        return [
            f"--limit leaves out {', '.join(left_out)}, on which this playbook works: call it without --limit (-l)."
        ]
    return [
        f"--limit leaves out {', '.join(left_out)}: a training is deployed to all hosts of the inventory at once, and a node that was left out would lack"
        " its image. Call it without --limit (-l); to train without a host, take it out of the inventory; only the playbook ship_images takes some hosts."
    ]


def _given(variables: Variables) -> tuple[dict[str, t.Any], dict[str, str]]:
    """The variables of ours that a host has, and problems, by variable: names that are none, values that cannot be evaluated."""
    given: dict[str, t.Any] = {}
    wrong: dict[str, str] = {}
    for name in map(str, list(variables)):
        if name in specs():
            try:
                value = _deployment.plain(variables[name])
                _use(value)
            except (AnsibleError, UndefinedError, TypeError, ValueError) as error:
                wrong[name] = f"{name} cannot be evaluated ({printable(str(error))}): correct the template that it is."
            else:
                given[name] = value
        else:
            advice = unknown(name)
            if advice:
                wrong[name] = f"There is no variable {printable(name, 100)}. {advice}"
    return given, wrong


def _use(value: t.Any) -> None:
    """Raise what a template that failed raises when it is used."""
    if isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            _use(part)
    elif isinstance(value, Undefined):
        str(value)


def unknown(name: str) -> str:
    """What to do about a variable that no role has; "" for one that is somebody else's."""
    # What begins with _ is what tasks note for themselves
    if name in FACTS or name.startswith(("ansible_", "_")):
        return ""
    known = list(specs())
    own = [each for each in (*_role_names(), *FAMILIES) if name.startswith(f"{each}_")]
    first = max(own, key=len, default="")
    # What all variables of a role begin with would make any two of them alike
    rest = {each.removeprefix(f"{first}_"): each for each in known if each.startswith(f"{first}_")} if first else {}
    ours = bool(first) and first not in (*COMMON, *FAMILIES)
    like = difflib.get_close_matches(
        name.removeprefix(f"{first}_"), list(rest), n=1, cutoff=ALIKE if ours else MISSPELT
    )
    least = WHOLE if ours or first in FAMILIES else MISSPELT
    near = [rest[each] for each in like] or difflib.get_close_matches(name, known, n=1, cutoff=least)
    if near:
        return f"Did you mean {near[0]}?"
    return "Correct its name, or take it out." if ours else ""


@cache
def _role_names() -> tuple[str, ...]:
    return tuple(path.name for path in ROLES.iterdir() if path.is_dir())


def values(given: Variables, purpose: str = "train") -> dict[str, str]:
    """Problem of each variable whose value is wrong in itself, by variable."""
    found: dict[str, str] = {}
    for name, value in given.items():
        texts = _value(name, value, specs()[name], purpose)
        if texts:
            found[name] = " ".join(texts)
    return found


def _value(name: str, value: t.Any, spec: Mapping[str, t.Any], purpose: str) -> list[str]:
    kind = spec.get("type", "str")
    if value is None:
        if spec.get("default") is None:
            return []
        return [f"{name} has no value (null): give one, or leave the variable out."]
    shown = "not shown here" if spec.get("no_log") else preflight.quoted(value)
    advice = _wrong_type(kind, value)
    if advice:
        return [f"{name} is {shown}: {advice}"]
    if spec.get("choices") and kind == "str":
        return preflight.choices(name, value, spec["choices"])
    option = _numbers().get(name)
    if option or kind in ("int", "float"):
        return preflight.training({name: value}, [option]) if option else []
    rule = _rule(name, purpose)
    advice = rule(value) if rule else ""
    return [f"{name} is {shown}: {advice}"] if advice else []


def _wrong_type(kind: str, value: t.Any) -> str:
    if kind == "bool":
        return "" if isinstance(value, str | int | float) and _folded(value) in BOOLEANS else "use true or false."
    if kind in ("str", "path") and not (
        isinstance(value, str | float) or whole(value, -preflight.LARGEST, preflight.LARGEST)
    ):
        return "use a text."
    if kind == "list" and not isinstance(value, list):
        return "use a list, such as [one, two]."
    if kind == "dict" and not isinstance(value, Mapping):
        return "use names and values, such as {name: value}."
    return ""


def _folded(value: t.Any) -> t.Any:
    return value.lower() if isinstance(value, str) else value


@cache
def _numbers() -> dict[str, dict[str, t.Any]]:
    """Every variable that is a number, or one of the training's options, as preflight takes it."""
    rows: dict[str, dict[str, t.Any]] = {
        name: {"variable": name, "type": kind, "min": least, "max": most, "unit": unit, "choices": []}
        for name, (kind, least, most, unit) in NUMBERS.items()
    }
    own = {option.variable: option.described() for option in _options.options() if option.variable}
    return rows | {
        name: row for name, row in own.items() if row["choices"] or row["type"] in ("int", "float", "numbers")
    }


def _rule(name: str, purpose: str) -> Rule | None:
    if name in FILES:
        return FILES[name] if purpose == "train" else RULES["build_images_app"]
    return RULES.get(name)


def addresses(hosts: Mapping[str, Variables], names: Iterable[str]) -> list[str]:
    """Hosts to which the cloud node would go by the same address."""
    owners: dict[tuple[str, str], list[str]] = {}
    for host in names:
        given = hosts[host]
        address = str(given.get("edgefl_ssh_host") or given.get("ansible_host") or host)
        port = str(given.get("edgefl_ssh_port") or given.get("ansible_port") or 22)
        owners.setdefault((address, port), []).append(host)
    return [
        f"{' and '.join(several)} have the same address, {printable(address, 100)} port {printable(port, 20)}: correct ansible_host, or where the cloud node"
        " reaches them by other addresses than Ansible does, give each its edgefl_ssh_host or edgefl_ssh_port."
        for (address, port), several in owners.items()
        if len(set(several)) > 1
    ]


def together(hosts: Mapping[str, Variables], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Values that are right in themselves and do not fit together."""
    cloud = hosts[groups["cloud"][0]]

    def of(name: str) -> t.Any:
        value = cloud.get(name)
        return defaults()[name] if value is None else value

    training = {
        option.variable: cloud.get(option.variable, option.variable_default)
        for option in _options.of("all")
        if option.variable
    }
    app = _app.app_info(of("edgefl_app"), str(of("edgefl_source")), of("edgefl_app_config"))
    regions = of("edgefl_regions")
    given = {**defaults(), **cloud}
    edges = _deployment.edges(groups["edges"], hosts, app["name"], int(of("edgefl_samples")), given, regions, groups)
    cloud_node = str(cloud.get("edgefl_node_name", groups["cloud"][0]))
    found = preflight.settings(
        {
            "edges": edges,
            "cloud_node": cloud_node,
            "namespace": str(of("edgefl_namespace")),
            "run": str(of("edgefl_run")),
            "server_port": int(of("edgefl_server_port")),
            "status_port": int(of("edgefl_status_port")),
            "samples": int(of("edgefl_samples")),
            # Nothing is known of an app that could not be read
            "app_shards": app["shards"] or bool(app["problems"]),
            "training": training,
            "training_options": [option.described() for option in _options.of("all") if option.variable],
        }
    )
    found += _input_regions.problems(regions, groups, edges, cloud_node)
    ports = {name: int(of(name)) for name in ("edgefl_server_port", "edgefl_status_port", "edgefl_serve_port")}
    found += _input_regions.fit(regions, str(training["edgefl_selection"]), app, ports)
    found += app["problems"]
    found += strategy(str(training["edgefl_strategy"]), training["edgefl_strategy_options"])
    return found + scaling(cloud, edges) + certificates(cloud) + shipped_to(cloud, groups)


def strategy(name: str, given: Variables) -> list[str]:
    """Numbers that the strategy does not take."""
    takes = next(option.takes for option in _options.options() if option.variable == "edgefl_strategy_options").get(
        name, ()
    )
    return [
        f"edgefl_strategy_options has {printable(key, 100)}, which {name} (edgefl_strategy) does not take: "
        + (
            f"it takes {', '.join(takes)}."
            if takes
            else "it takes none; leave edgefl_strategy_options out, or choose another strategy."
        )
        for key in given
        if key not in takes
    ]


def scaling(cloud: Variables, edges: Iterable[Mapping[str, t.Any]]) -> list[str]:
    """Targets and limits of autoscalers that are wanted."""
    if "hpa" not in {edge["autoscale"] for edge in edges}:
        return []
    names = ("autoscaler_hpa_min", "autoscaler_hpa_max", "autoscaler_hpa_cpu", "autoscaler_hpa_memory")
    return hpa({name: cloud.get(name, defaults("autoscaler")[name]) for name in names})


def hpa(given: Variables) -> list[str]:
    """What is wrong with limits and targets of an HPA, each in itself and together."""
    wrong = values(given)
    if wrong:
        return list(wrong.values())
    least, most = int(given["autoscaler_hpa_min"]), int(given["autoscaler_hpa_max"])
    found = []
    if least > most:
        found.append(
            f"autoscaler_hpa_min is {least}, more than autoscaler_hpa_max, which is {most}: lower the one or raise the other."
        )
    if not (int(given["autoscaler_hpa_cpu"]) or int(given["autoscaler_hpa_memory"])):
        found.append(
            "autoscaler_hpa_cpu and autoscaler_hpa_memory are both 0: an HPA needs one of them, a percentage above 0."
        )
    return found


def certificates(cloud: Variables) -> list[str]:
    """Certificates that would be renewed each time."""
    days, renew = (
        int(cloud.get(name, defaults("federation")[name]))
        for name in ("federation_tls_days", "federation_tls_renew_days")
    )
    if renew < days:
        return []
    return [
        f"federation_tls_renew_days is {renew}, not less than federation_tls_days, which is {days}: every run would renew each certificate; lower it."
    ]


def shipped_to(cloud: Variables, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Hosts that images are to be shipped to and that are not there."""
    there = {*groups["cloud"], *groups["edges"]}
    return [
        f"ship_images_hosts has {printable(str(host), 100)}, which is in none of the groups cloud and edges: correct it.{preflight.near(str(host), there)}"
        for host in cloud.get("ship_images_hosts", ())
        if host not in there
    ]


def _settings(cloud: Variables) -> list[Mapping[str, t.Any]]:
    """Settings of an experiment that have variables."""
    return [setting for setting in cloud.get("experiment_settings", ()) if setting.get("variables")]


def _of_setting(
    setting: Mapping[str, t.Any],
    hosts: Mapping[str, Variables],
    groups: Mapping[str, Sequence[str]],
    purpose: str,
    before: Iterable[str],
) -> list[str]:
    """What is wrong with a setting of an experiment and not without it."""
    given, wrong = _given(setting["variables"])
    wrong |= values(given, purpose)
    fine = {name: value for name, value in given.items() if name not in wrong}
    told = set(before)
    found = [
        text for text in together({host: {**own, **fine} for host, own in hosts.items()}, groups) if text not in told
    ]
    return [f"Setting {printable(str(setting['name']), 60)}: {text}" for text in [*wrong.values(), *found]]
