"""What new_app.yml writes trains as it is, and on data that lies on an edge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fl.test_flower_apps import rounds, started
from fl.test_model import exported

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._app import app_info
from support.helpers import BIN, ROOT, Result, load_yaml, run
from support.processes import PYTHON, Federation

MODULES = {"numpy": "numpy", "keras": "keras", "pytorch": "torch"}
"""Of each framework, what its model imports."""


def written(parent: Path, framework: str) -> Result:
    """new_app.yml writes the app `rows`."""
    words = ("-e", "name=rows", "-e", f"framework={framework}", "-e", f"new_app_parent={parent}")
    return run(BIN / "ansible-playbook", "new_app.yml", *words, cwd=ROOT)


def test_every_framework_is_tested() -> None:
    specs = load_yaml(Path("roles/new_app/meta/argument_specs.yml"))
    assert specs["argument_specs"]["main"]["options"]["new_app_framework"]["choices"] == list(MODULES)


def compiles(app: Path, framework: str) -> None:
    """What is written can be compiled, and the controller finds nothing wrong with it."""
    modules = sorted(app.rglob("*.py"))
    assert [path.stem for path in modules] == ["__init__", "client_app", "data", "model", "server_app"]
    for path in modules:
        compile(path.read_text(), str(path), "exec", dont_inherit=True)
    assert f"import {MODULES[framework]}" in (app / "rows/model.py").read_text()
    found = app_info(str(app))
    assert found["problems"] == [] and found["config"]["features"] == 8


# That of NumPy is trained below
@pytest.mark.parametrize("framework", sorted(MODULES.keys() - {"numpy"}))
def test_what_is_written_compiles(tmp_path: Path, framework: str) -> None:
    written(tmp_path, framework).ok()
    compiles(tmp_path / "rows", framework)


@pytest.mark.parametrize(
    "framework", ["numpy", *(pytest.param(name, marks=pytest.mark.long) for name in ("keras", "pytorch"))]
)
def test_a_new_app(federation: Federation, tmp_path: Path, framework: str) -> None:
    """edge1 has rows of its own, in a .csv and a .npz, with classes that a line divides; edge2 makes some up."""
    # No image of ours has it: an app brings it
    if framework == "pytorch" and run(PYTHON, "-c", "import torch").code != 0:
        pytest.skip(f"{PYTHON} has no PyTorch: install torch there to have this app trained")
    written(tmp_path, framework).ok()
    compiles(tmp_path / "rows", framework)
    again = written(tmp_path, framework)
    assert again.code != 0 and "is there already, and nothing of it is changed" in " ".join(again.output.split())

    random = np.random.default_rng(3)
    table = random.normal(0, 1, (400, 8))
    classes = (table[:, 0] > 0).astype(int)
    data = tmp_path / "data"
    data.mkdir()
    np.savetxt(data / "a.csv", np.column_stack([table[:300], classes[:300]]), delimiter=",", header="a,b,c,d,e,f,g,h,class", comments="")  # fmt: skip
    np.savez(data / "b.npz", rows=table[300:], labels=classes[300:])

    app = tmp_path / "rows"
    aggregator = started(
        federation, app, "--app_config=num-server-rounds=3 learning-rate=0.1 epochs=3", "--min_nodes=2"
    )
    federation.app_client("edge1", app, f"--data_dir={data}")
    other = federation.app_client("edge2", app, "--node_config=partition-id=1")
    federation.event(aggregator, "done")
    made = rounds(aggregator)
    assert [one["type"] for one in made[0]["exchanges"]] == ["query", "train", "evaluate"]
    assert [[one["examples"] for one in line["clients"]] for line in made] == [[320, 800]] * 3
    assert made[-1]["lost"] == [] and made[-1]["accuracy"] > 0.7
    assert other.out.read_text().count("it trains on made-up rows") == 1
    assert (federation.folder / "state/default/work/final_model.npz").exists()
    if framework == "keras":
        about = exported(str(app), federation.folder / "state/default/model", epochs=3)
        assert len(about["keras"]["variables"]) == 4 and about["example"]["outputs"][0]["shape"] == [1, 3]
