"""Flower apps, unmodified, on the link: real processes. The apps in flower_apps are written as Flower's quickstarts are."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faults.test_tls import folders
from support.processes import ROOT, TOLD_TO_END, Federation, Program, until

__all__ = ["folders"]  # the fixture of mutual TLS

APPS = Path(__file__).parent / "flower_apps"
MEANS = APPS / "means"


def state(federation: Federation) -> Path:
    return federation.folder / "state" / "default"


def started(federation: Federation, app: Path, *arguments: str, **more: str) -> Program:
    return federation.aggregator(f"--app={app}", f"--state_dir={federation.folder / 'state'}", *arguments, **more)


def rounds(aggregator: Program) -> list[dict[str, Any]]:
    return [entry for entry in aggregator.lines() if entry["event"] == "round"]


def test_a_strategy_its_rounds_and_its_model(federation: Federation) -> None:
    aggregator = started(federation, MEANS, "--app_config=num-server-rounds=2 learning-rate=0.25")
    clients = federation.app_pair(MEANS)
    done = federation.event(aggregator, "done")
    lines = aggregator.lines()  # what the app prints is not among them
    assert [entry["event"] for entry in lines] == ["start", "round", "round", "done"] and aggregator.told("trained")
    assert lines[0]["settings"]["app"] == "means" and lines[0]["settings"]["config"]["learning-rate"] == 0.25
    first = lines[1]
    assert [(one["node"], one["examples"]) for one in first["clients"]] == [("edge1", 10), ("edge2", 10)]
    assert all(one["peak_rss_bytes"] > 1e7 and one["seconds"] > 0 for one in first["clients"])
    assert [one["metrics"]["train"]["calls"] for one in lines[2]["clients"]] == [2, 2]  # context.state is kept
    assert [(one["type"], one["sent"], one["answered"], one["errors"]) for one in first["exchanges"]] == [
        ("train", 2, 2, 0),
        ("evaluate", 2, 2, 0),
    ]
    assert all(one["bytes_sent"] > 100 and one["bytes_received"] > 100 for one in first["exchanges"])
    means = [one["metrics"]["evaluate"]["eval_loss"] for one in first["clients"]]
    assert first["metrics"]["evaluate"]["eval_loss"] == pytest.approx(sum(means) / 2, abs=1e-5) == first["loss"]
    assert first["accuracy"] == 0.5 and "distance" in first["metrics"]["aggregator"]
    assert (done["rounds"], done["examples"], done["lost_total"]) == (2, 40, 0)
    # the model, from the strategy and as the app wrote it where it runs
    about = json.loads((state(federation) / "model" / "model.json").read_text())
    kept = np.load(state(federation) / "model" / "model.npz")
    (array,) = about["arrays"]
    assert (about["loop"], about["round"], about["accuracy"]) == (1, 2, 0.5)
    assert hashlib.sha256((state(federation) / "model" / "model.npz").read_bytes()).hexdigest() == about["sha256"]
    assert (array["shape"], array["dtype"], about["app"]) == ([4], "float32", "means")
    written = np.load(state(federation) / "work" / "final_model.npz")
    np.testing.assert_array_equal(kept[array["name"]], written["arr_0"])
    assert not (state(federation) / "replies.bin").exists()
    assert federation.status()["state"] == "done" and all(one.lives for one in clients)
    # what Flower says of its rounds is in the log, as plain text, in the order of our own lines
    said = aggregator.err.read_text()
    for text in ("Starting FedAvg strategy:", "[ROUND 1/2]", "aggregate_train: Received 2 results and 0 failures"):
        assert [row for row in said.splitlines() if row.startswith("INFO :") and text in row], said
    assert said.index("[ROUND 1/2]") < said.index("round 1: ") < said.index("Strategy execution finished")
    assert "\x1b" not in said + "".join(one.err.read_text() + one.out.read_text() for one in clients)
    assert clients[0].end() < 2 and clients[0].process.returncode == TOLD_TO_END
    # the same run again: done at once
    assert aggregator.end() < 2
    again = started(federation, MEANS)
    assert federation.event(again, "done") == done


def test_no_hub_is_asked_and_nobody_is_told(federation: Federation, tmp_path: Path) -> None:
    """Also without the images' environment. What the environment says holds."""
    app = shutil.copytree(MEANS, tmp_path / "means", ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("server_app.py", "client_app.py"):
        path = app / "means" / part
        shown = (
            "print('environment', *(f'{k}={v}' for k, v in sorted(os.environ.items())), file=sys.stderr, flush=True)"
        )
        telemetry = "print('FLWR_TELEMETRY', telemetry.FLWR_TELEMETRY_ENABLED, file=sys.stderr, flush=True)"
        begin = "import os, sys\nfrom flwr.supercore import telemetry"
        path.write_text(f"{begin}\n{shown}\n{telemetry}\n" + path.read_text())
    aggregator = started(federation, app, "--app_config=num-server-rounds=1", HF_DATASETS_OFFLINE="0")
    clients = federation.app_pair(app, HF_DATASETS_OFFLINE="0")
    federation.event(aggregator, "done")
    for program in (aggregator, *clients):
        (row,) = [row for row in program.err.read_text().splitlines() if row.startswith("environment")]
        wanted = {"HF_HUB_OFFLINE=1", "HF_DATASETS_OFFLINE=0", "HF_HUB_DISABLE_TELEMETRY=1", "DO_NOT_TRACK=1"}
        assert wanted <= set(row.split()) and program.told("FLWR_TELEMETRY 0"), row


def test_a_fab(federation: Federation, tmp_path: Path) -> None:
    fab = tmp_path / "means.fab"
    with zipfile.ZipFile(fab, "w") as archive:
        for path in MEANS.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(MEANS))
    aggregator = started(federation, fab, "--app_config=num-server-rounds=1")
    federation.app_pair(MEANS)  # the same files, so the same app
    assert federation.event(aggregator, "done")["rounds"] == 1


def test_data_that_lies_on_the_edge(federation: Federation, tmp_path: Path) -> None:
    truth = tmp_path / "test/owner/truth.txt"
    truth.parent.mkdir(parents=True)
    truth.write_text("8")
    told = f"--data_dir={truth.parent.parent}"
    aggregator = started(federation, MEANS, "--app_config=num-server-rounds=1 learning-rate=1.0", told)
    for node, numbers in (("edge1", "3 5"), ("edge2", "10 10")):
        folder = tmp_path / node
        folder.mkdir()
        (folder / "numbers.txt").write_text(f"{numbers}\n" * 100_000)
        federation.app_client(node, MEANS, f"--data_dir={folder}")
    federation.event(aggregator, "done")
    about = json.loads((state(federation) / "model" / "model.json").read_text())
    kept = np.load(state(federation) / "model" / "model.npz")[about["arrays"][0]["name"]]
    assert kept.tolist() == [7.0] * 4
    (made,) = rounds(aggregator)
    assert all(
        one["bytes_received"] < 5_000 for one in made["exchanges"]
    )  # weights and metrics, of 400 KB of data none
    assert made["metrics"]["aggregator"]["distance"] == 1.0  # of what lies in the aggregator's own folder
    assert not (state(federation) / "work/owner").exists() and truth.exists()


def test_messages_of_its_own(federation: Federation) -> None:
    """No strategy: queries, named actions, push and pull, state on the clients."""
    aggregator = started(federation, APPS / "asking")
    federation.app_pair(APPS / "asking")
    federation.event(aggregator, "done")
    found = json.loads((state(federation) / "work" / "found.json").read_text())
    assert found == {"names": ["edge1", "edge2"], "counts": [1, 1, 3, 3]}
    made = rounds(aggregator)
    assert [one["exchanges"][0]["type"] for one in made] == ["query", "train.count", "train.count"]
    assert [client["metrics"]["train.count"]["count"] for client in made[2]["clients"]] == [3, 3]


def test_queries_of_tables(federation: Federation, tmp_path: Path) -> None:
    """In the shape of the quickstart with pandas: no strategy, lists of counts, a table that is found by a relative path."""
    app = APPS / "histograms"
    aggregator = started(federation, app)
    for node, row in (("edge1", "2.5,9.5"), ("edge2", "4.5,9.5")):
        table = tmp_path / node / "owner/iris/train.csv"
        table.parent.mkdir(parents=True)
        table.write_text("Length,Width\n" + f"{row}\n" * 50)
        federation.app_client(node, app, f"--data_dir={tmp_path / node}")
    federation.event(aggregator, "done")
    found = json.loads((state(federation) / "work" / "histograms.json").read_text())
    assert found == [{"Length": [50, 0, 50] + [0] * 6, "Width": [0] * 8 + [100]}] * 3
    made = rounds(aggregator)
    assert [(one["exchanges"][0]["type"], one["exchanges"][0]["answered"]) for one in made] == [("query", 2)] * 3
    assert aggregator.told("Received 2/2 results", 3) and all(one["lost"] == [] for one in made)


@pytest.mark.parametrize("spoiled", [False, True])
def test_trees_in_bytes(federation: Federation, spoiled: bool) -> None:
    """In the shape of the quickstart with XGBoost: the model grows with each round, and no two answers are of one length."""
    app = APPS / "boosted"
    aggregator = started(federation, app, "--min_nodes=3", "--min_num_clients=3")
    for number in range(3):
        bad = "1" if spoiled and number == 2 else ""
        own = f"--node_config=partition-id={number} num-partitions={2 if spoiled else 3}"
        federation.app_client(f"edge{number}", app, own, SPOIL=bad)
    federation.event(aggregator, "done")
    made = rounds(aggregator)
    lost = [(one["round"], item["node"]) for one in made for item in one["lost"]]
    assert lost == ([(2, "edge2"), (3, "edge2")] if spoiled else [])
    assert all("JSONDecodeError" in item["reason"] for one in made for item in one["lost"])
    errors = [one["metrics"]["evaluate"]["mse"] for one in made]
    assert errors[0] > errors[1] > errors[2], errors
    written = (state(federation) / "work" / "final_model.json").read_bytes()
    trees = json.loads(written)["learner"]["gradient_booster"]["model"]["trees"]
    assert len(trees) == (6 + 4 + 4 if spoiled else 18)
    kept = np.load(state(federation) / "model" / "model.npz")
    assert kept[kept.files[0]].tobytes() == written


@pytest.mark.parametrize("client", ["client", "adaptive", "local"])
def test_mods(federation: Federation, tmp_path: Path, client: str) -> None:
    """Each client's step of length 300 is clipped to 1, twice."""
    app = shutil.copytree(APPS / "private", tmp_path / "private", ignore=shutil.ignore_patterns("__pycache__"))
    about = (app / "pyproject.toml").read_text()
    (app / "pyproject.toml").write_text(about.replace("private:client", f"private:{client}"))
    aggregator = started(federation, app, f"--app_config=client='{client}'")
    federation.app_pair(app)
    federation.event(aggregator, "done")
    assert all(one["lost"] == [] for one in rounds(aggregator))
    kept = np.load(state(federation) / "model" / "model.npz")
    assert np.linalg.norm(kept[kept.files[0]]) == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("config", ["", "fraction-evaluate=0.0 initial=false"])
def test_the_api_of_before(federation: Federation, config: str) -> None:
    """Rounds, samples, metrics and the last model are those of an app that is written with functions and a strategy of parameters."""
    aggregator = started(federation, APPS / "legacy", *([f"--app_config={config}"] if config else []))
    federation.app_pair(APPS / "legacy")
    federation.event(aggregator, "done")
    first, second = rounds(aggregator)
    assert [one["examples"] for one in first["clients"]] == [30, 30] and first["lost"] == second["lost"] == []
    assert second["metrics"]["train"] == {"train_loss": 0.5}
    assert second["metrics"]["aggregator"] == {"loss": 0.125, "first": 2.0}
    if not config:
        assert second["metrics"]["evaluate"] == {"loss": 0.25, "accuracy": 0.2} and second["accuracy"] == 0.2
    about = json.loads((state(federation) / "model" / "model.json").read_text())
    kept = np.load(state(federation) / "model" / "model.npz")[about["arrays"][0]["name"]]
    assert kept.tolist() == [2, 2, 2] and about["round"] == 2


@pytest.mark.parametrize("size", [3, 5])
def test_a_bad_answer_by_the_api_of_before(federation: Federation, size: int) -> None:
    """Arrays that are not finite, or of another shape."""
    aggregator = started(
        federation, APPS / "legacy", "--app_config=num-server-rounds=3", "--min_nodes=3", "--min_num_clients=3"
    )
    federation.app_pair(APPS / "legacy")
    federation.app_client("edge3", APPS / "legacy", "--node_config=partition-id=2", SPOIL=str(size))
    federation.event(aggregator, "done")
    made = rounds(aggregator)
    assert [(one["round"], item["node"]) for one in made for item in one["lost"]] == [(2, "edge3"), (3, "edge3")]
    assert ("not finite" if size == 3 else "another shape") in made[1]["lost"][0]["reason"]
    kept = np.load(state(federation) / "model" / "model.npz")
    assert kept[kept.files[0]].tolist() == [3, 3, 3]


def test_secure_aggregation(federation: Federation) -> None:
    """Two clipped steps, one in each of two directions, twice."""
    aggregator = started(federation, APPS / "masked")
    federation.app_pair(APPS / "masked")
    federation.event(aggregator, "done")
    last = np.load(state(federation) / "work" / "last.npy")
    assert last == pytest.approx([1, 1, 0, 0, 0, 0, 0, 0, 0], abs=0.01)
    made = rounds(aggregator)
    assert [one["lost"] for one in made] == [[]] * len(made)


def test_a_client_that_raises(federation: Federation, tmp_path: Path) -> None:
    """It is lost with the reason, for these rounds; nothing else ends."""
    broken = tmp_path / "broken"
    aggregator = started(federation, MEANS, "--app_config=num-server-rounds=6 pause=0.3")
    bad, good = federation.app_pair(MEANS, BREAK="")
    bad.kill()
    federation.app_client("edge1", MEANS, "--node_config=partition-id=0", BREAK=str(broken))
    federation.event(aggregator, "round", 1)
    broken.touch()
    federation.event(aggregator, "round", 3)
    broken.unlink()
    federation.event(aggregator, "done")
    made = rounds(aggregator)
    lost = [item for one in made for item in one["lost"]]
    assert lost and {item["node"] for item in lost} == {"edge1"}
    assert "FileNotFoundError: no data any more" in [item["reason"] for item in lost][-1]
    assert made[-1]["lost"] == [] and len(made[-1]["clients"]) == 2 and good.lives


SPOILED = {
    "shape": "sent weights of another shape than the model's",
    "nan": "sent weights that are not finite",
    "no metrics": "the strategy can't take it: InconsistentMessageReplies: Expected exactly one MetricRecord",
    "a list": "the strategy can't take it: InconsistentMessageReplies: Key `num-examples`",
    "evaluation": "its answer is not as the others': it has metrics.eval_loss: several numbers and lacks metrics.eval_acc",
}  # fmt: skip


def spoilable(tmp_path: Path) -> Path:
    """The means, whose nodes may answer wrongly."""
    app = shutil.copytree(MEANS, tmp_path / "means", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests/support/spoil.py", app / "means")
    client = app / "means/client_app.py"
    text = client.read_text().replace("app = ClientApp()", "app = ClientApp(mods=[spoil])")
    client.write_text(text.replace("from flwr.clientapp", "from means.spoil import spoil\nfrom flwr.clientapp"))
    return app


# The others are in other tests here and in test_sieve.py, but for the restart
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[] if way in ("a list", "evaluation") else pytest.mark.long) for way in SPOILED]
)
def test_a_bad_answer(federation: Federation, tmp_path: Path, way: str) -> None:
    """Of a client that is right in all but what it answers: it is lost with the reason, and the run ends as without it; also after a restart."""
    app = spoilable(tmp_path)
    options = ("--app_config=num-server-rounds=4 pause=0.2 learning-rate=1.0", "--min_nodes=3", "--min_num_clients=3")
    aggregator = started(federation, app, *options)
    for number, node in enumerate(("edge1", "edge2", "edge3")):
        federation.app_client(node, app, f"--node_config=partition-id={number}", SPOIL=way if node == "edge3" else "")
    federation.event(aggregator, "round", 2)
    aggregator.end(signal.SIGKILL)
    again = started(federation, app, *options)
    federation.event(again, "done")
    made = rounds(again)
    lost = [(one["round"], item["node"]) for one in made for item in one["lost"]]
    assert lost == [(2, "edge3"), (3, "edge3"), (4, "edge3")] and again.told("replies of before")
    assert all(SPOILED[way] in item["reason"] for one in made for item in one["lost"]), made[1]["lost"]
    kind = 1 if way == "evaluation" else 0
    assert [(one["exchanges"][kind]["answered"], one["exchanges"][kind]["errors"]) for one in made[1:]] == [(2, 1)] * 3
    kept = np.load(state(federation) / "model" / "model.npz")
    assert kept[kept.files[0]].tolist() == [2.0 if way == "evaluation" else 1.5] * 4
    assert again.lines()[-1]["lost_total"] == 3


def test_two_nodes_of_which_one_is_wrong(federation: Federation, tmp_path: Path) -> None:
    """From the first round on, and where the other one is gone nothing is left."""
    app = spoilable(tmp_path)
    aggregator = started(federation, app, "--app_config=num-server-rounds=2")
    for number, way in enumerate(("shape", "")):
        own = f"--node_config=partition-id={number}"
        federation.app_client(f"edge{number}", app, own, SPOIL=way, SPOIL_SINCE="1")
    assert federation.event(aggregator, "done")["lost_total"] == 2
    kept = np.load(state(federation) / "model" / "model.npz")
    assert kept[kept.files[0]].shape == (4,)


def test_answers_that_none_can_take(federation: Federation, tmp_path: Path) -> None:
    """In the first round it is the app that is wrong; later, when it has worked, these answers are, and the model stays."""
    app = spoilable(tmp_path)
    aggregator = started(federation, app, "--app_config=num-server-rounds=3", "--run=later")
    clients = federation.app_pair(app, SPOIL="no metrics")
    assert federation.event(aggregator, "done")["lost_total"] == 4
    aggregator.end()
    for client in clients:
        client.end()
    aggregator = started(federation, app, "--run=first")
    federation.app_pair(app, SPOIL="no metrics", SPOIL_SINCE="1")
    assert "Expected exactly one MetricRecord" in federation.event(aggregator, "failed")["reason"]


def weights(federation: Federation) -> bytes:
    return (state(federation) / "model" / "model.npz").read_bytes()


def test_five_kills_of_the_aggregator(federation: Federation, tmp_path: Path) -> None:
    """main() begins again each time and gets its replies of before: in the end the weights are those of an undisturbed run, bit by bit."""
    options = ("--app_config=num-server-rounds=12 learning-rate=0.3 pause=0.1",)
    calm = Federation(tmp_path / "calm")
    (tmp_path / "calm").mkdir()
    aggregator = started(calm, MEANS, *options)
    clients = calm.app_pair(MEANS)
    calm.event(aggregator, "done")
    calm.close()
    assert clients
    federation.app_pair(MEANS)
    for kill in range(5):
        aggregator = started(federation, MEANS, *options)
        federation.event(aggregator, "round", 2 * kill + 1)
        time.sleep(0.07 * kill)
        aggregator.end(signal.SIGKILL)
    last = started(federation, MEANS, *options)
    federation.event(last, "done")
    made = rounds(last)
    assert [one["round"] for one in made] == list(range(1, 13))
    assert last.told("replies of before") and not last.told("goes on live")
    assert all(one["lost"] == [] and len(one["clients"]) == 2 for one in made)
    # no client did a round twice: its count of calls is the number of the round
    assert [one["metrics"]["train"]["calls"] for entry in made for one in entry["clients"]] == [
        round_ for round_ in range(1, 13) for _node in (1, 2)
    ]
    mine, theirs = (dict(np.load(state(one) / "model" / "model.npz")) for one in (federation, calm))
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name])
    assert (state(federation) / "rounds.jsonl").read_text() == last.out.read_text()


def test_the_api_of_before_is_killed(federation: Federation) -> None:
    """Its strategy has a thread for each node; the run goes on where it was all the same."""
    options = ("--app_config=num-server-rounds=5 pause=0.3",)
    first = started(federation, APPS / "legacy", *options)
    federation.app_pair(APPS / "legacy")
    federation.event(first, "round", 2)
    first.end(signal.SIGKILL)
    again = started(federation, APPS / "legacy", *options)
    federation.event(again, "done")
    assert again.told("replies of before")
    assert [one["round"] for one in rounds(again)] == [1, 2, 3, 4, 5]
    kept = np.load(state(federation) / "model" / "model.npz")
    assert kept[kept.files[0]].tolist() == [5, 5, 5]


def test_an_app_that_is_not_the_same_after_a_restart(federation: Federation, tmp_path: Path) -> None:
    """Its numbers do not come from a seed: that is told, and it trains from where it begins, each round once."""
    app = tmp_path / "unseeded"
    shutil.copytree(MEANS, app)
    server = app / "means" / "server_app.py"
    server.write_text(server.read_text().replace("np.random.rand", "np.random.default_rng().random"))
    options = ("--app_config=num-server-rounds=4 pause=0.2",)
    first = started(federation, app, *options)
    federation.app_pair(app)
    federation.event(first, "round", 2)
    first.end(signal.SIGKILL)
    again = started(federation, app, *options)
    federation.event(again, "done")
    assert again.told("sends another message than before the restart") and again.told("goes on live")
    assert [one["round"] for one in json_lines(state(federation) / "rounds.jsonl") if one["event"] == "round"] == [
        1,
        2,
        3,
        4,
    ]


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in path.read_text().splitlines()]


def test_pods_that_stand_by(federation: Federation) -> None:
    """One pod of a node works. When it dies in a round, the other does what it was asked: nothing is lost."""
    aggregator = started(federation, MEANS, "--app_config=num-server-rounds=2 pause=2.0", "--min_num_clients=3")
    first = federation.app_client("edge1", MEANS, "--node_config=partition-id=0", pod="first")
    until(lambda: aggregator.told("edge1/first joined"), "the first")
    federation.app_client("edge1", MEANS, "--node_config=partition-id=0", pod="second")
    until(lambda: aggregator.told("stands by for first"), "the stand-by")
    federation.app_client("edge2", MEANS, "--node_config=partition-id=1")
    until(lambda: federation.status()["state"] == "training", "the training")
    time.sleep(0.7)
    first.end(signal.SIGKILL)
    begin = time.monotonic()
    line = federation.event(aggregator, "round", 1)
    assert time.monotonic() - begin < 4 and line["lost"] == []
    assert next((one["node"], one["pod"]) for one in line["clients"]) == ("edge1", "second")
    federation.event(aggregator, "done")
    assert all(one["lost"] == [] and len(one["clients"]) == 2 for one in rounds(aggregator))


def test_pods_that_share_their_nodes_data(federation: Federation, tmp_path: Path) -> None:
    """An app that says so gets every pod as a node, and tells each its part by shard-index and shard-count."""
    app = tmp_path / "app"
    shutil.copytree(MEANS, app)
    with (app / "pyproject.toml").open("a") as file:
        file.write("\n[tool.edgefl]\nshards = true\n")
    client = app / "means" / "client_app.py"
    told = 'context.node_config["shard-index"] * 10 + context.node_config["shard-count"]'
    client.write_text(client.read_text().replace('"calls": calls["count"]', f'"calls": {told}'))
    aggregator = started(federation, app, "--min_num_clients=3", "--app_config=num-server-rounds=1")
    for node in ("edge1", "edge1", "edge2"):
        federation.app_client(node, app, "--node_config=partition-id=0")
    federation.event(aggregator, "done")
    (made,) = rounds(aggregator)
    parts = sorted((one["node"], one["shard"], one["metrics"]["train"]["calls"]) for one in made["clients"])
    assert parts == [("edge1", "1/2", 2), ("edge1", "2/2", 12), ("edge2", "1/1", 1)]


def test_mutual_tls(federation: Federation, folders: dict[str, Path]) -> None:
    """The node is the one in the certificate: whoever says it is another is refused, and has no part in the run."""
    aggregator = started(federation, MEANS, "--app_config=num-server-rounds=1", f"--tls_dir={folders['aggregator']}")
    pretender = federation.app_client("edge2", MEANS, f"--tls_dir={folders['edge1']}", pod="pretender")
    until(lambda: aggregator.told("with the certificate of edge1 says it is node edge2"), "the pretender")
    until(lambda: pretender.told("says it is node edge2"), "the pretender knows why")
    for number, node in enumerate(("edge1", "edge2")):
        own = (f"--node_config=partition-id={number}", f"--tls_dir={folders[node]}")
        federation.app_client(node, MEANS, *own)
    federation.event(aggregator, "done")
    (made,) = rounds(aggregator)
    assert sorted(one["node"] for one in made["clients"]) == ["edge1", "edge2"]
    assert "pretender" not in {one["pod"] for one in made["clients"]}


def test_a_client_killed_in_a_round(federation: Federation) -> None:
    """Nobody stands by: the round goes on without it after the grace time."""
    aggregator = started(federation, MEANS, "--app_config=num-server-rounds=2 pause=1.0")
    edge1, _edge2 = federation.app_pair(MEANS)
    until(federation.ready, "ready")
    until(lambda: federation.status()["state"] == "training", "the training")
    time.sleep(0.3)
    edge1.end(signal.SIGKILL)
    federation.app_client("edge3", MEANS, "--node_config=partition-id=0")  # the strategy wants two nodes
    line = federation.event(aggregator, "round", 1)
    assert [(one["node"], one["reason"]) for one in line["lost"]] == [("edge1", "the connection was lost")]
    assert line["seconds"] < 8
    federation.event(aggregator, "done")


def test_a_client_that_is_too_slow(federation: Federation) -> None:
    aggregator = started(federation, MEANS, "--app_config=num-server-rounds=1 pause=6.0", "--round_timeout=2")
    federation.app_pair(MEANS)
    federation.event(aggregator, "done")
    (made,) = rounds(aggregator)
    assert sorted(one["node"] for one in made["lost"] if "--round_timeout" in one["reason"])[:2] == ["edge1", "edge1"]
    assert made["clients"] == [] and made["seconds"] < 10


def test_more_pods_of_a_node_than_allowed(federation: Federation) -> None:
    aggregator = started(federation, MEANS, "--max_pods=2", "--min_nodes=2")
    for number in range(3):
        federation.app_client("edge1", MEANS, "--node_config=partition-id=0", pod=f"pod{number}")
    until(lambda: aggregator.told("2 clients of node edge1 are connected: raise --max_pods"), "the refusal")
    assert len(federation.status()["nodes"]["edge1"]) == 2


def test_clients_of_another_app(federation: Federation) -> None:
    aggregator = started(federation, MEANS)
    other = federation.app_client("edge1", APPS / "asking")
    until(lambda: aggregator.told("has app asking@"), "the refusal")
    until(lambda: other.told("give it the same --app"), "the client knows why")
    assert federation.status()["nodes"] == {} and other.lives


WRONG = {
    "no module": ("server_app.py", None, "there is no module means.server_app in"),
    "a syntax error": ("server_app.py", "app = (\n", "server_app.py line 1: SyntaxError"),
    "a missing package": ("server_app.py", "\nimport nosuch\n", "server_app.py line 2: there is no module nosuch: add it to the dependencies"),
    "no app": ("server_app.py", "x = 1\n", "defines no app, which pyproject.toml names as serverapp"),
    "no ServerApp": ("server_app.py", "app = 1\n", "is a int, not a ServerApp"),
    "an exception in main": (
        "server_app.py",
        "from flwr.serverapp import ServerApp\napp = ServerApp()\n@app.main()\ndef main(grid, context):\n    [][1]\n",
        "server_app.py line 5: IndexError: list index out of range",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_broken_serverapp(federation: Federation, tmp_path: Path, what: str) -> None:
    """It ends with the file, the line and what to change; the clients live."""
    file, text, reason = WRONG[what]
    app = tmp_path / "app"
    shutil.copytree(MEANS, app, ignore=shutil.ignore_patterns("__pycache__"))
    path = app / "means" / file
    path.unlink() if text is None else path.write_text(text)
    aggregator = started(federation, app)
    if what == "an exception in main":
        clients = federation.app_pair(app)
        assert reason in federation.event(aggregator, "failed")["reason"]
        assert all(one.lives for one in clients)
    assert aggregator.process.wait(60) == 1
    assert aggregator.told(reason), aggregator.err.read_text()


def test_a_broken_clientapp(federation: Federation, tmp_path: Path) -> None:
    app = tmp_path / "app"
    shutil.copytree(MEANS, app)
    (app / "means" / "client_app.py").write_text("raise RuntimeError('no')\n")
    client = federation.app_client("edge1", app)
    assert client.process.wait(60) == 65
    assert client.told("client_app.py line 1: RuntimeError: no"), client.err.read_text()


def test_an_unknown_key(federation: Federation) -> None:
    aggregator = started(federation, MEANS, "--app_config=rounds=3")
    assert aggregator.process.wait(60) == 1
    assert aggregator.told("--app_config has rounds, which [tool.flwr.app.config]") and aggregator.told(
        "num-server-rounds"
    )


def test_no_app_there(federation: Federation, tmp_path: Path) -> None:
    client = federation.app_client("edge1", tmp_path)
    assert client.process.wait(60) == 65 and client.told("there is no pyproject.toml in it")


def test_a_check_before_anything_is_deployed(federation: Federation, tmp_path: Path) -> None:
    good = federation.program("good", "edgefl.common.check_app", str(MEANS))
    assert good.process.wait(60) == 0, good.err.read_text()
    assert good.out.read_text().startswith(
        "app means works: means.server_app:app and means.client_app:app can be imported"
    )
    app = tmp_path / "app"
    shutil.copytree(MEANS, app)
    (app / "means" / "client_app.py").write_text("import nosuch\n")
    bad = federation.program("bad", "edgefl.common.check_app", str(app), "clientapp")
    assert bad.process.wait(60) == 1 and bad.told("client_app.py line 1: there is no module nosuch")


def test_a_thousand_clients(federation: Federation) -> None:
    """Each a node; they live in a few processes. No thread for each, and a round takes seconds; chunks are small until a client has shown to be quick."""
    count, processes = 1000, 4
    enough = (f"--min_nodes={count}", f"--min_num_clients={count}")
    aggregator = started(federation, MEANS, "--app_config=num-server-rounds=2 size=5000", *enough)
    until(federation.ready, "ready")
    crowds = [
        federation.program(
            f"crowd{number}", "support.crowd", f"{federation.host}:{federation.port}", str(MEANS), str(number * count // processes),
            str(count // processes),
        )
        for number in range(processes)
    ]  # fmt: skip
    federation.event(aggregator, "done", seconds=300)
    made = rounds(aggregator)
    assert [len(one["clients"]) for one in made] == [count, count] and all(one["lost"] == [] for one in made)
    threads = len(list(Path(f"/proc/{aggregator.process.pid}/task").iterdir()))
    print(f"{count} clients: rounds of {[round(one['seconds'], 1) for one in made]} s, {threads} threads")
    assert threads < 60
    told = [int(line.split()[-1]) for crowd in crowds for line in crowd.out.read_text().splitlines()]
    assert told.count(32 * 1024 * 1024 // count) >= count and 96 * 1024 * 1024 // count in told


def test_sizes(federation: Federation) -> None:
    """A model of 40 MB goes there and back in chunks."""
    aggregator = started(federation, MEANS, "--app_config=num-server-rounds=1 size=10000000")
    federation.app_pair(MEANS)
    federation.event(aggregator, "done")
    (made,) = rounds(aggregator)
    assert made["exchanges"][0]["bytes_received"] > 80e6 and made["lost"] == []


@pytest.mark.parametrize("what", ["noise", "another answer", "a huge announcement"])
def test_hostile_answers(federation: Federation, what: str) -> None:
    """The hostile client's part is lost with the reason; the run goes on."""
    aggregator = started(federation, MEANS, "--app_config=num-server-rounds=2", "--min_nodes=3")
    federation.program("hostile", "support.hostile", f"{federation.host}:{federation.port}", str(MEANS), what)
    for node in ("edge2", "edge3"):
        federation.app_client(node, MEANS, "--node_config=partition-id=1")
    federation.event(aggregator, "done", seconds=60)
    first, *_others = rounds(aggregator)
    assert {one["node"] for one in first["lost"]} == {"edge1"} and len(first["clients"]) == 2
    if what == "noise":
        assert "its answer can't be read" in first["lost"][0]["reason"]
    else:
        assert aggregator.told("edge1/hostile is cut off: ")


def test_hostile_greetings(federation: Federation) -> None:
    """None joins, none ends anything, and none writes a line of its own into the log."""
    aggregator = started(federation, MEANS, "--app_config=num-server-rounds=1")
    until(federation.ready, "ready")
    hostile = federation.program(
        "hostile", "support.hostile", f"{federation.host}:{federation.port}", str(MEANS), "greetings"
    )
    assert hostile.process.wait(60) == 0, hostile.err.read_text()
    assert hostile.out.read_text().split() == ["PERMISSION_DENIED"] * 9
    assert federation.status()["nodes"] == {}
    said = aggregator.err.read_text()
    assert "\x1b[31m" not in said and not [row for row in said.splitlines() if row.startswith("12:00:00 forged")]
    federation.app_pair(MEANS)
    federation.event(aggregator, "done")
