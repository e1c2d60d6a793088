"""Who is asked, who stands by, what is lost: without gRPC or Flower."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from edgefl.link.hub import Hub, Pod, RefusedError


class Client:
    """A pod that notes what it is given."""

    def __init__(self, hub: Hub, node: str, instance: str, *holds: str) -> None:
        self.hub, self.got, self.closed = hub, [], []  # type: ignore[var-annotated]
        self.pod = Pod(node, f"pod-{instance}", instance, self.post, self.closed.append)
        self.wanted = hub.enter(self.pod, holds)

    def post(self, note: dict[str, Any], head: bytes, body: Sequence[bytes]) -> None:
        if note == {"over": True}:
            self.got.append("over")
            return
        self.got.append((note["key"], tuple(note["shard"]), b"".join(body)))

    def answer(self, key: str, body: bytes = b"") -> None:
        self.hub.deliver(self.pod, key, {}, b"head", body)

    def leave(self) -> None:
        if self.hub.leave(self.pod):
            time.sleep(self.hub.grace)
            self.hub.expire(self.pod.id)


def identify(name: str) -> int:
    return sum(ord(letter) * 131**place for place, letter in enumerate(name))


def made(**more: Any) -> Hub:
    return Hub(identify, lambda _head, reason: reason.encode(), grace=0.06, **more)


def test_a_message_and_its_answer() -> None:
    hub = made()
    client = Client(hub, "edge1", "a")
    hub.send(client.pod.id, "k", b"h", [b"b"], 60)
    assert client.got == [("k", (0, 1), b"b")] and hub.wait({"k"}, 0) == {}
    client.answer("k", b"yes")
    client.answer("k", b"again")
    client.answer("never asked", b"no")
    found = hub.wait({"k", "other"}, 0)
    assert [(key, reply.body, reply.node, reply.pod, reply.reason) for key, reply in found.items()] == [
        ("k", b"yes", "edge1", "pod-a", "")
    ]
    assert hub.came == {}


def test_all_are_told_that_no_work_comes_any_more() -> None:
    hub = made()
    clients = [Client(hub, "edge1", "a"), Client(hub, "edge1", "b"), Client(hub, "edge2", "c")]
    assert not hub.over
    hub.finish()
    assert hub.over and all(client.got == ["over"] for client in clients)


def test_an_answer_of_another_node_does_not_count() -> None:
    hub = made()
    client, stranger = Client(hub, "edge1", "a"), Client(hub, "edge2", "b")
    hub.send(client.pod.id, "k", b"h", [b"b"], 60)
    stranger.answer("k", b"forged")
    assert not hub.expects(stranger.pod, "k") and hub.wait({"k"}, 0) == {}


def test_lost_after_the_grace_time() -> None:
    hub = made()
    client = Client(hub, "edge1", "a")
    hub.send(client.pod.id, "k", b"h", [b"b"], 60)
    assert hub.leave(client.pod) and hub.nodes() == [client.pod.id]
    hub.expire(client.pod.id)  # too early
    assert hub.wait({"k"}, 0) == {}
    time.sleep(hub.grace)
    hub.expire(client.pod.id)
    assert hub.wait({"k"}, 0)["k"].reason == "the connection was lost" and hub.nodes() == []
    hub.send(client.pod.id, "k2", b"h", [b"b"], 60)
    assert "is connected" in hub.wait({"k2"}, 0)["k2"].reason


def test_back_within_the_grace_time() -> None:
    """One that has the message delivers; one that the message did not reach gets it again."""
    hub = made()
    client = Client(hub, "edge1", "a")
    hub.send(client.pod.id, "k", b"h", [b"b"], 60)
    hub.leave(client.pod)
    again = Client(hub, "edge1", "a", "k", "of another run")
    assert again.wanted == ["k"] and again.got == []
    again.answer("k", b"yes")
    assert hub.wait({"k"}, 0)["k"].body == b"yes"
    hub.send(again.pod.id, "k2", b"h", [b"b"], 60)
    third = Client(hub, "edge1", "a")  # before the end of the old connection was noticed
    assert again.closed and third.got == [("k2", (0, 1), b"b")]
    assert not hub.leave(again.pod) and hub.pods() == [third.pod]


def test_the_next_one_takes_over() -> None:
    hub = made()
    first, second = Client(hub, "edge1", "a"), Client(hub, "edge1", "b")
    assert first.pod.id == second.pod.id and hub.nodes() == [first.pod.id]
    hub.send(first.pod.id, "k", b"h", [b"b"], 60)
    assert second.got == []
    hub.leave(first.pod)
    assert second.got == [("k", (0, 1), b"b")]
    second.answer("k", b"yes")
    assert hub.wait({"k"}, 0)["k"].pod == "pod-b"


def test_what_ends_two_pods_is_not_tried_on_a_third() -> None:
    hub = made()
    pods = [Client(hub, "edge1", name) for name in "abc"]
    hub.send(pods[0].pod.id, "k", b"h", [b"b"], 60)
    hub.leave(pods[0].pod)
    hub.leave(pods[1].pod)
    assert pods[2].got == [] and "took over too" in hub.wait({"k"}, 0)["k"].reason


def test_pods_that_share_their_nodes_data_are_nodes() -> None:
    hub = made(shards=True)
    one, two = Client(hub, "edge1", "a"), Client(hub, "edge1", "b")
    assert hub.nodes() == sorted([one.pod.id, two.pod.id])
    for client, key in ((one, "k1"), (two, "k2")):
        hub.send(client.pod.id, key, b"h", [b"b"], 60)
    assert one.got == [("k1", (0, 2), b"b")] and two.got == [("k2", (1, 2), b"b")]
    one.leave()
    assert hub.wait({"k1"}, 0)["k1"].reason == "the connection was lost" and two.got[1:] == []


def test_caps() -> None:
    hub = made(most=3, most_of_a_node=2)
    Client(hub, "edge1", "a")
    Client(hub, "edge1", "b")
    with pytest.raises(RefusedError, match="2 clients of node edge1 are connected"):
        Client(hub, "edge1", "c")
    Client(hub, "edge1", "b")  # one that comes back is no further one
    Client(hub, "edge2", "d")
    with pytest.raises(RefusedError, match="3 clients are connected"):
        Client(hub, "edge3", "e")


def test_nobody_waits_any_more() -> None:
    hub = made()
    client = Client(hub, "edge1", "a")
    hub.send(client.pod.id, "k", b"h", [b"b"], 60)
    hub.forget(["k"])
    client.answer("k", b"late")
    assert hub.came == {}


def test_what_a_client_says_of_its_slice_cannot_forge_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    hub = made()
    hub.enter(
        Pod("edge1", "a", "i", lambda *_: None, lambda _: None, about={"start": "0\nforged\x1b[2J", "stop": 10**400}),
        [],
    )
    (row,) = capsys.readouterr().err.splitlines()
    assert "edge1/a joined" in row and row.isprintable() and len(row) < 520


def test_what_nobody_waits_for_any_more() -> None:
    """A client is told for how long it has; what is pushed and pulled is lost then."""
    hub = made()
    client = Client(hub, "edge1", "a")
    noted: list[dict[str, Any]] = []
    client.pod.post = lambda note, _head, _body: noted.append(note)
    hub.send(client.pod.id, "k", b"h", [b"b"], 0.05)
    assert 0.03 <= noted[0]["seconds"] <= 0.05
    hub.overdue({"k", "never asked"}, "too late")
    assert hub.wait({"k"}, 0) == {}
    time.sleep(0.06)
    hub.overdue({"k"}, "too late")
    assert hub.wait({"k"}, 0)["k"].reason == "too late" and not hub.expects(client.pod, "k")


def test_who_stands_by_is_asked_nothing() -> None:
    hub = made()
    first = Client(hub, "edge1", "a")
    hub.send(first.pod.id, "k1", b"h", [b"b"], 60)
    hub.send(first.pod.id, "k2", b"h", [b"b"], 60)
    second = Client(hub, "edge1", "b")
    assert second.got == [] and not hub.leave(second.pod)
    first.answer("k1", b"one")
    hub.forget(["k1", "never asked"])
    assert hub.expects(first.pod, "k2") and not hub.expects(first.pod, "k1")


def test_what_is_asked_of_a_node_that_is_away_for_a_moment_waits_for_it() -> None:
    hub = made()
    client = Client(hub, "edge1", "a")
    hub.leave(client.pod)
    hub.send(client.pod.id, "k", b"h", [b"b"], 60)
    assert hub.wait({"k"}, 0) == {}
    assert Client(hub, "edge1", "a").got == [("k", (0, 1), b"b")]
