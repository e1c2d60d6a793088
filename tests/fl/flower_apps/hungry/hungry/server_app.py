import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    strategy = FedAvg(fraction_evaluate=0.0)
    strategy.start(
        grid, ArrayRecord([np.zeros(4, np.float32)]), num_rounds=int(context.run_config["num-server-rounds"])
    )
