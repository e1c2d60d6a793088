import os

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from boosted.task import Booster, load_data

app = ClientApp()


@app.train()
def train(msg: Message, context: Context) -> Message:
    x, y = load_data(int(context.node_config["partition-id"]))
    booster = Booster(msg.content["arrays"]["0"].numpy().tobytes())
    epochs = int(context.run_config["local-epochs"])
    # The trees of all nodes are added up
    eta = float(context.run_config["params.eta"]) / int(context.node_config["num-partitions"])
    for _epoch in range(epochs):
        booster.update(x, y, eta)
    raw = booster.save_raw(epochs)
    if os.environ.get("SPOIL") and msg.content["config"]["server-round"] > 1:
        raw = b"no trees at all"
    content = RecordDict(
        {"arrays": ArrayRecord([np.frombuffer(raw, dtype=np.uint8)]), "metrics": MetricRecord({"num-examples": len(x)})}
    )
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    x, y = load_data(100 + int(context.node_config["partition-id"]))
    booster = Booster(msg.content["arrays"]["0"].numpy().tobytes())
    error = float(((booster.predict(x) - y) ** 2).mean())
    metrics = MetricRecord({"mse": error, "num-examples": len(x)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)
