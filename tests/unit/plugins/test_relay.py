"""image_ship, one upload for a site: agents that give chunks to each other over TLS, each a process of its own; neighbours that do harm; strangers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from unit.plugins.docker_folder import Containerd, DockerFolder

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import agent, answers, link, relay
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import plan as _plan
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import transfer as _transfer
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.fleet import Fleet
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.link import Target
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.plan import Settings
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.relay import Member, Relay, make_certificate
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.source import Source

CHUNK = 200_000
CHUNKS = 12
NAME = "kubeedge/large:v1"
# Of each connection: the agent itself, what it is asked and ordered, and where each chunk is
HELLO = 30_000
# That the first edge gets its chunks, and that it has got its image
BEGUN, THERE = "../edge1/begun", "../edge1/containerd/images.json"

# Stands for C(ssh): runs the command here, in the folder of its host. There C(after) has a file that it waits for, C(wrong) what the agent does wrong,
# C(attack) what stands there instead of the agent; C(begun) comes when a chunk has gone there, and C(passed) gets a line with the bytes of each connection.
# Beside these folders C(kill) has the bytes after which the program is killed that gets so many first, when all have begun to receive.
SSH = (
    f"#!{sys.executable} -IS"
    + """
import glob, os, subprocess, sys, threading, time
os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), sys.argv[-2]))
def said(name):
    return open(name).read() if os.path.exists(name) else ""
def wait(ready):
    until = time.monotonic() + 30
    while not ready() and time.monotonic() < until:
        time.sleep(0.01)
wait(lambda: os.path.exists(said("after") or "."))
if os.path.exists("attack"):
    import json, struct
    def say(value):
        os.write(1, json.dumps(value).encode() + b"\\n")
    def order():
        sys.stdin.buffer.read(int(sys.argv[-1].split()[-1]))
        names = json.loads(sys.stdin.buffer.readline())["names"]
        rooms = [{"path": "/var", "free": 10**15, "device": 1}] * 2
        images, codecs = dict.fromkeys(names), ["zstd", "zlib", "none"]
        say({"layers": [], "stacks": [], "images": images, "arch": said("arch"), "app": False, "rooms": rooms, "codecs": codecs, "bases": 0})
        return json.loads(sys.stdin.buffer.readline())
    def frame():
        index, length, digest = struct.unpack(">II32s", sys.stdin.buffer.read(40))
        if length < 2**31:
            sys.stdin.buffer.read(length)
            open("begun", "w").close()
        elif length == 2**32 - 1:
            sys.stdin.buffer.read(53)
        return index, length
    def leave():
        wait(lambda: all(os.path.exists("../edge%d/containerd/images.json" % number) for number in (2, 3)))
        sys.exit(1)
    exec(said("attack"))
    time.sleep(60)
end = int(said("../kill") or 1 << 60)
there = dict(os.environ, FAKE_CONTAINERD=os.path.abspath("containerd"), WRONG=said("wrong"))
child = subprocess.Popen(["bash", "-c", "exec " + sys.argv[-1]], stdin=subprocess.PIPE, env=there)
passed, killed = 0, False
def ended():
    code = child.wait()
    with open("passed", "a") as file:
        file.write("%d\\n" % passed)
    if killed:
        print("client_loop: send disconnect: Connection reset by peer", file=sys.stderr, flush=True)
    os._exit(code % 256)
threading.Thread(target=ended).start()
while data := os.read(0, 65536):
    try:
        child.stdin.write(data)
        child.stdin.flush()
    except BrokenPipeError:
        break
    passed += len(data)
    if passed > 300000:
        open("begun", "w").close()
    if passed >= end and os.path.exists("../kill"):
        os.unlink("../kill")
        wait(lambda: len(glob.glob("../*/spool/*.part")) == len(glob.glob("../*/spool")))
        killed = True
        child.kill()
child.stdin.close()
"""
)


class Edges:
    """So many edges of one site on this machine, `edge1` to `edgeN`, each with a containerd and a spool of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports: list[int] = []
        home.mkdir()
        (home / "ssh").write_text(SSH)
        (home / "ssh").chmod(0o755)

    def add(self, number: int, **more: Any) -> Target:
        """One more edge; `more` are files that its way there looks at."""
        name = f"edge{number}"
        (self.home / name / "spool").mkdir(parents=True)
        for key, value in more.items():
            (self.home / name / key).write_text(str(value))
        return Target(name, "containerd", name, become=False, site="harbour", site_host="127.0.0.1")

    def passed(self) -> int:
        """Bytes that left the cloud, all connections together."""
        return sum(int(line) for file in self.home.glob("*/passed") for line in file.read_text().split())

    def images(self, name: str) -> dict[str, Any]:
        path = self.home / name / "containerd/images.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def content(self, name: str) -> set[str]:
        """Digests of all that the edge's containerd has, computed anew."""
        files = (self.home / name / "containerd/content").iterdir()
        return {f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files}


@pytest.fixture
def docker(tmp_path: Path) -> DockerFolder:
    folder = DockerFolder(tmp_path / "docker")
    folder.add(NAME, [{"bin/sh": b"shell" * 300}, {"data": os.urandom(CHUNKS * CHUNK)}])
    return folder


@pytest.fixture
def edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edges:
    there = Edges(tmp_path / "edges")
    ctr = Containerd(tmp_path / "containerd")
    monkeypatch.setenv("PATH", str(ctr.program.parent), prepend=":")
    monkeypatch.setattr(_plan, "SPARE", 0)
    monkeypatch.setattr(_plan, "SPOOL", "spool")
    monkeypatch.setattr(_transfer, "ssh_command", lambda *_unused: [str(there.home / "ssh")])
    monkeypatch.setattr(_transfer, "PATIENCE", 0.01)
    monkeypatch.setattr(relay, "BEAT", 0.2)
    # What an agent does that was taken over: the file C(wrong) of its edge says it
    harm = "{'false': lambda: guest.sendall(part[:-1] + bytes([part[-1] ^ 1])), 'stall': lambda: time.sleep(30)}"
    source = link.SOURCE.replace(
        "guest.sendall(part)", f"{harm}.get(os.environ['WRONG'], lambda: guest.sendall(part))()"
    )
    source = source.replace(
        '"port": near.port}', '"port": (os.environ["WRONG"] == "gone" and near.close()) or near.port}'
    )
    assert source.count("WRONG") == 2
    monkeypatch.setattr(link, "SOURCE", source)
    kept = answers.kept

    def noted(said: dict[str, Any], port: int | None) -> tuple[int, int]:
        have, opened = kept(said, port)
        there.ports.append(opened)
        return have, opened

    monkeypatch.setattr(answers, "kept", noted)
    return there


def run(docker: DockerFolder, *targets: Target, **settings: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"chunk": CHUNK, **settings}
    source = Source(cast("agent.Docker", docker))
    return Fleet(source, [(target, [NAME]) for target in targets], Settings(**given)).run()


def ship(docker: DockerFolder, *targets: Target, **settings: Any) -> dict[str, Any]:
    """As C(run), where all succeed."""
    result = run(docker, *targets, **settings)
    assert [node["msg"] for node in result["nodes"].values()] == [""] * len(targets)
    return result


def whole(docker: DockerFolder, edges: Edges, *targets: Target) -> bool:
    """Whether each has the image, and all that is in it is what was built."""
    wanted = set(docker.images[NAME]["RootFS"]["Layers"])
    return all(wanted <= edges.content(each.name) and edges.images(each.name) for each in targets)


def listens(port: int) -> bool:
    with socket.socket() as road:
        return road.connect_ex(("127.0.0.1", port)) == 0


def test_one_upload_for_a_site(docker: DockerFolder, edges: Edges) -> None:
    three = [edges.add(number) for number in (1, 2, 3)]
    result = ship(docker, *three)
    assert whole(docker, edges, *three)
    assert result["bytes"] < (CHUNKS + 1) * CHUNK
    assert result["relayed"] > 2 * CHUNKS * CHUNK
    assert edges.passed() < (CHUNKS + 1) * CHUNK + 3 * HELLO
    for row in result["table"]:
        assert row["sent"] + row["relayed"] == pytest.approx(CHUNKS * CHUNK, rel=0.1)
    # Each opened a port of its own, and none is open any more
    assert len(set(edges.ports)) == 3 and 0 not in edges.ports
    assert not any(map(listens, edges.ports))
    assert not list(edges.home.glob("*/spool/*"))


@pytest.mark.parametrize("settings", [{"relay": False}, {"alone": True}, {"chunk": 8 << 20}])
def test_no_neighbour_is_asked(docker: DockerFolder, edges: Edges, settings: dict[str, Any]) -> None:
    """Without the relay, where each is a site of its own, and for an archive of one chunk: nothing listens."""
    two = [edges.add(1), edges.add(2)]
    if settings.pop("alone", False):
        two[1] = Target("edge2", "containerd", "edge2", become=False, site="mill", site_host="127.0.0.1")
    result = ship(docker, *two, **settings)
    assert whole(docker, edges, *two)
    assert (result["relayed"], result["bytes"] > 2 * CHUNKS * CHUNK) == (0, True)
    assert not any(edges.ports)


def test_one_that_comes_late_gets_all_of_it_from_neighbours(docker: DockerFolder, edges: Edges) -> None:
    early, late = edges.add(1), edges.add(2, after=THERE)
    result = ship(docker, early, late)
    assert whole(docker, edges, early, late)
    assert result["nodes"]["edge2"]["bytes"] < HELLO
    # The first one's work was done before
    assert result["nodes"]["edge1"]["seconds"] < result["nodes"]["edge2"]["seconds"]


def test_one_after_another(docker: DockerFolder, edges: Edges) -> None:
    three = [edges.add(number) for number in (1, 2, 3)]
    assert ship(docker, *three, parallel=1)["bytes"] < (CHUNKS + 1) * CHUNK


def test_a_neighbour_that_is_killed_in_the_middle(docker: DockerFolder, edges: Edges) -> None:
    three = [edges.add(number) for number in (1, 2, 3)]
    # However they are shared out, one of the three gets a third of the chunks from the cloud
    (edges.home / "kill").write_text(str(HELLO // 2 + (CHUNKS // 3 - 1) * CHUNK + CHUNK // 2))
    result = ship(docker, *three, bandwidth=5 * CHUNK)
    assert whole(docker, edges, *three)
    assert sum(node["cuts"] for node in result["nodes"].values()) == 1
    # Nothing is sent twice but the chunk that was cut, and one that it was giving to a neighbour just then
    assert edges.passed() < (CHUNKS + 2) * CHUNK + 4 * HELLO
    assert len(edges.ports) == 4 and not any(map(listens, edges.ports))


@pytest.mark.parametrize(("wrong", "why"), [("false", "false"), ("stall", "slow"), ("gone", "away")])
def test_a_neighbour_that_holds_back_or_falsifies(
    docker: DockerFolder, edges: Edges, monkeypatch: pytest.MonkeyPatch, wrong: str, why: str
) -> None:
    monkeypatch.setattr(relay, "LEAST", 1)
    three = [edges.add(1, wrong=wrong), edges.add(2, after=BEGUN), edges.add(3, after=BEGUN)]
    result = ship(docker, *three)
    assert whole(docker, edges, *three)
    told = [result["nodes"][name]["refused"] for name in ("edge2", "edge3")]
    assert {"edge1": why} in told and all(each in ({}, {"edge1": why}) for each in told)
    # The others make do with one upload of their own
    assert edges.passed() < (2 * CHUNKS + 1) * CHUNK + 3 * HELLO


# What somebody says who took an edge over; the others of the site get their images all the same
FLAWED = "says what the agent never says"
ATTACKS = {
    "a port of another program": ("order(); say({'have': 0, 'port': 22})", FLAWED),
    "no port": ("order(); say({'have': 0})", FLAWED),
    "a chunk that nobody asked for": ("order(); say({'have': 0, 'port': 5000}); say({'need': 0, 'why': 'slow'})", FLAWED),
    "chunks that were not sent": ("order(); say({'have': 0, 'port': 5000}); say({'at': 3})", FLAWED),
    "all chunks, and nobody listens": ("order(); say({'have': 0, 'port': 5000})\nwhile True: say({'at': frame()[0] + 1})", FLAWED),
    "nothing, and reads all": ("order(); say({'have': 0, 'port': 5000})\nwhile frame()[1]: pass\nleave()", "the connection was lost"),
    "nothing, and reads nothing": ("order(); say({'have': 0, 'port': 5000}); open('begun', 'w'); leave()", "the connection was lost"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_edge_that_was_taken_over(
    docker: DockerFolder, edges: Edges, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    monkeypatch.setattr(relay, "STALL", 1.0)
    program, says = ATTACKS[attack]
    first = {"after": BEGUN} if "frame()" in program or "begun" in program else {}
    others = [edges.add(number, **first) for number in (2, 3)]
    result = run(docker, edges.add(1, attack=program, arch=docker.images[NAME]["Architecture"]), *others, retries=0)
    assert whole(docker, edges, *others)
    told = {name: node["msg"] for name, node in result["nodes"].items()}
    assert says in told.pop("edge1") and set(told.values()) == {""}
    assert not any(map(listens, edges.ports[-2:]))


def test_a_neighbour_that_has_a_part_of_it_already(docker: DockerFolder, edges: Edges) -> None:
    """Each asks for what it lacks, whoever is ahead."""
    first = edges.add(1)
    (edges.home / "kill").write_text(str(HELLO // 2 + 5 * CHUNK))
    with pytest.raises(AssertionError, match="the connection was lost"):
        ship(docker, first, retries=0)
    (edges.home / "edge1/passed").unlink()
    second = edges.add(2, after=THERE)
    result = ship(docker, first, second)
    assert whole(docker, edges, first, second)
    assert result["bytes"] < (CHUNKS - 3) * CHUNK
    assert result["nodes"]["edge2"]["relayed"] >= 3 * CHUNK


# The port that is open meanwhile ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate() -> str:
    return make_certificate()


@pytest.fixture
def host(tmp_path: Path, certificate: str) -> Iterator[agent.Neighbourhood]:
    spool = agent.Spool(str(tmp_path), "key", "sender")
    for number in range(3):
        data = bytes([number]) * 700_000
        spool.add(hashlib.sha256(data).digest(), data)
    near = agent.Neighbourhood(spool, certificate, "127.0.0.1", 0)
    yield near
    near.close()


def ask(host: agent.Neighbourhood, context: ssl.SSLContext, index: int, size: int) -> bytes:
    """What is given to whoever shows what is in the context."""
    data = b""
    with context.wrap_socket(socket.create_connection(("127.0.0.1", host.port), 5)) as road:
        road.sendall(agent.ASK.pack(index))
        while len(data) < size and (part := road.recv(1 << 16)):
            data += part
    return data


def test_a_neighbour_gets_a_chunk(host: agent.Neighbourhood, certificate: str) -> None:
    context = agent.secured(certificate, False)
    assert ask(host, context, 1, 700_000) == b"\1" * 700_000
    # One that is not there yet, it does not give
    with contextlib.suppress(ssl.SSLEOFError, ConnectionError):
        assert ask(host, context, 3, 1) == b""


def test_strangers_get_nothing(host: agent.Neighbourhood) -> None:
    """Who shows no certificate, or another one; also one that is called the same."""
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
    other = agent.secured(make_certificate(), False)
    other.verify_mode = ssl.CERT_NONE
    for context in (bare, other):
        with pytest.raises(OSError, match=r"ALERT|alert|reset|EOF"):
            ask(host, context, 0, 1)
    with socket.create_connection(("127.0.0.1", host.port), 5) as road:
        road.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP" not in road.recv(100)


def test_a_neighbour_that_is_an_impostor_gets_no_question(certificate: str, host: agent.Neighbourhood) -> None:
    with pytest.raises(ssl.SSLError, match="VERIFY_FAILED"):
        ask(host, agent.secured(make_certificate(), False), 0, 1)


def test_strangers_that_say_nothing_hold_nothing(host: agent.Neighbourhood, certificate: str) -> None:
    silent = [socket.create_connection(("127.0.0.1", host.port), 5) for _number in range(40)]
    before = threading.active_count()
    context = agent.secured(certificate, False)
    assert [ask(host, context, index, 700_000)[:1] for index in (0, 1, 2)] == [b"\0", b"\1", b"\2"]
    assert before < 40
    # At most so many are still open; the others were put out
    time.sleep(0.3)
    still = 0
    for road in silent:
        road.setblocking(False)
        try:
            still += road.recv(1) != b""
        except BlockingIOError:
            still += 1
        except OSError:
            pass
        road.close()
    assert still <= agent.STRANGERS


def test_nothing_listens_when_it_is_closed(host: agent.Neighbourhood) -> None:
    assert listens(host.port)
    host.close()
    assert not listens(host.port)


def test_a_wrong_clock_does_not_matter(tmp_path: Path) -> None:
    """Many edges have none that runs without power."""
    (tmp_path / "index").touch()
    (tmp_path / "serial").write_text("01")
    config = tmp_path / "config"
    config.write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={tmp_path}/index\nserial={tmp_path}/serial\nnew_certs_dir={tmp_path}\ndefault_md=sha256\npolicy=p\n[p]\n"
        "commonName=supplied\n[req]\ndistinguished_name=n\n[n]\n"
    )
    words: list[str | Path] = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=edgefl",
    ]
    commands: tuple[list[str | Path], ...] = (
        ["req", "-new", *words, "-config", config, "-keyout", tmp_path / "key", "-out", tmp_path / "request"],
        ["ca", "-batch", "-selfsign", "-config", config, "-keyfile", tmp_path / "key", "-in", tmp_path / "request", "-startdate", "20200101000000Z",
         "-enddate", "20200102000000Z", "-notext", "-out", tmp_path / "cert"],
    )  # fmt: skip
    for command in commands:
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    old = (tmp_path / "key").read_text() + (tmp_path / "cert").read_text()
    spool = agent.Spool(str(tmp_path), "key", "sender")
    spool.add(hashlib.sha256(b"x").digest(), b"x")
    near = agent.Neighbourhood(spool, old, "127.0.0.1", 0)
    assert ask(near, agent.secured(old, False), 0, 1) == b"x"
    near.close()


def test_a_port_that_is_taken_and_an_address_that_is_translated(tmp_path: Path, certificate: str) -> None:
    spool = agent.Spool(str(tmp_path), "key", "sender")
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert agent.Neighbourhood(spool, certificate, "127.0.0.1", other.getsockname()[1]).port == 0
    near = agent.Neighbourhood(spool, certificate, "192.0.2.1", 0)
    assert listens(near.port)
    near.close()
    assert agent.Neighbourhood(spool, "no certificate", "127.0.0.1", 0).port == 0


@pytest.mark.parametrize(
    ("address", "foreign"),
    [("192.0.2.1", True), ("10.0.0.7", True), ("2001:db8::1", True), ("127.0.0.1", False), ("::1", False), ("::ffff:127.0.0.1", False),
     ("169.254.169.254", False), ("0.0.0.0", False), ("fe80::1", False), ("224.0.0.1", False)],
)  # fmt: skip
def test_an_installed_agent_asks_other_machines_only(address: str, foreign: bool) -> None:
    assert agent.foreign(address) == foreign


# What is decided ----------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def members(clock: Clock, count: int = 3) -> list[Member]:
    """Of one site, where nobody has anything yet."""
    names = [f"edge{number}" for number in range(1, count + 1)]
    targets = [Target(name, "docker", name, site="harbour", site_host="127.0.0.1") for name in names]
    here = Relay(targets, 0, 100, clock)
    found = [here.member(target) for target in targets]
    for number, member in enumerate(found):
        assert member is not None
        member.address = "127.0.0.1"
        member.join("key", 0, 5000 + number)
    return cast("list[Member]", found)


def giver(member: Member, index: int) -> str:
    """Who gives it a chunk."""
    source = member.choose(index, 1000)
    return source.member.name if source else "cloud"


def test_the_first_gets_it_from_the_cloud_and_the_others_from_those_that_have_it(clock: Clock) -> None:
    one, two, three = members(clock)
    assert giver(one, 0) == "cloud"
    one.holds(1)
    assert (giver(two, 0), giver(one, 1)) == ("edge1", "cloud")
    two.holds(1)
    # The least busy
    assert giver(three, 0) == "edge2"


def test_one_waits_while_the_chunk_is_on_its_way(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "BEAT", 0.0)
    one, two, three = members(clock)
    assert giver(one, 0) == "cloud"
    with pytest.raises(TimeoutError):
        two.choose(0, 1000)
    # Nothing goes to it for too long; the next one gets it, and is waited for
    clock.now += relay.STALL
    assert giver(two, 0) == "cloud"
    with pytest.raises(TimeoutError):
        three.choose(0, 1000)
    two.leave()
    assert giver(three, 0) == "cloud"


def test_one_that_takes_chunks_and_proves_none_is_not_waited_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "BEAT", 0.0)
    monkeypatch.setattr(relay, "TRIAL", relay.STALL)
    one, two, _three = members(clock)
    for number in range(8):
        assert giver(one, number) == "cloud"
        clock.now += relay.STALL / 9
        one.written(1)
        with pytest.raises(TimeoutError):
            two.choose(0, 1000)
    clock.now += relay.STALL / 9
    one.written(1)
    assert giver(two, 0) == "cloud"


def test_a_chunk_that_takes_long_is_tried_by_another_one(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one may have the slowest link: who is sooner goes on as the first."""
    monkeypatch.setattr(relay, "BEAT", 0.0)
    one, two, three = members(clock)
    for number in range(relay.TRIALS + 1):
        assert giver(one, number) == "cloud"
        for other in (two, three):
            with pytest.raises(TimeoutError):
                other.choose(number, 1000)
        clock.now += relay.TRIAL + 1
        one.written(1)
        if number < relay.TRIALS:
            assert giver(two, number) == "cloud"
        # One is enough at a time, and a site tries twice
        with pytest.raises(TimeoutError):
            three.choose(number, 1000)
        two.holds(number + 1)
        assert giver(three, number) == "edge2"
        three.holds(number + 1)
        one.holds(number + 1)


def test_half_of_the_time_is_for_itself(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that takes its chunks as slowly as it can does not hold the others for ever."""
    monkeypatch.setattr(relay, "TRIALS", 0)
    one, two, _three = members(clock)
    assert giver(one, 0) == "cloud"

    def wait(seconds: float) -> bool:
        clock.now += seconds
        one.written(1)
        return False

    monkeypatch.setattr(two.site.change, "wait", wait)
    waited = 0
    while True:
        try:
            assert giver(two, 0) == "cloud"
            break
        except TimeoutError:
            waited += 1
    assert 9 <= waited <= 11


def test_after_three_failures_all_is_the_clouds(clock: Clock) -> None:
    first, *others = members(clock, 6)
    for number, other in enumerate(others):
        other.holds(9)
        assert number < 3 or other.held == 9
    for _number in range(relay.FAILURES):
        source = first.choose(0, 1000)
        assert source is not None
        source.end()
        first.refuse(source, "away")
    assert giver(first, 0) == "cloud"
    assert set(first.refused.values()) == {"away"} and len(first.refused) == 3


def test_a_neighbour_may_take_three_times_as_long_as_the_cloud(clock: Clock) -> None:
    one, two, _three = members(clock)
    giver(one, 0)
    one.written(1)
    clock.now += 10
    one.written(999)
    one.holds(1)
    source = two.choose(0, 1000)
    assert source is not None and source.seconds == 30
    assert two._seconds(10) == relay.LEAST and two._seconds(10**6) == relay.MOST


def test_who_has_another_archive_or_no_port_is_not_asked(clock: Clock) -> None:
    one, two, three = members(clock)
    one.join("other", 9, 5000)
    two.join("key", 9, 0)
    assert giver(three, 0) == "cloud"


def test_a_site_is_where_two_edges_are() -> None:
    targets = [
        Target("cloud", "docker", site="harbour"),
        Target("edge1", "docker", "192.0.2.1", site="harbour"),
        Target("edge2", "docker", "192.0.2.2", site="mill"),
        Target("edge3", "docker", "192.0.2.3", site="mill"),
        Target("edge4", "docker", "192.0.2.4"),
    ]
    here = Relay(targets, 0, 100)
    assert [target.name for target in targets if here.member(target)] == ["edge2", "edge3"]


def test_a_host_without_openssl_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EdgeflError, match=r"install openssl there, or set ship_images_relay to false"):
        make_certificate()


# What a node may say ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "port"),
    [
        ({"have": 1}, 0),
        ({"have": 1, "port": 22}, 0),
        ({"have": 1, "port": 70000}, 0),
        ({"have": 1, "port": "5000"}, 0),
        ({"have": 1, "port": 5001}, 5000),
        ({"have": -1, "port": 5000}, 5000),
    ],
)
def test_a_port_that_was_not_ordered(said: dict[str, Any], port: int) -> None:
    with pytest.raises(answers.FlawedError):
        answers.kept(said, port)


def test_ports_that_were() -> None:
    assert answers.kept({"have": 3}, None) == (3, 0)
    assert answers.kept({"have": 3, "port": 5000}, None) == (3, 0)
    assert answers.kept({"have": 3, "port": 5000}, 5000) == (3, 5000)
    assert answers.kept({"have": 3, "port": 0}, 5000) == (3, 0)
    assert answers.kept({"have": 3, "port": 40000}, 0) == (3, 40000)


@pytest.mark.parametrize(
    ("said", "asked"),
    [({"need": 3, "why": "slow"}, None), ({"need": 3, "why": "slow"}, 4), ({"need": 4, "why": "x"}, 4), ({"need": True, "why": "slow"}, 1)],
)  # fmt: skip
def test_a_chunk_that_was_not_asked_for(said: dict[str, Any], asked: int | None) -> None:
    with pytest.raises(answers.FlawedError):
        answers.lacking(said, asked)


def test_the_openssl_of_this_machine_is_there() -> None:
    assert shutil.which("openssl")
    assert make_certificate().count("BEGIN") == 2
