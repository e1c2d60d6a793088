"""FedAvg on a vector, compared with what lies in the aggregator's own folder; the model is written where the app runs, as the quickstarts do."""

from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    start = ArrayRecord([np.random.rand(int(config["size"])).astype(np.float32)])
    strategy = FedAvg(fraction_evaluate=1.0)

    truth = Path("owner/truth.txt")
    goal = float(truth.read_text()) if "data-path" in context.node_config else 1.5

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        (vector,) = arrays.to_numpy_ndarrays()
        return MetricRecord({"distance": float(abs(vector - goal).max())})

    result = strategy.start(
        grid=grid,
        initial_arrays=start,
        train_config=ConfigRecord({"lr": config["learning-rate"]}),
        num_rounds=int(config["num-server-rounds"]),
        evaluate_fn=evaluate,
    )
    print("trained", flush=True)
    np.savez("final_model.npz", *result.arrays.to_numpy_ndarrays())
