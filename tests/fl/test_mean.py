"""The aggregator's own mean of what came back, against Flower's."""

from __future__ import annotations

import os
import subprocess

from support.processes import PYTHON, SOURCE

PROGRAM = """
import numpy as np
from edgefl.link.server import _arrays, _mean
from flwr.common import Code, FitRes, Parameters, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import FedAvg

rng = np.random.default_rng(1)
sent = [rng.random((3, 4), np.float32), np.asfortranarray(rng.random((5, 2))), np.float32(2) + np.zeros((), np.float32), np.arange(3)]
parameters = ndarrays_to_parameters(sent)
models = [(examples, [np.asarray(array * (1 + examples / 100), array.dtype) for array in sent]) for examples in (1, 20, 300)]

# What comes back is read as Flower reads it, whatever its layout, shape or type
odd = [*models[0][1][:3], np.arange(3).astype(np.float64)]
fewer, more, other = sent[:2], [*sent, sent[0]], [array[:1] if array.ndim else array for array in sent]
for model in (*[arrays for _, arrays in models], odd, fewer, more, other):
    received = ndarrays_to_parameters(model)
    found, wanted = _arrays(parameters, sent, received), parameters_to_ndarrays(received)
    assert len(found) == len(wanted) == len(model)
    for one, two in zip(found, wanted):
        assert one.dtype == two.dtype and one.shape == two.shape
        np.testing.assert_array_equal(one, two)
plain = [np.ones((2, 2), np.float32)]
received = ndarrays_to_parameters(plain)
assert np.shares_memory(_arrays(received, plain, received)[0], np.frombuffer(received.tensors[0], np.uint8)), "it was copied"
broken = Parameters([received.tensors[0][:-3]], received.tensor_type)
try:
    _arrays(received, plain, broken)
except ValueError:
    pass
else:
    raise AssertionError("half an array was read")

# The mean is Flower's; of whole numbers Flower would make 0
results = [(None, FitRes(Status(Code.OK, ""), ndarrays_to_parameters(arrays), examples, {})) for examples, arrays in models]
wanted = parameters_to_ndarrays(FedAvg(fit_metrics_aggregation_fn=lambda _: {}).aggregate_fit(1, results, [])[0])
for one, two in list(zip(_mean(models), wanted))[:3]:
    np.testing.assert_allclose(one, two, rtol=1e-6)
same = [(7, [np.arange(5)]), (11, [np.arange(5)])]
np.testing.assert_array_equal(_mean(same)[0].astype(int), np.arange(5))
"""


def test_answers_are_read_and_averaged_as_flower_does() -> None:
    said = subprocess.run(
        [PYTHON, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 0, said.stderr
