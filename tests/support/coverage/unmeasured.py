"""Where coverage would only cost time: in code of others that takes long. Beside sitecustomize.py, as programs have nothing else of the tests."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def unmeasured(call: Callable[P, R]) -> Callable[P, R]:
    """The same call, during which its thread is not measured."""

    @functools.wraps(call)
    def without(*arguments: P.args, **options: P.kwargs) -> R:
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return call(*arguments, **options)
        finally:
            sys.settrace(tracer)
            # It takes its place again with the next call, and that must be one which also ends
            (lambda: None)()

    return without
