"""Predicts with a trained model: `python -m edgefl.serve --model DIR`. Live at once, ready when the model is loaded."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from edgefl.apps import AppError
from edgefl.common import ending, settings
from edgefl.common.journal import printable, say
from edgefl.serve.predictor import ModelError, load, read_about
from edgefl.serve.server import Endpoint, serve


def main() -> None:
    """Serve until a signal comes. Exit code 1 when the model can't be used, 2 when an option is wrong."""
    parser = argparse.ArgumentParser(prog="python -m edgefl.serve", allow_abbrev=False)
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="DIR",
        help="Folder with model.json, model.npz and what else is there of a run's model.",
    )
    parser.add_argument(
        "--app",
        default="",
        metavar="NAME",
        help="The app that made the model, where it is not the one that model.json names: a Flower app's folder.",
    )
    parser.add_argument(
        "--address",
        type=settings.address,
        default="127.0.0.1:8890",
        metavar="HOST:PORT",
        help="Where predictions are asked for.",
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="Compute threads.")
    chosen = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda told, _frame: ending.end(told, "endpoint"))
    try:
        about = read_about(chosen.model)
        endpoint = Endpoint(Path(str(about["app"])).name, chosen.model.resolve().name)
        port = serve(chosen.address, endpoint)
        say(f"port {port} is open; loads {chosen.model}")
        endpoint.open(load(chosen.model, chosen.app or about["app"], chosen.threads))
        say(f"ready: /v2/models/{endpoint.name}/infer")
        while True:
            signal.pause()
    except (ModelError, AppError, OSError, LookupError) as err:
        print(f"failed: {printable(str(err))}", file=sys.stderr, flush=True)
        os._exit(1)


if __name__ == "__main__":
    main()
