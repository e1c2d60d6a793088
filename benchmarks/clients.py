"""How one aggregator does with more and more clients: 10, 50 and 200 on loopback, five rounds each.

The clients train in NumPy on 100 samples each, up to 25 in a process (many.py), so that the aggregator is what is measured.
In turn, as often as --repeats says:
  ours   edgefl.aggregator, and clients on edgefl's link, each a node of its own
  plain  a plain Flower server with FedAvg, and Flower's NumPyClients
  floor  the same steps in one process, without Flower
Clients and aggregator share the machine's cores: the aggregator's own part is its processor time.
Needs Flower and the data: `make bench-clients` has them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.memory import Sampler
from benchmarks.table import Bench
from benchmarks.train import AS_IN_IMAGES, Measured, lines, start
from support.processes import Federation, Program

TOGETHER = 25
"""Clients in one process. More take the interpreter from each other: that would be measured instead of the aggregator."""


def clients(federation: Federation, role: str, count: int) -> None:
    for first in range(0, count, TOGETHER):
        arguments = (
            role,
            f"--server_address=127.0.0.1:{federation.port}",
            f"--first={first}",
            f"--count={min(TOGETHER, count - first)}",
        )
        start(federation, f"clients{first}", "benchmarks.many", *arguments, **AS_IN_IMAGES)


def processor(program: Program) -> float:
    """Seconds of processor time that it has used so far: utime and stime of proc_pid_stat(5)."""
    fields = Path(f"/proc/{program.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def followed(launched: float, program: Program, rounds: int) -> tuple[Measured, float]:
    """The training, and the processor time of a round after the first, in seconds."""
    with Sampler([program.process.pid]) as sampler:
        lines(program, "round", 1)
        begin = processor(program)
        made = lines(program, "round", rounds)
        used = (processor(program) - begin) / (rounds - 1)
    begins = [one["time"] - one["seconds"] for one in made]
    return Measured(launched, begins, [one["time"] for one in made], made[-1]["accuracy"], sampler, program), used


def ours(federation: Federation, count: int, rounds: int) -> tuple[Measured, float]:
    launched = time.time()
    enough = [f"--{option}={count}" for option in ("min_num_clients", "min_nodes", "min_sample_size")]
    aggregator = federation.aggregator(f"--rounds={rounds}", *enough, **AS_IN_IMAGES)
    clients(federation, "ours", count)
    return followed(launched, aggregator, rounds)


def plain(federation: Federation, count: int, rounds: int) -> tuple[Measured, float]:
    launched = time.time()
    address = f"--server_address=127.0.0.1:{federation.port}"
    server = start(
        federation,
        "server",
        "benchmarks.many",
        "server",
        address,
        f"--count={count}",
        f"--rounds={rounds}",
        **AS_IN_IMAGES,
    )
    time.sleep(6)  # its clients give up at once when the port is not open yet
    clients(federation, "plain", count)
    return followed(launched, server, rounds)


def floor(federation: Federation, count: int, rounds: int) -> tuple[Measured, float]:
    program = start(
        federation, "floor", "benchmarks.many", "floor", f"--count={count}", f"--rounds={rounds}", **AS_IN_IMAGES
    )
    return followed(time.time(), program, rounds)


WAYS: dict[str, Callable[[Federation, int, int], tuple[Measured, float]]] = {
    "ours": ours,
    "plain": plain,
    "floor": floor,
}


def main() -> None:
    bench = Bench("Many clients", __doc__)
    bench.parser.add_argument(
        "--counts", type=int, nargs="+", default=[10, 50, 200], help="clients (default: 10 50 200)"
    )
    bench.parser.add_argument("--repeats", type=int, default=3, help="trainings of each (default: 3)")
    bench.parser.add_argument("--rounds", type=int, default=5, help="of a training (default: 5)")
    options = bench.options()
    for repeat in range(options.repeats):
        for count in options.counts:
            for name, way in WAYS.items():
                with tempfile.TemporaryDirectory() as folder, closing(Federation(Path(folder))) as federation:
                    one, used = way(federation, count, options.rounds)
                bench.add(f"{count} clients: a round", name, "s", one.seconds / options.rounds)
                if name != "floor":
                    bench.add(f"{count} clients: aggregator, processor time of a round", name, "s", used)
                    bench.add(f"{count} clients: aggregator, peak PSS", name, "MB", one.aggregator_pss / 1e6)
        print(f"repeat {repeat + 1} of {options.repeats} is done", flush=True)
    for count in options.counts:
        bench.ratio(f"{count} clients: a round", "ours", "floor")
        bench.ratio(f"{count} clients: a round", "ours", "plain")
    for fewer, more in zip(options.counts, options.counts[1:]):
        for what, unit in (
            ("a round", "s"),
            ("aggregator, processor time of a round", "s"),
            ("aggregator, peak PSS", "MB"),
        ):
            small, large = (bench.median(f"{count} clients: {what}", "ours") for count in (fewer, more))
            bench.goal(f"{fewer} -> {more} clients: {what}", large, at_most=small * more / fewer, unit=unit)
    bench.finish()


if __name__ == "__main__":
    main()
