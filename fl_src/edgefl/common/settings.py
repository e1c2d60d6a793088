"""The options of the two programs, checked.

Options are spelt with `_` as in the how-to; `-` is accepted too. A bad value ends the program with exit code 2 and a
message that says what is allowed.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefl import __version__, apps

STRATEGIES = ("FedAvg", "FedAvgM", "FedProx", "FedAdagrad", "FedAdam", "FedYogi", "FedMedian", "FedTrimmedAvg")


@dataclass(frozen=True)
class Tls:
    """PEM files for mutual TLS, read once: the CA that both sides trust, and this side's certificate and key."""

    ca: bytes
    certificate: bytes
    key: bytes


@dataclass(frozen=True)
class AggregatorSettings:
    app: str
    rounds: int
    loops: int
    run: str
    selection: str
    sample_fraction: float
    min_sample_size: int
    min_num_clients: int
    min_nodes: int
    min_round_samples: float
    round_timeout: float
    strategy: str
    strategy_options: dict[str, float]
    seed: int
    server_address: str
    status_address: str
    state_dir: Path | None
    client_settings: dict[str, str]
    tls: Tls | None


@dataclass(frozen=True)
class ClientSettings:
    app: str
    partition: int
    clients: int
    server_address: str
    node: str
    pod: str
    epochs: int
    batch_size: int
    threads: int
    settings: str
    tls: Tls | None


def _number(kind: Callable[[str], Any], low: float, high: float, what: str) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}")
        return value

    return convert


def count(low: int) -> Callable[[str], Any]:
    return _number(int, low, 2**31 - 1, f"a whole number, {low} or more")


share = _number(float, 0, 1, "a number from 0 to 1")


def address(text: str) -> str:
    """HOST:PORT, [IPv6]:PORT included."""
    host, _dummy, port = text.rpartition(":")
    if (
        not host
        or not port.isascii()
        or not port.isdigit()
        or int(port) > 65535
        or (":" in host and not host.startswith("["))
    ):
        raise argparse.ArgumentTypeError(f"must be HOST:PORT such as 0.0.0.0:8888 or [::]:8888, got {text!r}")
    return text


def host_port(text: str) -> tuple[str, int]:
    """Split a checked address; an IPv6 host loses its brackets."""
    host, _dummy, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def name(text: str) -> str:
    """The name of a run or a node: what is safe as a folder and as a Kubernetes label."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", text):
        raise argparse.ArgumentTypeError(
            f"must be letters, digits, '.', '_', '-', beginning and ending with a letter or digit, got {text!r}"
        )
    return text


def app_name(text: str) -> str:
    known = apps.names()
    if text not in known:
        raise argparse.ArgumentTypeError(
            f"is not an app; there are: {', '.join(known)} (an app is a folder under edgefl/apps), got {text!r}"
        )
    return text


def option(text: str) -> tuple[str, float]:
    key, _dummy, value = text.partition("=")
    try:
        if not key.isidentifier():
            raise ValueError
        return key, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be NAME=NUMBER such as proximal_mu=0.1, got {text!r}") from None


def node_settings(text: str) -> tuple[str, str]:
    node, _dummy, named = text.partition("=")
    if not named:
        raise argparse.ArgumentTypeError(f"must be NODE=NAME such as edge1=1f0c, got {text!r}")
    return name(node), named


def tls_folder(text: str) -> Tls | None:
    """Read ca.crt, tls.crt and tls.key, the names of a Kubernetes TLS secret. An empty text means no TLS."""
    if not text:
        return None
    try:
        ca, certificate, key = ((Path(text) / file).read_bytes() for file in ("ca.crt", "tls.crt", "tls.key"))
    except OSError as err:
        raise argparse.ArgumentTypeError(
            f"must be a folder with readable files ca.crt, tls.crt and tls.key (mount the Secret there): {err.filename}: {err.strerror}"
        ) from None
    for file, content, mark in (
        ("ca.crt", ca, b"CERTIFICATE"),
        ("tls.crt", certificate, b"CERTIFICATE"),
        ("tls.key", key, b"PRIVATE KEY"),
    ):
        if mark not in content:
            raise argparse.ArgumentTypeError(
                f"{Path(text) / file} is no PEM file with a {mark.decode().lower()}: replace it"
            )
    return Tls(ca, certificate, key)


class _Parser(argparse.ArgumentParser):
    def __init__(self, prog: str, about: str) -> None:
        super().__init__(
            prog=prog, description=about, allow_abbrev=False, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        self.add_argument("--version", action="version", version=__version__)

    def option(self, spelling: str, **more: Any) -> None:
        """One option, with `_` and with `-`."""
        self.add_argument(*dict.fromkeys((f"--{spelling}", f"--{spelling.replace('_', '-')}")), **more)

    def common(self) -> None:
        self.option(
            "app",
            type=app_name,
            default=os.environ.get("EDGEFL_APP", "fashion_mnist"),
            metavar="NAME",
            help="model and data: a folder under edgefl/apps",
        )
        self.option(
            "tls_dir",
            type=tls_folder,
            default=None,
            metavar="DIR",
            help="folder with ca.crt, tls.crt, tls.key for mutual TLS; without it connections are plain",
        )


def aggregator(arguments: Sequence[str] | None = None) -> AggregatorSettings:
    """Parse the aggregator's options; exits with code 2 when one is wrong."""
    p = _Parser("edgefl.aggregator", "Collects what the clients train and makes one model of it, round after round.")
    p.common()
    p.option("server_address", type=address, default="0.0.0.0:8888", metavar="HOST:PORT", help="where clients connect")
    p.option(
        "status_address",
        type=address,
        default="0.0.0.0:8889",
        metavar="HOST:PORT",
        help="where /healthz, /readyz, /status and /metrics are; port 0 takes a free one",
    )
    p.option("rounds", type=count(1), default=5, metavar="N", help="rounds of a training")
    p.option(
        "loops", type=count(1), default=1, metavar="N", help="trainings, one after the other, each from a new model"
    )
    p.option(
        "run",
        type=name,
        default="default",
        metavar="NAME",
        help="name of the run; the same name goes on where it was, another one starts anew",
    )
    p.option(
        "state_dir",
        type=Path,
        default=None,
        metavar="DIR",
        help="where results and checkpoints are kept, in DIR/RUN; without it nothing survives a restart",
    )
    p.option(
        "selection",
        choices=("node", "pod"),
        default="node",
        help="node: nodes are sampled and a node's slice is divided among its pods; pod: pods are sampled, each trains the whole slice",
    )
    p.option(
        "sample_fraction",
        type=share,
        default=1.0,
        metavar="SHARE",
        help="share of the connected nodes (selection pod: pods) that a round takes",
    )
    p.option(
        "min_sample_size",
        type=count(1),
        default=2,
        metavar="N",
        help="nodes (selection pod: pods) that a round takes at least",
    )
    p.option("min_num_clients", type=count(1), default=2, metavar="N", help="connected clients that a round waits for")
    p.option(
        "min_nodes", type=count(1), default=1, metavar="N", help="nodes with a connected client that a round waits for"
    )
    p.option(
        "min_round_samples",
        type=share,
        default=0.5,
        metavar="SHARE",
        help="share of a round's samples that must come back, else it is repeated",
    )
    p.option(
        "round_timeout",
        type=_number(float, 1, 1e7, "seconds, 1 or more"),
        default=600.0,
        metavar="SECONDS",
        help="after this a client that has not answered is left out of the round",
    )
    p.option("strategy", choices=STRATEGIES, default="FedAvg", help="how Flower combines what came back")
    p.option(
        "strategy_option",
        type=option,
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="an option of the strategy, such as proximal_mu=0.1; may be given several times",
    )
    p.option("seed", type=count(0), default=1, metavar="N", help="of the initial model and the sampling")
    p.option(
        "client_settings",
        type=node_settings,
        action="append",
        default=[],
        metavar="NODE=NAME",
        help="take only clients of these nodes, with these --settings: others have old code or data; may be given several times",
    )
    a = p.parse_args(arguments)
    return AggregatorSettings(
        a.app, a.rounds, a.loops, a.run, a.selection, a.sample_fraction, a.min_sample_size, a.min_num_clients, a.min_nodes, a.min_round_samples,
        a.round_timeout, a.strategy, dict(a.strategy_option), a.seed, a.server_address, a.status_address, a.state_dir,
        dict(a.client_settings), a.tls_dir,
    )  # fmt: skip


def client(arguments: Sequence[str] | None = None) -> ClientSettings:
    """Parse a client's options; exits with code 2 when one is wrong."""
    p = _Parser("edgefl.client", "Trains on this node's slice of the data whenever the aggregator asks for it.")
    p.common()
    p.option("server_address", type=address, required=True, metavar="HOST:PORT", help="the aggregator")
    p.option("partition", type=count(0), default=0, metavar="INDEX", help="first sample of the node's slice")
    p.option(
        "clients",
        type=count(1),
        default=1000,
        metavar="INDEX",
        help="end of the node's slice: the first sample that is not in it",
    )
    p.option(
        "node",
        type=name,
        default=os.environ.get("NODE_NAME") or socket.gethostname(),
        metavar="NAME",
        help="the edge node; with TLS it must be in the certificate",
    )
    p.option("epochs", type=count(1), default=1, metavar="N", help="passes over the samples in a round")
    p.option("batch_size", type=count(1), default=32, metavar="N", help="samples of a step")
    p.option(
        "threads",
        type=count(0),
        default=1,
        metavar="N",
        help="compute threads, at most what the container's CPU limit allows; 0: that many. One is fastest for small models",
    )
    p.option(
        "settings",
        default="",
        metavar="NAME",
        help="name of what this client trains with, for an aggregator with --client_settings",
    )
    a = p.parse_args(arguments)
    if a.partition >= a.clients:
        p.error(
            f"--partition={a.partition} must be below --clients={a.clients}: they are the first sample and the end of this node's slice"
        )
    pod = os.environ.get("POD_NAME") or os.environ.get("HOSTNAME") or socket.gethostname()
    return ClientSettings(
        a.app,
        a.partition,
        a.clients,
        a.server_address,
        a.node,
        pod,
        a.epochs,
        a.batch_size,
        a.threads,
        a.settings,
        a.tls_dir,
    )
