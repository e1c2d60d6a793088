"""
Calls `python -m edgefl.common.check_app` for packages in different places, each time in a process that is forked from this one, which has loaded the framework.

For each line of stdin, JSON with `path`, the folder that has the package edgefl, and `app`, there is one of stdout: JSON with `code`, `stdout` and `stderr`.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import tempfile
import traceback
from typing import Any


def check(path: str, app: str) -> int:
    """The exit code of the program."""
    sys.path.insert(0, path)
    sys.argv = ["check_app", app]
    try:
        runpy.run_module("edgefl.common.check_app", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:  # as Python ends a program
        traceback.print_exc()
        return 1
    return 0


def checked(path: str, app: str) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            code = check(path, app)
            sys.stdout.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for file in (out, err):
            file.seek(0)
        return {"code": code, "stdout": out.read().decode(), "stderr": err.read().decode()}


def main() -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    importlib.import_module("keras")
    for line in sys.stdin:
        print(json.dumps(checked(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
