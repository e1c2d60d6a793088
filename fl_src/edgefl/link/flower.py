"""All that this project knows of Flower: its names, public and private, are in this file and nowhere else.

Flower's messages travel as a head (metadata, error) and a body (content), in pieces: each record of the content is one. So what a message is about
can be read, and a record that many nodes get is made into bytes once. Head and pieces are Flower's own protobuf messages, made by its own functions, but
for arrays, which are written as these would; protobuf takes such messages one after the other for one of all their fields.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"  # Flower would report each start to its makers
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import numpy as np
import numpy.typing as npt

# Public
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict

# Private: the same in Flower 1.22 to 1.42
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as Proto

try:
    from flwr.supercore.task_identity import TaskIdentity  # since 1.37; without it set no message can be made
except ImportError:
    TaskIdentity = None

for _handler in logging.getLogger("flwr").handlers:
    _handler.colored = False  # type: ignore[attr-defined]  # a pod's log is no terminal

SERVER = 1
"""Node id of the aggregator: flwr.common.constant.SUPERLINK_NODE_ID."""
RAISED, UNAVAILABLE = 2, 5
"""flwr.common.constant.ErrorCode: CLIENT_APP_RAISED_EXCEPTION, NODE_UNAVAILABLE."""
EXAMPLES = "num-examples"
"""What Flower calls a number of samples."""
KINDS = {"b": "booleans", "i": "integers", "u": "integers", "f": "floats", "c": "complex numbers"}
"""NumPy's kinds of numbers."""
NPY, NPY_1 = "numpy.ndarray", b"\x93NUMPY\x01\x00"
"""flwr.common.constant.SType.NUMPY, and what its bytes begin with."""
HEADERS, LONGEST_HEADER = 1024, 256
"""Headers of arrays that are kept, and bytes of one: those of a large model, and of an array with a dozen dimensions."""

__all__ = ["Array", "ArrayRecord", "ConfigRecord", "Context", "Message", "MetricRecord", "RecordDict"]

Pieces = tuple[bytes, ...]
Shared = dict[tuple[str, int], tuple[Any, bytes]]
"""Pieces by name and identity of their records."""


def quiet() -> None:
    """Silence Flower's and gRPC's own messages; ours say what matters."""
    for name in ("flwr", "grpc"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def node_id(name: str) -> int:
    """Always the same number for a name, above SERVER and below 2^63: Flower's node ids are 64 bits with a sign on some of their ways."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1 | 2


def context(run: int, node: int, node_config: Mapping[str, Any], run_config: Mapping[str, Any]) -> Context:
    """What an app is called with; also tells Flower who this process is."""
    if TaskIdentity is not None:
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, run, node
    return Context(
        run_id=run, node_id=node, node_config=dict(node_config), state=RecordDict(), run_config=dict(run_config)
    )


def encode(message: Message, shared: Shared | None = None, **metadata: Any) -> tuple[bytes, Pieces]:
    """Head and body; `metadata` replaces fields. `shared` keeps the pieces, for several messages that have the same records."""
    head = _proto(message, RecordDict() if message.has_content() else None)
    head.ClearField("content")
    for key, value in metadata.items():
        setattr(head.metadata, key, value)
    return head.SerializeToString(), encode_body(message, {} if shared is None else shared)


def encode_body(message: Message, shared: Shared) -> Pieces:
    """The body alone."""
    pieces = []
    for name, record in message.content.items() if message.has_content() else ():
        if (name, id(record)) not in shared:
            shared[name, id(record)] = record, _alone(message, name, record)
        pieces.append(shared[name, id(record)][1])
    return tuple(pieces)


def _alone(message: Message, name: str, record: Any) -> bytes:
    """Flower's protobuf message of one record. Arrays are written as they come: protobuf would copy each from message into message, a dozen times."""
    if not isinstance(record, ArrayRecord):
        alone = _proto(message, RecordDict({name: record}))
        alone.ClearField("metadata")
        return bytes(alone.SerializeToString())
    content = Proto.DESCRIPTOR.fields_by_name["content"]
    item = content.message_type.fields_by_name["items"]
    held = item.message_type.fields_by_name["array_record"]
    one = held.message_type.fields_by_name["items"]
    value = one.message_type.fields_by_name["value"]
    found = []
    for key, array in record.items():
        shape = b"".join(map(_varint, array.shape))
        fields = {"dtype": array.dtype.encode(), "shape": shape, "stype": array.stype.encode(), "data": array.data}
        parts = [part for field, each in fields.items() for part in _text(value.message_type, field, each)]
        found += _framed(one, [*_text(one.message_type, "key", key.encode()), *_framed(value, parts)])
    return b"".join(
        _framed(content, _framed(item, [*_text(item.message_type, "key", name.encode()), *_framed(held, found)]))
    )


def _framed(field: Any, parts: list[bytes]) -> list[bytes]:
    """A field of protobuf that has these parts (https://protobuf.dev/programming-guides/encoding/)."""
    return [_varint(field.number << 3 | 2) + _varint(sum(map(len, parts))), *parts]


def _text(kind: Any, name: str, content: bytes) -> list[bytes]:
    """A field of bytes; one that is empty is left out."""
    return _framed(kind.fields_by_name[name], [content]) if content else []


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _proto(message: Message, content: RecordDict | None) -> Any:
    """Flower's protobuf message of a message, with this content in place of its own."""
    if content is None:
        return message_to_proto(message)
    own, message.content = message.content, content
    try:
        return message_to_proto(message)
    finally:
        message.content = own


def decode(head: bytes, body: bytes, **metadata: Any) -> Message:
    """The message; `metadata` replaces fields. Raises ValueError or what Flower raises for bytes that are none."""
    try:
        proto = Proto.FromString(head)
        proto.MergeFromString(body)
    except Exception as err:
        raise ValueError(f"no message of Flower: {err}") from err
    if not proto.HasField("error") and not proto.HasField("content"):
        proto.content.SetInParent()
    for key, value in metadata.items():
        setattr(proto.metadata, key, value)
    return message_from_proto(proto)


def failed(head: bytes, code: int, text: str) -> bytes:
    """The reply that tells an error, which is a head alone; `head` is the instruction's."""
    proto = Proto.FromString(head)
    proto.ClearField("error")
    proto.content.SetInParent()
    return encode(Message(Error(code, text), reply_to=message_from_proto(proto)))[0]


def unavailable(head: bytes, reason: str) -> bytes:
    """The reply in place of one that will not come."""
    return failed(head, UNAVAILABLE, reason)


def numbers(content: RecordDict) -> dict[str, Any]:
    """The metrics of a content: each MetricRecord's numbers by name; a later record's come over an earlier one's.

    Flower's API of before 1.20 has them in a ConfigRecord, and another name for the number of samples.
    """
    found: dict[str, Any] = {}
    for record in content.values():  # Flower's views, by kind, are slow
        if isinstance(record, MetricRecord):
            found |= {EXAMPLES if key == "num_examples" else key: value for key, value in record.items()}
    for name in ("fitres.metrics", "evaluateres.metrics"):
        record = content.get(name)
        if isinstance(record, ConfigRecord):
            found |= dict(record.items())
    return found


def round_mark(message: Message) -> str | None:
    """What is the same in all messages of a round: its number that Flower's strategies put into what they send, else the group; None where there is neither."""
    for record in message.content.config_records.values():
        value = record.get("server-round")
        if isinstance(value, int):
            return str(value)
    # A strategy of before 1.20 asks a node for the first model
    group = "1" if message.metadata.message_type == "get_parameters" else message.metadata.group_id
    return group or None


def arrays_of(content: RecordDict) -> Any:
    """The first ArrayRecord of a content, or None."""
    return next(iter(content.array_records.values()), None)


def ndarrays(record: Any) -> dict[str, Any]:
    """The arrays of an ArrayRecord by name, as NumPy has them."""
    return {str(key): values(array) for key, array in record.items()}


def arrays_record(arrays: list[Any]) -> Any:
    """An ArrayRecord of arrays without names: they are called by their numbers, in order."""
    return ArrayRecord({f"{number:04d}": _array(np.asarray(array)) for number, array in enumerate(arrays)})


def _array(given: npt.NDArray[Any]) -> Array:
    """Flower's array of NumPy's, with the bytes that Flower would make; it would make each header anew, which costs more than to copy a small model."""
    if given.dtype.kind not in KINDS or not given.flags.c_contiguous:
        return Array(given)
    data = b"".join((_header(given.dtype, given.shape), given.reshape(-1).view(np.uint8).data))
    return Array(dtype=str(given.dtype), shape=given.shape, stype=NPY, data=data)


def values(array: Array, copy: bool = True) -> npt.NDArray[Any]:
    """The values of an array, writable where they are copied; a header that was read before is not parsed again. Raises what Flower raises for bytes that
    are none.
    """
    data = array.data
    end = 10 + int.from_bytes(data[8:10], "little")
    if array.stype == NPY and data.startswith(NPY_1) and end <= LONGEST_HEADER:
        shape, fortran, dtype = _layout(data[:end])
        if dtype.kind in KINDS and not fortran and len(data) - end == math.prod(shape) * dtype.itemsize:
            there = np.frombuffer(data, dtype, offset=end).reshape(shape)
            return there.copy() if copy else there
    found: npt.NDArray[Any] = array.numpy()
    return found


@functools.lru_cache(HEADERS)
def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What is before an array's values in the format .npy, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html."""
    file = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


@functools.lru_cache(HEADERS)
def _layout(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type that such a header tells. Raises ValueError."""
    file = io.BytesIO(header)
    np.lib.format.read_magic(file)
    return np.lib.format.read_array_header_1_0(file)


def strategy(name: str, options: Mapping[str, float]) -> Any:
    """One of Flower's strategies, for its way to combine. Raises TypeError for options that it does not take."""
    from flwr.serverapp import strategy as strategies

    return getattr(strategies, name)(**options)


def combine(chosen: Any, number: int, before: list[Any], results: list[tuple[int, list[Any]]]) -> list[Any]:
    """What the strategy makes, in round `number`, of models weighted by their numbers of samples; `before` is the model that was sent out."""
    record = arrays_record(before)
    if hasattr(
        chosen, "current_arrays"
    ):  # Flower's strategies with an optimizer keep it when they send: as a record, or as arrays by name
        chosen.current_arrays = ndarrays(record) if hasattr(chosen, "v_t") else record
    messages = []
    for examples, arrays in results:
        metrics = MetricRecord({"num-examples": examples})
        content = RecordDict({"arrays": arrays_record(arrays), "metrics": metrics})
        messages.append(Message(content, dst_node_id=SERVER, message_type="train"))
    combined, _dummy = chosen.aggregate_train(number, messages)
    return list(ndarrays(combined).values())


def spoiled(message: Message, reason: str) -> Message:
    """The reply that tells an error in place of what it has."""
    proto = _proto(message, RecordDict()) if message.has_content() else message_to_proto(message)
    proto.ClearField("content")
    proto.error.code, proto.error.reason = RAISED, reason
    return message_from_proto(proto)


def form(content: RecordDict, sizes: bool) -> tuple[str, ...]:
    """What a content is made of, in words that can be compared: records, keys, types, and with `sizes` how long they are."""
    found = []
    for name, record in content.items():
        found.append(f"{type(record).__name__} {name}")
        if isinstance(record, ArrayRecord):
            found += [f"{name}.{key}: {text}" for key, text in form_of_arrays(record, sizes)]
        elif isinstance(record, MetricRecord):
            for key, value in sorted(record.items()):
                many = f": {len(value) if sizes else 'several'} numbers" if isinstance(value, list) else ""
                found.append(f"{name}.{key}{many}")
        else:
            found += [f"{name}.{key}" for key in sorted(record)]
    return tuple(found)


def form_of_arrays(record: ArrayRecord, sizes: bool) -> list[tuple[str, str]]:
    """The kind of numbers and the shape of each array as it is, whatever the record says of it."""
    found = []
    for key, array in record.items():
        values = as_numpy(array)
        if values is None:
            text = "can't be read"
        else:
            kind = KINDS.get(values.dtype.kind, str(values.dtype))
            text = f"{kind} {values.shape}" if sizes else f"{kind}, {values.ndim}-dimensional"
        found.append((str(key), text))
    return found


def as_numpy(array: Array) -> Any:
    """The values of an array to be looked at, or None where its bytes are none."""
    try:
        return values(array, copy=False)
    except Exception:  # whatever a client's bytes make NumPy raise
        return None


def counterparts(record: ArrayRecord, sent: ArrayRecord) -> list[tuple[Array, Array]]:
    """Each array with the one that it was made of: by their names, else by their order; none where both differ."""
    if record.keys() == sent.keys():
        return [(array, sent[key]) for key, array in record.items()]
    return list(zip(record.values(), sent.values())) if len(record) == len(sent) else []


def inner(strategy: Any) -> list[Any]:
    """A strategy, and those that it wraps, as those of differential privacy do."""
    found: list[Any] = []
    while _aggregates(strategy) and not any(one is strategy for one in found):
        found.append(strategy)
        strategy = getattr(strategy, "strategy", None)
    return found


def _aggregates(one: Any) -> bool:
    return not isinstance(one, type) and (hasattr(one, "aggregate_train") or hasattr(one, "aggregate_fit"))


def reasons_to_end() -> tuple[type[Exception], ...]:
    """What a strategy raises that no answer is the reason of: errors of the machine, and a privacy budget that is used up."""
    from flwr.serverapp import exception

    found = getattr(exception, "PrivacyBudgetExhausted", None)  # of newer ones
    return (OSError, found) if found else (OSError,)


def weights_of(strategy: Any) -> dict[str, bool]:
    """Names of the metrics that a strategy calculates arrays with, and whether none may be negative."""
    names: dict[Any, bool] = {} if hasattr(strategy, "aggregate_train") else {EXAMPLES: True}
    for one in inner(strategy):
        names |= {getattr(one, "weighted_by_key", None): True, getattr(one, "train_loss_key", None): False}
    return {name: positive for name, positive in names.items() if isinstance(name, str)}


def is_flowers(method: Any) -> bool:
    """Whether a method of a strategy is Flower's own."""
    return str(getattr(method, "__module__", "")).startswith("flwr.")


class Kept:
    """A strategy and its replies as they are now, to have them so again: some use their records up.

    Records, lists and dictionaries are copied; what is in them is not.
    """

    def __init__(self, strategy: Any, replies: list[Message]) -> None:
        self._strategies = [(one, {key: _copied(value) for key, value in vars(one).items()}) for one in inner(strategy)]
        self._contents = [(reply, _copied(reply.content)) for reply in replies if reply.has_content()]

    def restore(self) -> None:
        for one, values in self._strategies:
            vars(one).update({key: _copied(value) for key, value in values.items()})
        for reply, content in self._contents:
            reply.content = _copied(content)


def _copied(value: Any) -> Any:
    if isinstance(value, RecordDict):
        return RecordDict({name: record.copy() for name, record in value.items()})
    return value.copy() if isinstance(value, (ArrayRecord, ConfigRecord, MetricRecord, dict, list)) else value


def watch_strategies(
    after_round: Callable[[int, Any, dict[str, Any] | None], None],
    guarded: Callable[[Any, str, Callable[..., Any]], Callable[..., Any]],
) -> None:
    """Have `after_round` called with number, arrays and the aggregator's own metrics after each round of every strategy (0: before the first).

    Strategy.start calls an `evaluate_fn` at just these moments; it gets one that asks the app's, if it has one, and tells us.
    What `guarded` makes of a strategy's aggregate_train and aggregate_evaluate is called in their place.
    """
    from flwr.serverapp.strategy import Strategy

    start = Strategy.start
    signature = inspect.signature(start)

    def watched(self: Any, *arguments: Any, **named: Any) -> Any:
        bound = signature.bind(self, *arguments, **named)
        theirs = bound.arguments.get("evaluate_fn")

        def evaluate(number: int, arrays: Any) -> Any:
            metrics = theirs(number, arrays) if theirs else None
            after_round(number, arrays, None if metrics is None else dict(metrics.items()))
            return metrics

        bound.arguments["evaluate_fn"] = evaluate
        ours = {f"aggregate_{kind}": kind for kind in ("train", "evaluate")}
        before = {name: vars(self)[name] for name in ours if name in vars(self)}
        vars(self).update({name: guarded(self, kind, getattr(self, name)) for name, kind in ours.items()})
        try:
            return start(*bound.args, **bound.kwargs)
        finally:
            for name in ours:
                vars(self).pop(name, None)
            vars(self).update(before)

    Strategy.start = watched


def watch_strategies_of_parameters(
    evaluated: Callable[[Any, dict[str, Any] | None], None],
    guarded: Callable[[Any, str, Callable[..., Any]], Callable[..., Any]],
) -> None:
    """The same for strategies of the API of before 1.20: `evaluated` is called with the arrays and the metrics in each round, after the training."""
    try:
        from flwr.common import parameters_to_ndarrays
        from flwr.server import LegacyContext, Server
    except ImportError:  # Flower says that it will go
        return

    def watch(strategy: Any) -> None:
        theirs = strategy.evaluate

        def evaluate(server_round: int, parameters: Any) -> Any:
            result = theirs(server_round, parameters=parameters)
            evaluated(
                arrays_record(parameters_to_ndarrays(parameters)),
                None if result is None else {"loss": result[0], **result[1]},
            )
            return result

        strategy.evaluate = evaluate
        for kind, name in (("train", "aggregate_fit"), ("evaluate", "aggregate_evaluate")):
            setattr(strategy, name, _with_messages(strategy, kind, getattr(strategy, name), guarded))

    fit, make = Server.fit, LegacyContext.__init__

    def watched_fit(self: Any, *arguments: Any, **named: Any) -> Any:
        watch(self.strategy)
        return fit(self, *arguments, **named)

    def watched_make(self: Any, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        watch(self.strategy)

    Server.fit, LegacyContext.__init__ = watched_fit, watched_make


def _with_messages(strategy: Any, kind: str, method: Any, guarded: Callable[..., Callable[..., Any]]) -> Any:
    """A method for results and failures of the API of before 1.20, guarded as one for messages is."""
    pairs: dict[int, Any] = {}
    failed_before: list[Any] = []

    def of_messages(server_round: int, replies: list[Message]) -> Any:
        lost = [RuntimeError(reply.error.reason) for reply in replies if reply.has_error()]
        results = [pairs[reply.metadata.src_node_id] for reply in replies if not reply.has_error()]
        return method(server_round, results, [*failed_before, *lost])

    of_messages.__module__ = method.__module__
    sieved = guarded(strategy, kind, of_messages)

    def aggregate(server_round: int, results: list[Any], failures: list[Any]) -> Any:
        pairs.clear()
        pairs.update({proxy.node_id: (proxy, result) for proxy, result in results})
        failed_before[:] = failures
        return sieved(server_round, [_as_message(node, result) for node, (_proxy, result) in pairs.items()])

    return aggregate


def _as_message(node: int, result: Any) -> Message:
    """A result of the API of before 1.20 as a message has it."""
    told = {EXAMPLES: result.num_examples}
    content = RecordDict({"metrics": ConfigRecord(result.metrics)})
    if hasattr(result, "parameters"):
        kind, tensors = result.parameters.tensor_type, result.parameters.tensors
        content["parameters"] = ArrayRecord({str(at): Array("", (), kind, one) for at, one in enumerate(tensors)})
    else:
        told["loss"] = result.loss
    content["result"] = MetricRecord(told)
    head, body = encode(Message(content, dst_node_id=SERVER, message_type="train"))
    return decode(head, b"".join(body), src_node_id=node)


def asked_for_arrays(grid: Any, nodes: int) -> list[Any]:
    """The arrays that the first node answers a query with, once there are `nodes` of them. Raises ConnectionError when it has none."""
    while len(there := sorted(grid.get_node_ids())) < nodes:
        time.sleep(1)
    (reply,) = grid.send_and_receive([Message(RecordDict(), there[0], "query")])
    if reply.has_error():
        raise ConnectionError(reply.error.reason)
    return list(ndarrays(arrays_of(reply.content)).values())


def client_app() -> Any:
    """A ClientApp without functions yet."""
    from flwr.clientapp import ClientApp

    return ClientApp()


def server_app() -> Any:
    """A ServerApp without a main function yet."""
    from flwr.serverapp import ServerApp

    return ServerApp()


def components() -> Iterator[tuple[str, type]]:
    """What an app's pyproject.toml names, and of what class each must be."""
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp

    yield "serverapp", ServerApp
    yield "clientapp", ClientApp


def grid() -> Any:
    """Flower's Grid, to be derived from."""
    from flwr.serverapp import Grid

    return Grid
