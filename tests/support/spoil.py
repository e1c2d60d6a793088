"""A mod of a ClientApp whose node answers wrongly, from its second training on: SPOIL in its environment says how."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord

WAY, SINCE = os.environ.get("SPOIL", ""), int(os.environ.get("SPOIL_SINCE", "2"))


def spoil(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    reply = call_next(message, context)
    kind, content = message.metadata.message_type, reply.content
    if context.state.metric_records["calls"]["count"] < SINCE:
        return reply
    if kind == "evaluate":
        if WAY == "evaluation":
            content["metrics"] = MetricRecord({"eval_loss": [1.0, 2.0], "num-examples": 5})
        return reply
    (vector,) = content["arrays"].to_numpy_ndarrays()
    if WAY == "shape":
        content["arrays"] = ArrayRecord([np.zeros(9, np.float32)])
    elif WAY == "nan":
        content["arrays"] = ArrayRecord([vector * np.nan])
    elif WAY == "no metrics":
        del content["metrics"]
    elif WAY == "a list":
        content["metrics"]["num-examples"] = [10, 10]
    return reply
