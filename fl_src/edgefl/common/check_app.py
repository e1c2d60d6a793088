"""Try an app before anything is deployed: `python -m edgefl.common.check_app APP [serverapp|clientapp]`, one side of it or both. Takes seconds.

Its components are imported; a classifier is also trained on a few samples, and the Keras model that another app names is made:
that is the client's part and needs TensorFlow.
Exit code 1 and one message when the app would fail in the pods: the file and line, and what to change.
"""

from __future__ import annotations

import os
import sys

from edgefl.apps import AppError
from edgefl.common import app_folder

PARTS = ("serverapp", "clientapp")


def check(name: str, *wanted: str) -> str:
    """Try the app, or the parts `wanted` of it; gives what was found. Raises AppError."""
    app, parts = app_folder.read(name), wanted or PARTS
    if app.is_classifier:
        app.classifier()  # before Flower, which takes long
    with_keras = bool(app.keras) and "clientapp" in parts
    if with_keras:  # before the app: it may begin with TensorFlow, which is to be set up by then
        from edgefl.client.trainer import tensorflow

        tensorflow(1)
    from edgefl.link import flower

    for part, kind in flower.components():
        if part in parts:
            app.load(part, kind)
    if app.is_classifier and "clientapp" in parts:
        from edgefl.client.trial import trial

        return trial(app.classifier())
    if with_keras:
        app.keras_model(app.config)
    return f"app {app.name} works: {' and '.join(app.components[part] for part in parts)} can be imported"


def main() -> None:
    """Tries the app that the command line names; ends with its error when it does not work."""
    if len(sys.argv) not in (2, 3) or not set(sys.argv[2:]) <= set(PARTS):
        sys.exit("usage: python -m edgefl.common.check_app APP [serverapp|clientapp]")
    try:
        print(check(*sys.argv[1:]), flush=True)
    except AppError as err:
        print(f"failed: {err}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)  # what the app imported may have threads


if __name__ == "__main__":
    main()
