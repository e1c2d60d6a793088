"""No strategy: asks each node for its name, then has it count by named actions, by push and pull."""

import json
import time

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    while len(list(grid.get_node_ids())) < 2:
        time.sleep(0.1)
    asked = [Message(RecordDict(), node, MessageType.QUERY) for node in grid.get_node_ids()]
    replies = list(grid.send_and_receive(asked, timeout=30))
    names = sorted(str(reply.content["who"]["name"]) for reply in replies)

    counts = []
    for number in range(int(context.run_config["pushes"])):
        content = RecordDict({"step": ConfigRecord({"by": number + 1})})
        sent = [grid.create_message(content, "train.count", node, f"push {number}") for node in grid.get_node_ids()]
        left = set(grid.push_messages(sent))
        while left:
            for reply in grid.pull_messages(left):
                left.discard(reply.metadata.reply_to_message_id)
                counts.append(int(reply.content["count"]["count"]))
            time.sleep(0.05)
    with open("found.json", "w") as file:
        json.dump({"names": names, "counts": sorted(counts)}, file)
