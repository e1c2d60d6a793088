"""FedAvg; a line with the time (seconds since 1970) goes to the file `times` before the first round and after each, or why there is none."""

import time

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from timed.learners import LEARNERS

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    while len(list(grid.get_node_ids())) < 2:
        time.sleep(0.1)

    last: list[bytes] = []

    def note(round_: int, arrays: ArrayRecord) -> None:
        last.append(b"".join(each.tobytes() for each in arrays.to_numpy_ndarrays()))
        trained = round_ == 0 or last[-1] != last[-2]
        with open(str(config["times"]), "a") as file:
            file.write(f"{time.time()}\n" if trained else f"round {round_} trained nothing\n")

    start = ArrayRecord(LEARNERS[str(config["learner"])](int(config["size"])).start)
    FedAvg().start(grid, start, num_rounds=int(config["num-server-rounds"]), evaluate_fn=note)
