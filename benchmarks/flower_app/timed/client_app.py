"""Trains and evaluates what the app's `learner` is."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from timed.learners import LEARNERS, Net, Regression, Vector

app = ClientApp()


def learner(context: Context) -> Vector | Regression | Net:
    config = context.run_config
    return LEARNERS[str(config["learner"])](int(config["size"]), int(context.node_config["partition-id"]))


@app.train()
def train(message: Message, context: Context) -> Message:
    own = learner(context)
    new = ArrayRecord(own.train(message.content["arrays"].to_numpy_ndarrays()))
    metrics = MetricRecord({"num-examples": own.samples})
    return Message(RecordDict({"arrays": new, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    own = learner(context)
    loss = own.loss(message.content["arrays"].to_numpy_ndarrays())
    metrics = MetricRecord({"num-examples": own.samples, "eval_loss": loss})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
