"""Work in the background: followed, joined, ended, broken off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core import job as job_module
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.job import Job, detach


class Slow:
    """Work of more than half a second."""

    def __init__(self, error: str = "") -> None:
        self.error = error
        self.step = 0

    def run(self) -> dict[str, Any]:
        time.sleep(0.4)
        self.step = 1
        time.sleep(0.4)
        if self.error:
            raise EdgeflError(self.error)
        return {"changed": True}

    def progress(self) -> dict[str, Any]:
        return {"step": self.step, "process": os.getpid()}

    def stop(self) -> None:
        os._exit(3)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(str(tmp_path / "one"), "works slowly", 60)


def test_it_goes_on_and_is_followed(job: Job, tmp_path: Path) -> None:
    assert not job.exists()
    job.begin(Slow())
    found = [job.follow(0.2)]
    while found[-1]["running"]:
        found.append(job.follow(0.2))
    assert len(found) > 2
    assert found[0]["progress"]["step"] == 0
    assert found[-1] == {"changed": True, "running": False}
    assert list(tmp_path.iterdir()) == []


def test_it_is_followed_until_enough_is_done(job: Job) -> None:
    job.begin(Slow())
    found = job.follow(5, lambda progress: progress["step"] == 1)
    assert found["running"]
    assert found["progress"]["step"] == 1
    assert not job.follow(5)["running"]


def test_one_that_fails(job: Job) -> None:
    job.begin(Slow("no luck"))
    with pytest.raises(EdgeflError, match="no luck"):
        job.follow(5)
    assert not job.exists()


def test_one_that_is_killed(job: Job) -> None:
    job.begin(Slow())
    child = job.follow(5, lambda progress: progress["process"] != os.getpid())["progress"]["process"]
    os.kill(child, signal.SIGKILL)
    with pytest.raises(EdgeflError, match="that works slowly was ended from outside"):
        job.follow(5)
    assert not job.exists()


def test_nobody_asks_for_it(tmp_path: Path) -> None:
    job = Job(str(tmp_path / "one"), "works slowly", 0.1)
    job.begin(Slow())
    os.utime(job.lock, (1, 1))
    end = time.monotonic() + 5
    while not job.ended() and time.monotonic() < end:
        time.sleep(0.05)
    assert job.ended()
    assert not Path(job.folder, "result").exists()


def test_what_is_detached_outlives_its_session_and_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "told"

    def work() -> None:
        os.write(1, b"lost")
        (tmp_path / "new").write_text(f"{os.getpid()} {os.getsid(0)}")
        (tmp_path / "new").rename(told)

    detach(work)
    until = time.monotonic() + 10
    while not told.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    process, session = map(int, told.read_text().split())
    assert process == session != os.getsid(0)
    assert capfd.readouterr().out == ""


def test_a_clock_that_is_set_ends_nothing(job: Job) -> None:
    job.begin(Slow())
    # As if it had been asked for an hour before now: the clock was set forward
    os.utime(job.lock, (time.time() - 3600,) * 2)
    end = time.monotonic() + 5
    while not job.ended() and time.monotonic() < end:
        time.sleep(0.05)
    assert job.follow(1) == {"changed": True, "running": False}


def test_a_clock_that_is_set_back_keeps_nothing(tmp_path: Path) -> None:
    class Endless(Slow):
        def run(self) -> dict[str, Any]:
            time.sleep(60)
            return {}

    job = Job(str(tmp_path / "one"), "works slowly", 0.5)
    job.begin(Endless())
    os.utime(job.lock, (time.time() + 3600,) * 2)
    end = time.monotonic() + 5
    while not job.ended() and time.monotonic() < end:
        time.sleep(0.05)
    assert job.ended()


KILLED = """
import os, signal, sys
sys.path.insert(0, {path!r})
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.job import Job
class Work:
    def progress(self): return {{}}
    def run(self): return {{}}
    def stop(self): pass
def killed(*_unused, **_more): os.kill(os.getpid(), signal.SIGKILL)
job = Job({folder!r}, "works", 60)
if {when!r} == "begin":
    os.open = killed
    job.begin(Work())
job.begin(Work())
while not job.ended(): pass
os.rmdir = killed
job.remove()
"""


@pytest.mark.parametrize("when", ["begin", "remove"])
def test_killed_in_the_middle_of_making_or_removing_its_folder(job: Job, when: str) -> None:
    path = str(Path(job_module.__file__ or "").parents[6])
    program = KILLED.format(path=path, folder=job.folder, when=when)
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=20)
    assert done.returncode == -signal.SIGKILL
    assert not job.exists()
    job.begin(Slow())
    assert job.follow(5) == {"changed": True, "running": False}


def test_two_that_begin_it_at_once_do_it_once(job: Job, tmp_path: Path) -> None:
    job.begin(Slow())
    Job(job.folder, "works slowly", 60).begin(Slow())
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert job.follow(5) == {"changed": True, "running": False}
