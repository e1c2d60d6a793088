import warnings

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits.task import create, load, put, weights

app = ClientApp()


def made(message: Message, context: Context):
    model = create(str(context.run_config["penalty"]))
    put(model, message.content["arrays"].to_numpy_ndarrays())
    return model, load(int(context.node_config["partition-id"]), int(context.node_config["num-partitions"]))


@app.train()
def train(message: Message, context: Context) -> Message:
    model, ((images, labels), _test) = made(message, context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(images, labels)
    metrics = MetricRecord({"num-examples": len(labels), "train_accuracy": float(model.score(images, labels))})
    return Message(RecordDict({"model": ArrayRecord(weights(model)), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    model, (_train, (images, labels)) = made(message, context)
    metrics = MetricRecord({"num-examples": len(labels), "accuracy": float(model.score(images, labels))})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
