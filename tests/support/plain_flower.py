"""A Flower app with nothing of this project around it: its ServerApp on a Grid in this process, whose nodes call its ClientApp.

`python -m support.plain_flower APP NODES PARTITIONS KEY=VALUE ...`: each node has one of so many partitions, the values are for the app's configuration.
Prints, as JSON, what the strategy's evaluate_fn said of each round, and how many samples each node trained on.
"""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from edgefl.link.flower import context


class LocalGrid(Grid):
    """Nodes 10, 11, ...; what is pushed is answered at once."""

    def __init__(self, client: Any, nodes: int, partitions: int, config: dict[str, Any]) -> None:
        self._client = client
        self._replies: dict[str, Any] = {}
        self.examples: dict[int, int] = {}
        own = ({"partition-id": number, "num-partitions": partitions} for number in range(nodes))
        self._contexts = {10 + number: context(1, 10 + number, node, config) for number, node in enumerate(own)}

    def set_run(self, run: Any) -> None:
        pass

    @property
    def run(self) -> Any:
        return None

    def create_message(self, content: Any, message_type: str, dst_node_id: int, group_id: str, ttl: Any = None) -> Any:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Any]) -> list[str]:
        pushed = []
        for message in messages:
            node = message.metadata.dst_node_id
            reply = self._client(message, self._contexts[node])
            if message.metadata.message_type == "train":
                self.examples[node] = reply.content["metrics"]["num-examples"]
            pushed.append(f"{node} {len(self._replies)}")
            self._replies[pushed[-1]] = reply
        return pushed

    def pull_messages(self, message_ids: Iterable[str]) -> list[Any]:
        return [self._replies.pop(name) for name in message_ids]

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
        return self.pull_messages(self.push_messages(messages))


def component(folder: Path, named: str) -> Any:
    sys.path.insert(0, str(folder))
    module, _colon, attribute = named.partition(":")
    return getattr(importlib.import_module(module), attribute)


def main(app: str, nodes: str, partitions: str, *changes: str) -> None:
    flwr = tomllib.loads(Path(app, "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    config = flwr["config"] | tomllib.loads("\n".join(changes))
    server, client = (component(Path(app), flwr["components"][part]) for part in ("serverapp", "clientapp"))
    grid = LocalGrid(client, int(nodes), int(partitions), config)
    told: list[dict[str, Any]] = []
    start = Strategy.start

    def started(self: Any, *arguments: Any, **named: Any) -> Any:
        result = start(self, *arguments, **named)
        metrics = result.evaluate_metrics_serverapp or result.evaluate_metrics_clientapp
        told.extend(dict(metrics[number]) for number in sorted(metrics))
        return result

    Strategy.start = started
    server(grid, context(1, 1, {}, config))
    print(json.dumps({"rounds": told, "examples": list(grid.examples.values())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
