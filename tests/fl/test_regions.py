"""Regions as real processes: an aggregator that is one client of another one."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.certificates import Wanted
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _deployment as deployment
from edgefl.aggregator.checkpoint import Store
from support.certificates import issued
from support.processes import TOLD_TO_END, Federation, Program, until

SLICES = {"north": ((0, 400), (400, 1_000), (1_000, 1_200)), "south": ((1_200, 2_000), (2_000, 2_600), (2_600, 3_000))}
"""Of each region's three nodes."""
SAMPLES = {name: sum(stop - start for start, stop in own) for name, own in SLICES.items()}
OF_A_REGION = ("--min_nodes=3", "--min_sample_size=3", "--min_num_clients=3")


def clients(federation: Federation, name: str, fit: float = 0) -> list[Program]:
    """Light clients on the nodes of a region, connected to the aggregator of `federation`."""
    return [
        federation.light_client(f"{name}{number}", *bounds, fit=fit, pod=f"{name}{number}")
        for number, bounds in enumerate(SLICES[name])
    ]


def weights(state: Path) -> list[Any]:
    """The model that a run ended with."""
    point = Store(state / "default").load()
    assert point is not None
    return point.weights


def rounds(aggregator: Program) -> list[dict[str, Any]]:
    return [entry for entry in aggregator.lines() if entry["event"] == "round"]


def parts(entry: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    """Of each region in a round: samples, parts that were answered, parts that were lost."""
    return {one["node"]: (one["examples"], one["parts"], one["parts_lost"]) for one in entry["clients"]}


WHOLE = {name: (samples, 3, 0) for name, samples in SAMPLES.items()}


def test_two_regions_train_what_one_aggregator_does(federation: Federation, tmp_path: Path) -> None:
    """The same clients under one aggregator and in two regions: the same model, to the rounding of its numbers."""
    states = {way: tmp_path / way for way in ("flat", "regions")}
    six = [one for name in SLICES for one in clients(federation, name)]
    flat = federation.aggregator("--rounds=3", "--min_num_clients=6", f"--state_dir={states['flat']}")
    federation.event(flat, "done")
    assert all(one.end() <= 2 for one in (flat, *six))
    root = federation.aggregator("--rounds=3", f"--state_dir={states['regions']}")
    regions = [federation.region(name, *OF_A_REGION) for name in SLICES]
    for name, (inside, _program) in zip(SLICES, regions):
        clients(inside, name)
    done = federation.event(root, "done")
    made = rounds(root)
    assert [parts(entry) for entry in made] == [WHOLE] * 3 and not any(entry["lost"] for entry in made)
    assert done["examples"] == 3 * sum(SAMPLES.values())
    for ours, theirs in zip(weights(states["regions"]), weights(states["flat"])):
        assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    (inside, north), _south = regions
    assert set(federation.status()["nodes"]) == set(SLICES)
    status = until(lambda: inside.status() if inside.status()["state"] == "done" else None, "the region's end")
    assert set(status["nodes"]) == {"north0", "north1", "north2"} and inside.ready()
    assert (status["round"], status["app"]) == (3, "fashion_mnist")
    assert north.out.read_text() == "" and north.end() <= 2 and north.process.returncode == TOLD_TO_END


def in_round(federation: Federation, round_: int) -> None:
    """Wait until this round (or a later one) is at work in the regions."""
    until(federation.ready, "ready")
    until(
        lambda: federation.status()["round"] >= round_ and federation.status()["state"] == "training", f"round {round_}"
    )
    time.sleep(0.3)


class Regions:
    """A root that trains all the while, and two regions of light clients; each test leaves it whole."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.state = f"--state_dir={federation.folder / 'state'}"
        self.begin()
        self.regions = {name: federation.region(name) for name in SLICES}
        self.own = {name: clients(inside, name, fit=0.7) for name, (inside, _program) in self.regions.items()}
        until(lambda: any(parts(entry) == WHOLE for entry in self.rounds()), "a round of both")

    def begin(self) -> None:
        """Starts the root."""
        self.root = self.federation.aggregator(
            "--rounds=10000", "--min_sample_size=1", "--min_num_clients=1", "--min_round_samples=0.3", self.state
        )

    def rounds(self, after: int = 0) -> list[dict[str, Any]]:
        """Those after the first `after` ones."""
        return rounds(self.root)[after:]

    def until_whole(self, after: int) -> None:
        until(lambda: [entry for entry in self.rounds(after) if parts(entry) == WHOLE], "both regions, all of them")

    @property
    def live(self) -> bool:
        """Whether all programs of the regions are as they were begun."""
        programs = [program for _inside, program in self.regions.values()]
        return all(one.lives for one in (*programs, *self.own["north"], *self.own["south"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Regions]:
    federation = Federation(tmp_path_factory.mktemp("regions"))
    try:
        yield Regions(federation)
    finally:
        federation.close()


def test_a_client_that_is_killed_costs_its_region_its_samples(whole: Regions) -> None:
    """In that round it is a part that the region lost; from then on the root asks for less, and for all again when it is back."""
    inside, north = whole.regions["north"]
    count = len(whole.rounds())
    in_round(whole.federation, count + 1)
    whole.own["north"][0].end(signal.SIGKILL)
    short = SAMPLES["north"] - 400
    hit = until(
        lambda: [entry for entry in whole.rounds(count) if parts(entry).get("north") == (short, 2, 1)], "the round"
    )[0]
    assert parts(hit)["south"] == WHOLE["south"] and hit["lost"] == []
    assert north.told("north0/north0 (part 1/1) is lost: the connection was lost")

    def asked_of_north() -> Any:
        last = {one["node"]: one for one in whole.rounds()[-1]["clients"]}.get("north")
        return last and (last["stop"], last["examples"], last["parts"])

    until(lambda: asked_of_north() == (short, short, 2), "a round of what is left")
    whole.own["north"][0] = inside.light_client("north0", 0, 400, fit=0.7)
    until(lambda: asked_of_north() == (SAMPLES["north"], SAMPLES["north"], 3), "a round of all again")
    assert not any(entry["lost"] for entry in whole.rounds(count)) and whole.live


def test_a_region_that_is_killed_is_one_lost_part_and_comes_back(whole: Regions) -> None:
    federation, count = whole.federation, len(whole.rounds())
    in_round(federation, count + 1)
    inside, north = whole.regions["north"]
    north.end(signal.SIGKILL)
    lost = until(lambda: [entry for entry in whole.rounds(count) if entry["lost"]], "the lost part")[0]
    assert [(one["node"], one["reason"]) for one in lost["lost"]] == [("north", "the connection was lost")]
    assert parts(lost) == {"south": WHOLE["south"]}
    again = inside.aggregator(f"--upstream=north@{federation.host}:{federation.port}")
    whole.regions["north"] = (inside, again)
    whole.until_whole(count)
    assert whole.rounds()[-1]["lost"] == [] and whole.live


def test_regions_outlive_their_root(whole: Regions) -> None:
    """A root that is killed goes on with them, and another run of the root's has them too."""
    count = len(whole.rounds())
    in_round(whole.federation, count + 1)
    whole.root.end(signal.SIGKILL)
    begun = {name: program.times("joined the aggregator") for name, (_inside, program) in whole.regions.items()}
    whole.begin()
    until(lambda: len(whole.rounds()) > count, "the next round")
    whole.until_whole(count)
    made = whole.rounds()
    assert [entry["round"] for entry in made] == list(range(1, len(made) + 1))
    whole.root.end()
    other = whole.federation.aggregator("--run=other", "--rounds=2", whole.state)
    whole.federation.event(other, "done")
    assert parts(rounds(other)[-1]) == WHOLE
    for name, (inside, program) in whole.regions.items():
        until(lambda: inside.status()["state"] == "done", "the region's end")  # noqa: B023
        assert program.times("joined the aggregator") == begun[name] + 2
    assert whole.live


def test_a_region_of_clients_that_evaluate(federation: Federation) -> None:
    """An app whose first model and evaluation are the clients' work."""
    root = federation.aggregator("--rounds=1", "--app=fashion_mnist_cnn", "--min_num_clients=1", "--min_sample_size=1")
    inside, _program = federation.region("north", "--app=fashion_mnist_cnn")
    for node, start, stop in (("edge1", 0, 1_000), ("edge2", 1_000, 2_000)):
        inside.client(node, start, stop, "--app=fashion_mnist_cnn")
    done = federation.event(root, "done")
    assert done["accuracy"] > 0.1 and done["lost_total"] == 0
    (made,) = rounds(root)
    assert parts(made) == {"north": (2_000, 2, 0)}


def test_a_region_takes_no_app_with_rounds_of_its_own(federation: Federation) -> None:
    app = Path(__file__).with_name("flower_apps") / "means"
    _inside, program = federation.region("north", f"--app={app}")
    until(lambda: not program.lives, "its end")
    assert program.process.returncode == 1
    assert program.told("failed: app means can't be trained in a region: its ServerApp talks to its clients itself")


@pytest.mark.parametrize("text", ["cloud:8888", "north@cloud", "-@cloud:8888"])
def test_an_upstream_that_is_none_is_refused(federation: Federation, text: str) -> None:
    program = federation.aggregator(f"--upstream={text}")
    until(lambda: not program.lives, "its end")
    assert program.process.returncode == 2 and program.told("must be REGION@HOST:PORT such as north@cloud:8888")


# What the roles give to the programs -----------------------------------------------------------------------------------

ALONE, MEMBERS = "edge9", ("edge1", "edge2")
BOUNDS = {"edge1": (0, 400), "edge2": (400, 1_000), ALONE: (1_000, 1_200)}
"""Samples of the nodes of region `north`, and of a client of the root's own."""


def certified(folder: Path, rows: list[dict[str, Any]], nodes: dict[str, Any]) -> dict[str, Path]:
    """The folders with the certificates that the roles ask for, by the names of their Secrets."""
    names = deployment.object_names("fashion_mnist")
    wanted = deployment.certificates(rows, names, ["DNS:cloud", "IP:127.0.0.1"], nodes)
    asked = [
        Wanted(one["name"], tuple(one["names"]), one.get("server", False), one.get("client", False)) for one in wanted
    ]
    return issued(folder, asked)


def test_the_workloads_of_the_roles_train_together(federation: Federation, tmp_path: Path) -> None:
    """Root, region and clients with the arguments and certificates that the roles make: an edge in no region trains beside the region."""
    image, names = "aggregator:1", deployment.object_names("fashion_mnist")
    training = {"edgefl_app": "fashion_mnist", "edgefl_rounds": 2, "edgefl_min_nodes": 2, "edgefl_min_num_clients": 2}
    of_edges = {
        "edgefl_replicas": 1,
        "edgefl_kind": "Deployment",
        "edgefl_runtime": "auto",
        "edgefl_architecture": "auto",
        "edgefl_client_resources": {},
    }
    of_edges |= {"edgefl_autoscale": "none", "edgefl_data": "", "edgefl_node_config": {}}
    variables = {
        node: {"edgefl_slice_start": start, "edgefl_slice_stop": stop} for node, (start, stop) in BOUNDS.items()
    }
    regions = {"north": {"edges": "mine", "node": "edge1"}}
    rows = deployment.edges(
        list(BOUNDS), variables, "fashion_mnist", 60_000, of_edges, regions, {"mine": list(MEMBERS)}
    )
    addresses = {"cloud": "127.0.0.1", "edge1": "127.0.0.2", "edge2": "127.0.0.3", ALONE: "127.0.0.4"}
    nodes = {
        name: {"internal_ip": ip, "client_resources": {}, "aggregator_resources": {}} for name, ip in addresses.items()
    }
    keys = certified(tmp_path / "tls", rows, nodes)

    port, status_port = federation.port, federation.status_port
    filled = {"server_address": f"0.0.0.0:{port}", "status_address": f"127.0.0.1:{status_port}", "tls_dir": "/tls"}
    common = {"server_address": f"127.0.0.1:{port}", "tls_dir": "/tls"}
    clients_ = deployment.clients(rows, training, "client:1", nodes, common, {})
    both = deployment.workloads(
        clients_, regions, names, training, image, nodes, filled | {"upstream": f"127.0.0.1:{port}"}, {}
    )
    root = deployment.aggregator(training, "r1", image, filled | deployment.root_members(clients_, both["regions"]), {})

    def given(arguments: list[str], secret: str, address: str = "") -> list[str]:
        """As in the pod, but with keys that are here, no folder beside an image, and a place of its own among several nodes on one machine."""
        left_out = ("--tls_dir=", "--made_for=", "--apps_dir=")
        here = [f"--server_address={address}:{port}", f"--status_address={address}:{status_port}"] if address else []
        return [*(text for text in arguments if not text.startswith(left_out)), f"--tls_dir={keys[secret]}", *here]

    top = federation.aggregator(
        *given(root["arguments"] + root["run"]["arguments"], names["secret"], addresses["cloud"])
    )
    (north,) = both["regions"]
    region = federation.aggregator(*given(north["arguments"], f"{north['name']}-tls", addresses["edge1"]))
    for row in clients_:
        federation.light_client(
            row["node"], *BOUNDS[row["node"]], *given(row["arguments"], f"{row['name']}-tls"), pod=row["node"]
        )
    federation.event(top, "done")
    made = rounds(top)
    assert [{one["node"]: (one["examples"], one.get("parts")) for one in entry["clients"]} for entry in made] == [
        {"north": (1_000, 2), ALONE: (200, None)}
    ] * 2
    assert not any(entry["lost"] for entry in made) and region.told("joined the aggregator")
