"""The model of a run as files, and the endpoint that predicts with it: real processes, with Keras and without."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from support.processes import DATA, PYTHON, SOURCE, TOLD_TO_END, Federation, Program, free_port, measured, until

# As the report and docs/model.md tell people to load it
LOAD = """
import json, sys, keras, numpy
folder, = sys.argv[1:]
model = keras.models.load_model(f"{folder}/model.keras")
arrays = numpy.load(f"{folder}/model.npz")
for name, weight in zip(arrays.files, model.get_weights()):
    numpy.testing.assert_array_equal(arrays[name], weight)
request = json.load(open(f"{folder}/example.json"))["inputs"][0]
outputs = model(numpy.reshape(request["data"], request["shape"])).numpy()
print(json.dumps(outputs.ravel().tolist()))
"""


def python(*words: str, fails: bool = False, **more: Any) -> bytes:
    """What Python with Flower and TensorFlow writes to stdout, or to stderr where it is to fail."""
    environment = measured(
        {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(SOURCE),
            "EDGEFL_DATA_DIR": str(DATA),
            "KERAS_BACKEND": "tensorflow",
        }
    )
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        [PYTHON, *words], check=False, capture_output=True, timeout=120, env=environment, **more
    )
    assert done.returncode == int(fails), done.stderr.decode()
    assert not (fails and done.stdout), "it fails after it wrote"
    return done.stderr if fails else done.stdout


def exported(app: str, folder: Path, **config: Any) -> dict[str, Any]:
    """What is made of the arrays in a folder of a run's model, beside them; and what is told of it."""
    words = (app, json.dumps(config)) if config else (app,)
    made = python("-m", "edgefl.serve.export", *words, input=(folder / "model.npz").read_bytes())
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        about: dict[str, Any] = json.loads(archive.read("about.json"))
        if "model.keras" in archive.namelist():
            (folder / "model.keras").write_bytes(archive.read("model.keras"))
    (folder / "example.json").write_text(json.dumps(about["example"]["request"]))
    return about


def asked(port: int, path: str, body: bytes | None = None) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def served(federation: Federation, folder: Path, *arguments: str) -> tuple[Program, int]:
    """The endpoint, when it is ready, and its port."""
    port = free_port()
    name = f"endpoint{len(federation.programs)}"
    program = federation.program(name, "edgefl.serve", f"--model={folder}", f"--address=127.0.0.1:{port}", *arguments)

    def ready() -> bool:
        assert program.lives, program.err.read_text()
        return program.told("ready: ")

    until(ready, "the endpoint is ready")
    return program, port


def test_a_run_its_model_and_its_predictions(federation: Federation) -> None:
    """The arrays in the aggregator's folder, the Keras model made of them, and endpoints with and without Keras: all predict the same."""
    state = federation.folder / "state"
    aggregator = federation.aggregator("--rounds=1", "--loops=2", f"--state_dir={state}")
    federation.pair()
    federation.event(aggregator, "done")
    folder = state / "default" / "model"
    about = json.loads((folder / "model.json").read_text())
    ends = [line for line in aggregator.lines() if line["event"] == "round"]
    best = max(ends, key=lambda line: line["accuracy"])
    assert len(ends) == 2 and (about["app"], about["loop"]) == ("fashion_mnist", best["loop"])
    made = exported("fashion_mnist", folder)
    assert len(made["keras"]["variables"]) == len(about["arrays"]) and "dense/kernel" in made["keras"]["variables"][0]
    loaded = json.loads(python("-c", LOAD, str(folder)).splitlines()[-1])
    (expected,) = made["example"]["outputs"]
    np.testing.assert_allclose(loaded, expected["data"], rtol=1e-4, atol=1e-5)
    about["keras"] = {"sha256": hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()}
    (folder / "model.json").write_text(json.dumps(about))
    # By the app's predict(), and for an app that the endpoint does not have
    for arguments, platform in (((), "numpy"), (("--app=none",), "keras")):
        program, port = served(federation, folder, *arguments)
        answer = asked(port, "/v2/models/fashion_mnist/infer", (folder / "example.json").read_bytes())
        assert asked(port, "/v2/models/fashion_mnist")["platform"] == platform and answer["model_version"] == "model"
        (output,) = answer["outputs"]
        assert output["shape"] == expected["shape"]
        np.testing.assert_allclose(output["data"], expected["data"], rtol=1e-4, atol=1e-5)
        assert program.end() < 2 and program.process.returncode == TOLD_TO_END


NET = """
import keras
from flwr.clientapp import ClientApp

client = ClientApp()


def build(units, activation, dropout=0.1):
    keras.utils.set_random_seed(7)
    layers = [keras.Input((3,)), keras.layers.Dense(units, activation), keras.layers.Dropout(dropout), keras.layers.Dense(2, "softmax")]
    return keras.Sequential(layers)
"""
PROJECT = """
[project]
name = "net"
[tool.flwr.app.components]
serverapp = "net:server"
clientapp = "net:client"
[tool.flwr.app.config]
units = 5
activation = "relu"
[tool.edgefl]
keras = "net:build"
"""


def test_a_flower_app_that_names_its_keras_model(federation: Federation) -> None:
    """It is made with the values of the run, and served without the app, or from the arrays alone where no .keras was made."""
    app, folder = federation.folder / "net", federation.folder / "run"
    for path in (app, folder):
        path.mkdir()
    (app / "net.py").write_text(NET)
    (app / "pyproject.toml").write_text(PROJECT)
    random = np.random.default_rng(1)
    shapes = ((3, 4), (4,), (4, 2), (2,))
    arrays = {str(number): random.normal(size=shape).astype(np.float32) for number, shape in enumerate(shapes)}
    np.savez(folder / "model.npz", **arrays)  # type: ignore[arg-type]
    made = exported(str(app), folder, units=4)
    assert [name.split("/")[-1] for name in made["keras"]["variables"]] == ["kernel", "bias"] * 2
    (expected,) = made["example"]["outputs"]
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.npz", "model.keras")}
    about = {"app": "net", "sha256": sums["model.npz"], "keras": {"sha256": sums["model.keras"]}}
    (folder / "model.json").write_text(json.dumps(about))

    def predicts(*arguments: str) -> None:
        program, port = served(federation, folder, *arguments)
        assert asked(port, "/v2/models/net")["platform"] == "keras"
        (output,) = asked(port, "/v2/models/net/infer", (folder / "example.json").read_bytes())["outputs"]
        np.testing.assert_allclose(output["data"], expected["data"], rtol=1e-4, atol=1e-5)
        program.end()

    predicts("--app=none")
    (folder / "model.keras").unlink()
    (app / "pyproject.toml").write_text(PROJECT.replace("units = 5", "units = 4"))
    predicts(f"--app={app}")
    (app / "net.py").write_text(NET.replace("Dropout", "Dropuot"))
    told = python("-m", "edgefl.common.check_app", str(app), "clientapp", fails=True).decode()
    assert "net.py line 10: AttributeError" in told and "Dropuot" in told


def test_an_edited_app_is_told(tmp_path: Path) -> None:
    """Arrays of another model than build() makes now."""
    buffer = io.BytesIO()
    np.savez(buffer, np.zeros((3, 3), np.float32))
    told = python("-m", "edgefl.serve.export", "fashion_mnist_cnn", fails=True, input=buffer.getvalue(), cwd=tmp_path)
    assert b"the app was edited since this run" in told


def test_a_damaged_model_ends_the_endpoint(federation: Federation) -> None:
    folder = federation.folder / "model"
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps({"app": "fashion_mnist", "sha256": "0"}))
    (folder / "model.npz").write_bytes(b"x")
    program = federation.program("endpoint", "edgefl.serve", f"--model={folder}", f"--address=127.0.0.1:{free_port()}")
    until(lambda: not program.lives, "it ends")
    assert program.process.returncode == 1 and program.told("failed: ") and program.told("is damaged")
