"""The run as a whole, on an in-process link that trains for real: a least-squares model, in NumPy."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefl.aggregator import aside, coordinator
from edgefl.aggregator.checkpoint import Store
from edgefl.aggregator.coordinator import Coordinator, RunError
from edgefl.aggregator.status import Status
from edgefl.apps import Classifier, Weights
from edgefl.common import settings
from edgefl.common.journal import Journal
from edgefl.common.plan import Member, Task
from edgefl.link.protocol import Answer, Lost

SAMPLES = 400
_rng = np.random.default_rng(0)
TRUE = np.array([1.0, -2.0, 3.0])
X = _rng.normal(size=(SAMPLES, 3))
Y = (X @ TRUE > 0).astype(np.uint8)


def train_slice(start: int, stop: int | None) -> tuple[Any, Any]:
    return X[start:stop], Y[start:stop]


def evaluate(weights: Weights, inputs: Any, labels: Any) -> tuple[float, float]:
    p = 1 / (1 + np.exp(-(inputs @ weights[0])))
    return float(-np.log(np.where(labels, p, 1 - p) + 1e-9).mean()), float(((p > 0.5) == labels).mean())


APP = Classifier("fashion_mnist", train_slice, train_slice, lambda: None, lambda seed: [np.zeros(3)], evaluate)
EDGE1, EDGE2 = (
    Member("edge1", "a", "i1", "c1", 0, 100, "fashion_mnist"),
    Member("edge2", "b", "i2", "c2", 100, 400, "fashion_mnist"),
)


class LocalLink:
    """Trains in this process. `trouble(round, attempt)` names the pods that are lost, with the reason."""

    def __init__(
        self,
        members: Sequence[Member] = (EDGE1, EDGE2),
        trouble: Callable[[int, int], dict[str, Lost | str]] = lambda *_: {},
        forge: Callable[[Answer], Answer] = lambda answer: answer,
    ) -> None:
        self.pods, self.trouble, self.forge, self.attempts = list(members), trouble, forge, 0
        self.sent: list[tuple[Any, list[Task]]] = []
        self.restored: tuple[Weights, dict[str, Weights]] | None = None
        self._round = 0

    def members(self) -> list[Member]:
        return self.pods

    def wait(self, enough: Callable[[list[Member]], bool], seconds: float) -> bool:
        if not enough(self.pods):
            raise TimeoutError("would wait for ever")
        return True

    def initial_weights(self, member: Member, timeout: float) -> Weights:
        return [np.zeros(3)]

    def train(
        self, weights: Weights, tasks: Sequence[Task], config: dict[str, int | float], timeout: float
    ) -> list[Answer | Lost]:
        self.attempts = self.attempts + 1 if config["round"] == self._round else 0
        self._round = int(config["round"])
        trouble = self.trouble(self._round, self.attempts)
        self.sent.append((weights[0].copy(), list(tasks)))
        outcomes: list[Answer | Lost] = []
        for task in tasks:
            reason = trouble.get(task.member.pod)
            if reason is not None:
                outcomes.append(Lost(task, str(reason), error=str(reason).startswith("ValueError")))
                continue
            inputs, labels = train_slice(task.start, task.stop)
            w = weights[0].copy()
            for _dummy in range(20):
                w += 0.5 * inputs.T @ (labels - 1 / (1 + np.exp(-(inputs @ w)))) / len(labels)
            outcomes.append(
                Answer(
                    task,
                    task.samples,
                    {"seconds": 0.1, "cpu_seconds": 0.1, "peak_rss_bytes": 1e6, "loss": 0.5, "accuracy": 0.9},
                    [w],
                )
            )
        return [self.forge(one) if isinstance(one, Answer) else one for one in outcomes]

    def evaluate(self, weights: Weights, tasks: Sequence[Task], timeout: float) -> list[Answer | Lost]:
        figures = [evaluate(weights, *train_slice(task.start, task.stop)) for task in tasks]
        return [
            self.forge(Answer(task, task.samples, {"loss": loss, "accuracy": accuracy}))
            for task, (loss, accuracy) in zip(tasks, figures)
        ]

    def combine(self, round_: int, weights: Weights, answers: Sequence[Answer]) -> Weights:
        total = sum(answer.examples for answer in answers)
        return [np.sum([answer.weights[0] * answer.examples for answer in answers], axis=0) / total]

    def state(self) -> dict[str, Weights]:
        return {"m_t": [np.full(2, float(self._round))]}

    def restore(self, weights: Weights, state: dict[str, Weights]) -> None:
        self.restored = ([array.copy() for array in weights], state)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefl.aggregator.coordinator.time.sleep", lambda _: None)


def run(
    folder: Path | None, link: LocalLink, *arguments: str, app: Classifier = APP
) -> tuple[list[dict[str, Any]], Coordinator]:
    """Accept and run; gives the lines that went to stdout."""
    out = io.StringIO()
    chosen = settings.aggregator(["--run=r", *arguments])
    made = Coordinator(chosen, app, Journal(folder, out), Store(folder) if folder else None, Status())
    made.accept()
    made.run(link)
    return [json.loads(row) for row in out.getvalue().splitlines()], made


def test_a_whole_run(tmp_path: Path) -> None:
    lines, made = run(tmp_path, LocalLink(), "--rounds=3")
    assert [(entry["event"], entry["loop"], entry["round"]) for entry in lines] == [
        ("start", 1, 0),
        ("round", 1, 1),
        ("round", 1, 2),
        ("round", 1, 3),
        ("done", 1, 3),
    ]
    one = lines[1]
    assert list(one) == [
        "schema",
        "event",
        "run",
        "loop",
        "round",
        "time",
        "accuracy",
        "loss",
        "seconds",
        "train_seconds",
        "clients",
        "lost",
    ]
    assert list(one["clients"][0]) == [
        "node",
        "pod",
        "shard",
        "start",
        "stop",
        "examples",
        "seconds",
        "cpu_seconds",
        "peak_rss_bytes",
        "loss",
        "accuracy",
    ]
    assert lines[3]["accuracy"] > 0.95 > lines[0]["accuracy"]
    assert lines[0]["settings"]["rounds"] == 3 and lines[0]["engine"]["edgefl"]
    assert (lines[-1]["rounds"], lines[-1]["examples"]) == (3, 1200)
    assert made.status.state == "done"


def test_loops_begin_anew_each(tmp_path: Path) -> None:
    link = LocalLink()
    lines, _dummy = run(tmp_path, link, "--rounds=2", "--loops=3")
    assert [(entry["loop"], entry["round"]) for entry in lines if entry["event"] == "round"] == [
        (loop, round_) for loop in (1, 2, 3) for round_ in (1, 2)
    ]
    assert [entry["event"] for entry in lines].count("start") == 1
    assert all(not link.sent[index][0].any() for index in (0, 2, 4))


def test_a_complete_run_is_not_trained_again(tmp_path: Path) -> None:
    first, _dummy = run(tmp_path, LocalLink(), "--rounds=2")
    link = LocalLink()
    again, made = run(tmp_path, link, "--rounds=2")
    assert again == first and link.sent == [] and made.status.state == "done"
    assert made.status.get("accuracy") == first[-1]["accuracy"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after_lines", [1, 2, 3, 4])
@pytest.mark.parametrize("checkpoint_too", [False, True])
def test_killed_anywhere_it_goes_on_without_gap_or_duplicate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_lines: int, checkpoint_too: bool
) -> None:
    """Killed just before the n-th line is written; `checkpoint_too`: just before the checkpoint that precedes it."""
    reference, _dummy = run(None, LocalLink(), "--rounds=3")
    with monkeypatch.context() as patch:
        real = Journal.append

        def append(self: Journal, entry: dict[str, Any]) -> None:
            if len(self.lines) == after_lines:
                if checkpoint_too:
                    for path in Store(tmp_path).files()[:1]:
                        path.unlink()
                raise Killed
            real(self, entry)

        patch.setattr(Journal, "append", append)
        with pytest.raises(Killed):
            run(tmp_path, LocalLink(), "--rounds=3")
    lines, _dummy = run(tmp_path, LocalLink(), "--rounds=3")
    on_disk = [json.loads(row) for row in (tmp_path / "rounds.jsonl").read_text().splitlines()]
    assert lines == on_disk
    for key in ("event", "loop", "round", "accuracy"):
        assert [entry.get(key) for entry in lines] == [entry.get(key) for entry in reference]


def test_a_damaged_checkpoint_repeats_its_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(round_: int, attempt: int) -> dict[str, Lost | str]:
        if round_ == 3:
            raise Killed
        return {}

    with pytest.raises(Killed):
        run(tmp_path, LocalLink(trouble=stop), "--rounds=4")
    Store(tmp_path).files()[0].write_bytes(b"garbage")
    link = LocalLink()
    lines, _dummy = run(tmp_path, link, "--rounds=4")
    assert [entry["round"] for entry in lines] == [0, 1, 2, 3, 4, 4]
    assert link.restored and link.restored[1]["m_t"][0].tolist() == [1.0, 1.0]
    told = capsys.readouterr().err
    assert "model-0001-00002.npz is damaged" in told and "round 1/2 (loop/round) has no whole checkpoint" in told


def test_another_app_under_the_same_run_is_refused(tmp_path: Path) -> None:
    run(tmp_path, LocalLink(), "--rounds=1")
    with pytest.raises(RunError, match="another --run"):
        run(tmp_path, LocalLink(), "--rounds=1", app=replace(APP, name="fashion_mnist_cnn"))


def test_a_lost_pod_is_named_and_the_round_kept() -> None:
    lines, _dummy = run(
        None, LocalLink(trouble=lambda round_, _: {"a": "the connection was lost"} if round_ == 1 else {}), "--rounds=2"
    )
    assert lines[1]["lost"] == [{"node": "edge1", "pod": "a", "shard": "1/1", "reason": "the connection was lost"}]
    assert (
        [client["node"] for client in lines[1]["clients"]] == ["edge2"]
        and lines[2]["lost"] == []
        and "repeats" not in lines[1]
    )
    assert lines[-1]["lost_total"] == 1


def test_a_round_with_too_few_samples_is_repeated_with_the_old_model(capsys: pytest.CaptureFixture[str]) -> None:
    link = LocalLink(
        trouble=lambda round_, attempt: (
            {"b": "the connection was lost"} if (round_, attempt) in ((2, 0), (2, 1)) else {}
        )
    )
    lines, _dummy = run(None, link, "--rounds=2")
    assert [entry["round"] for entry in lines] == [0, 1, 2, 2]
    assert [len(entry.get("repeats", [])) for entry in lines] == [0, 0, 2, 0]
    assert (
        lines[2]["repeats"][0]["lost"][0]["node"] == "edge2"
        and "100 of 400 samples" in lines[2]["repeats"][0]["reason"]
    )
    assert np.array_equal(link.sent[1][0], link.sent[2][0]) and np.array_equal(link.sent[2][0], link.sent[3][0])
    assert "is repeated with the model as it was" in capsys.readouterr().err


def test_min_round_samples_decides(capsys: pytest.CaptureFixture[str]) -> None:
    lines, _dummy = run(
        None,
        LocalLink(trouble=lambda round_, attempt: {"b": "gone"} if attempt == 0 else {}),
        "--rounds=1",
        "--min_round_samples=0.25",
    )
    assert "repeats" not in lines[1]


def test_an_app_that_fails_everywhere_ends_the_run() -> None:
    with pytest.raises(RunError, match="ValueError: no such layer"):
        run(None, LocalLink(trouble=lambda *_: {"a": "ValueError: no such layer", "b": "ValueError: no such layer"}))


def test_lost_connections_alone_never_end_the_run() -> None:
    lines, _dummy = run(
        None,
        LocalLink(trouble=lambda round_, attempt: {"a": "gone", "b": "gone"} if attempt < 30 and round_ == 1 else {}),
        "--rounds=1",
    )
    assert lines[1]["repeated"] == 30 and len(lines[1]["repeats"]) == coordinator.REPEATS_TOLD


def test_it_waits_for_what_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TimeoutError):
        run(None, LocalLink([EDGE1]), "--min_nodes=2", "--min_sample_size=1")
    told = capsys.readouterr().err
    assert (
        "waiting for 2 clients (--min_num_clients; 1 there) and 2 nodes (--min_nodes; 1 there); connected: edge1/a"
        in told
    )


def test_a_pod_with_another_app_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    old = Member("edge2", "old", "i3", "c3", 100, 400, "another")
    link = LocalLink([EDGE1, EDGE2, old])
    run(None, link, "--rounds=1")
    assert {task.member.pod for task in link.sent[0][1]} == {"a", "b"}
    assert "edge2/old has app another" in capsys.readouterr().err


def test_selection_by_pod_trains_whole_slices() -> None:
    twin = Member("edge2", "c", "i4", "c4", 100, 400, "fashion_mnist")
    link = LocalLink([EDGE1, EDGE2, twin])
    run(None, link, "--rounds=1", "--selection=pod")
    assert [(task.start, task.stop) for task in link.sent[0][1]] == [(0, 100), (100, 400), (100, 400)]


def test_evaluation_by_the_clients() -> None:
    app = Classifier("fashion_mnist", train_slice, train_slice, lambda: None, None, None)
    lines, _dummy = run(None, LocalLink(), "--rounds=2", app=app)
    assert lines[0]["accuracy"] is None and lines[2]["accuracy"] > 0.9


def by_edge1(**what: Any) -> Callable[[Answer], Answer]:
    """Every answer of edge1, which has a quarter of the samples, is made of other things than its training's."""
    return lambda answer: replace(answer, **what) if answer.task.member == EDGE1 else answer


@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        ({"weights": [np.full(3, 1 + 1j)]}, "sent weights of type complex128"),
        ({"weights": [np.full(3, 1, "timedelta64[s]")]}, "sent weights of type timedelta64[s]"),
        ({"weights": [np.array(["a", "b", "c"])]}, "sent weights of type <U1"),
        ({"weights": [np.full(3, np.nan)]}, "not finite"),
        ({"weights": [np.array([1, -np.inf, 1])]}, "not finite"),
        ({"weights": [np.full(3, 1e300)]}, "more than 1e+154"),
        ({"weights": [np.zeros(4)]}, "another shape"),
        ({"weights": []}, "another shape"),
        ({"examples": 10**15}, "worked on 1000000000000000 samples instead of the 100 of its part"),
        ({"examples": -1}, "worked on -1 samples"),
        ({"figures": {"loss": float("nan")}}, "sent a figure that is no finite number: loss nan"),
        ({"figures": {"seconds": float("inf")}}, "seconds inf"),
        ({"figures": {"peak_rss_bytes": 10**400}}, "peak_rss_bytes 1000"),
        ({"figures": {"cpu_seconds": "long"}}, "cpu_seconds 'long'"),
    ],
)
def test_one_answer_costs_its_client_that_task_and_nobody_else(forged: dict[str, Any], reason: str) -> None:
    honest, _dummy = run(None, LocalLink([EDGE2]), "--rounds=3", "--min_num_clients=1", "--min_sample_size=1")
    lines, made = run(None, LocalLink(forge=by_edge1(**forged)), "--rounds=3")
    assert made.status.state == "done" and [entry["event"] for entry in lines] == ["start", *["round"] * 3, "done"]
    for entry in lines[1:4]:
        assert [client["node"] for client in entry["clients"]] == ["edge2"]
        (lost,) = entry["lost"]
        assert lost["node"] == "edge1" and reason in lost["reason"] and len(lost["reason"]) <= 500
    assert [entry["loss"] for entry in lines[:4]] == [entry["loss"] for entry in honest[:4]]


@pytest.mark.parametrize(
    "figures", [{}, {"loss": 0.5}, {"loss": float("nan"), "accuracy": 1.0}, {"loss": 1, "accuracy": 1e999}]
)
def test_an_evaluation_that_is_none_is_left_out(figures: dict[str, float]) -> None:
    app = Classifier("fashion_mnist", train_slice, train_slice, lambda: None, None, None)

    def forge(answer: Answer) -> Answer:
        evaluated = "seconds" not in answer.figures
        return replace(answer, figures=figures) if evaluated and answer.task.member == EDGE1 else answer

    link = LocalLink(forge=forge)
    lines, _dummy = run(None, link, "--rounds=2", app=app)
    for entry in lines[1:3]:
        (lost,) = entry["lost"]
        assert lost["node"] == "edge1" and lost["reason"].startswith("evaluation: sent")
        assert 0 <= entry["accuracy"] <= 1


def test_what_a_client_says_of_its_error_cannot_forge_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "gone\n12:00:00 run r is done\x1b[2J" + "x" * 10_000
    lines, _dummy = run(None, LocalLink(trouble=lambda *_: {"a": reason}), "--rounds=1")
    told = lines[1]["lost"][0]["reason"]
    assert len(told) == 500 and told.isprintable() and told.startswith("gone")
    assert not any(row.endswith("is done\x1b[2J") for row in capsys.readouterr().err.splitlines())


def test_a_client_that_claims_more_than_its_node_s_slice_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    greedy = Member("edge1", "greedy", "i5", "c5", 0, 10**15, "fashion_mnist")
    stranger = Member("edge9", "stranger", "i6", "c6", 0, 100, "fashion_mnist")
    link = LocalLink([EDGE1, EDGE2, greedy, stranger])
    run(None, link, "--rounds=1", "--client_slices=edge1=0:100", "--client_slices=edge2=100:400")
    assert [task.member.pod for task in link.sent[0][1]] == ["a", "b"]
    told = capsys.readouterr().err
    assert (
        "edge1/greedy says that it has samples 0:1000000000000000, its node's slice is 0:100 (--client_slices): left out"
        in told
    )
    assert "edge9/stranger says that it has samples 0:100, its node's slice is none" in told


def test_errors_of_one_node_do_not_end_the_run_of_the_others() -> None:
    """One node is sampled a round; edge1 fails always, edge2 now and then has a part."""
    link = LocalLink(trouble=lambda *_: {"a": "ValueError: broken here"})
    lines, _dummy = run(None, link, "--rounds=3", "--sample_fraction=0.5", "--min_sample_size=1", "--seed=27")
    assert lines[-1]["event"] == "done" and max(entry.get("repeated", 0) for entry in lines) == aside.IN_A_ROW


LARGE = Member("edge3", "c", "i3", "c3", 0, 400, "fashion_mnist")
"""Has half of all samples: with the smaller ones it is more than --min_round_samples leaves."""


def not_finite(answer: Answer) -> Answer:
    return replace(answer, weights=[np.full(3, np.nan)]) if answer.task.member == LARGE else answer


def test_a_node_that_only_sends_what_cannot_be_used_is_set_aside(capsys: pytest.CaptureFixture[str]) -> None:
    """It has half of the samples, so that no round would ever end with it."""
    link = LocalLink([EDGE1, EDGE2, LARGE], forge=not_finite)
    lines, made = run(None, link, "--rounds=12", "--min_round_samples=0.6")
    assert made.status.state == "done" and lines[12]["accuracy"] > 0.95
    assert [entry.get("repeated", 0) for entry in lines[1:13]] == [
        aside.IN_A_ROW,
        *[0] * 9,
        1,
        0,
    ]  # one trial in round 11
    for entry in lines[1:13]:
        assert [client["node"] for client in entry["clients"]] == ["edge1", "edge2"]
        (lost,) = entry["lost"]
        assert lost["node"] == "edge3" and lost["reason"].startswith("set aside: ") and "not finite" in lost["reason"]
        assert lost["reason"].isprintable() and len(lost["reason"]) <= 500
    told = capsys.readouterr().err
    assert told.count("edge3 is set aside for 10 rounds: its last 3 answers can't be used") == 1
    assert told.count("edge3 is set aside for 10 rounds: its last 4 answers can't be used") == 1


def test_a_node_that_was_mended_takes_part_again(capsys: pytest.CaptureFixture[str]) -> None:
    answers = []

    def forge(answer: Answer) -> Answer:
        if answer.task.member == LARGE:
            answers.append(answer)
        return not_finite(answer) if len(answers) <= aside.IN_A_ROW else answer

    link = LocalLink([EDGE1, EDGE2, LARGE], forge=forge)
    lines, _dummy = run(None, link, "--rounds=13", "--min_round_samples=0.6")
    shown = ["edge3" in [client["node"] for client in entry["clients"]] for entry in lines[1:14]]
    assert shown == [False] * aside.PAUSE + [True] * 3 and lines[13]["lost"] == []
    assert "edge3 takes part again" in capsys.readouterr().err


def test_a_node_stays_aside_when_the_aggregator_starts_anew(tmp_path: Path) -> None:
    """Killed after each round; or the node would harm IN_A_ROW tries after each restart."""
    asked = []
    for rounds in range(1, aside.PAUSE + 2):
        link = LocalLink([EDGE1, EDGE2, LARGE], forge=not_finite)
        lines, _made = run(tmp_path, link, f"--rounds={rounds}", "--min_round_samples=0.6")
        asked.append(sum(LARGE in [task.member for task in tasks] for _dummy, tasks in link.sent))
        # As a kill before the last line leaves it
        kept = [entry for entry in lines if entry["event"] != "done"]
        (tmp_path / "rounds.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in kept))
    assert asked == [aside.IN_A_ROW, *[0] * (aside.PAUSE - 1), 1]


def test_lost_connections_set_no_node_aside() -> None:
    link = LocalLink([EDGE1, EDGE2, LARGE], trouble=lambda *_: {"c": "the connection was lost"})
    run(None, link, "--rounds=8", "--min_round_samples=0.4")
    assert all(len(tasks) == 3 for _dummy, tasks in link.sent)


def test_a_run_that_cannot_go_on_without_a_node_ends_with_the_reason() -> None:
    """Two nodes are asked for, and there are two; the one with most samples sends what can't be used."""
    link = LocalLink([EDGE1, LARGE], forge=not_finite)
    with pytest.raises(
        RunError, match=r"round 1 can't be done: .* of edge3 .*--min_sample_size=2: .*; the last: .*not finite"
    ):
        run(None, link, "--rounds=3")
    assert len(link.sent) == aside.IN_A_ROW + 1


QUARTERS = [
    Member(f"edge{n}", f"p{n}", f"i{n}", f"c{n}", 100 * n - 100, 100 * n, "fashion_mnist") for n in (1, 2, 3, 4)
]


def turned(answer: Answer) -> Answer:
    """What edge1 sends is its model times -20."""
    bad = answer.task.member.node == "edge1" and bool(answer.weights)
    return replace(answer, weights=[-20 * answer.weights[0]]) if bad else answer


@pytest.mark.parametrize(("count", "bound"), [(4, "10"), (3, "10"), (4, "2")])
def test_a_node_that_turns_the_model_round_is_refused(count: int, bound: str) -> None:
    members = QUARTERS[:count]
    honest, _dummy = run(None, LocalLink(members[1:]), "--rounds=3")
    lines, _dummy = run(None, LocalLink(members, forge=turned), "--rounds=3", f"--norm_bound={bound}")
    for entry in lines[1:4]:
        (lost,) = entry["lost"]
        assert lost["node"] == "edge1" and "times as much from the model as those of the median node" in lost["reason"]
        assert f"{bound} are allowed (--norm_bound={bound})" in lost["reason"]
    assert [entry["loss"] for entry in lines[:4]] == [entry["loss"] for entry in honest[:4]]
    assert lines[3]["accuracy"] > 0.9


@pytest.mark.filterwarnings("ignore:overflow")
def test_without_the_bound_it_ruins_the_model() -> None:
    """What the bound is for; and with two nodes nobody can say which of them is wrong."""
    for members, bound in ((QUARTERS, "0"), (QUARTERS[:2], "10")):
        lines, _dummy = run(None, LocalLink(members, forge=turned), "--rounds=3", f"--norm_bound={bound}")
        assert lines[1]["accuracy"] < 0.1 and not any(entry["lost"] for entry in lines[1:4])


def test_a_node_with_more_samples_may_change_the_model_more() -> None:
    """It makes as many more steps: 12 times as much is not refused of one with 30 times the samples, but of one like the others."""
    sizes = {"edge1": 10, "edge2": 10, "edge3": 300}
    members = [Member(node, node, node, node, 0, size, "fashion_mnist") for node, size in sizes.items()]

    def forge(node: str) -> Callable[[Answer], Answer]:
        def work(answer: Answer) -> Answer:
            return replace(answer, weights=[np.full(3, 12.0 if answer.task.member.node == node else 1.0)])

        return work

    for node, refused in (("edge3", 0), ("edge1", 1)):
        lines, _dummy = run(None, LocalLink(members, forge=forge(node)), "--rounds=1")
        assert [one["node"] for one in lines[1]["lost"]] == [node] * refused


def test_many_pods_of_one_node_do_not_make_the_median() -> None:
    """Nine pods share the bad node's slice: they are most of the answers, but one of four nodes."""
    pods = [replace(QUARTERS[0], pod=f"bad{n}", instance=f"j{n}", id=f"d{n}") for n in range(9)]
    lines, _dummy = run(None, LocalLink([*pods, *QUARTERS[1:]], forge=turned), "--rounds=1")
    assert {client["node"] for client in lines[1]["clients"]} == {"edge2", "edge3", "edge4"}
    assert len(lines[1]["lost"]) == 9


def test_an_initial_model_that_is_none_is_asked_of_the_next_client(capsys: pytest.CaptureFixture[str]) -> None:
    class Wrong(LocalLink):
        def initial_weights(self, member: Member, timeout: float) -> Weights:
            if member == EDGE1:
                return [np.array(["no", "model", "at all"])]
            return [np.zeros(3)]

    app = Classifier("fashion_mnist", train_slice, train_slice, lambda: None, None, evaluate)
    lines, _dummy = run(None, Wrong(), "--rounds=1", app=app)
    assert lines[-1]["event"] == "done"
    assert "edge1/a gave no initial model: app fashion_mnist: weight 0 is of type <U6" in capsys.readouterr().err


def test_fail_writes_the_reason(tmp_path: Path) -> None:
    out = io.StringIO()
    made = Coordinator(settings.aggregator(["--run=r"]), APP, Journal(tmp_path, out), Store(tmp_path), Status())
    made.accept()
    made.fail("the strategy is broken")
    entry = json.loads(out.getvalue())
    assert entry["event"] == "failed" and entry["reason"] == "the strategy is broken"
    assert made.status.state == "failed" and not made.status.ready
    lines, _dummy = run(tmp_path, LocalLink(), "--rounds=1")
    assert [entry["event"] for entry in lines] == ["start", "round", "done"]
