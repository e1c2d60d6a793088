import json
import random
import time
from logging import INFO

import numpy as np
from flwr.app import Context, Message, MessageType, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    totals = []
    for server_round in range(int(context.run_config["num-server-rounds"])):
        nodes: list[int] = []
        while len(nodes) < 2:
            nodes = list(grid.get_node_ids())
            time.sleep(0.1)
        sampled = random.sample(nodes, int(len(nodes) * float(context.run_config["fraction-sample"])))
        content = RecordDict()
        messages = [
            Message(content=content, message_type=MessageType.QUERY, dst_node_id=node, group_id=str(server_round))
            for node in sampled
        ]
        replies = grid.send_and_receive(messages)
        log(INFO, "Received %s/%s results", len(replies), len(messages))
        total: dict[str, np.ndarray] = {}
        for reply in replies:
            if reply.has_error():
                continue
            for name, counts in reply.content["query_results"].items():
                total[name] = total.get(name, np.zeros(len(counts), int)) + np.array(counts)
        totals.append({name: counts.tolist() for name, counts in total.items()})
    with open("histograms.json", "w") as file:
        json.dump(totals, file)
