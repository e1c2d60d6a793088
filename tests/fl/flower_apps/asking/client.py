from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query()
def who(message: Message, context: Context) -> Message:
    return Message(RecordDict({"who": ConfigRecord({"name": context.node_config["node-name"]})}), reply_to=message)


@app.train("count")
def count(message: Message, context: Context) -> Message:
    before = context.state.metric_records.setdefault("count", MetricRecord({"count": 0}))
    before["count"] += message.content["step"]["by"]
    return Message(RecordDict({"count": MetricRecord({"count": before["count"]})}), reply_to=message)
