"""A strategy wrapped by differential privacy, and a mod of the client's that clips what it sends: both parts in one module."""

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import arrays_size_mod, fixedclipping_mod
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg

server = ServerApp()
client = ClientApp(mods=[fixedclipping_mod, arrays_size_mod])


@server.main()
def main(grid: Grid, context: Context) -> None:
    strategy = DifferentialPrivacyClientSideFixedClipping(
        FedAvg(fraction_evaluate=0.0), noise_multiplier=0.0, clipping_norm=1.0, num_sampled_clients=2
    )
    strategy.start(
        grid, ArrayRecord([np.zeros(9, np.float32)]), num_rounds=int(context.run_config["num-server-rounds"])
    )


@client.train()
def train(message: Message, context: Context) -> Message:
    (vector,) = message.content["arrays"].to_numpy_ndarrays()
    far = ArrayRecord([(vector + 100).astype(np.float32)])
    return Message(RecordDict({"arrays": far, "metrics": MetricRecord({"num-examples": 1})}), reply_to=message)
