"""A strategy wrapped by differential privacy, and mods of the client's that clip what it sends: all parts in one module."""

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod, adaptiveclipping_mod, arrays_size_mod, fixedclipping_mod
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    FedAvg,
)

server = ServerApp()
client = ClientApp(mods=[fixedclipping_mod, arrays_size_mod])
adaptive = ClientApp(mods=[adaptiveclipping_mod])
local = ClientApp(mods=[LocalDpMod(clipping_norm=1.0, sensitivity=1e-6, epsilon=1.0, delta=1e-5)])
STRATEGIES = {
    "client": lambda plain: DifferentialPrivacyClientSideFixedClipping(
        plain, noise_multiplier=0.0, clipping_norm=1.0, num_sampled_clients=2
    ),
    "adaptive": lambda plain: DifferentialPrivacyClientSideAdaptiveClipping(
        plain, noise_multiplier=0.0, num_sampled_clients=2, initial_clipping_norm=1.0, clip_norm_lr=1e-6
    ),
    "local": lambda plain: plain,
}


@server.main()
def main(grid: Grid, context: Context) -> None:
    strategy = STRATEGIES[str(context.run_config["client"])](FedAvg(fraction_evaluate=0.0))
    strategy.start(
        grid, ArrayRecord([np.zeros(9, np.float32)]), num_rounds=int(context.run_config["num-server-rounds"])
    )


@local.train()
@adaptive.train()
@client.train()
def train(message: Message, context: Context) -> Message:
    (vector,) = message.content["arrays"].to_numpy_ndarrays()
    far = ArrayRecord([(vector + 100).astype(np.float32)])
    return Message(RecordDict({"arrays": far, "metrics": MetricRecord({"num-examples": 1})}), reply_to=message)
