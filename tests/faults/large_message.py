"""Sends one message that is a byte too large to Flower's service at HOST:PORT; prints what gRPC answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import grpc

from edgefl.link.channel import MAX_MESSAGE

if __name__ == "__main__":
    with grpc.insecure_channel(sys.argv[1], [("grpc.max_send_message_length", -1)]) as channel:
        join = channel.stream_stream("/flwr.proto.FlowerService/Join")

        def one() -> Iterator[bytes]:
            yield bytes(MAX_MESSAGE + 1)
            time.sleep(60)  # the stream stays open: the answer must not wait for its end

        try:
            for _message in join(one()):
                pass
        except grpc.RpcError as err:
            print(err.code().name, err.details(), flush=True)
