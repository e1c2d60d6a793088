# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: images from this host's Docker to the runtime of a node: what is missing there, and how it gets there.

Source (C(Source), on C(_layers)), plan (pure) and target (C(Link), on C(_ship_agent)) do not know of each other.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

from ansible_collections.edgefl.kubeedge.plugins.module_utils import _ship_agent
from ansible_collections.edgefl.kubeedge.plugins.module_utils._archive import Blob, Content, archive
from ansible_collections.edgefl.kubeedge.plugins.module_utils._errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._layers import (
    Image,
    Layer,
    LayerStore,
    UnreadableError,
    chain_ids,
    parse_image,
)

RUNTIMES = ("containerd", "docker")
# What a runtime needs of disk for a layer: as it arrives, and unpacked
ROOM = 2
# A runtime's own files, and what else happens on the node meanwhile
SPARE = 200_000_000
PIPE = 1 << 20
# Runs the program that is the first so many bytes of its standard input: on a command line it would fill sudo's log
BOOT = (
    "import os, sys\nleft, text = int(sys.argv[1]), b''\nwhile left > len(text):\n    part = os.read(0, left - len(text))\n"
    "    if not part: sys.exit('no program came')\n    text += part\nexec(compile(text, 'agent', 'exec'), {'__name__': '__main__'})\n"
)

Run = Callable[..., "tuple[int, str, str]"]


@dataclass(frozen=True)
class Target:
    """A node that is reached by SSH; None of it means this host."""

    host: str
    user: str
    port: int = 22
    become: bool = True

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


@dataclass(frozen=True)
class Step:
    """What is to be done for one image: `reason` for people, `missing` the indexes of the layers that the target lacks."""

    image: Image
    reason: str
    missing: tuple[int, ...]

    @property
    def needed(self) -> bool:
        """Whether something is to be done at all."""
        return self.reason != UP_TO_DATE


UP_TO_DATE = "up to date"
MISSING = "missing"


def plan(images: list[Image], state: dict[str, Any]) -> list[Step]:
    """One step per image, from what the target says of itself (see _ship_agent: C(images), C(layers), C(chains), C(store)).

    A content store keeps layers one by one. Docker keeps stacks: a layer counts only together with all that are below it.
    """
    content = set(state["layers"])
    stacks = {chain for layers in state["chains"] for chain in chain_ids(layers)}
    steps = []
    for image in images:
        there = state["images"].get(image.full_name)
        if there is not None and same(image, there):
            steps.append(Step(image, UP_TO_DATE, ()))
            continue
        chains = chain_ids(list(image.diff_ids))
        missing = tuple(
            index
            for index, diff_id in enumerate(image.diff_ids)
            if diff_id not in content and chains[index] not in stacks
        )
        if len(missing) == len(image.diff_ids):
            reason = MISSING
        elif missing:
            reason = f"{len(missing)} of {len(image.diff_ids)} layers differ"
        else:
            reason = (
                "only its name is missing"
                if image.digest in content | set(state.get("ids", ()))
                else "same layers, another configuration"
            )
        steps.append(Step(image, reason, missing))
    return steps


def same(image: Image, there: dict[str, Any], manifest: str | None = None) -> bool:
    """Whether what the target has is the image: all layers, and the configuration.

    Docker with containerd's image store calls an image by its manifest's digest, not by its configuration's: `manifest` is accepted as well.
    """
    return there["layers"] == list(image.diff_ids) and bool(
        {image.digest, manifest or image.digest} & set(there["ids"])
    )


class Source:
    """Images of this host's Docker. `run` is like C(module.run_command)."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.store: LayerStore | None = None
        self.note = ""

    def images(self, names: list[str]) -> list[Image]:
        """What was built under these names; EdgeflError when it was not."""
        try:
            code, output, errors = self.run(["docker", "image", "inspect", *names])
        except OSError as error:
            raise EdgeflError(
                f"The command docker cannot be run on the host that built the images ({error}): run the role docker on it first."
            ) from error
        items = json.loads(output or "[]")
        if code and "No such image" in errors:
            found = {tag for item in items for tag in item.get("RepoTags") or ()}
            lost = ", ".join(name for name in names if name not in found) or errors.strip()
            raise EdgeflError(
                f"Not built on this host: {lost}. Build it first (site.yml --tags images), or correct the name."
            )
        if code:
            raise EdgeflError(
                f"Docker on the host that built the images does not answer: {errors.strip()}. Start it: systemctl start docker."
            )
        return [parse_image(name, item) for name, item in zip(names, items)]

    def open(self) -> LayerStore | None:
        """Docker's folder of layers; None, with a note why, when images can only be had whole."""
        code, output, errors = self.run(["docker", "info", "--format", "{{json .DockerRootDir}} {{json .Driver}}"])
        if code:
            raise EdgeflError(
                f"Docker on the host that built the images does not answer: {errors.strip()}. Start it: systemctl start docker."
            )
        root, driver = (json.loads(word) for word in output.split())
        try:
            return LayerStore(root, driver)
        except UnreadableError as error:
            self.note = error.message
            return None


@dataclass(frozen=True)
class Shipment:
    """An archive and where its bytes come from: `whole` when it is C(docker save)'s, `need` the bytes that unpack at the target."""

    pieces: Iterator[bytes]
    whole: bool
    need: int
    sent: dict[str, int]
    manifests: dict[str, str]


def shipment(source: Source, steps: list[Step]) -> Shipment:
    """The archive for the steps that are needed: only missing layers where Docker's folder can be read, else the images whole."""
    wanted = [step for step in steps if step.needed]
    store = source.open()
    if store is not None:
        try:
            return _layers_only(store, wanted)
        except UnreadableError as error:
            source.note = error.message
    names = [step.image.name for step in wanted]
    total = sum(step.image.size for step in wanted)
    return Shipment(_saved(names), True, total, {step.image.name: step.image.size for step in wanted}, {})


def _layers_only(store: LayerStore, wanted: list[Step]) -> Shipment:
    contents, layers, sent, known = [], [], {}, set()
    for step in wanted:
        image = step.image
        stack = [store.layer(chain, diff_id) for chain, diff_id in zip(chain_ids(list(image.diff_ids)), image.diff_ids)]
        contents.append(
            Content(image, store.config(image.digest), tuple(Blob(layer.diff_id, layer.size) for layer in stack))
        )
        new: list[Layer] = [stack[index] for index in step.missing if stack[index].diff_id not in known]
        known |= {layer.diff_id for layer in new}
        layers += new
        sent[image.name] = sum(layer.size for layer in new)
    return Shipment(
        archive(contents, layers, _ship_agent.INCOMING),
        False,
        sum(sent.values()),
        sent,
        {content.image.name: content.manifest_digest for content in contents},
    )


def _saved(names: list[str]) -> Iterator[bytes]:
    with subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE) as process:
        while piece := cast("IO[bytes]", process.stdout).read(PIPE):
            yield piece
    if process.returncode:
        raise EdgeflError(
            f"docker save {' '.join(names)} failed on the host that built the images: look at `journalctl -u docker` there."
        )


class Link:
    """A running agent on the target: what it says (`state`), and a way to hand it an archive. Use it in a C(with) statement."""

    def __init__(
        self, target: Target | None, runtime: str, names: list[str], ssh: list[str], timeout: float = 1800
    ) -> None:
        self.target = target
        self.runtime = runtime
        self.timeout = timeout
        # Inside Ansible's archive of modules there is no file to read
        loader: Any = _ship_agent.__loader__
        text: bytes = loader.get_source(_ship_agent.__name__).encode()
        program = ["python3" if target else sys.executable, "-c", BOOT, str(len(text))]
        program.append(json.dumps({"runtime": runtime, "names": names}))
        if target:
            remote = ["sudo", "-n", *program] if target.become else program
            program = [*ssh, "-p", str(target.port), "-l", target.user, target.host, shlex.join(remote)]
        # In a file, as nobody reads it while the archive is written
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            bufsize=PIPE,
            start_new_session=True,
        )
        self.late = False
        self.timer = threading.Timer(timeout, self._give_up)
        self.timer.daemon = True
        self.timer.start()
        self._write([text])

    def _give_up(self) -> None:
        self.late = True
        # With all that it started: a runtime's command that hangs would hold the pipe that is written to
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def _write(self, pieces: Iterable[bytes]) -> int:
        """Bytes that were written, to the last; fewer when the agent is gone, which says why."""
        stream = cast("IO[bytes]", self.process.stdin)
        sent = 0
        try:
            for piece in pieces:
                stream.write(piece)
                sent += len(piece)
            stream.flush()
        except BrokenPipeError:
            pass
        return sent

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.timer.cancel()
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                if stream:
                    stream.close()
            except OSError:
                # What was left in its buffer has nobody to go to
                pass
        self.process.wait()
        self.errors.close()

    def hear(self) -> dict[str, Any]:
        """The next thing that the agent says; EdgeflError when it is an error, or nothing."""
        stream = cast("IO[bytes]", self.process.stdout)
        # A login script of the user may greet before the agent speaks
        while (text := stream.readline()) and not text.startswith(b"{"):
            pass
        if not text:
            self.process.wait()
            if self.late:
                raise EdgeflError(
                    f"{self.target or 'This host'}: not done after {self.timeout:.0f} s. See whether its {self.runtime} hangs, and how fast the link is;"
                    " a longer timeout can be given."
                )
            self.errors.seek(0)
            raise EdgeflError(explain_ssh(self.errors.read().decode(errors="replace"), self.target))
        answer: dict[str, Any] = json.loads(text)
        if "error" in answer:
            raise EdgeflError(explain_agent(answer, self.target, self.runtime))
        return answer

    def send(self, names: list[str], cargo: Shipment, compression: str) -> tuple[dict[str, Any], int]:
        """Hands over the archive; what the agent says of the images then, and the bytes that went over the wire."""
        request = {"names": names, "whole": cargo.whole, "filter": ["zstd", "-dc"] if compression == "zstd" else []}
        self._write([json.dumps(request).encode() + b"\n"])
        try:
            sent = self._write(_compressed(cargo.pieces, compression))
        except UnreadableError as error:
            raise EdgeflError(
                f"{error.message}. Nothing was changed on {self.target or 'this host'}. Remove the image (docker image rm) and build it again."
            ) from error
        with contextlib.suppress(BrokenPipeError):
            cast("IO[bytes]", self.process.stdin).close()
        return self.hear(), sent


def _compressed(pieces: Iterator[bytes], compression: str) -> Iterator[bytes]:
    if compression != "zstd":
        yield from pieces
        return
    trouble: list[BaseException] = []
    with subprocess.Popen(
        ["zstd", "-q", "-3", "-T0", "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=PIPE
    ) as process:
        source, result = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)

        def fill() -> None:
            try:
                for piece in pieces:
                    source.write(piece)
                source.close()
            except BaseException as error:
                trouble.append(error)
                process.kill()

        thread = threading.Thread(target=fill, daemon=True)
        thread.start()
        try:
            while piece := os.read(result.fileno(), PIPE):
                yield piece
        finally:
            process.kill()
            thread.join()
    if trouble:
        raise trouble[0]


def ssh_command(key: str | None, known_hosts: str | None, timeout: int) -> list[str]:
    """The C(ssh) command that never asks, and never takes a host key that is not known."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": str(timeout),
        # A dead link is noticed within four times this many seconds
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
        # What is worth it is compressed already, by a better program
        "Compression": "no",
        # Made by the processor's own instructions; the default takes a core for itself
        "Ciphers": "^aes128-gcm@openssh.com",
    }
    if key:
        options |= {"IdentityFile": key, "IdentitiesOnly": "yes"}
    if known_hosts:
        options |= {"UserKnownHostsFile": known_hosts, "GlobalKnownHostsFile": "/dev/null"}
    return ["ssh", "-T", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


def explain_ssh(text: str, target: Target | None) -> str:
    """What to do about an C(ssh) (or an agent) that ended without an answer, by what it wrote."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else "it said nothing"
    if target is None:
        return f"The program that asks this host's container runtime ended: {last}."
    cases = (
        (
            r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed",
            "its host key is not the one that is known. If it was set up anew, run the role openssh (site.yml --tags openssh); if not, somebody is in between.",
        ),
        (
            r"Host key verification failed|No .* host key is known",
            "its host key is not known on this host: run the role openssh (site.yml --tags openssh).",
        ),
        (
            r"Permission denied",
            f"it does not let user {target.user} in with this host's key: correct ansible_user, or run the role openssh (site.yml --tags openssh).",
        ),
        (
            r"sudo: .*password is required|is not in the sudoers|is not allowed to (execute|run)",
            f"user {target.user} cannot become root there without a password: give it a file in /etc/sudoers.d.",
        ),
        (r"sudo: .*not found|sudo: command not found", "it has no sudo: install it, or log in as root."),
        (r"python3: .*not found|python3: command not found", "it has no python3: install it."),
        (r"Could not resolve", "its name is not known on this host: set ansible_host to its address."),
        (
            r"Connection refused|timed out|No route to host|Network is unreachable",
            f"it does not answer ({last}): start its SSH server, and correct ansible_host and ansible_port.",
        ),
        (
            r"Connection (to .* )?closed|Connection reset|Broken pipe|Timeout, server",
            f"the connection was lost ({last}): see that it is up, and run this again.",
        ),
    )
    for pattern, advice in cases:
        if re.search(pattern, text):
            return f"{target} cannot be used from this host: {advice}"
    return f"{target} cannot be used from this host: {last}."


# What runtimes say of an archive that was damaged, or cut off
_DAMAGED = re.compile(
    r"invalid diffID|unexpected EOF|content digest .* not found|no such file or directory|unrecognized image format",
    re.IGNORECASE,
)


def explain_agent(answer: dict[str, Any], target: Target | None, runtime: str) -> str:
    """What to do about an error that the agent reports."""
    where, reason, code = str(target) if target else "This host", answer["reason"], answer["error"]
    if re.search(r"no space left", reason, re.IGNORECASE):
        return f"{where}: its disk became full ({reason}). Nothing was changed there: make room and run this again."
    if code == "failed" and _DAMAGED.search(reason):
        code = "corrupt"
    advice = {
        "absent": f"runtime {runtime} is not there ({reason}): set edgefl_runtime to what runs the node's pods, or install it.",
        "stopped": f"runtime {runtime} does not answer ({reason}): start it (systemctl start {runtime}).",
        "corrupt": f"what arrived is not what was sent ({reason}). Nothing was changed there: run this again.",
        "failed": f"{runtime} refused the images ({reason}). Nothing was changed there: see its log, and run this again.",
    }
    return f"{where}: {advice[code]}"


def check_room(steps: list[Step], state: dict[str, Any], cargo: Shipment, where: str) -> None:
    """EdgeflError when images are for another processor, or do not fit."""
    other = sorted({step.image.arch for step in steps if step.needed} - {state["arch"]})
    if other:
        raise EdgeflError(
            f"{where} is {state['arch']}, the images are {', '.join(other)}: build them on a machine like it, or take it out of the inventory."
        )
    need = cargo.need * ROOM + SPARE
    if state["free"] < need:
        raise EdgeflError(
            f"{where} has {state['free'] / 1e6:.0f} MB free for {state['root']}, the images need {need / 1e6:.0f} MB: "
            "make room there (crictl rmi --prune, docker image prune), or give it a larger disk."
        )


def check_compression(state: dict[str, Any], compression: str, where: str) -> None:
    """EdgeflError when one side lacks the program."""
    if compression == "zstd":
        lacking = [name for name, there in (("this host", shutil.which("zstd")), (where, state["zstd"])) if not there]
        if lacking:
            raise EdgeflError(
                f"zstd is not installed on {' and '.join(lacking)}: install it (apt-get install zstd), or set compression to none."
            )


def ship(
    source: Source,
    names: list[str],
    target: Target | None,
    runtime: str,
    ssh: list[str],
    compression: str = "none",
    check_mode: bool = False,
    timeout: float = 1800,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Brings the images to the target and returns the results of the module image_ship."""
    begin = clock()
    where = str(target) if target else "This host"
    images = source.images(names)
    full = [image.full_name for image in images]
    with Link(target, runtime, full, ssh, timeout) as link:
        state = link.hear()
        steps = plan(images, state)
        wanted = [step for step in steps if step.needed]
        sent, wire = dict.fromkeys(names, 0), 0
        whole = False
        if wanted:
            cargo = shipment(source, steps)
            whole = cargo.whole
            check_room(steps, state, cargo, where)
            check_compression(state, compression, where)
            sent |= cargo.sent
            if not check_mode:
                answer, wire = link.send([step.image.full_name for step in wanted], cargo, compression)
                _verify(wanted, answer, cargo, where)
    seconds = round(clock() - begin, 2)
    return {
        "changed": bool(wanted),
        "images": [
            {
                "name": step.image.name,
                "reason": step.reason,
                "digest": step.image.digest,
                "layers": len(step.image.diff_ids),
                "layers_sent": (len(step.image.diff_ids) if whole else len(step.missing)) if step.needed else 0,
                "bytes": sent[step.image.name],
                "saved": step.image.size - min(step.image.size, sent[step.image.name]),
                "seconds": seconds,
            }
            for step in steps
        ],
        "bytes": wire,
        "seconds": seconds,
        "whole": whole,
        "note": source.note,
    }


def _verify(wanted: list[Step], answer: dict[str, Any], cargo: Shipment, where: str) -> None:
    wrong = []
    for step in wanted:
        there = answer["images"].get(step.image.full_name)
        if there is None or not same(step.image, there, cargo.manifests.get(step.image.name)):
            wrong.append(step.image.name)
    if wrong:
        raise EdgeflError(
            f"{where}: {', '.join(wrong)} is there, but is not what was built: see that nothing else loads it, and run this again."
        )
