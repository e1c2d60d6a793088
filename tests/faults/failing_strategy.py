"""The aggregator's program with a strategy that raises in round 2. All but that is what runs in a pod."""

from __future__ import annotations

from typing import Any

from flwr.server.strategy import FedAvg

from edgefl.aggregator import __main__ as aggregator


class FailingFedAvg(FedAvg):
    def aggregate_fit(self, server_round: int, *arguments: Any) -> Any:
        if server_round == 2:
            raise RuntimeError("no idea how to combine these")
        return super().aggregate_fit(server_round, *arguments)


if __name__ == "__main__":
    from flwr.server import strategy

    strategy.FedAvg = FailingFedAvg
    aggregator.main()
