"""A step towards 1, in NumPy: the work is nothing beside what the engine does."""

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    (vector,) = message.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"num-examples": 10})
    new = ArrayRecord([(vector + (1 - vector) / 2).astype(np.float32)])
    return Message(RecordDict({"arrays": new, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    (vector,) = message.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"num-examples": 10, "eval_loss": float(abs(1 - vector).mean())})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
