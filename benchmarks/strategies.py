"""What each strategy needs of memory to combine the models of a round: 25 and 50 of them, of 4 MB, that wait on the disk as in the aggregator.

Each is a process of its own; the figure is by how much its peak of memory grows. Needs Flower: `.venv-fl/bin/python benchmarks/strategies.py`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fl_src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.table import Bench

NUMBERS = 1_000_000
COUNTS = (25, 50)


def peak() -> float:
    """MB, of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def combine(strategy: str, count: int) -> None:
    """Print the MB and the seconds of processor time that combining takes."""
    import numpy as np

    from edgefl.aggregator import memory
    from edgefl.aggregator.spool import Spool
    from edgefl.common import settings
    from edgefl.common.plan import Member, Task
    from edgefl.link import flower, training
    from edgefl.link.protocol import Answer

    memory.give_back_large_blocks()
    flower.quiet()
    flower.context(1, 1, {}, {})
    task = Task(Member("node", "pod", "pod", "1", 0, 10, "light_app"), 0, 1, 0, 10)
    spool, rng, weights = Spool(None), np.random.default_rng(1), [np.zeros(NUMBERS, np.float32)]
    answers = [Answer(task, 10, {}, spool.keep([rng.random(NUMBERS, np.float32)])) for _ in range(count)]
    link = training.TrainingLink(settings.aggregator([f"--strategy={strategy}"]), None, None)  # type: ignore[arg-type]
    link.restore(weights, {})
    before, begin = peak(), time.process_time()
    link.combine(1, weights, answers)
    print(json.dumps([peak() - before, time.process_time() - begin]))


def main() -> None:
    if len(sys.argv) > 2 and sys.argv[1] == "combine":
        return combine(sys.argv[2], int(sys.argv[3]))
    from edgefl.common.settings import OPTIONS

    bench = Bench("Strategies", __doc__)
    bench.options()
    for strategy in OPTIONS["strategy"]["choices"]:
        for count in COUNTS:
            command = [sys.executable, __file__, "combine", strategy, str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            megabytes, seconds = json.loads(done.stdout)
            way = f"{count} x {NUMBERS * 4 // 1_000_000} MB"
            bench.add(f"{strategy}: memory", way, "MB", megabytes)
            bench.add(f"{strategy}: processor time", way, "s", seconds)
    return bench.finish()


if __name__ == "__main__":
    main()
