"""image_ship and a node that was taken over: whatever it says instead of the agent ends its own transfer, soon, with a reason, and no other's."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
from unit.plugins.docker_folder import Containerd, DockerFolder

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import copies as _copies
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import plan as _plan
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import transfer as _transfer
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.agent import Docker
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.fleet import Fleet
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.link import Target
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.plan import Settings
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.source import Source

NAME = "kubeedge/client:v1"
CHUNK = 1 << 12
# Seconds that all may take; what is wrong with an answer is known much sooner
TIMEOUT = 20
# Runs for C(ssh): an attack's lines, in the place of the agent. `state` is what an honest node without any image says.
SSH = (
    f"#!{sys.executable} -IS"
    + """
import json, os, subprocess, sys, time
def say(value):
    text = value if isinstance(value, str) else json.dumps(value)
    os.write(1, text.encode("utf-8", "surrogateescape") + b"\\n")
def honest():
    sys.exit(subprocess.call(["bash", "-c", sys.argv[-1]]))
def state(**more):
    sys.stdin.buffer.read(int(sys.argv[-1].split()[-1]))
    asked = json.loads(sys.stdin.buffer.readline())
    room = {"path": "/var", "free": 10**15, "device": 1}
    say({"app": False, "layers": [], "stacks": [], "images": dict.fromkeys(asked["names"]), "arch": ARCH, "rooms": [room, room], "codecs": ["none"],
         "bases": 0, **more})
    return json.loads(sys.stdin.buffer.readline() or "{}")
"""
)
FLAWED = "edge1 .*says what the agent never says"
ATTACKS = {
    "an object that is none of the agent's": ('say("{}")\ntime.sleep(60)', FLAWED),
    "progress before the beginning": ("say({'at': 'x'})\ntime.sleep(60)", FLAWED),
    "nested deeply": ("say('{\"at\":' + '[' * 200_000)\ntime.sleep(60)", FLAWED),
    "no object": ("say('[]')\ntime.sleep(60)", FLAWED),
    "a line without end": ("while True: os.write(1, b'x' * 65536)", FLAWED),
    "greetings without end": ("while True: os.write(1, b'hello\\n' * 10_000)", FLAWED),
    "an error without end": ("while True: os.write(2, b'x' * 65536)", "not done after"),
    "an error to the terminal": (
        "os.write(2, b'\\x1b[2J' + b'x' * 900 + b'\\xff\\n' * 2)\nsys.exit(1)",
        r"edge1:22 cannot be used",
    ),
    "an unknown error": ("say({'error': 'x', 'reason': 'y'})\ntime.sleep(60)", FLAWED),
    "a reason that is none": ("say({'error': 'failed', 'reason': {}})\ntime.sleep(60)", FLAWED),
    "a reason to the terminal": ("say({'error': 'failed', 'reason': 'a\\x1b[2J\\nforged' + 'x' * 10**5})", "refused the images"),
    "layers that nobody asked for": ("state(layers=['sha256:other'])\ntime.sleep(60)", FLAWED),
    "layers that are none": ("state(layers=[[]])\ntime.sleep(60)", FLAWED),
    "layers that are a number": ("state(layers=7)\ntime.sleep(60)", FLAWED),
    "images that nobody asked for": ("state(images={'x': None})\ntime.sleep(60)", FLAWED),
    "an image without a digest": ("state(images={FULL: {}})\ntime.sleep(60)", FLAWED),
    "an image that is a number": ("state(images={FULL: 7})\ntime.sleep(60)", FLAWED),
    "room that is a text": ("state(rooms=[{'path': '/', 'free': 'x', 'device': 1}] * 2)\ntime.sleep(60)", FLAWED),
    "room for one": ("state(rooms=[])\ntime.sleep(60)", FLAWED),
    "room without end": ("state(rooms=[{'path': '/', 'free': 10**400, 'device': 1}] * 2)\ntime.sleep(60)", FLAWED),
    "a processor to the terminal": ("state(arch='\\x1b[2J')\ntime.sleep(60)", FLAWED),
    "a compression": ("state(codecs='zstd')\ntime.sleep(60)", FLAWED),
    "files that are none": ("state(bases=1); say({'found': 7})\ntime.sleep(60)", FLAWED),
    "fewer files than there are": ("state(bases=1); say({'found': ''})\ntime.sleep(60)", FLAWED),
    "files without end": ("state(bases=1); say({'found': 'f' * 10**5})\ntime.sleep(60)", FLAWED),
    "all files": (
        "state(bases=1); say({'found': '01'}); say({'have': 0}); say({'images': {}, 'removed': []})\ntime.sleep(60)",
        "is not what was built",
    ),
    "layers without number": ("state(bases=-1)\ntime.sleep(60)", FLAWED),
    "chunks less than none": ("state(); say({'have': -1})\ntime.sleep(60)", FLAWED),
    "chunks of another archive": ("state(); say({'have': 10**6})\ntime.sleep(60)", FLAWED),
    "more chunks than a frame counts": ("state(); say({'have': 2**40})\ntime.sleep(60)", FLAWED),
    "chunks that are true": ("state(); say({'have': True})\ntime.sleep(60)", FLAWED),
    "chunks that were not sent": ("state(); say({'have': 0}); say({'at': 1000})\ntime.sleep(60)", FLAWED),
    "an end without images": ("state(); say({'have': 0}); say({'images': 7, 'removed': []})\ntime.sleep(60)", FLAWED),
    "an app that is a number": ("state(app=7)\ntime.sleep(60)", FLAWED),
    "others' images removed": ("state(); say({'have': 0}); say({'images': {}, 'removed': ['x/y:1']})\ntime.sleep(60)", FLAWED),
    "answers without end": ("state()\nwhile True: say({'have': 0})", FLAWED),
    "an end and no word": ("state(); say({'have': 0}); os.close(1)\ntime.sleep(60)", "not done after|was lost"),
}  # fmt: skip


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ships to edge1, where an attack runs, and to this host's containerd."""
    docker = DockerFolder(tmp_path / "docker")
    docker.add(NAME, [{"bin/sh": bytes(range(256)) * 200}])
    containerd = Containerd(tmp_path / "containerd")
    monkeypatch.setenv("PATH", str(containerd.program.parent), prepend=":")
    monkeypatch.setenv("FAKE_CONTAINERD", str(containerd.home))
    monkeypatch.setattr(_plan, "SPARE", 0)
    monkeypatch.setattr(_copies, "ASKED", 0)
    monkeypatch.setattr(_plan, "SPOOL", str(tmp_path / "spool"))
    program = tmp_path / "ssh"
    monkeypatch.setattr(_transfer, "ssh_command", lambda *_unused: [str(program)])
    source = Source(cast(Docker, docker))
    targets = (Target("edge1", "containerd", "edge1", become=False), Target("here", "containerd"))

    def ship(attack: str, timeout: int, alone: bool = False) -> dict[str, Any]:
        arch = docker.images[NAME]["Architecture"]
        program.write_text(f"{SSH}ARCH = {arch!r}\nFULL = 'docker.io/{NAME}'\n{attack}\n")
        program.chmod(0o755)
        settings = Settings(timeout=timeout, chunk=CHUNK, retries=0)
        return Fleet(source, [(target, [NAME]) for target in targets[: 1 if alone else 2]], settings).run()

    return ship


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_ends_its_own_transfer_and_no_other(fleet: Any, attack: str) -> None:
    program, says = ATTACKS[attack]
    timeout = 3 if says.startswith("not done") else TIMEOUT
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    result = fleet(program, timeout)
    took, grown = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    hostile, honest = result["nodes"]["edge1"], result["nodes"]["here"]
    assert (hostile["failed"], hostile["changed"]) == (True, False)
    assert re.search(says, hostile["msg"]), hostile["msg"]
    assert hostile["msg"].isprintable() and len(hostile["msg"]) < 1200
    assert not honest["failed"], honest["msg"]
    assert all(str(row["reason"]).isprintable() for row in result["table"])
    assert took < (timeout + 4 if timeout == 3 else timeout / 2)
    assert grown < 64_000
    json.dumps(result)


def test_greetings_that_look_like_answers_are_none(fleet: Any) -> None:
    result = fleet("say('{ Welcome }')\nsay('{\"motd')\nsay('\\udcff{')\nhonest()", TIMEOUT, alone=True)
    assert (result["nodes"]["edge1"]["msg"], result["nodes"]["edge1"]["changed"]) == ("", True)
