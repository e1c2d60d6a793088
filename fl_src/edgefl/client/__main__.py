"""A client: `python -m edgefl.client`. See `--help`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Collection, Sequence

from edgefl.apps import AppError
from edgefl.client import limits, supervisor
from edgefl.client.supervisor import Supervised
from edgefl.common import ending, settings
from edgefl.common.journal import say
from edgefl.common.settings import ClientSettings


def _work(chosen: ClientSettings, supervised: Supervised | None = None) -> None:
    """Make the app ready, then answer the aggregator for ever."""
    _end_at_once()
    from edgefl.client import clientapp

    clientapp.run(chosen, supervised)


def _end_at_once() -> None:
    """End when told to, whatever the main thread is in: a handler in Python would wait for that, minutes perhaps.

    The kernel tells Python's own handler, which writes to a pipe at once. As process 1 nothing else would end us.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    ends = (signal.SIGTERM, signal.SIGINT)
    for number in ends:
        signal.signal(number, lambda *_: None)

    def watch() -> None:
        while True:
            number = os.read(reading, 1)[0]
            if number in ends:
                ending.end(number, "client")

    threading.Thread(target=watch, name="signals", daemon=True).start()

    _keep_from_forks(ends)


def _keep_from_forks(ends: Collection[signal.Signals]) -> None:
    """A process that the app forks has the same pipe: the signal that ends that process would end this one.

    Until the new process has let go of the pipe, such a signal waits.
    """
    of_thread = threading.local()

    def before() -> None:
        of_thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, ends)

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, of_thread.mask)

    def in_child() -> None:
        signal.set_wakeup_fd(-1)
        for number in ends:
            signal.signal(number, signal.SIG_DFL)
        after()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=in_child)


def main(arguments: Sequence[str] | None = None) -> None:
    """Work until SIGTERM or SIGINT. Exit code 1 when app or data are unusable, 2 when an option is wrong."""
    chosen = settings.client(arguments)
    limits.limit_files()
    limits.limit_libraries(chosen.threads)
    code = 1
    try:
        if chosen.apps_dir is None:
            _work(chosen)  # in the main thread, where apps expect to be
        else:
            _end_at_once()
            supervisor.run(chosen, chosen.apps_dir, _work)
    except AppError as err:
        say(f"failed: {err}")
        code = os.EX_DATAERR  # it will be the same next time: who follows the training need not wait for that
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
