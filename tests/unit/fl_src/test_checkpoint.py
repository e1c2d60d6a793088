"""Checkpoints: what is saved comes back, and damage of any kind is noticed."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefl.aggregator import checkpoint
from edgefl.aggregator.checkpoint import Checkpoint, Store


def point(round_: int, loop: int = 1) -> Checkpoint:
    rng = np.random.default_rng(round_)
    weights: list[Any] = [rng.random((20, 10), np.float32), rng.random(10), rng.integers(0, 9, (3, 3))]
    return Checkpoint(
        loop,
        round_,
        weights,
        {"event": "round", "round": round_},
        {"m_t": [np.ones(3)], "v_t": [np.zeros(2), np.ones(1)]},
        {"since": {"edge3": round_}},
    )


def same(one: Checkpoint, other: Checkpoint) -> bool:
    pairs = [(one.weights, other.weights), *((one.state[key], other.state[key]) for key in one.state)]
    alike = all(
        len(a) == len(b) and all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(a, b)) for a, b in pairs
    )
    return alike and (one.loop, one.round_, one.line, one.flaws, set(one.state)) == (
        other.loop,
        other.round_,
        other.line,
        other.flaws,
        set(other.state),
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.load() is None
    store.save(point(1))
    loaded = store.load()
    assert loaded and same(loaded, point(1))


def test_the_two_newest_are_kept_in_order_of_loop_and_round(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for loop, round_ in ((1, 1), (1, 2), (1, 10), (2, 1)):
        store.save(point(round_, loop))
    assert [path.name for path in store.files()] == ["model-0002-00001.npz", "model-0001-00010.npz"]


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("state")
    store = Store(folder)
    store.save(point(1))
    newest = store.save(point(2))
    content = bytearray(newest.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    newest.write_bytes(content)
    loaded = store.load()
    assert loaded
    # a flipped bit in what zip doesn't check (a date) does no harm; one in what it holds must never get through
    assert same(loaded, point(1)) or same(loaded, point(2))


def content_of(path: Path) -> set[int]:
    """Numbers of the bytes that are the content of a member, which the zip format's CRC-32 covers: any one bit is noticed by it."""
    found: set[int] = set()
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            # a local header is 30 bytes, a name and an extra field (APPNOTE.TXT, section 4.3.7)
            name, extra = struct.unpack_from("<HH", data, member.header_offset + 26)
            begin = member.header_offset + 30 + name + extra
            found |= set(range(begin, begin + member.compress_size))
    return found


def test_a_flipped_bit_anywhere_is_noticed_or_harmless(tmp_path: Path) -> None:
    """Every bit of what no checksum covers, which is most of a small one: the headers of a zip archive; and one of each byte that one covers."""
    point = Checkpoint(1, 2, [np.full(1, 2)], {}, {})
    path = Store(tmp_path).save(point)
    content, covered = bytearray(path.read_bytes()), content_of(path)
    assert 300 < len(covered) < len(content) - 300
    noticed = 0
    for position in range(len(content)):
        for bit in [position % 8] if position in covered else range(8):
            content[position] ^= 1 << bit
            path.write_bytes(content)
            try:
                loaded = checkpoint.read(path)
            except Exception:  # whatever it raises, Store.load takes the one before
                noticed += 1
            else:
                assert same(loaded, point), (position, bit)
                assert position not in covered, (position, bit)
            content[position] ^= 1 << bit
    assert noticed > len(covered)


def test_it_says_which_one_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    store.save(point(1)).write_bytes(b"PK\x03\x04 nothing")
    assert store.load() is None
    assert "model-0001-00001.npz is damaged" in capsys.readouterr().err


def test_foreign_and_unfinished_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".model-0001-00009.npz.new").write_bytes(b"half")
    (tmp_path / "rounds.jsonl").write_bytes(b"")
    store = Store(tmp_path)
    store.save(point(1))
    loaded = store.load()
    assert loaded and loaded.round_ == 1
