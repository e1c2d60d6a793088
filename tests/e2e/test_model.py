"""The model goes out again: on every edge, served there, back to the version of before; and a version that does not predict is not served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.helpers import ROOT
from support.running_lab import Lab, values

pytestmark = pytest.mark.usefixtures("default_training", "nothing_is_left")

LATEST = ROOT / "results/latest/model"
MODELS = "/var/lib/edgefl/models"
PORT = 8890
SERVERS = "--selector=app=federated-learning-server"


@pytest.fixture(scope="module")
def nothing_is_left(lab: Lab, default_training: None) -> Iterator[None]:
    """Afterwards the lab has endpoints and models no more; the training goes on."""
    yield
    # With their pods, which the tests after these would else see go
    lab.kubectl("delete", "deployments", "--namespace=edgefl", "--cascade=foreground", SERVERS)
    for edge in lab.edges:
        lab.ssh(edge, f"rm -rf {MODELS}")


def answer(lab: Lab, edge: str, path: str, body: str = "", model: str = "fashion_mnist") -> str:
    """What the endpoint of an edge answers at its own address; empty where nothing listens."""
    address = f"http://{lab.hosts[edge]['ansible_host']}:{PORT}"
    sent = f"--data @{body} " if body else ""
    return lab.ssh(edge, f"curl --silent --max-time 5 {sent}{address}/v2/models/{model}{path} || true").strip()


def served(lab: Lab, edge: str) -> str:
    """The version that the endpoint of an edge says it has; empty where nothing listens."""
    text = answer(lab, edge, "")
    return str(json.loads(text)["versions"][0]) if text else ""


def current(lab: Lab, edge: str) -> str:
    return lab.ssh(edge, f"basename $(readlink {MODELS}/current)").strip()


def another(folder: Path, name: str, wrong: float = 0) -> str:
    """The newest model as that of a run `name`, whose expected prediction is off by `wrong`; gives the folder of results."""
    model = folder / "results" / name / "model"
    shutil.copytree(LATEST, model)
    about = json.loads((model / "model.json").read_text())
    about["example"]["outputs"][0]["data"][0] += wrong
    (model / "model.json").write_text(json.dumps(about | {"run": name}))
    return str(folder / "results")


def test_the_model_is_served_on_every_edge(lab: Lab) -> None:
    given = values(edgefl_serve=True)
    lab.play("deploy_model.yml", given).ok()
    found = {served(lab, edge) for edge in lab.edges} | {current(lab, edge) for edge in lab.edges}
    assert len(found) == 1 and found.pop().startswith(LATEST.parent.resolve().name)
    wanted = json.loads((LATEST / "model.json").read_text())["example"]["outputs"][0]["data"]
    for edge in lab.edges:
        predicted = json.loads(answer(lab, edge, "/infer", f"{MODELS}/current/example.json"))
        assert predicted["outputs"][0]["data"] == pytest.approx(wanted, abs=1e-3)
    assert lab.play("deploy_model.yml", given, show=False).ok().sums["changed"] == 0


@pytest.mark.long
def test_another_version_and_back_by_name(lab: Lab, tmp_path: Path) -> None:
    before = current(lab, lab.edges[0])
    given = values(edgefl_serve=True, edgefl_run="other", edgefl_results_dir=another(tmp_path, "other"))
    state = lab.state()
    checked = lab.play("deploy_model.yml", "--check", given, show=False).ok()
    assert checked.sums["changed"] >= len(lab.edges) and lab.state() == state
    lab.play("deploy_model.yml", given).ok()
    assert all(served(lab, edge) == current(lab, edge) != before for edge in lab.edges)
    back = values(edgefl_serve=True, edgefl_model_version=before)
    lab.play("deploy_model.yml", back, show=False).ok()
    assert [served(lab, edge) for edge in lab.edges] == [before] * len(lab.edges)
    assert lab.play("deploy_model.yml", back, show=False).ok().sums["changed"] == 0
    run = lab.play("deploy_model.yml", values(edgefl_model_version="none-1"), show=False)
    assert "There is no version none-1" in run.output and run.sums.get("changed", 0) == 0


@pytest.mark.long
def test_a_version_that_does_not_predict_is_rolled_back(lab: Lab, tmp_path: Path) -> None:
    """It says another prediction than it was made with: the first edge says why and serves what it served, the second was not touched."""
    before = current(lab, lab.edges[0])
    wrong = another(tmp_path, "wrong", 1)
    run = lab.play(
        "deploy_model.yml", values(edgefl_serve=True, edgefl_run="wrong", edgefl_results_dir=wrong), show=False
    )
    assert run.result.code != 0
    assert "does not serve wrong-" in run.output and f"It serves {before} as before" in run.output
    assert [current(lab, edge) for edge in lab.edges] == [before] * len(lab.edges)
    assert served(lab, lab.edges[1]) == before
    again = lab.play("deploy_model.yml", values(edgefl_serve=True, edgefl_model_version=before), show=False).ok()
    assert again.sums["changed"] == 0 and served(lab, lab.edges[0]) == before


@pytest.mark.long
def test_a_flower_app_with_a_keras_model_is_served(lab: Lab, tmp_path: Path) -> None:
    """What new_app.yml writes in Keras: its pyproject.toml names what makes the model, with values of its configuration."""
    lab.play("new_app.yml", "-e", "name=rows", "-e", "framework=keras", "-e", f"new_app_parent={tmp_path}").ok()
    own = {"edgefl_app": str(tmp_path / "rows"), "edgefl_app_config": {"num-server-rounds": 2, "features": 5}}
    lab.other_training.set()
    lab.play("site.yml", values(**own)).ok()
    about = json.loads((LATEST / "model.json").read_text())
    assert about["app"] == "rows" and about["keras"]["sha256"] and about["arrays"][0]["shape"] == [5, 32]
    lab.play("deploy_model.yml", values(**own, edgefl_serve=True)).ok()
    wanted = about["example"]["outputs"][0]["data"]
    for edge in lab.edges:
        assert json.loads(answer(lab, edge, "", model="rows"))["platform"] == "keras"
        predicted = json.loads(answer(lab, edge, "/infer", f"{MODELS}/current/example.json", "rows"))
        assert predicted["outputs"][0]["data"] == pytest.approx(wanted, abs=1e-3)
