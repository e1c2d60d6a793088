"""The cases of tests/fl/test_sieve.py, run where Flower is; prints what is wrong."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import exception
from flwr.serverapp import strategy as strategies

from edgefl.aggregator.sieve import Sieve
from edgefl.link import flower

SENT = ArrayRecord({"w": Array(np.zeros(4, np.float32)), "b": Array(np.zeros((), np.float32))})


class Link:
    """What was refused, by the numbers of the nodes."""

    def __init__(self, sent: ArrayRecord) -> None:
        self.arrays: Any = sent
        self.lost: dict[int, str] = {}

    def refuse(self, message: Any, reason: str) -> None:
        self.lost[message.metadata.src_node_id] = reason


def answer(node: int, value: Any = None, metrics: Any = None, **arrays: Any) -> Message:
    """`value` in an array of the shape that was sent; or other arrays."""
    vector = {"w": np.full(4, node if value is None else value, np.float32), "b": np.zeros((), np.float32)}
    content = RecordDict(
        {"arrays": ArrayRecord({key: Array(np.asarray(one)) for key, one in (arrays or vector).items()})}
    )
    if metrics != {}:
        content["metrics"] = MetricRecord({"num-examples": 10, "train_loss": 0.5} | (metrics or {}))
    head, body = flower.encode(Message(content, dst_node_id=node, message_type="train"))
    return flower.decode(head, b"".join(body), src_node_id=node)


def sieved(
    chosen: Any, *batches: list[Message], sent: ArrayRecord = SENT, kind: str = "train"
) -> tuple[Any, dict[int, str]]:
    """The arrays (or metrics) that the strategy makes in the last of these rounds, and who was lost then."""
    link = Link(sent)
    aggregate = Sieve(link).around(chosen, kind, getattr(chosen, f"aggregate_{kind}"))
    made: Any = None
    for number, batch in enumerate(batches, 1):
        link.lost = {}
        made = aggregate(number, batch)
    if kind == "train":
        made = made[0] and flower.ndarrays(made[0])
    return made, link.lost


def with_one(bad: Message, reason: str, **more: Any) -> Any:
    """Of three nodes, 3 is bad: the model is the mean of the others."""
    made, lost = sieved(strategies.FedAvg(), [answer(1), bad, answer(2)], **more)
    assert list(lost) == [3] and reason in lost[3], lost
    assert made["w"].tolist() == [1.5] * 4
    return made


def case_mean() -> None:
    made, lost = sieved(strategies.FedAvg(), [answer(1), answer(2)])
    assert made["w"].tolist() == [1.5] * 4 and lost == {}


def case_shape() -> None:
    with_one(answer(3, w=np.zeros(9, np.float32), b=0.0), "another shape")


def case_broadcast() -> None:
    """NumPy would add it to all."""
    with_one(answer(3, w=np.zeros(1, np.float32), b=0.0), "another shape")


def case_names() -> None:
    with_one(answer(3, w=np.zeros(4, np.float32)), "another shape")


def case_unreadable() -> None:
    bad = answer(3)
    bad.content["arrays"]["w"].data = b"\0" * 40
    with_one(bad, "another shape")


def case_not_finite() -> None:
    with_one(answer(3, np.inf), "not finite")


def case_not_finite_sent() -> None:
    """A mask of the model's own is no flaw."""
    mask = np.array([0, -np.inf], np.float32)
    sent = ArrayRecord([mask, np.zeros(2, np.float32)])
    made, lost = sieved(strategies.FedAvg(), [answer(one, x=mask, y=np.ones(2)) for one in (1, 2)], sent=sent)
    assert lost == {} and made["x"].tolist() == [0, -np.inf]


def case_weight() -> None:
    with_one(answer(3, metrics={"num-examples": -5}), "num-examples -5")
    with_one(answer(3, metrics={"num-examples": float("inf")}), "num-examples inf")


def case_more_metrics() -> None:
    with_one(answer(3, metrics={"another": 1, "more": [1, 2]}), "it has metrics.another, metrics.more: several numbers")


def case_no_metrics() -> None:
    with_one(answer(3, metrics={}), "the strategy can't take it: InconsistentMessageReplies")


def case_many() -> None:
    """Wrong in several ways at once, and one that raised."""
    bad = [answer(4, metrics={}), answer(5, np.nan), answer(6, metrics={"another": 1.0}), answer(7, w=1.0, b=1.0)]
    raised = flower.spoiled(answer(8), "gone")
    made, lost = sieved(strategies.FedAvg(), [*bad, answer(1), raised, answer(2)])
    assert sorted(lost) == [4, 5, 6, 7] and made["w"].tolist() == [1.5] * 4


def case_two() -> None:
    """Nobody is in the majority: who answers as was sent is right."""
    made, lost = sieved(Own(), [answer(1), answer(2, w=np.zeros(9), b=0.0)])
    assert (
        list(lost) == [2]
        and "it has arrays.w: floats (9,) and lacks arrays.w: floats (4,)" in lost[2]
        and made["w"].tolist() == [1] * 4
    )
    made, lost = sieved(strategies.FedAvg(), [answer(2, metrics={"another": 1}), answer(1)])
    assert list(lost) == [2]


class Own(strategies.FedAvg):
    """An app's own, that says nothing of what it does."""

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        return super().aggregate_train(server_round, replies)


class Ordered(Own):
    """Goes by the order of the arrays."""

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        if len({tuple(one.content["arrays"]) for one in replies if one.has_content()}) > 1:
            raise ValueError("another order")
        return super().aggregate_train(server_round, replies)


def case_order() -> None:
    other = answer(3, b=np.zeros((), np.float32), w=np.zeros(4, np.float32))
    made, lost = sieved(Ordered(), [answer(1), other, answer(2)])
    assert list(lost) == [3] and "it has another order" in lost[3] and made["w"].tolist() == [1.5] * 4


def case_privacy() -> None:
    """It works on its replies before it raises; a round that lacks one is none, as with a client that raised."""
    for name in ("DifferentialPrivacyServerSideFixedClipping", "DifferentialPrivacyServerSideAdaptiveClipping"):
        inner = Own(min_train_nodes=1)
        chosen = getattr(strategies, name)(
            inner, 0.0, **({"clipping_norm": 1.0} if "Fixed" in name else {}), num_sampled_clients=2
        )
        chosen.current_arrays = SENT
        made, lost = sieved(chosen, [answer(1), answer(2)])
        assert lost == {} and np.linalg.norm(made["w"]) < 1.01
        made, lost = sieved(chosen, [answer(1), answer(2, np.nan)])
        assert list(lost) == [2] and made is None


def case_fair() -> None:
    """It uses up what it gets; its loss is a weight."""
    for bad in (answer(3, metrics={"train_loss": float("nan")}), answer(3, metrics={"train_loss": [1.0]})):
        chosen = strategies.QFedAvg(client_learning_rate=0.1, min_train_nodes=1)
        chosen.current_arrays = SENT.copy()
        made, lost = sieved(chosen, [answer(1), bad, answer(2)])
        chosen.current_arrays = SENT.copy()
        wanted, _none = sieved(chosen, [answer(1), answer(2)])
        assert list(lost) == [3] and "train_loss" in lost[3], lost
        np.testing.assert_allclose(made["w"], wanted["w"])


def trees(count: int) -> np.ndarray[Any, Any]:
    """A model as XGBoost writes it, of `count` trees."""
    model = {
        "gbtree_model_param": {"num_trees": str(count), "num_parallel_tree": str(count)}, "iteration_indptr": [0, count],
        "trees": [{"id": number} for number in range(count)], "tree_info": [0] * count,
    }  # fmt: skip
    text = json.dumps({"learner": {"gradient_booster": {"model": model}}})
    return np.frombuffer(text.encode(), np.uint8)


def case_xgboost() -> None:
    """Bytes of any length; the trees of who sends none are not had twice."""
    for bad in (np.frombuffer(b"no trees", np.uint8), np.zeros(3, np.uint8)):
        chosen = strategies.FedXgbBagging()
        chosen.current_bst = trees(1).tobytes()
        batch = [answer(1, **{"0": trees(1)}), answer(2, **{"0": trees(2)}), answer(3, **{"0": bad})]
        made, lost = sieved(chosen, batch, sent=ArrayRecord([trees(1)]))
        assert list(lost) == [3] and "can't take it: JSONDecodeError" in lost[3], lost
        learner = json.loads(made["0"].tobytes())["learner"]
        assert len(learner["gradient_booster"]["model"]["trees"]) == 4


def case_cyclic() -> None:
    made, lost = sieved(strategies.FedXgbCyclic(), [answer(1, **{"0": trees(2)})], sent=ArrayRecord([trees(1)]))
    assert lost == {} and made["0"].size == trees(2).size


def case_krum() -> None:
    made, lost = sieved(strategies.Krum(), [answer(1), answer(2, np.nan), answer(3), answer(4)])
    assert list(lost) == [2] and np.isfinite(made["w"]).all()


class Parts(Own):
    """Nodes send what they like, and it can't be averaged."""

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        return ArrayRecord([np.array([len(one.content["arrays"]) for one in replies])]), None


def case_own_arrays() -> None:
    batch = [answer(1), answer(2, w=np.full(9, np.nan)), answer(3, metrics={}), answer(4, a=1, b=2, c=3)]
    made, lost = sieved(Parts(), batch)
    assert lost == {} and made["0"].tolist() == [2, 1, 2, 3]


class Counting(Own):
    """Notes what it got in a list of its own, before it raises."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        replies = list(replies)
        self.seen += [one.metadata.src_node_id for one in replies if one.has_content()]
        return super().aggregate_train(server_round, replies)


def case_own_state() -> None:
    chosen = Counting()
    _made, lost = sieved(chosen, [answer(1), answer(3, metrics={}), answer(2)])
    assert list(lost) == [3] and chosen.seen == [1, 2]


class Broken(Own):
    """Raises in a round, whatever it gets."""

    def __init__(self, number: int, error: Exception) -> None:
        super().__init__()
        self.number, self.error = number, error

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        if server_round == self.number:
            raise self.error
        return super().aggregate_train(server_round, replies)


def raises(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    try:
        call()
    except kind as err:
        said = str(err)
    else:
        said = "nothing"
    assert text in said, said


def case_own_error() -> None:
    good = [answer(1), answer(2)]
    raises(lambda: sieved(Broken(2, IndexError("mine")), good, good), IndexError, "mine")


def case_budget() -> None:
    """A privacy budget that is used up ends the run, whatever the answers are."""
    exhausted = getattr(exception, "PrivacyBudgetExhausted", OSError)
    good = [answer(1), answer(2)]
    raises(lambda: sieved(Broken(2, exhausted("no more")), good, good), exhausted, "no more")


def case_own_disk() -> None:
    """An error of the machine is no answer's."""
    raises(lambda: sieved(Broken(1, OSError("full")), [answer(1), answer(3, metrics={})]), OSError, "full")


class Full(Own):
    """The disk is full when it is called for the second or third time."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.calls = [0]
        self.after = after
        self.counter = iter(range(100))

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        if next(self.counter) == self.after:
            raise OSError("full")
        return super().aggregate_train(server_round, replies)


def case_disk_again() -> None:
    batch = [answer(1), answer(3, metrics={})]
    for after in (1, 3):
        raises(partial(sieved, Full(after), batch), OSError, "full")


def case_evaluation() -> None:
    bad = answer(3, metrics={"eval_loss": [1.0]})
    good = [answer(one, metrics={"eval_loss": float(one)}) for one in (1, 2)]
    made, lost = sieved(strategies.FedAvg(), [good[0], bad, good[1]], kind="evaluate")
    assert list(lost) == [3] and made["eval_loss"] == 1.5


def case_none_first() -> None:
    raises(lambda: sieved(strategies.FedAvg(), [answer(1, metrics={})]), Exception, "Expected exactly one MetricRecord")


def case_none_later() -> None:
    made, lost = sieved(strategies.FedAvg(), [answer(1), answer(2)], [answer(1, metrics={}), answer(2, metrics={})])
    assert sorted(lost) == [1, 2] and made is None
    # one is left, and it is of another shape: that would be the model
    made, lost = sieved(strategies.FedAvg(), [answer(1), answer(2)], [answer(1, w=np.zeros(9), b=0.0)])
    assert list(lost) == [1] and made is None


def case_none_later_of_the_app() -> None:
    """What the app's own code raises is its own fault."""

    def combine(contents: list[RecordDict], _key: str) -> MetricRecord:
        return MetricRecord({"best": max(float(one["metrics"]["best"]) for one in contents)})

    good, bad = [answer(1, metrics={"best": 1.0})], [answer(1)]
    raises(lambda: sieved(strategies.FedAvg(train_metrics_aggr_fn=combine), good, bad), KeyError, "best")


def case_loops() -> None:
    """A strategy is as it was after its start, also one that an app gave methods of its own."""
    begun = []

    def guarded(_strategy: Any, kind: str, _aggregate: Any) -> Any:
        return kind

    original = strategies.Strategy.start
    strategies.Strategy.start = lambda self, **_named: begun.append(vars(self)["aggregate_train"])
    flower.watch_strategies(lambda *_about: None, guarded)
    chosen = strategies.FedAvg()
    chosen.aggregate_train = "own"
    chosen.start(grid=None, initial_arrays=SENT)
    strategies.Strategy.start = original
    assert begun == ["train"] and vars(chosen)["aggregate_train"] == "own" and "aggregate_evaluate" not in vars(chosen)


if __name__ == "__main__":
    flower.quiet()
    flower.context(1, 1, {}, {})
    bad = 0
    for name, case in list(globals().items()):
        if not name.startswith("case_"):
            continue
        try:
            case()
        except Exception:
            bad += 1
            print(f"{name}: {traceback.format_exc()}", flush=True)
    sys.exit(bad)
