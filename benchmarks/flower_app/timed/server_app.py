"""FedAvg; a line with the time (seconds since 1970) goes to the file `times` before the first round and after each."""

import time

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    while len(list(grid.get_node_ids())) < 2:
        time.sleep(0.1)

    def note(_round: int, _arrays: ArrayRecord) -> None:
        with open(str(config["times"]), "a") as file:
            file.write(f"{time.time()}\n")

    start = ArrayRecord([np.zeros(int(config["size"]), np.float32)])
    FedAvg().start(grid, start, num_rounds=int(config["num-server-rounds"]), evaluate_fn=note)
