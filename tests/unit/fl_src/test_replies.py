"""Replies on disk, and what a kill or damage leaves of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgefl.aggregator import replies as journal
from edgefl.aggregator.replies import Replies
from edgefl.link.hub import Reply


def reply(text: str) -> Reply:
    return Reply(b"head " + text.encode(), text.encode() * 100, "edge1", "pod", {"seconds": 1.5})


def filled(folder: Path) -> Path:
    replies = Replies(folder)
    assert replies.replayed == replies.left == 0 and replies.nodes([1]) == [1]
    for key in "abc":
        replies.add(key, reply(key))
    replies.nodes([1, 2])
    replies.add("d", None)
    assert replies.path
    return replies.path


def test_in_the_order_of_before(tmp_path: Path) -> None:
    filled(tmp_path)
    again = Replies(tmp_path)
    assert again.replayed == 4
    found = again.take({"c", "a", "unknown"})
    assert list(found.items()) == [("a", reply("a")), ("c", reply("c"))]
    assert again.take({"d"}) == {"d": None} and again.left == 1
    assert again.nodes([9]) == [1] and again.nodes([9]) == [1, 2] and again.nodes([9]) == [9]


@pytest.mark.parametrize("cut", [1, 30, 130, 400])
def test_a_torn_end(tmp_path: Path, cut: int) -> None:
    path = filled(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    again = Replies(tmp_path)
    assert again.replayed < 4 and path.stat().st_size < len(whole) - cut
    again.add("e", reply("e"))
    assert "e" in Replies(tmp_path).take({"e"})


def test_damage(tmp_path: Path) -> None:
    path = filled(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again = Replies(tmp_path)
    assert 0 < again.replayed < 4 and list(again.take(set("abcd"))) == ["a"]


def test_another_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path)
    again = Replies(tmp_path)
    again.diverge("sends another message")
    assert again.left == 0 and again.take({"a"}) == {} and again.nodes([7]) == [7]
    assert "4 replies from before the restart are not used" in capsys.readouterr().err


def test_nothing_kept(tmp_path: Path) -> None:
    replies = Replies(None)
    replies.add("a", reply("a"))
    assert replies.take({"a"}) == {} and replies.nodes([1]) == [1] and list(tmp_path.iterdir()) == []


def test_more_than_the_volume_can_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are given up, which is said; the run goes on, and a restart begins anew. What an earlier process wrote counts."""
    monkeypatch.setattr(journal, "MOST", 1_000)
    replies = Replies(tmp_path)
    replies.add("a", reply("a"))
    again = Replies(tmp_path)
    for key in "bcdefghi":
        again.add(key, reply(key))
        again.sync()
    assert not again.path and "after a restart of the aggregator the app begins anew" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [] and Replies(tmp_path).replayed == 0
    again.sync()
    again.finish()
