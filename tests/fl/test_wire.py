"""What crosses the link: arrays as Flower writes them, and a model that many clients get cut into chunks once."""

from __future__ import annotations

import os
import subprocess

from support.processes import PYTHON, SOURCE, measured

PROGRAM = """
import numpy as np
from edgefl.link import flower, wire
from flwr.app import Array, ArrayRecord

flower.quiet()
flower.context(1, 1, {}, {})

# Arrays are written as Flower's own functions write them, to the byte
rng = np.random.default_rng(1)
plain = [rng.random((300, 1000)), np.asfortranarray(rng.random((5, 2), np.float32)), np.float32(2) + np.zeros((), np.float32), np.zeros((0, 2))]
odd = {"": Array("", (), "", b""), "\\u00fc": Array("x", (0, 5, 2**31 - 1), "numpy.ndarray", bytes(128))}
for record in (ArrayRecord({}), ArrayRecord(odd), flower.arrays_record(plain)):
    for name in ("arrays", "", "\\u00e4" * 200):
        whole = flower.Message(flower.RecordDict({name: record}), 1, "train")
        alone = flower._proto(whole, whole.content)
        alone.ClearField("metadata")
        head, (piece,) = flower.encode(whole)
        assert piece == alone.SerializeToString(), name
        assert flower.decode(head, piece).content == whole.content

# Arrays are written as Flower writes them, and read as it reads them, whatever their bytes are
kinds = [rng.normal(size=shape).astype(kind) for shape in ((), (0,), (3,), (2, 0, 4), (3, 4, 5)) for kind in ("<f4", ">f8", "i1", "?", "c8")]
kinds += [np.asfortranarray(rng.normal(size=(3, 4))), rng.normal(size=(6, 4))[::2], np.zeros(3, "M8[s]"), np.array(["a", "bc"]), np.zeros((1,) * 32)]
for array in kinds:
    (own,) = flower.arrays_record([array]).values()
    assert own == flower.Array(array), array
    read = flower.values(own)
    np.testing.assert_array_equal(read, own.numpy())
    assert read.dtype == own.numpy().dtype and read.flags.writeable
    for data in (own.data[:-1], own.data + b"x", own.data[:9], own.data.replace(b"(", b"["), own.data.replace(b"descr", b"what?"), b""):
        damaged, found = flower.Array(own.dtype, own.shape, own.stype, data), []
        for way in (flower.Array.numpy, flower.values):
            try:
                found.append(way(damaged))
            except Exception as err:
                found.append(f"{type(err)} {err}")
        np.testing.assert_array_equal(*found)

# The frames are the same whoever cuts them; those of the model are the same objects for each client
cut, size = wire.Cut(), wire.LEAST_CHUNK
model = rng.bytes(3 * size + 5)
for body in ((), (b"",), (model,), (b"own", model, b""), (model, rng.bytes(size + 1), model)):
    assert list(wire.frames({"key": 1}, b"head", body, size, cut)) == list(wire.frames({"key": 1}, b"head", body, size))
first, second = (list(wire.frames({"key": key}, b"head", (model, b"own"), size, cut)) for key in (1, 2))
assert first[0] != second[0] and all(one is two for one, two in zip(first[1:], second[1:]))
# Two sizes in turn are cut once, and of many no more than two copies stay
assert cut.chunks(model, size) is cut.chunks(model, size) and cut.chunks(model, 2 * size) is cut.chunks(model, 2 * size)
kept = cut.chunks(model, size)
for other in range(size, size + 50):
    assert b"".join(cut.chunks(model, other)) == model and cut.chunks(model, size) is kept and len(cut._chunks) <= 2
# As few connections as most have, chunks are the largest; of many, what gRPC may hold is shared out
assert [wire.chunk(count, False, False) for count in (0, 2, 64, 1024, 4096)] == [wire.MOST_CHUNK] * 3 + [32 * 1024, wire.LEAST_CHUNK]
assert [wire.chunk(1024, True, tls) for tls in (False, True)] == [96 * 1024, 48 * 1024]
assert wire.chunk(2048, True, True) == wire.chunk(2048, False, True) == wire.LEAST_CHUNK
assert [len(chunk) for chunk in wire.Cut().chunks(model, 2 * size)] == [2 * size, size + 5]
"""


def test_what_is_sent() -> None:
    variables = measured(os.environ | {"PYTHONPATH": str(SOURCE)})
    subprocess.run([PYTHON, "-c", PROGRAM], check=True, env=variables, timeout=120)
