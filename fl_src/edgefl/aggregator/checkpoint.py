"""The model after each round, on disk, so that a killed aggregator goes on with the next round.

A checkpoint is one .npz file (numpy.load opens it), named after loop and round. It holds the weights in the model's
order, the state of the strategy if it has any, which nodes are set aside, and the round's line of rounds.jsonl: line and
model can't get apart, whatever moment the process is killed at. The zip format keeps a CRC-32 of every member, which tells damage; what it
has none for, its directory, is held against a list of the members.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefl.common.journal import Line, patiently, say, write_atomically

Weights = list[npt.NDArray[Any]]
KEEP = 2
_NAME = re.compile(r"model-(\d{4,})-(\d{5,})\.npz")


@dataclass
class Checkpoint:
    """`round_` is finished; `weights` came out of it; `line` is its line; `state` is the strategy's (may be empty), `flaws` what Aside remembers."""

    loop: int
    round_: int
    weights: Weights
    line: Line
    state: dict[str, Weights] = field(default_factory=dict)
    flaws: dict[str, Any] = field(default_factory=dict)


class Store:
    """The checkpoints of one run. Keeps the two newest, so that there is one left when the newest is damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self) -> list[Path]:
        """Newest first."""
        found = [
            (tuple(map(int, match.groups())), path)
            for path in self.folder.iterdir()
            if (match := _NAME.fullmatch(path.name))
        ]
        return [path for _dummy, path in sorted(found, reverse=True)]

    def save(self, point: Checkpoint) -> Path:
        """Write atomically; waits while the disk is full."""
        arrays: dict[str, npt.NDArray[Any]] = {f"w{i:04d}": array for i, array in enumerate(point.weights)}
        for name, group in point.state.items():
            arrays |= {f"s.{name}.{i:04d}": array for i, array in enumerate(group)}
        about = {"line": _text(point.line), "flaws": _text(point.flaws), "members": _text(sorted(arrays))}
        buffer = io.BytesIO()
        np.savez(buffer, **about, **arrays)  # type: ignore[arg-type]
        path = self.folder / f"model-{point.loop:04d}-{point.round_:05d}.npz"
        patiently(lambda: write_atomically(path, buffer.getvalue()), str(path))
        patiently(self._prune, str(self.folder))
        return path

    def _prune(self) -> None:
        for old in self.files()[KEEP:]:
            old.unlink(missing_ok=True)

    def load(self) -> Checkpoint | None:
        """The newest one that is whole; a damaged one is named on stderr and skipped. None when there is none."""
        for path in self.files():
            try:
                return read(path)
            # A flipped bit makes zipfile and numpy raise nearly anything (an encrypted file, a method that is not supported, a header of terabytes)
            except Exception as err:
                say(f"checkpoint {path.name} is damaged ({err}): skipped, the one before is taken")
        return None


def read(path: Path) -> Checkpoint:
    """Read one file. Raises what numpy and zipfile raise for a damaged one, KeyError or ValueError for a foreign one."""
    match = _NAME.fullmatch(path.name)
    if not match:
        raise ValueError("not named like a checkpoint")
    with np.load(path, allow_pickle=False) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    line, flaws, members = (json.loads(held.pop(name).tobytes()) for name in ("line", "flaws", "members"))
    if members != sorted(held):
        raise ValueError("its members are others than were written")
    state: dict[str, Weights] = {}
    weights: Weights = []
    for name in sorted(held):
        if name.startswith("s."):
            state.setdefault(name[2:-5], []).append(held[name])
        else:
            weights.append(held[name])
    if not weights:
        raise ValueError("it holds no weights")
    return Checkpoint(int(match[1]), int(match[2]), weights, line, state, flaws)


def _text(value: Any) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)
