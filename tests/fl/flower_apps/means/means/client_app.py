"""Pulls the vector towards the mean of this node's numbers: partition-id + 1, or what lies in data-path: numbers.txt, or bytes."""

import os
import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def target(context: Context) -> float:
    folder = context.node_config.get("data-path")
    if folder:
        raw = Path(folder) / "numbers.bin"
        numbers = np.fromfile(raw, np.uint8) if raw.exists() else np.loadtxt(Path(folder) / "numbers.txt")
        return float(numbers.mean())
    return float(context.node_config["partition-id"]) + 1


@app.train()
def train(message: Message, context: Context) -> Message:
    time.sleep(float(context.run_config["pause"]))
    if os.environ.get("BREAK") and Path(os.environ["BREAK"]).exists():
        raise FileNotFoundError("no data any more")
    (vector,) = message.content["arrays"].to_numpy_ndarrays()
    calls = context.state.metric_records.setdefault("calls", MetricRecord({"count": 0}))
    calls["count"] += 1
    new = vector + message.content["config"]["lr"] * (target(context) - vector)
    metrics = {"train_loss": float(abs(new - target(context)).mean()), "num-examples": 10, "calls": calls["count"]}
    return Message(
        RecordDict({"arrays": ArrayRecord([new.astype(np.float32)]), "metrics": MetricRecord(metrics)}),
        reply_to=message,
    )


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    (vector,) = message.content["arrays"].to_numpy_ndarrays()
    metrics = {"eval_loss": float(abs(vector - target(context)).mean()), "eval_acc": 0.5, "num-examples": 5}
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)
