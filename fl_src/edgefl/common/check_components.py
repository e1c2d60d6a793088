"""Import a component of a Flower app before anything is deployed: `python -m edgefl.common.check_components PATH [serverapp|clientapp]`, else both.

Exit code 1 and one message when it can't be imported: the file and line, and what to change.
"""

from __future__ import annotations

import os
import sys

from edgefl.apps import AppError
from edgefl.common import app_folder
from edgefl.link import flower


def check(path: str, wanted: str = "") -> str:
    """Read the app's pyproject.toml and import its components, or the one `wanted`; gives what was found. Raises AppError."""
    app = app_folder.read(path)
    parts = [(part, kind) for part, kind in flower.components() if wanted in ("", part)]
    for part, kind in parts:
        app.load(part, kind)
    return f"app {app.name} works: {' and '.join(app.components[part] for part, _dummy in parts)} can be imported"


def main() -> None:
    """Tries the app that the command line names; ends with its error when it does not work."""
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["serverapp"], ["clientapp"]):
        sys.exit("usage: python -m edgefl.common.check_components PATH [serverapp|clientapp]")
    try:
        print(check(*sys.argv[1:]), flush=True)
    except AppError as err:
        print(f"failed: {err}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)  # what the app imported may have threads


if __name__ == "__main__":
    main()
