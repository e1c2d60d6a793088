"""The aggregator's own mean of what came back, and its use of Flower's strategies, against Flower's."""

from __future__ import annotations

import os
import subprocess

from support.processes import PYTHON, SOURCE, measured

PROGRAM = """
import numpy as np
from edgefl.common import settings
from edgefl.link import flower, training
from edgefl.link.protocol import Answer
from flwr.app import Array, ArrayRecord
from flwr.serverapp import strategy

flower.quiet()
flower.context(1, 1, {}, {})
rng = np.random.default_rng(1)
sent = [rng.random((3, 4), np.float32), np.asfortranarray(rng.random((5, 2))), np.float32(2) + np.zeros((), np.float32), np.arange(3)]
models = [(examples, [np.asarray(array * (1 + examples / 100), array.dtype) for array in sent]) for examples in (1, 20, 300)]

# What comes back is read as Flower reads it, whatever its layout, shape or type
odd = [*models[0][1][:3], np.arange(3).astype(np.float64)]
fewer, more, other = sent[:2], [*sent, sent[0]], [array[:1] if array.ndim else array for array in sent]
for model in (*[arrays for _, arrays in models], odd, fewer, more, other):
    received = flower.arrays_record(model)
    found, wanted = [flower.values(one, copy=False) for one in received.values()], received.to_numpy_ndarrays()
    assert len(found) == len(wanted) == len(model)
    for one, two in zip(found, wanted):
        assert one.dtype == two.dtype and one.shape == two.shape
        np.testing.assert_array_equal(one, two)
plain = [np.ones((2, 2), np.float32)]
(received,) = flower.arrays_record(plain).values()
assert np.shares_memory(flower.values(received, copy=False), np.frombuffer(received.data, np.uint8)), "it was copied"
received.data = received.data[:-3]
try:
    flower.values(received, copy=False)
except ValueError:
    pass
else:
    raise AssertionError("half an array was read")

def message(examples, arrays):
    metrics = flower.MetricRecord({"num-examples": examples})
    return flower.Message(flower.RecordDict({"a": flower.arrays_record(arrays), "m": metrics}), 1, "train")

# The mean is Flower's; of whole numbers too
results = [message(n, arrays) for n, arrays in models]
wanted = strategy.FedAvg().aggregate_train(1, results)[0].to_numpy_ndarrays()
for one, two in zip(training.mean(models), wanted):
    np.testing.assert_allclose(one, two, rtol=1e-6)
same = [(7, [np.arange(5)]), (11, [np.arange(5)])]
np.testing.assert_array_equal(training.mean(same)[0].astype(int), np.arange(5))

# Each strategy, over two rounds with a restart between them, makes what Flower's own makes in one go
floats = [(n, arrays[:2]) for n, arrays in models]
for name in ("FedAvg", "FedAvgM", "FedProx", "FedAdagrad", "FedAdam", "FedYogi", "FedMedian", "FedTrimmedAvg"):
    options = {"FedAvgM": {"server_momentum": 0.5}, "FedProx": {"proximal_mu": 0.1}, "FedTrimmedAvg": {"beta": 0.34}}.get(name, {})
    pairs = [f"--strategy_options={key}={value}" for key, value in options.items()]
    chosen = settings.aggregator([f"--strategy={name}", *pairs])
    whole, weights, state = getattr(strategy, name)(**options), sent[:2], {}
    record = flower.arrays_record(weights)
    for number in (1, 2):
        link = training.TrainingLink(chosen, None, None)
        link.restore(weights, state)
        weights = link.combine(number, weights, [Answer(None, n, {}, arrays) for n, arrays in floats])
        state = link.state()
        if hasattr(whole, "current_arrays"):
            flat = hasattr(whole, "v_t")
            whole.current_arrays = flower.ndarrays(record) if flat else (whole.current_arrays or record)
        results = [message(n, arrays) for n, arrays in floats]
        record = whole.aggregate_train(number, results)[0]
        for one, two in zip(weights, record.to_numpy_ndarrays()):
            np.testing.assert_allclose(one, two, rtol=1e-5, err_msg=name)
    assert bool(state) == (name not in ("FedAvg", "FedProx", "FedMedian", "FedTrimmedAvg")), (name, state.keys())
"""


def test_answers_are_read_and_combined_as_flower_does() -> None:
    said = subprocess.run(
        [PYTHON, "-c", PROGRAM],
        env=measured(os.environ | {"PYTHONPATH": str(SOURCE)}),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 0, said.stderr
