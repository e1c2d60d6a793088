"""What a region makes of a root's task, and what a root makes of a region's answer, on the in-process link of the coordinator's tests."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from unit.fl_src.test_coordinator import APP, EDGE1, EDGE2, SAMPLES, LocalLink, run

from edgefl.aggregator import answers
from edgefl.aggregator.region import NothingCameError, Region
from edgefl.aggregator.status import Status
from edgefl.apps import Classifier, Weights
from edgefl.common import plan, settings
from edgefl.common.plan import Member, Task
from edgefl.link.protocol import Answer, Lost

CONFIG: dict[str, int | float] = {"loop": 1, "round": 1, "seed": 5}
UPSTREAM = "--upstream=north@cloud:8888"
MODEL = [np.zeros(3)]
ONE = ("--min_num_clients=1", "--min_sample_size=1")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefl.aggregator.coordinator.time.sleep", lambda _: None)


def region(*arguments: str, app: Classifier = APP) -> Region:
    made = Region(settings.aggregator([UPSTREAM, *arguments]), app, "id", Status(), None)
    made.accept()
    return made


class Tree(LocalLink):
    """A root's link whose members are regions, each with a link of its own to the clients in `inside`."""

    def __init__(self, inside: dict[str, LocalLink], most: int | None = None) -> None:
        self.inside = inside
        self.regions = {name: region(*ONE) for name in inside}
        sizes = {name: most or self.regions[name].samples(link) for name, link in inside.items()}
        super().__init__(
            [Member(name, "pod", name, name, 0, size, "fashion_mnist", True) for name, size in sizes.items()]
        )

    def train(
        self, weights: Weights, tasks: Sequence[Task], config: dict[str, int | float], timeout: float
    ) -> list[Answer | Lost]:
        outcomes: list[Answer | Lost] = []
        for task in tasks:
            node = task.member.node
            try:
                done = self.regions[node].train(self.inside[node], weights, config, task.samples, timeout)
                outcomes.append(Answer(task, done.examples, done.figures, done.weights))
            except NothingCameError as err:
                outcomes.append(Lost(task, str(err), err.error))
        return outcomes

    def evaluate(self, weights: Weights, tasks: Sequence[Task], timeout: float) -> list[Answer | Lost]:
        outcomes: list[Answer | Lost] = []
        for task in tasks:
            node = task.member.node
            done = self.regions[node].evaluate(self.inside[node], weights, task.start, task.stop, timeout)
            outcomes.append(Answer(task, done.examples, done.figures))
        return outcomes


def edge(number: int, start: int, stop: int) -> Member:
    return Member(f"edge{number}", f"pod{number}", f"i{number}", f"c{number}", start, stop, "fashion_mnist")


FOUR = [edge(1, 0, 40), edge(2, 40, 150), edge(3, 150, 155), edge(4, 155, SAMPLES)]
BY_CLIENTS = replace(APP, evaluate=None)


@pytest.mark.parametrize("app", [APP, BY_CLIENTS])
def test_a_tree_trains_what_one_aggregator_does(app: Classifier) -> None:
    flat, _dummy = run(None, LocalLink(FOUR), "--rounds=4", app=app)
    tree = Tree({"north": LocalLink(FOUR[:1]), "south": LocalLink(FOUR[1:])})
    lines, _dummy = run(None, tree, "--rounds=4", app=app)
    for ours, theirs in zip(lines[1:5], flat[1:5]):
        assert np.isclose(ours["loss"], theirs["loss"], atol=1e-6) and ours["accuracy"] == theirs["accuracy"]
        assert [(one["node"], one["examples"], one["parts"], one["parts_lost"]) for one in ours["clients"]] == [
            ("north", 40, 1, 0),
            ("south", 360, 3, 0),
        ]
    assert all("parts" not in one for one in flat[1]["clients"])


def test_the_seed_that_clients_get_does_not_depend_on_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what they draw, and the model, would be another one."""
    seeds: list[int | float] = []
    train = LocalLink.train

    def noted(link: LocalLink, weights: Weights, tasks: Any, config: dict[str, int | float], timeout: float) -> Any:
        seeds.append(config["seed"])
        return train(link, weights, tasks, config, timeout)

    monkeypatch.setattr(LocalLink, "train", noted)
    for link in (LocalLink(FOUR), Tree({"north": LocalLink(FOUR)})):
        run(None, link, "--rounds=3", *ONE)
    assert seeds[:3] == seeds[3:] and len(set(seeds)) == 3


def trouble(**reasons: str) -> Callable[[int, int], dict[str, Lost | str]]:
    return lambda *_: dict(reasons)


def test_a_client_that_is_lost_costs_its_region_its_samples(capsys: pytest.CaptureFixture[str]) -> None:
    south = LocalLink(FOUR[1:], trouble(pod2="the connection was lost"))
    lines, made = run(None, Tree({"north": LocalLink(FOUR[:1]), "south": south}), "--rounds=1")
    assert [(one["stop"], one["examples"], one["parts"], one["parts_lost"]) for one in lines[1]["clients"]] == [
        (40, 40, 1, 0),
        (360, 250, 2, 1),
    ]
    assert lines[1]["lost"] == [] and made.status.state == "done"
    assert "edge2/pod2 (part 1/1) is lost: the connection was lost" in capsys.readouterr().err


def test_too_few_samples_of_a_region_repeat_the_round() -> None:
    """Although no part of the root's is lost: what counts is what was trained."""
    south = LocalLink(FOUR[1:], lambda _round, attempt: {"pod4": "gone", "pod2": "gone"} if attempt == 0 else {})
    lines, _dummy = run(None, Tree({"north": LocalLink(FOUR[:1]), "south": south}), "--rounds=1")
    assert lines[1]["repeated"] == 1
    assert lines[1]["repeats"][0]["reason"].startswith("45 of 400 samples came back")


@pytest.mark.parametrize(
    ("reasons", "error"),
    [
        (("ValueError: broken", "ValueError: broken here"), True),
        (("ValueError: broken", "the connection was lost"), False),
    ],
)
def test_a_region_that_has_nothing_says_why(reasons: tuple[str, str], error: bool) -> None:
    """An error where all of its clients had one: then the root must not try for ever."""
    link = LocalLink([EDGE1, EDGE2], trouble(a=reasons[0], b=reasons[1]))
    made = region()
    with pytest.raises(
        NothingCameError, match=f"none of 2 parts of the region came back; the last: {reasons[1]}"
    ) as told:
        made.train(link, MODEL, CONFIG, 400, 10)
    assert told.value.error is error and made.status.state == "waiting"


def test_an_app_that_fails_in_every_region_ends_the_run() -> None:
    broken = {
        name: LocalLink([member], trouble(a="ValueError: x", b="ValueError: x"))
        for name, member in (("north", EDGE1), ("south", EDGE2))
    }
    with pytest.raises(Exception, match="with an error in every client"):
        run(None, Tree(broken), "--rounds=1")


def test_a_region_waits_for_its_clients() -> None:
    made, link = region("--min_nodes=2"), LocalLink([EDGE1])
    assert made.samples(link) == 0
    tasks: list[Callable[[], object]] = [
        lambda: made.train(link, MODEL, CONFIG, 100, 10),
        lambda: made.evaluate(link, MODEL, 0, 10, 10),
        lambda: made.initial_weights(link, 10),
    ]
    for task in tasks:
        with pytest.raises(NothingCameError, match=r"waits for .*2 nodes \(--min_nodes; 1 there\)") as told:
            task()
        assert not told.value.error
    link.pods.append(EDGE2)
    assert made.wait(link) == made.samples(link) == 400
    assert [(array == 0).all() for array in made.initial_weights(link, 10)] == [True]


def test_who_came_since_the_root_was_told_has_a_part_later() -> None:
    link = LocalLink(FOUR)
    done = region().train(link, MODEL, CONFIG, 160, 10)
    assert done.examples == 155 and [task.member.pod for task in link.sent[0][1]] == ["pod1", "pod2", "pod3"]


def test_figures_are_those_of_the_whole() -> None:
    def forge(answer: Answer) -> Answer:
        told = {"pod1": (1.0, 3.0, 5.0, 0.5, 0.2), "pod2": (2.0, 2.0, 9.0, 0.1, 0.6)}[answer.task.member.pod]
        return replace(answer, figures=dict(zip(answers.FIGURES, told)))

    done = region().train(LocalLink(FOUR[:2], forge=forge), MODEL, CONFIG, 400, 10)
    wanted = {"seconds": 2.0, "cpu_seconds": 5.0, "peak_rss_bytes": 9.0, "parts": 2, "parts_lost": 0}
    mean = {"loss": (40 * 0.5 + 110 * 0.1) / 150, "accuracy": (40 * 0.2 + 110 * 0.6) / 150}
    assert done.figures == pytest.approx(wanted | mean)


def test_a_node_of_a_region_that_turns_the_model_round_is_refused_there() -> None:
    def forge(answer: Answer) -> Answer:
        return replace(answer, weights=[answer.weights[0] * -1000]) if answer.task.member.node == "edge4" else answer

    done = region().train(LocalLink(FOUR, forge=forge), MODEL, CONFIG, 400, 10)
    assert (done.examples, done.figures["parts"], done.figures["parts_lost"]) == (155, 3, 1)
    assert region("--norm_bound=0").train(LocalLink(FOUR, forge=forge), MODEL, CONFIG, 400, 10).examples == 400


def test_a_region_gives_no_initial_model_that_is_none() -> None:
    link = LocalLink([EDGE1, EDGE2])
    link.initial_weights = lambda *_: [np.full(3, np.nan)]  # type: ignore[method-assign]
    with pytest.raises(NothingCameError, match="no client of the region gave an initial model") as told:
        region().initial_weights(link, 10)
    assert told.value.error


@pytest.mark.parametrize(
    ("examples", "taken"), [(400, True), (1, True), (0, False), (401, False), (-5, False), (3.5, False), (True, True)]
)
def test_a_root_takes_no_more_of_a_region_than_it_has(examples: Any, taken: bool) -> None:
    inside = Member("north", "p", "i", "c", 0, 400, "fashion_mnist", True)
    for member, whole in ((inside, taken), (replace(inside, region=False), examples == 400)):
        answer = Answer(Task(member, 0, 1, 0, 400), examples, {"loss": 1.0, "accuracy": 0.5}, MODEL)
        assert isinstance(answers.trained(answer, MODEL), Answer) == whole
        assert isinstance(answers.evaluated(answer), Answer) == whole
    flawed = Answer(Task(inside, 0, 1, 0, 400), 400, {"parts": float("nan")}, MODEL)
    assert isinstance(answers.trained(flawed, MODEL), Lost)


@pytest.mark.parametrize(
    ("stop", "slice_", "taken"),
    [(400, "0:400", True), (300, "0:400", True), (401, "0:400", False), (300, "5:400", False), (300, "0:many", False)],
)
def test_a_region_with_more_than_its_slice_is_left_out(stop: int, slice_: str, taken: bool) -> None:
    link = LocalLink([EDGE1, EDGE2, Member("north", "p", "i3", "c3", 0, stop, "fashion_mnist", True)])
    slices = {"edge1": "0:100", "edge2": "100:400", "north": slice_}
    run(None, link, "--rounds=1", *(f"--client_slices={node}={bounds}" for node, bounds in slices.items()))
    assert ("p" in [task.member.pod for task in link.sent[0][1]]) == taken


def test_pods_of_one_region_have_clients_of_their_own() -> None:
    pods = [
        Member("north", f"p{n}", f"i{n}", f"c{n}", 0, size, "fashion_mnist", True)
        for n, size in enumerate((50, 50, 60))
    ]
    tasks = plan.by_node(pods, 1.0, 1, random.Random(0))
    assert sorted((task.member.pod, task.start, task.stop) for task in tasks) == [
        ("p0", 0, 50),
        ("p1", 0, 50),
        ("p2", 0, 60),
    ]
    assert all(before.member != after.member for before, after in itertools.pairwise(tasks))


def test_by_pod_each_client_trains_the_slice_of_its_node() -> None:
    twin = replace(EDGE2, pod="c", instance="i3", id="c3")
    link = LocalLink([EDGE1, EDGE2, twin])
    assert region("--selection=pod").samples(link) == 700 and region().samples(link) == 400


def test_the_status_of_a_region() -> None:
    made = region("--run=third")
    assert (made.status.get("run"), made.status.get("app"), made.status.state) == ("third", "fashion_mnist", "waiting")
    made.train(LocalLink(), MODEL, CONFIG | {"round": 4}, 400, 10)
    assert (made.status.get("round"), made.status.get("loss")) == (4, 0.5)
    made.fail("because")
    assert made.status.state == "failed" and made.status.get("reason") == "because"
