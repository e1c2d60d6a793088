"""Sends one frame that is a byte too large to the link at HOST:PORT; prints what gRPC answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import grpc

from edgefl.link.wire import METHOD, MOST_FRAME, SERVICE

if __name__ == "__main__":
    with grpc.insecure_channel(sys.argv[1], [("grpc.max_send_message_length", -1)]) as channel:
        join = channel.stream_stream(f"/{SERVICE}/{METHOD}")

        def one() -> Iterator[bytes]:
            yield bytes(MOST_FRAME + 1)
            time.sleep(60)  # the stream stays open: the answer must not wait for its end

        try:
            for _message in join(one()):
                pass
        except grpc.RpcError as err:
            print(err.code().name, err.details(), flush=True)
