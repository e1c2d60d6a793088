"""Models that wait on the disk until a round is combined."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgefl.aggregator.spool import Spool, Stored


def model(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        rng.normal(size=(7, 3)).astype(np.float32),
        np.asfortranarray(rng.normal(size=(4, 5))),
        np.array(seed, np.int64),
        np.zeros((0, 3), np.float16),
    ]


def test_models_come_back_in_any_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    kept = [spool.keep(model(seed)) for seed in range(5)]
    for seed in (3, 0, 4, 1, 2):
        assert len(kept[seed]) == 4
        for got, wanted in zip(kept[seed], model(seed)):
            assert got.dtype == wanted.dtype and got.shape == wanted.shape
            assert np.array_equal(got, wanted)
    assert np.array_equal(kept[2][:2][1], model(2)[1])


def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    kept = Spool(tmp_path).keep(model(1))
    assert isinstance(kept, Stored)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_memory_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """/dev/full takes nothing, as a full disk does."""
    spool = Spool(tmp_path)
    first = spool.keep(model(1))
    assert isinstance(first, Stored)
    full = os.open("/dev/full", os.O_RDWR)
    before = os.dup(first._file.fileno())
    os.dup2(full, first._file.fileno())
    second = spool.keep(model(2))
    os.dup2(before, first._file.fileno())
    assert "stay in memory" in capfd.readouterr().err
    third = spool.keep(model(3))
    for kept, seed in ((first, 1), (second, 2), (third, 3)):
        assert all(np.array_equal(got, wanted) for got, wanted in zip(kept, model(seed)))
