"""The aggregator's program with a FedAvgM that raises in round 2. All but that is what runs in a pod."""

from __future__ import annotations

from typing import Any

from flwr.serverapp import strategy

from edgefl.aggregator import __main__ as aggregator


class Failing(strategy.FedAvgM):
    def aggregate_train(self, server_round: int, *arguments: Any) -> Any:
        if server_round == 2:
            raise RuntimeError("no idea how to combine these")
        return super().aggregate_train(server_round, *arguments)


if __name__ == "__main__":
    strategy.FedAvgM = Failing
    aggregator.main()
