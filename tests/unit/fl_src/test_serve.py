"""The endpoint, over real HTTP on loopback, with models that need NumPy alone."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefl.aggregator import model
from edgefl.apps import AppError
from edgefl.apps.fashion_mnist.fashion_mnist.model import evaluate, initial_weights, predict
from edgefl.common import app_folder
from edgefl.serve import protocol
from edgefl.serve.predictor import ModelError, Predictor, load
from edgefl.serve.server import LONGEST, Endpoint, serve

DOUBLE = Predictor(lambda batch: batch.sum((1,), keepdims=True) * 2, (3,), "float32", "numpy")


def ask(port: int, path: str, document: Any = None) -> tuple[int, dict[str, Any]]:
    body = document if isinstance(document, bytes) or document is None else json.dumps(document).encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{port}{path}", body), timeout=5
        ) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as err:
        return err.code, json.loads(err.read())


def tensor(**more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "input", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]} | more]}


@pytest.fixture(scope="module")
def port() -> int:
    endpoint = Endpoint("double", "run-1")
    port = serve("127.0.0.1:0", endpoint)
    assert ask(port, "/v2/health/live") == (200, {"live": True})
    assert ask(port, "/v2/health/ready")[0] == 503 and "being loaded" in ask(port, "/v2/models/double")[1]["error"]
    assert ask(port, "/v2/models/double/infer", tensor())[0] == 503
    endpoint.open(DOUBLE)
    return port


def test_a_prediction(port: int) -> None:
    assert ask(port, "/v2/health/ready") == (200, {"ready": True})
    code, about = ask(port, "/v2/models/double")
    assert code == 200 and about["versions"] == ["run-1"]
    assert about["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 3]}]
    assert about["outputs"] == [{"name": "output", "datatype": "FP32", "shape": [-1, 1]}]
    wanted = {"name": "output", "shape": [2, 1], "datatype": "FP32", "data": [12.0, 30.0]}
    for request in (tensor(), tensor(data=[[1, 2, 3], [4, 5, 6]]), tensor(datatype="UINT8")):
        code, answer = ask(port, "/v2/models/double/infer", request | {"id": "a"})
        assert (code, answer) == (
            200,
            {"model_name": "double", "model_version": "run-1", "id": "a", "outputs": [wanted]},
        )
    assert ask(port, "/v2/models/double/versions/run-1/infer", tensor())[0] == 200
    assert ask(port, "/v2/models/double/versions/run-1/ready")[0] == 200


@pytest.mark.parametrize(
    ("document", "code", "told"),
    [
        (b"{", 400, "no JSON"),
        (b"[" * 100_000, 400, "no JSON"),
        ([], 400, "with one input"),
        ({"inputs": []}, 400, "with one input"),
        (tensor(name="other"), 400, 'one input, "input"'),
        (tensor(shape=[2, 4]), 400, "shape must be [n, 3]"),
        (tensor(shape=[0, 3], data=[]), 400, "shape must be [n, 3]"),
        (tensor(shape=[10**12, 3]), 400, "shape must be [n, 3]"),
        (tensor(shape=[2**30, 3]), 400, "numbers of the datatype FP32"),
        (tensor(datatype="BYTES"), 400, "datatype must be one of"),
        (tensor(data=["a"] * 6), 400, "numbers of the datatype"),
        (tensor(data=[1, 2]), 400, "6 numbers"),
        (tensor(data=[[1, 2, 3], [4]]), 400, "6 numbers"),
        (tensor(data=None), 400, "6 numbers"),
        (tensor(data=[1, 2, 3, 4, 5, 256], datatype="UINT8"), 400, "out of the range"),
        (tensor(data=[1, 2, 3, 4, 5, 0.5], datatype="INT8"), 400, "no whole numbers"),
        (tensor() | {"outputs": [{"name": "x"}]}, 400, "one output"),
        (tensor() | {"id": 7}, 400, "id must be"),
    ],
)  # fmt: skip
def test_requests_that_are_wrong(port: int, document: Any, code: int, told: str) -> None:
    found, answer = ask(port, "/v2/models/double/infer", document)
    assert found == code and told in answer["error"]


def test_paths_that_are_not_there(port: int) -> None:
    for path in (
        "/",
        "/v2/models/other",
        "/v2/models/doubled",
        "/v2/models/double/versions/2",
        "/v2/models/double/infer/x",
    ):
        assert ask(port, path)[0] == 404
    assert ask(port, "/v2/models/double", {})[0] == 404


def test_a_body_that_is_too_long_is_not_read(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
        one.sendall(f"POST /v2/models/double/infer HTTP/1.1\r\nContent-Length: {LONGEST + 1}\r\n\r\n".encode())
        assert b" 413 " in one.recv(4096)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
        one.sendall(b"POST /v2/models/double/infer HTTP/1.1\r\n\r\n")
        assert b" 411 " in one.recv(4096)


def test_a_body_that_comes_in_pieces(port: int) -> None:
    body = json.dumps(tensor()).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
        one.sendall(
            f"POST /v2/models/double/infer HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        )
        assert one.recv(4096).startswith(b"HTTP/1.1 100 ")
        one.sendall(body[:10])
        one.sendall(body[10:])
        assert b" 200 " in one.recv(4096)


def test_numbers_that_are_not_finite() -> None:
    endpoint = Endpoint("bad", "1")
    endpoint.open(Predictor(lambda batch: batch * np.float32("nan"), (3,), "float32", "numpy"))
    assert endpoint.post("/v2/models/bad/infer", json.dumps(tensor()).encode())[1]["outputs"][0]["data"] == [None] * 6


def test_a_model_that_raises_is_told() -> None:
    endpoint = Endpoint("bad", "1")

    def broken(batch: Any) -> Any:
        if len(batch) > 1:
            raise RuntimeError("no such layer")
        return batch

    endpoint.open(Predictor(broken, (3,), "float32", "numpy"))
    code, answer = endpoint.post("/v2/models/bad/infer", json.dumps(tensor()).encode())
    assert code == 500 and answer["error"] == "the model fails: RuntimeError: no such layer"
    with pytest.raises(ModelError, match="a row for each"):
        endpoint.open(Predictor(lambda batch: np.zeros(7), (3,), "float32", "numpy"))


# -- models ------------------------------------------------------------------------------------------------------------


def test_the_arrays_of_a_run_predict(tmp_path: Path) -> None:
    """By the app's own predict(), which agrees with what it evaluates."""
    weights = initial_weights(1)
    model.save(tmp_path, {f"{place:04d}": array for place, array in enumerate(weights)}, app="fashion_mnist")
    predictor = load(tmp_path / "model", "fashion_mnist")
    assert (predictor.shape, predictor.dtype, predictor.platform) == ((28, 28), "uint8", "numpy")
    images = np.random.default_rng(0).integers(0, 255, (50, 28, 28), np.uint8)
    shares = predictor.predict(images)
    assert shares.dtype == np.float32 and np.allclose(shares.sum(1), 1, atol=1e-5)
    labels = shares.argmax(1).astype(np.uint8)
    loss, accuracy = evaluate(weights, images, labels)
    assert accuracy == 1 and loss == pytest.approx(-np.log(shares.max(1)).mean(), rel=1e-4)
    assert np.array_equal(shares, predict(dict(zip("abcd", weights)), images))


def test_damaged_models_are_refused(tmp_path: Path) -> None:
    model.save(tmp_path, {"0": np.zeros(3)}, app="nobody")
    folder = tmp_path / "model"
    with pytest.raises(ModelError, match="offers no predict"):
        load(folder, "nobody")
    (folder / "model.npz").write_bytes(b"x")
    with pytest.raises(ModelError, match="is damaged"):
        load(folder, "nobody")
    (folder / "model.json").write_text("{}")
    with pytest.raises(ModelError, match=r"model\.json can't be read"):
        load(folder, "nobody")


PYPROJECT = """
[project]
name = "line"
[tool.flwr.app.components]
serverapp = "line_app:server"
clientapp = "line_app:client"
[tool.edgefl.serve]
"""


def flower_app(folder: Path, serve: str) -> app_folder.AppFolder:
    (folder / "pyproject.toml").write_text(PYPROJECT + serve)
    return app_folder.read(folder)


def test_a_flower_app_that_predicts(tmp_path: Path) -> None:
    flower_app(tmp_path, 'predict = "line_app:predict"\ninput-shape = [2]\ninput-type = "FP64"\n')
    (tmp_path / "line_app.py").write_text("def predict(arrays, inputs):\n    return inputs @ arrays['w']\n")
    model.save(tmp_path, {"w": np.array([1.0, 2.0])}, app="line")
    predictor = load(tmp_path / "model", str(tmp_path))
    assert (predictor.shape, predictor.dtype) == ((2,), "float64")
    assert predictor.predict(np.array([[1.0, 1.0]])).tolist() == [3.0]
    (tmp_path / "line_app.py").unlink()


@pytest.mark.parametrize(
    ("serve", "told"),
    [
        ('predict = "x"\ninput-shape = [1]\n', 'predict must be "module:function"'),
        ('predict = "x:y"\n', "input-shape must be"),
        ('predict = "x:y"\ninput-shape = [0]\n', "input-shape must be"),
        ('predict = "x:y"\ninput-shape = []\ninput-type = "float"\n', "input-type must be one of"),
    ],
)
def test_what_an_app_says_of_its_predictions(tmp_path: Path, serve: str, told: str) -> None:
    with pytest.raises(AppError, match=told.replace("[", r"\[")):
        flower_app(tmp_path, serve)


def test_tensors_there_and_back() -> None:
    batch = DOUBLE.example()
    assert batch.tolist() == [[0.0, 1.0, 2.0]]
    again, number = protocol.inputs(json.dumps(protocol.request(batch)).encode(), DOUBLE)
    assert number is None and again.dtype == batch.dtype and np.array_equal(again, batch)


# -- which model is kept -------------------------------------------------------------------------------------------------


def test_the_best_loop_is_kept(tmp_path: Path) -> None:
    def offer(loop: int, accuracy: float | None) -> int:
        model.keep_best(tmp_path, {"w": np.array([loop])}, loop=loop, accuracy=accuracy, round=1, app="a", run="r")
        with np.load(tmp_path / "model" / "model.npz") as held:
            return int(held["w"][0])

    assert [offer(1, 0.5), offer(2, 0.7), offer(3, 0.6)] == [1, 2, 2]
    assert offer(2, 0.4) == 2  # the same loop, done again after a restart
    assert offer(3, 0.6) == 3
    assert offer(1, None) == 1  # without an accuracy the last one
    (tmp_path / "model" / "model.npz").write_bytes(b"torn")
    assert offer(4, 0.1) == 4


def test_what_pytorch_loads(tmp_path: Path) -> None:
    """A .safetensors file, read as its format is written down."""
    arrays = {
        "conv.weight": np.arange(6, dtype=">f4").reshape(2, 3),
        "bn.num_batches_tracked": np.array(7),
        "mask": np.array([True, False, True]),
        "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "none": np.zeros((0, 4), np.float16),
    }
    model.keep_best(tmp_path, arrays, loop=1, accuracy=None, for_pytorch=True, round=1, app="a", run="r")
    data = (tmp_path / "model/model.safetensors").read_bytes()
    about = json.loads((tmp_path / "model/model.json").read_text())
    assert about["safetensors"] == {"file": "model.safetensors", "sha256": hashlib.sha256(data).hexdigest()}
    (length,) = struct.unpack_from("<Q", data)
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__") == {"format": "pt"} and header.keys() == arrays.keys()
    assert [header[name]["dtype"] for name in arrays] == ["F32", "I64", "BOOL", "F64", "F16"]
    tensors, end = data[8 + length :], 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        kind = arrays[name].dtype.newbyteorder("<")
        assert begin == end and begin % kind.itemsize == 0
        read = np.frombuffer(tensors[begin:stop], kind).reshape(entry["shape"])
        assert np.array_equal(read, arrays[name]) and read.shape == arrays[name].shape
        end = stop
    assert end == len(tensors)
    # A type that the format has not: the arrays are there, and nothing of the model before
    model.keep_best(tmp_path, {"w": np.zeros(2, complex)}, loop=2, accuracy=None, for_pytorch=True, app="a", run="r")
    assert not (tmp_path / "model/model.safetensors").exists()
    assert "safetensors" not in json.loads((tmp_path / "model/model.json").read_text())
