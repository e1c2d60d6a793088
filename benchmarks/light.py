"""The program that scale.py and regions.py start: hundreds of light clients of the app light_app in one process.

    light.py HOST:PORT FIRST COUNT GO [KEYS]   clients FIRST to FIRST + COUNT - 1, each a node of its own, on connections of their own

A light client is what the link sees of a client, on one event loop: it tries the port, connects, says who it is, takes messages in chunks and sends back
a model of its own: what came, plus a number. Its process waits until the file GO is there, so that its own start is not in the figures.
KEYS holds ca.crt, and NODE/tls.crt and tls.key for each node.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fl_src"))

import grpc
import grpc.aio

from benchmarks.light_app.light_app.data import SAMPLES
from benchmarks.light_app.light_app.model import initial_weights
from edgefl.common import app_folder, settings
from edgefl.link import connection, flower, wire


def tell(event: str) -> None:
    print(json.dumps({"event": event, "time": time.time()}), flush=True)


class Clients:
    """All clients of a process. What all get is decoded once."""

    def __init__(self, address: str, keys: Path | None) -> None:
        self._address, self._keys = address, keys
        self._app = app_folder.read(Path(__file__).with_name("light_app")).identity
        self._body, self._weights = b"", initial_weights(1)

    async def live(self, index: int) -> asyncio.Task[None]:
        """Join, however often it takes; gives its work, which ends with the connection."""
        node, tls = f"node{index}", None
        if self._keys:
            tls = settings.tls_folder(str(self._keys / node))
        while True:
            try:
                return await self._join(index, node, tls)
            except (OSError, grpc.RpcError):
                await asyncio.sleep(random.uniform(connection.SHORTEST / 2, connection.LONGEST))

    async def _join(self, index: int, node: str, tls: settings.Tls | None) -> asyncio.Task[None]:
        await asyncio.to_thread(connection.reach, self._address, tls)
        credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate) if tls else None
        open_ = grpc.aio.secure_channel if tls else grpc.aio.insecure_channel
        arguments = (self._address, credentials) if tls else (self._address,)
        channel = open_(*arguments, options=wire.client_options())
        call = channel.stream_stream(f"/{wire.SERVICE}/{wire.METHOD}")()
        about = {"start": index * SAMPLES, "stop": (index + 1) * SAMPLES}
        texts = {"node": node, "pod": "pod", "instance": node, "app": self._app, "settings": ""}
        await call.write(wire.greeting(texts | {"about": about, "holds": []}))
        welcome = wire.greeted(await call.read())
        flower.context(welcome["run"], welcome["node"], {}, {})
        return asyncio.create_task(self._work(index, channel, call))

    async def _work(self, index: int, channel: Any, call: Any) -> None:
        while (frame := await call.read()) is not grpc.aio.EOF:
            size, note, head = wire.heading(frame)
            chunks = []
            while size:
                chunks.append(await call.read())
                size -= len(chunks[-1])
            answer = self._train(index, head, b"".join(chunks))
            del chunks
            for frame in wire.frames({"key": note["key"], "shard": note["shard"]}, *answer, wire.chunk_of(note)):
                await call.write(frame)
            del answer, frame

    def _train(self, index: int, head: bytes, body: bytes) -> tuple[bytes, flower.Pieces]:
        if body != self._body:
            self._body = body
            content = flower.decode(head, body).content
            self._weights = list(flower.ndarrays(content["arrays"]).values())
        arrays = flower.arrays_record([array + array.dtype.type(index / 1000) for array in self._weights])
        metrics = flower.MetricRecord({"num-examples": SAMPLES, "loss": 0.0, "accuracy": 0.0})
        content = flower.RecordDict({"arrays": arrays, "metrics": metrics})
        return flower.encode(flower.Message(content, reply_to=flower.decode(head, b"")))


async def clients(address: str, first: int, count: int, go: Path, keys: Path | None) -> None:
    flower.quiet()
    flower.context(1, 1, {}, {})
    own = Clients(address, keys)
    tell("ready")
    while not go.exists():
        await asyncio.sleep(0.02)
    lives = await asyncio.gather(*(own.live(index) for index in range(first, first + count)))
    tell("joined")
    await asyncio.gather(*lives)


def main() -> None:
    address, first, count, go, *keys = sys.argv[1:]
    asyncio.run(clients(address, int(first), int(count), Path(go), Path(keys[0]) if keys else None))


if __name__ == "__main__":
    main()
