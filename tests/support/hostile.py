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


def main(address: str, folder: str, what: str) -> None:
    about: dict[str, Any] = {
        "node": "edge1",
        "pod": "hostile",
        "instance": uuid.uuid4().hex,
        "app": app_folder.read(folder).identity,
    }
    about |= {"settings": "", "about": {}, "holds": []}
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
                                {"key": note["key"], "seconds": "x" * 1000, "shard": {}}, b"\xff" * 50, b"\x00" * 5000
                            )
                        )
                    elif what == "another answer":
                        parts = [*wire.frames({"key": "never asked"}, b"", b"x" * 1000), b"\xff" * 20]
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
