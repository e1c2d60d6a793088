"""Secure aggregation of clipped steps, in the shapes of Flower's legacy API: a workflow, a strategy of parameters, a NumPyClient made by a function."""

import numpy as np
from flwr.client import NumPyClient
from flwr.client.mod import fixedclipping_mod, secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import Grid, LegacyContext, ServerApp, ServerConfig
from flwr.server.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow

server = ServerApp()


class Stepping(NumPyClient):
    def __init__(self, partition: int) -> None:
        self._direction = np.eye(9, dtype=np.float32)[partition]

    def fit(self, parameters, config):
        return [parameters[0] + 100 * self._direction], 1, {}


def client_fn(context: Context):
    return Stepping(int(context.node_config["partition-id"])).to_client()


client = ClientApp(client_fn=client_fn, mods=[secaggplus_mod, fixedclipping_mod])


@server.main()
def main(grid: Grid, context: Context) -> None:
    strategy = DifferentialPrivacyClientSideFixedClipping(
        FedAvg(
            fraction_evaluate=0.0,
            min_fit_clients=2,
            min_available_clients=2,
            initial_parameters=ndarrays_to_parameters([np.zeros(9, np.float32)]),
        ),
        noise_multiplier=0.0,
        clipping_norm=1.0,
        num_sampled_clients=2,
    )
    config = ServerConfig(num_rounds=int(context.run_config["num-server-rounds"]))
    legacy = LegacyContext(context=context, config=config, strategy=strategy)
    DefaultWorkflow(fit_workflow=SecAggPlusWorkflow(num_shares=1.0, reconstruction_threshold=1.0))(grid, legacy)
    np.save("last.npy", legacy.state.array_records["parameters"].to_numpy_ndarrays()[0])
