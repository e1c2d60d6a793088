import multiprocessing
import os
import re
import tempfile
import time
from multiprocessing import shared_memory

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()
MEGABYTE = 1 << 20


def loop() -> None:
    while True:
        pass


def loop_in_c() -> None:
    """No other thread of this process gets Python meanwhile."""
    re.match(r"(a+)+$", "a" * 64 + "b")


def memory() -> None:
    kept = []
    while True:
        kept.append(b"x" * 16 * MEGABYTE)


def disk() -> None:
    with tempfile.NamedTemporaryFile() as file:
        while True:
            file.write(b"x" * MEGABYTE)
            file.flush()


def leave() -> None:
    os._exit(7)


def children() -> None:
    """As packages for data do it: processes of its own, which it ends by a signal."""
    for _number in range(3):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
        time.sleep(0.1)
        child.terminate()
        child.join()


def print_much() -> None:
    for _number in range(1024):
        print("x" * (MEGABYTE - 1))


def share() -> None:
    """As the workers of a PyTorch DataLoader hand over batches: more than the 64 MB that container runtimes give."""
    shared = shared_memory.SharedMemory(create=True, size=100 * MEGABYTE)
    shared.buf[:] = bytes(shared.size)
    shared.close()
    shared.unlink()


def write_here() -> None:
    with open("notes.txt", "w") as file:
        file.write("as on a laptop")


@app.train()
def train(message: Message, context: Context) -> Message:
    appetite = context.node_config.get("appetite")
    if appetite:
        globals()[appetite]()
    time.sleep(float(context.run_config["pause"]))
    content = RecordDict({"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1})})
    return Message(content, reply_to=message)
