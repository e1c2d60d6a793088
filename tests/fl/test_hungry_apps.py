"""An app that tries to eat its node, as real processes: it is ended or told an error, by name, and the round goes on without it.

The limits of containers are looked at on the lab (tests/e2e/test_hungry_apps.py).
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fl.test_flower_apps import APPS, rounds, started

from support.processes import PYTHON, SOURCE, TOLD_TO_END, Federation, Program, until

HUNGRY = APPS / "hungry"


def client(federation: Federation, node: str, appetite: str = "", **more: str) -> Program:
    told = (f'--node_config=appetite="{appetite}"',) if appetite else ()
    return federation.app_client(node, HUNGRY, *told, **more)


@pytest.fixture
def begun(federation: Federation) -> Callable[..., tuple[Program, Program]]:
    """Starts a training of two nodes that work and one with an appetite; gives the aggregator and that one."""

    def start(appetite: str, timeout: int = 30, number: int = 4, **more: str) -> tuple[Program, Program]:
        some = (f"--app_config=num-server-rounds={number} pause=0.5", f"--round_timeout={timeout}", "--min_nodes=3")
        aggregator = started(federation, HUNGRY, *some)
        hungry = client(federation, "edge3", appetite, **more)
        for node in ("edge1", "edge2"):
            client(federation, node)
        return aggregator, hungry

    return start


def lost(federation: Federation, aggregator: Program, number: int) -> str:
    """The reason for which edge3 has no part in a round that edge1 and edge2 have."""
    line = federation.event(aggregator, "round", number)
    assert sorted(one["node"] for one in line["clients"]) == ["edge1", "edge2"]
    (item,) = line["lost"]
    assert item["node"] == "edge3"
    return str(item["reason"])


@pytest.mark.parametrize(
    ("appetite", "code", "line"),
    [
        ("loop", os.EX_SOFTWARE, "in loop"),
        pytest.param("loop_in_c", 1, "in loop_in_c", marks=pytest.mark.long),
    ],
)
def test_an_endless_loop(
    federation: Federation, begun: Callable[..., tuple[Program, Program]], appetite: str, code: int, line: str
) -> None:
    """The round ends by its time; the client ends by its own, and tells in which line it was. A new one takes part."""
    aggregator, hungry = begun(appetite, timeout=2)
    assert "no answer in time" in lost(federation, aggregator, 1)
    assert hungry.process.wait(30) == code
    assert hungry.told("client_app.py") and hungry.told(line)
    if appetite == "loop":
        assert hungry.told("the app has not answered within 7 s, and nobody waits for it any more")


def test_the_next_process_takes_part(federation: Federation, begun: Callable[..., tuple[Program, Program]]) -> None:
    aggregator, hungry = begun("leave", number=1000)
    assert lost(federation, aggregator, 1) == "the connection was lost" and hungry.process.wait(10) == 7
    client(federation, "edge3")
    until(lambda: any(len(one["clients"]) == 3 for one in rounds(aggregator)), "a round with the next process")


def test_processes_of_the_app_s_own(federation: Federation, begun: Callable[..., tuple[Program, Program]]) -> None:
    """The signal that ends one of them ends the client no more."""
    aggregator, hungry = begun("children", number=2)
    federation.event(aggregator, "done")
    assert [one["lost"] for one in rounds(aggregator)] == [[], []] and hungry.lives
    assert hungry.end() < 2 and hungry.told("SIGTERM: the client ends", 1) and hungry.times("SIGTERM") == 1


FORKED = """
import os, signal, sys, time
from edgefl.client import __main__ as client
# Earlier than what the client does in a new process, as on a machine that is busy
os.register_at_fork(after_in_child=lambda: time.sleep(1))
client._end_at_once()
child = os.fork()
if not child:
    time.sleep(60)
time.sleep(0.3)
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
time.sleep(0.3)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""


def test_a_process_that_ends_before_it_has_begun() -> None:
    """Its signal is its own, though it has all of the client's still."""
    done = subprocess.run([PYTHON, "-c", FORKED], cwd=SOURCE, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.returncode) == (f"{-signal.SIGTERM}\n", TOLD_TO_END), done.stderr


def test_a_file_that_grows(federation: Federation, begun: Callable[..., tuple[Program, Program]]) -> None:
    """It ends at what the pod may have on the disk: until kubelet looks, all of the disk could be full."""
    aggregator, hungry = begun("disk", number=2, EDGEFL_DISK_LIMIT="50000000")
    reason = lost(federation, aggregator, 1)
    assert reason.startswith("OSError: [Errno 27] File too large") and "disk_limit" in reason
    federation.event(aggregator, "done")
    assert hungry.lives


@pytest.mark.long
def test_memory_that_a_limit_refuses_is_an_error_of_the_app(
    federation: Federation, begun: Callable[..., tuple[Program, Program]]
) -> None:
    """The process lives on, and gives back what it had."""
    aggregator, hungry = begun("memory")
    until(lambda: hungry.told("app hungry is ready"), "the client")
    used = int(Path(f"/proc/{hungry.process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(hungry.process.pid, resource.RLIMIT_AS, (used + (500 << 20), used + (500 << 20)))
    assert "MemoryError" in lost(federation, aggregator, 1)
    federation.event(aggregator, "done")
    assert hungry.lives
