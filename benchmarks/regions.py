"""A root with regions of light clients on loopback, and one aggregator with the clients of one region, which share this machine's cores.

Each region is an aggregator of its own with a thousand light clients (light.py), each a node; to the root a region is one client. Measured are the seconds
of a round, and the root's peak of memory and processor time of a round beside those of one aggregator with the clients of one region. What the regions
take themselves is told, too. Needs Flower: `make bench-regions` has it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clients import processor
from benchmarks.memory import Sampler
from benchmarks.scale import APP, LONGEST
from benchmarks.table import Bench
from benchmarks.train import AS_IN_IMAGES, lines, start
from support.processes import Federation, Program, until


def enough(count: int) -> list[str]:
    """An aggregator waits for so many clients, each of which is a node."""
    return [f"--min_num_clients={count}", f"--min_nodes={count}", f"--min_sample_size={count}"]


def light(
    federation: Federation, first: int, count: int, together: int, go: Path, numbers: dict[str, str]
) -> list[Program]:
    """Light clients `first` to `first` + `count` of the aggregator of `federation`, `together` in a process."""
    return [
        start(federation, f"clients{begin}", "benchmarks.light", f"127.0.0.1:{federation.port}", str(begin), str(min(together, first + count - begin)),
              str(go), **AS_IN_IMAGES, **numbers)
        for begin in range(first, first + count, together)
    ]  # fmt: skip


def measure(bench: Bench, way: str, regions: int, count: int, megabytes: float, rounds: int, together: int) -> None:
    """One training; without `regions` all clients are the root's."""
    numbers = {"LIGHT_APP_NUMBERS": str(int(megabytes * 250_000))}
    more = AS_IN_IMAGES | numbers
    with tempfile.TemporaryDirectory() as temporary, closing(Federation(Path(temporary))) as federation:
        go, state = federation.folder / "go", f"--state_dir={federation.folder / 'state'}"
        root = federation.aggregator(
            f"--app={APP}", f"--rounds={rounds}", state, *enough(regions or count), "--round_timeout=1800", **more
        )
        inside = [
            federation.region(f"region{number}", f"--app={APP}", *enough(count), "--round_timeout=1800", **more)
            for number in range(regions)
        ]
        below = [region for region, _program in inside] or [federation]
        for one in (federation, *below):
            until(one.ready, "the aggregator is ready", LONGEST)
        clients = [
            process
            for number, one in enumerate(below)
            for process in light(one, number * count, count, together, go, numbers)
        ]
        for process in clients:
            lines(process, "ready", 1, LONGEST)
        aggregators = [root, *(program for _region, program in inside)]
        with Sampler([program.process.pid for program in aggregators], 0.05 * len(aggregators)) as sampler:
            go.touch()
            joined = max(lines(process, "joined", 1, LONGEST)[0]["time"] for process in clients) - go.stat().st_mtime
            lines(root, "round", 1, LONGEST)
            before = list(map(processor, aggregators))
            made = lines(root, "round", rounds, LONGEST)
            used = [(now - then) / (rounds - 1) for then, now in zip(before, map(processor, aggregators))]
    lost = sum(len(one["lost"]) + sum(client.get("parts_lost", 0) for client in one["clients"]) for one in made)
    if lost:
        raise SystemExit(f"{way}: {lost} answers were lost")
    name = f"{megabytes:g} MB"
    pss = [sampler.pss[program.process.pid] / 1e6 for program in aggregators]
    later = [one["seconds"] for one in made[1:]]
    figures = [
        ("all have joined", "s", joined),
        ("a later round", "s", sum(later) / len(later)),
        ("processor time of a later round, root", "s", used[0]),
        ("peak PSS, root", "MB", pss[0]),
        ("load at the end", "", os.getloadavg()[0]),
    ]
    if regions:
        figures += [
            ("processor time of a later round, all regions", "s", sum(used[1:])),
            ("peak PSS, largest region", "MB", max(pss[1:])),
        ]
    for work, unit, value in figures:
        bench.add(f"{name}: {work}", way, unit, value)
    print(
        f"{name}, {way}: {joined:.1f} s to join, rounds of {[one['seconds'] for one in made]} s, root {pss[0]:.0f} MB",
        flush=True,
    )


def main() -> None:
    bench = Bench("Regions", __doc__)
    bench.parser.add_argument("--regions", type=int, default=10, help="regions (default: 10)")
    bench.parser.add_argument("--count", type=int, default=1000, help="clients of a region (default: 1000)")
    bench.parser.add_argument("--megabytes", type=float, default=0.4, help="size of the model (default: 0.4)")
    bench.parser.add_argument("--rounds", type=int, default=3, help="of a training (default: 3)")
    bench.parser.add_argument("--together", type=int, default=250, help="clients in a process (default: 250)")
    bench.parser.add_argument("--repeats", type=int, default=1, help="trainings of each (default: 1)")
    options = bench.options()
    ways = {f"{options.regions} x {options.count}": options.regions, f"flat, {options.count}": 0}
    for _repeat in range(options.repeats):
        for way, regions in ways.items():
            measure(bench, way, regions, options.count, options.megabytes, options.rounds, options.together)
    tree, flat = ways
    for what in ("peak PSS, root", "processor time of a later round, root"):
        work = f"{options.megabytes:g} MB: {what}"
        bench.ratio(work, tree, flat)
        bench.goal(f"{work}, regions / flat", bench.median(work, tree) / bench.median(work, flat), at_most=1)
    bench.finish()


if __name__ == "__main__":
    main()
