"""Many clients of a Flower app in one process, on asyncio: `python -m support.crowd HOST:PORT APP FIRST COUNT`.

Each is a node of its own and speaks the link as a client does; the app's ClientApp answers.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from typing import Any

import grpc
import grpc.aio

from edgefl.common import app_folder
from edgefl.link import flower, wire


async def client(address: str, call: Any, identity: str, number: int) -> None:
    async with grpc.aio.insecure_channel(
        address, wire.options({"use_local_subchannel_pool": 1, "http2.bdp_probe": 0})
    ) as channel:
        stream = channel.stream_stream(f"/{wire.SERVICE}/{wire.METHOD}")()
        about = {
            "node": f"node{number:04}",
            "pod": "pod",
            "instance": uuid.uuid4().hex,
            "app": identity,
            "settings": "",
        }
        await stream.write(wire.greeting(about | {"about": {}, "holds": []}))
        welcome = wire.greeted(await stream.read())
        context = flower.context(welcome["run"], welcome["node"], {"partition-id": number % 2}, welcome["config"])
        while (frame := await stream.read()) is not grpc.aio.EOF:
            size, note, head = wire.heading(frame)
            print(f"chunks of {note.get('chunk')}", flush=True)
            body = b""
            while len(body) < size:
                body += await stream.read()
            reply = flower.encode(call(flower.decode(head, body), context))
            for part in wire.frames({"key": note["key"]}, *reply, wire.chunk_of(note)):
                await stream.write(part)


async def main(address: str, folder: str, first: str, count: str) -> None:
    app = app_folder.read(folder)
    call = app.load("clientapp", dict(flower.components())["clientapp"])
    flower.quiet()
    await asyncio.gather(*(client(address, call, app.identity, int(first) + n) for n in range(int(count))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
