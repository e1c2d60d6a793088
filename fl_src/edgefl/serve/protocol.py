"""JSON of the Open Inference Protocol (KServe's v2), in both directions.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from edgefl.apps import Array
from edgefl.serve.predictor import NAMES, TYPES, Predictor

INPUT, OUTPUT = "input", "output"
"""The names of the one input and the one output."""


class RequestError(Exception):
    """The request can't be answered; the text says what to change in it."""


def inputs(body: bytes, predictor: Predictor) -> tuple[Array, str | None]:
    """The batch that a request brings, and its id. Raises RequestError."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as err:
        raise RequestError(f"the body is no JSON: {err}") from None
    given = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
        raise RequestError(
            f'the body must be {{"inputs": [{{"name": "{INPUT}", "shape": ..., "datatype": ..., "data": ...}}]}}, with one input'
        )
    for wanted in document.get("outputs") or []:
        if not isinstance(wanted, dict) or wanted.get("name") != OUTPUT:
            raise RequestError(f'there is one output, "{OUTPUT}"')
    number = document.get("id")
    if number is not None and not (isinstance(number, str) and len(number) <= 200):
        raise RequestError("id must be a text of at most 200 characters")
    return _tensor(given[0], predictor), number


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def _tensor(given: dict[str, Any], predictor: Predictor) -> Array:
    if given.get("name") != INPUT:
        raise RequestError(f'there is one input, "{INPUT}"')
    shape, kind = given.get("shape"), given.get("datatype")
    sizes = [size for size in shape if _is_size(size)] if isinstance(shape, list) else []
    if not sizes or sizes != shape or tuple(sizes[1:]) != predictor.shape:
        raise RequestError(
            f"shape must be {['n', *predictor.shape]} with n inputs, got {str(shape)[:100]}".replace("'", "")
        )
    if not isinstance(kind, str) or kind not in TYPES:
        raise RequestError(f"datatype must be one of {', '.join(TYPES)}, got {str(kind)[:100]}")
    size = int(np.prod(sizes, dtype=object))
    try:
        data = np.asarray(given.get("data"))
        if data.size != size or data.dtype.kind not in "biuf":
            raise ValueError(f"{data.size} of them")
        if data.dtype.kind == "f" and TYPES[kind][0] != "f" and not np.equal(data, np.floor(data)).all():
            raise ValueError("some are no whole numbers")
        with np.errstate(over="raise"):
            array = data.reshape(sizes).astype(TYPES[kind])
        if TYPES[kind][0] != "f" and not np.array_equal(array, data.reshape(sizes)):
            raise ValueError(f"some are out of the range of {kind}")
    except (ValueError, TypeError, OverflowError, FloatingPointError, RecursionError) as err:
        raise RequestError(f"data must be {size} numbers of the datatype {kind} ({str(err)[:200]})") from None
    return array.astype(predictor.dtype)


def tensor(name: str, array: Array) -> dict[str, Any]:
    """A tensor as JSON has it, its data in one list; what is not finite becomes null."""
    flat = array.ravel().tolist()
    if array.dtype.kind == "f":
        flat = [value if value - value == 0 else None for value in flat]
    return {"name": name, "shape": list(array.shape), "datatype": NAMES[array.dtype.name], "data": flat}


def request(array: Array) -> dict[str, Any]:
    """The request that asks for a prediction of this batch."""
    return {"inputs": [tensor(INPUT, array)]}


def metadata(name: str, version: str, predictor: Predictor, outputs: Array) -> dict[str, Any]:
    """What is said of a model; `outputs` are those of one input."""
    return {
        "name": name,
        "versions": [version],
        "platform": predictor.platform,
        "inputs": [{"name": INPUT, "datatype": NAMES[predictor.dtype], "shape": [-1, *predictor.shape]}],
        "outputs": [{"name": OUTPUT, "datatype": NAMES[outputs.dtype.name], "shape": [-1, *outputs.shape[1:]]}],
    }
