"""The options of the two programs, checked; options.toml beside this file lists them.

Options are spelt with `_` as in the how-to; `-` is accepted too. A bad value ends the program with exit code 2 and a
message that says what is allowed.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import socket
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edgefl import __version__
from edgefl.common import app_folder

OPTIONS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("options.toml").read_text())
"""Every option by its name, as options.toml describes it."""
LARGEST = 2**31 - 1
"""Of a number that has no maximum of its own: what fits into 32 bits."""


@dataclass(frozen=True)
class Tls:
    """PEM files for mutual TLS, read once: the CA that both sides trust, and this side's certificate and key."""

    ca: bytes
    certificate: bytes
    key: bytes


class Upstream(NamedTuple):
    """The aggregator that a region is a client of, and the region's name there."""

    region: str
    address: str


class AggregatorSettings(argparse.Namespace):
    """The aggregator's options by name, checked and converted."""

    # Written by `make generate` from fl_src/edgefl/common/options.toml
    app: str
    rounds: int
    loops: int
    selection: str
    sample_fraction: float
    min_sample_size: int
    min_num_clients: int
    min_nodes: int
    min_round_samples: float
    round_timeout: float
    strategy: str
    strategy_options: dict[str, float]
    norm_bound: float
    seed: int
    app_config: dict[str, app_folder.Value]
    data_dir: Path | None
    apps_dir: Path | None
    app_identity: str
    run_file: Path | None
    made_for: str
    max_pods: int
    run: str
    client_settings: dict[str, str]
    client_slices: dict[str, str]
    upstream: Upstream | None
    settings: str
    server_address: str
    status_address: tuple[str, ...]
    state_dir: Path | None
    tls: Tls | None
    # End of what `make generate` writes

    def shaping(self) -> dict[str, Any]:
        """What makes this training and no other, by option, as JSON takes it; `tls` tells whether connections are encrypted."""
        values = {
            name: getattr(self, name) for name in _options("aggregator") if OPTIONS[name].get("shapes_training", True)
        }
        return values | {"data_dir": str(self.data_dir or ""), "tls": self.tls is not None}


class ClientSettings(argparse.Namespace):
    """A client's options by name, checked and converted, and the name of its pod."""

    pod: str
    # Written by `make generate` from fl_src/edgefl/common/options.toml
    app: str
    epochs: int
    batch_size: int
    threads: int
    node_config: dict[str, app_folder.Value]
    data_dir: Path | None
    apps_dir: Path | None
    settings: str
    node: str
    partition: int
    clients: int
    server_address: str
    tls: Tls | None
    # End of what `make generate` writes


def _options(program: str) -> list[str]:
    """Names of the options that `program` (aggregator, client) takes."""
    return [name for name, option in OPTIONS.items() if program in option["programs"]]


def number(option: Mapping[str, Any]) -> Callable[[str], Any]:
    """A converter for argparse: text to a number of the option's type, from its `min` to its `max`."""
    kind = int if option["type"] == "int" else float
    low, high = option["min"], option.get("max", LARGEST)
    what = option.get("unit", "a whole number" if kind is int else "a number")
    what += f" from {low} to {high}" if "max" in option and "unit" not in option else f", {low} or more"

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}")
        return value

    return convert


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


def upstream(text: str) -> Upstream:
    """REGION@HOST:PORT."""
    region, _dummy, place = text.rpartition("@")
    try:
        return Upstream(name(region), address(place))
    except argparse.ArgumentTypeError as err:
        raise argparse.ArgumentTypeError(
            f"must be REGION@HOST:PORT such as north@cloud:8888, got {text!r}: {err}"
        ) from None


def addresses(text: str) -> tuple[str, ...]:
    """Several, with commas between."""
    return tuple(address(one) for one in text.split(","))


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
    """The name of an app that is in this image, or the path of a Flower app."""
    if not app_folder.is_there(text):
        raise argparse.ArgumentTypeError(
            f"is not an app; there are: {', '.join(app_folder.names())} (folders in edgefl/apps; the path of another one has a slash), got {text!r}"
        )
    return text


def named_number(text: str) -> tuple[str, float]:
    """NAME=NUMBER."""
    key, _dummy, value = text.partition("=")
    try:
        figure = float(value)
        if not key.isidentifier() or not math.isfinite(figure):
            raise ValueError
        return key, figure
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be NAME=NUMBER such as proximal_mu=0.1, got {text!r}") from None


def named_node(text: str) -> tuple[str, str]:
    """NODE=VALUE."""
    node, _dummy, named = text.partition("=")
    if not named:
        raise argparse.ArgumentTypeError(f"must be NODE=VALUE such as edge1=1f0c, got {text!r}")
    return name(node), named


def named_values(text: str) -> dict[str, app_folder.Value]:
    """KEY=VALUE, several divided by spaces."""
    try:
        return app_folder.pairs(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(str(err)) from None


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


_TYPES: dict[str, Callable[[str], Any]] = {
    "str": str,
    "name": name,
    "app": app_name,
    "address": address,
    "addresses": addresses,
    "upstream": upstream,
    "folder": lambda text: Path(text).absolute(),
    "tls": tls_folder,
    "numbers": named_number,
    "names": named_node,
    "pairs": named_values,
}
_REPEATED = ("numbers", "names", "pairs")
_COMPUTED: dict[str, Callable[[], str]] = {"node": socket.gethostname}
"""Defaults that no list can name."""


def _argument(name: str, option: Mapping[str, Any], program: str) -> dict[str, Any]:
    """What argparse is told of an option."""
    about: dict[str, Any] = {"dest": option.get("attribute", name), "help": option["help"]}
    about |= {key: option[key] for key in ("choices", "metavar") if key in option}
    about["type"] = _TYPES.get(option["type"]) or number(option)
    if program in option.get("required", ()):
        return about | {"required": True}
    if option["type"] in _REPEATED:
        return about | {"action": "append", "default": []}
    default = option.get("default", _COMPUTED.get(name, lambda: None)())
    return about | {"default": os.environ.get(option.get("environment", "")) or default}


def _parser(program: str, about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        f"edgefl.{program}",
        description=about,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    for option in _options(program):
        spellings = dict.fromkeys((f"--{option}", f"--{option.replace('_', '-')}"))
        parser.add_argument(*spellings, **_argument(option, OPTIONS[option], program))
    return parser


def _together(several: Any) -> dict[str, Any]:
    """One of what an option that may be given several times holds; the later value of a key counts."""
    return {key: value for one in several for key, value in one.items()}


def aggregator(arguments: Sequence[str] | None = None) -> AggregatorSettings:
    """Parse the aggregator's options; exits with code 2 when one is wrong."""
    about = "Collects what the clients train and makes one model of it, round after round."
    chosen = _parser("aggregator", about).parse_args(arguments, AggregatorSettings())
    chosen.strategy_options = dict(chosen.strategy_options)
    chosen.client_settings = dict(chosen.client_settings)
    chosen.client_slices = dict(chosen.client_slices)
    chosen.app_config = _together(chosen.app_config)
    return chosen


def client(arguments: Sequence[str] | None = None) -> ClientSettings:
    """Parse a client's options; exits with code 2 when one is wrong."""
    parser = _parser("client", "Trains on this node's slice of the data whenever the aggregator asks for it.")
    chosen = parser.parse_args(arguments, ClientSettings())
    if chosen.partition >= chosen.clients:
        parser.error(
            f"--partition={chosen.partition} must be below --clients={chosen.clients}: they are the first sample and the end of this node's slice"
        )
    chosen.node_config = _together(chosen.node_config)
    chosen.pod = pod_name()
    return chosen


def pod_name() -> str:
    """Of the pod that this process is in."""
    return os.environ.get("POD_NAME") or os.environ.get("HOSTNAME") or socket.gethostname()
