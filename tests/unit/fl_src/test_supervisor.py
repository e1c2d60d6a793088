"""Which state of an app a client works with: a process for each, forked from one that keeps what all need."""

from __future__ import annotations

import argparse
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgefl.apps import AppError
from edgefl.client import supervisor
from edgefl.common import app_folder
from edgefl.common.settings import ClientSettings
from support.processes import until

PROJECT = '[project]\nname = "means"\n[tool.flwr.app.components]\nserverapp = "s:app"\nclientapp = "c:app"\n'


class Pod:
    """A process that runs the supervisor. Each app has a file `deed` that says what its work is; what was begun is told in `log`."""

    def __init__(self, folder: Path) -> None:
        self.store, self.log, self._process = folder / "store", folder / "log", 0
        self.store.mkdir()
        self.log.touch()
        self.own = self._app(folder / "image/means", "wait")

    def _app(self, folder: Path, deed: str) -> str:
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(PROJECT)
        (folder / "deed").write_text(deed)
        return app_folder.read(folder).identity

    def ship(self, deed: str) -> str:
        """Another state of the app comes to the node; its identity."""
        folder = self.store.parent / f"edit{len(list(self.store.iterdir()))}/means"
        identity = self._app(folder, deed)
        with zipfile.ZipFile(self.store / "new", "w") as archive:
            for path in folder.iterdir():
                archive.write(path, f"means/{path.name}")
        (self.store / "new").rename(self.store / f"{identity}.zip")
        return identity

    def _work(self, chosen: ClientSettings, supervised: supervisor.Supervised) -> None:
        (self.log.parent / "worker").write_text(str(os.getpid()))
        with self.log.open("a") as log:
            log.write(f"{app_folder.read(chosen.app).identity}\n")
        for word in (Path(chosen.app) / "deed").read_text().split():
            if word == "fail":
                raise AppError("broken")
            if word == "join":
                supervised.joined(True)
            elif word == "leave":
                until((self.log.parent / "leave").exists, "the end of the connection")
                supervised.joined(False)
            elif word == "wait":
                refuse = self.log.parent / "refuse"
                until(refuse.exists, "a refusal")
                app = refuse.read_text()
                refuse.unlink()
                supervised.refused(app)
        time.sleep(60)

    def refuse(self, app: str) -> None:
        """Have the worker that waits for that be refused, by an aggregator with this app."""
        (self.log.parent / "new").write_text(app)
        (self.log.parent / "new").rename(self.log.parent / "refuse")

    def start(self) -> None:
        self._process = os.fork()
        if not self._process:
            chosen = argparse.Namespace(app=str(self.store.parent / "image/means"))
            try:
                supervisor.run(chosen, self.store, self._work)  # type: ignore[arg-type]
            except AppError:
                os._exit(os.EX_DATAERR)
            finally:
                os._exit(1)

    def begun(self) -> list[str]:
        return self.log.read_text().split()

    def until_begun(self, *apps: str) -> None:
        until(lambda: self.begun() == list(apps), "the work has begun", 20)

    @property
    def ended(self) -> bool:
        return os.waitid(os.P_PID, self._process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def code(self) -> int:
        """Its exit code, once it has ended."""
        _process, status = os.waitpid(self._process, 0)
        self._process = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        if self._process:
            os.kill(self._process, signal.SIGKILL)
            self.code()


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    monkeypatch.setattr(supervisor, "preload", lambda _chosen: None)
    monkeypatch.setattr(supervisor, "POLL", 0.01)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = Pod(tmp_path)
    yield made
    made.close()


def never(happened: Callable[[], bool]) -> None:
    time.sleep(0.2)
    assert not happened()


def test_the_newest_is_taken_and_another_that_comes(pod: Pod, tmp_path: Path) -> None:
    pod.start()
    pod.until_begun(pod.own)
    first = pod.ship("wait 1")
    pod.until_begun(pod.own, first)
    second = pod.ship("wait 2")
    pod.until_begun(pod.own, first, second)
    # No copy stays of one that is not at work
    assert len(list(tmp_path.glob("means@*"))) == 1


def test_a_client_that_is_joined_is_left_alone(pod: Pod, tmp_path: Path) -> None:
    joined = pod.ship("join leave")
    pod.start()
    pod.until_begun(joined)
    other = pod.ship("wait")
    never(lambda: len(pod.begun()) > 1)
    (tmp_path / "leave").touch()
    pod.until_begun(joined, other)


def test_what_the_aggregator_has_decides(pod: Pod) -> None:
    wanted, newest = pod.ship("join 1"), pod.ship("wait 2")
    pod.start()
    pod.until_begun(newest)
    pod.refuse(wanted)
    pod.until_begun(newest, wanted)


def test_one_that_is_not_here_or_another_app_s_is_no_reason_to_end(pod: Pod) -> None:
    newest = pod.ship("wait wait wait")
    (pod.store / "hats@0123456789ab.zip").touch()
    pod.start()
    pod.until_begun(newest)
    for app in ("means@0123456789ab", "hats@0123456789ab", newest):
        pod.refuse(app)
        never(lambda: pod.begun() != [newest] or pod.ended)


def test_a_broken_one_that_nobody_asked_for_yet(pod: Pod) -> None:
    """The image's own serves an aggregator that has it; one that has the broken one is told so by the exit code."""
    broken = pod.ship("fail")
    pod.start()
    pod.until_begun(broken, pod.own)
    pod.refuse(broken)
    assert pod.code() == os.EX_DATAERR
    assert pod.begun() == [broken, pod.own, broken]


def test_a_damaged_archive_is_as_a_broken_app(pod: Pod) -> None:
    (pod.store / "means@0123456789ab.zip").write_bytes(b"PK")
    pod.start()
    pod.until_begun(pod.own)


def test_a_worker_ends_with_the_process_that_made_it(pod: Pod, tmp_path: Path) -> None:
    pod.start()
    pod.until_begun(pod.own)
    stat = Path(f"/proc/{(tmp_path / 'worker').read_text()}/stat")
    assert stat.exists()
    pod.close()
    until(lambda: not stat.exists() or ") Z " in stat.read_text(), "its end", 5)
