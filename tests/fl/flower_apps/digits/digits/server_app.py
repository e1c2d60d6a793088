from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from digits.task import create, weights

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    start = ArrayRecord(weights(create(str(context.run_config["penalty"]))))
    FedAvg().start(grid, start, num_rounds=int(context.run_config["num-server-rounds"]))
