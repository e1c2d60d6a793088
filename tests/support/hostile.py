"""A client on edge1 that joins as others do and answers as none should: `python -m support.hostile HOST:PORT APP WHAT`."""

from __future__ import annotations

import json
import queue
import sys
import time
import uuid
from typing import Any

import grpc

from edgefl.common import app_folder
from edgefl.link import wire


def greet(address: str, about: dict[str, Any]) -> None:
    """Greetings that none may be taken for; prints what gRPC answers to each."""
    bad = (
        b"\xff\x00",
        b"[" * 100_000,
        b"{}",
        json.dumps({"version": 99} | about).encode(),
        wire.greeting(about | {"node": "edge1\n12:00:00 forged"}),
        wire.greeting(about | {"node": 5}),
        wire.greeting(about | {"pod": "x" * 10_000}),
        wire.greeting(about | {"holds": "all"}),
        wire.greeting(about | {"app": "another\x1b[31m"}),
    )
    with wire.connect(address, None) as channel:
        for first in bad:
            try:
                list(channel.stream_stream(f"/{wire.SERVICE}/{wire.METHOD}")(iter([first])))
                print("taken", flush=True)
            except grpc.RpcError as err:
                print(err.code().name if isinstance(err, grpc.Call) else repr(err), flush=True)


def main(address: str, folder: str, what: str) -> None:
    about: dict[str, Any] = {
        "node": "edge1",
        "pod": "hostile",
        "instance": uuid.uuid4().hex,
        "app": app_folder.read(folder).identity,
    }
    about |= {"settings": "", "about": {}, "holds": []}
    if what == "greetings":
        greet(address, about)
        return
    while True:
        outbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        outbox.put(wire.greeting(about))
        try:
            with wire.connect(address, None) as channel:
                incoming = channel.stream_stream(f"/{wire.SERVICE}/{wire.METHOD}")(iter(outbox.get, None))
                next(incoming)
                for frame in incoming:
                    size, note, _head = wire.heading(frame)
                    while size > 0:
                        size -= len(next(incoming))
                    if what == "noise":
                        parts = list(
                            wire.frames(
                                {"key": note["key"], "seconds": "x" * 1000, "shard": {}}, b"\xff" * 50, [b"\x00" * 5000]
                            )
                        )
                    elif what == "another answer":
                        parts = [*wire.frames({"key": "never asked"}, b"", [b"x" * 1000]), b"\xff" * 20]
                    else:
                        text = json.dumps({"key": note["key"]}).encode()
                        parts = [wire._SIZES.pack(2**62, len(text)) + text]
                    for part in parts:
                        outbox.put(part)
        except grpc.RpcError as err:
            print(err, flush=True)
            if isinstance(err, grpc.Call) and err.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                return
            time.sleep(0.3)


if __name__ == "__main__":
    main(*sys.argv[1:])
