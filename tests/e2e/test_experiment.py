"""An experiment on the lab: broken off, taken up again, compared; and what is refused before anything is changed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from support.helpers import BIN, ROOT, environment
from support.running_lab import Lab

NAME = "e2e"
FOLDER = ROOT / "results/experiments" / NAME
RUNS = [f"experiment-{NAME}-{setting}-{loop}" for loop in (1, 2) for setting in ("one", "two")]
VARIABLES: dict[str, Any] = {
    "experiment_name": NAME,
    "experiment_loops": 2,
    "experiment_settings": [
        {"name": "one", "variables": {"edgefl_replicas": 1}},
        {"name": "two", "variables": {"edgefl_replicas": 2}},
    ],
    "edgefl_rounds": 2,
}
# Of a core; what metrics.k8s.io has is new every 15 seconds
SHARE = 0.01


def words(**more: Any) -> list[str]:
    return ["experiment.yml", "--extra-vars", json.dumps(VARIABLES | more)]


@pytest.fixture(scope="module")
def fresh(lab: Lab, other_training: None) -> Lab:
    """The lab, without results of an earlier experiment."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    return lab


@pytest.mark.long
def test_broken_off_after_the_first_run(fresh: Lab) -> None:
    begun = subprocess.Popen(
        [BIN / "ansible-playbook", *words()],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _attempt in range(600):
            if (FOLDER / RUNS[0] / "summary.json").exists() or begun.poll() is not None:
                break
            time.sleep(0.5)
        assert begun.poll() is None, "it ended before its first run was done"
    finally:
        begun.send_signal(signal.SIGINT)
        begun.wait(timeout=60)
    assert not (FOLDER / RUNS[-1]).exists()


@pytest.mark.long
def test_taken_up_again(fresh: Lab) -> None:
    kept = (FOLDER / RUNS[0] / "rounds.jsonl").stat().st_mtime_ns
    again = fresh.play(*words()).ok()
    assert "1 of 4 runs are done" in again.output
    assert (FOLDER / RUNS[0] / "rounds.jsonl").stat().st_mtime_ns == kept
    found = json.loads((FOLDER / "comparison/summary.json").read_text())["settings"]
    assert {name: setting["repetitions"] for name, setting in found.items()} == {"one": 2, "two": 2}
    assert [found[name]["pods"]["median"] for name in ("one", "two")] == [len(fresh.edges), 2 * len(fresh.edges)]
    assert (FOLDER / "comparison/report.html").stat().st_size > 10_000


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.long
def test_each_run_has_its_telemetry(fresh: Lab, run: str) -> None:
    telemetry = [json.loads(line) for line in (FOLDER / run / "telemetry.jsonl").read_text().splitlines()]
    assert {record["node"] for record in telemetry if record["kind"] == "node"} == {"cloud", *fresh.edges}
    wanted = {record["wanted"] for record in telemetry if record["kind"] == "replicas"}
    assert (1 if "-one-" in run else 2) in wanted
    details = json.loads((FOLDER / run / "details.json").read_text())
    assert {entry["node"] for entry in details["limits"]} >= set(fresh.edges)
    recorder = json.loads((FOLDER / run / "logs/cluster.jsonl").read_text().splitlines()[-1])
    fresh.show(
        f"  {run}: {recorder['snapshots']} snapshots, {recorder['share']:.2%} of a core, {recorder['cpu_seconds']} CPU s"
    )
    assert recorder["kind"] == "recorder"
    assert recorder["share"] <= SHARE


@pytest.mark.long
def test_settings_took_turns() -> None:
    begun = [json.loads((FOLDER / run / "rounds.jsonl").read_text().splitlines()[0])["time"] for run in RUNS]
    assert begun == sorted(begun)


@pytest.mark.long
def test_when_all_is_done_nothing_happens(fresh: Lab) -> None:
    again = fresh.play(*words()).ok()
    assert again.sums["changed"] == 0
    assert "4 of 4 runs are done" in again.output


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"experiment_settings": []}, "give at least one setting"),
        ({"experiment_settings": [{"name": "a"}, {"name": "a"}]}, "Two settings have the name a"),
        ({"experiment_settings": [{"name": "a", "variables": {"edgefl_replica": 2}}]}, "Did you mean edgefl_replicas?"),
        ({"experiment_settings": [{"name": "a", "variables": {"edgefl_kind": "Job"}}]}, "edgefl_kind must be one of"),
        ({"edgefl_replicas": 3}, "edgefl_replicas would win over"),
        ({"edgefl_rounds": 3}, "choose another experiment_name"),
        ({"experiment_loops": 0}, "at least 1 is needed"),
    ],
)
@pytest.mark.long
def test_refused_before_anything_is_changed(fresh: Lab, more: dict[str, Any], message: str) -> None:
    refused = fresh.play(*words(**more), show=False)
    assert refused.result.code != 0
    assert message in refused.output
    assert refused.sums["changed"] == 0
    assert "SSH from the cloud node" not in refused.output


@pytest.mark.long
def test_check_mode_trains_nothing(fresh: Lab) -> None:
    before = sorted(path.name for path in Path(FOLDER).iterdir())
    checked = fresh.play(*words(experiment_loops=3), "--check").ok()
    assert "4 of 6 runs are done" in checked.output
    assert sorted(path.name for path in Path(FOLDER).iterdir()) == before
