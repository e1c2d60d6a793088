# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: one connection to the agent on a node (agent.py), and what to do about each way in which it can fail."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import re
import selectors
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, TypeVar, cast

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import answers, program
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.agent import (
    ELSEWHERE,
    FETCH,
    FRAME,
    LATER,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.chunks import Chunk, ChunkedArchive, Limit
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.relay import Member

# Bytes that are written at once: the limit is kept by the piece, and so is what is shown
PIECE = 1 << 16
# Of what ssh and the node write beside the answers: the end, which says why
ERRORS = 1 << 14
# Connections that stay open; only root gets in
SOCKETS = "/run/edgefl-ssh"
Checked = TypeVar("Checked")
# What the role edge_access puts on the nodes: it runs the agent that is installed there
INSTALLED = "/usr/local/lib/edgefl/ship"
# Made now: there is no archive any more when the module has gone on in the background
SOURCE = program.read()
# Of the agent as it is installed
DIGEST = hashlib.sha256(SOURCE.encode()).hexdigest()


@dataclass(frozen=True)
class Target:
    """A node that is reached by SSH; without `host` it is this host. `known_hosts` is a file with its host key.

    `installed` says that the agent is there already, and all that the key may run. Targets of one `site` give chunks to each other, at `site_host` where that
    is another address than the cloud node's way there. `architecture` is that of its images, whatever it says itself: it may run them by emulation.
    """

    name: str
    runtime: str
    host: str = ""
    user: str = "root"
    port: int = 22
    become: bool = True
    known_hosts: str = ""
    installed: bool = False
    site: str = ""
    site_host: str = ""
    architecture: str = ""

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}" if self.host else "This host"


class CorruptError(EdgeflError):
    """The runtime has got something else than was built."""


class Link:
    """A running agent on the target, which was given a `request`. Use it in a C(with) statement.

    `ssh` is the command's beginning; `acknowledged` is called with the number of chunks that the node holds.
    """

    def __init__(
        self,
        target: Target,
        ssh: list[str],
        request: dict[str, Any],
        timeout: float,
        acknowledged: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.target = target
        self.timeout = timeout
        self.spoke = False
        self.late = False
        sent: list[bytes] = []
        command = [INSTALLED]
        if not (target.host and target.installed):
            sent = [program.packed(SOURCE, bool(target.site))]
            python = "python3" if target.host else sys.executable
            command = [python, "-IS", "-c", program.BOOT, str(len(sent[0]))]
        if target.host:
            remote = ["sudo", "-n", *command] if target.become else command
            command = [*ssh, "-p", str(target.port), "-l", target.user, target.host, shlex.join(remote)]
        self.process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.timer = threading.Timer(timeout, self._give_up)
        self.timer.daemon = True
        self.timer.start()
        self._said: queue.Queue[dict[str, Any] | EdgeflError | None] = queue.Queue()
        self._errors = b""
        # Answers so far, bytes that are none, chunks that the node may have, and those that it says it has
        self._answers = self._noise = 0
        self._sent = self._at = -1
        # The chunk that is to come from a neighbour, and how that went: why not, or empty
        self._fetched: int | None = None
        self._outcomes: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._listen, args=(acknowledged,), daemon=True)
        self._reader.start()
        self._write([*sent, _line(request)])

    def _give_up(self) -> None:
        self.late = True
        self.cut()

    def cut(self) -> None:
        """Ends it at once, with all that it started: a runtime's command that hangs would hold the pipe that is written to."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def _write(self, pieces: Iterable[bytes]) -> None:
        stream = cast(IO[bytes], self.process.stdin)
        # When the agent is gone, what it said last tells why
        with contextlib.suppress(BrokenPipeError):
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(stream.fileno(), view) :]

    def _listen(self, acknowledged: Callable[[int], None]) -> None:
        """Reads all that is written, at the speed of who writes, and keeps little of it: the other end may be anybody."""
        line = bytearray()
        try:
            for data in self._read():
                line += data
                if b"\n" in data:
                    *whole, line = line.split(b"\n")
                    for text in whole:
                        self._take(bytes(text), acknowledged)
                if len(line) > answers.LINE:
                    raise answers.FlawedError(f"a line of more than {answers.LINE} bytes")
        except answers.FlawedError as error:
            self._said.put(self._flawed(error))
            self.cut()
        finally:
            self._said.put(None)

    def _read(self) -> Iterator[bytes]:
        """Standard output until its end; the end of standard error is kept. A connection that stays open may hold that one for longer."""
        with selectors.DefaultSelector() as selector:
            output, errors = cast(IO[bytes], self.process.stdout), cast(IO[bytes], self.process.stderr)
            selector.register(output, selectors.EVENT_READ)
            selector.register(errors, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(0.5 if output in selector.get_map() else 0.02)
                if not ready and self.process.poll() is not None:
                    break
                for key, _events in ready:
                    data = os.read(key.fd, PIECE)
                    if not data:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is errors:
                        self._errors = (self._errors + data)[-ERRORS:]
                    else:
                        yield data

    def _take(self, text: bytes, acknowledged: Callable[[int], None]) -> None:
        try:
            answer = answers.parse(text)
        except answers.NoAnswerError:
            # A login script of the user may greet before the agent speaks
            self._noise += len(text) + 1
            if self._answers or self._noise > answers.GREETINGS:
                raise
            return
        if "at" in answer:
            self._at = answers.number(answer, "at", self._at + 1, self._sent + 1)
            acknowledged(self._at)
            if self._fetched is not None and self._at > self._fetched:
                self._fetched = None
                self._outcomes.put("")
            return
        if "need" in answer:
            why = answers.lacking(answer, self._fetched)
            self._fetched = None
            self._outcomes.put(why)
            return
        self._answers += 1
        if self._answers > answers.ANSWERS:
            raise answers.FlawedError("more answers than questions")
        self._said.put(answer)

    def _flawed(self, error: answers.FlawedError) -> EdgeflError:
        return EdgeflError(
            f"{self.target.name} ({self.target}) says what the agent never says: {error}. If its login scripts write such lines, keep them quiet;"
            " if not, somebody else may answer there: set the node up anew. Nothing more was sent to it."
        )

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.timer.cancel()
        cast(IO[bytes], self.process.stdin).close()
        # An agent that has said all ends by itself; one that has not takes away what it began. On a node it does so without us
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.0 if sys.exc_info()[0] and self.target.host else 2.0)
        self.cut()
        self.process.wait()
        self._reader.join()
        cast(IO[bytes], self.process.stdout).close()
        cast(IO[bytes], self.process.stderr).close()

    def hear(self, check: Callable[[dict[str, Any]], Checked]) -> Checked:
        """The next thing that the agent says, as `check` (answers.py) lets it pass.

        EdgeflError when it is an error, or none of an agent's; Transient when the connection was lost or not made.
        """
        answer = self._said.get()
        if answer is None:
            self.process.wait()
            if self.late:
                raise EdgeflError(
                    f"{self.target}: not done after {self.timeout:.0f} s. See whether its {self.target.runtime} hangs, and how fast the link is;"
                    " a longer timeout can be given."
                )
            raise explain_ssh(self._errors.decode(errors="replace"), self.target, self.spoke)
        if isinstance(answer, EdgeflError):
            raise answer
        self.spoke = True
        try:
            if "error" in answer:
                raise explain_agent(answers.error(answer), self.target)
            return check(answer)
        except answers.FlawedError as error:
            raise self._flawed(error) from None

    def ask(self, files: bytes, count: int) -> None:
        """Asks the agent which of so many files are there (agent.py: FILE)."""
        self._write([_line({"files": count}), files])

    def order(self, order: dict[str, Any]) -> None:
        """Tells the agent what is to be done."""
        self._write([_line(order)])

    def send(
        self,
        archive: ChunkedArchive,
        first: int,
        limit: Limit,
        written: Callable[[int], None],
        member: Member | None = None,
    ) -> None:
        """Sends the archive from chunk `first` on, and ends it; `written` is called with the bytes that were handed over.

        A chunk that a neighbour of `member` has comes from there.
        """
        if first and not archive.get(first - 1):
            raise self._flawed(answers.FlawedError(f"it has {first} chunks of an archive that has fewer"))
        index = self._at = self._sent = first
        while not self.ended() and (chunk := archive.get(index)):
            self._sent = index + 1
            if not (member and self._relay(chunk, member, written)):
                self._send_chunk(archive, chunk, limit, written)
            index += 1
        self._write([FRAME.pack(index, 0, bytes(32))])

    def _send_chunk(self, archive: ChunkedArchive, chunk: Chunk, limit: Limit, written: Callable[[int], None]) -> None:
        self._write([FRAME.pack(chunk.index, chunk.length, chunk.digest)])
        for piece in archive.read(chunk, PIECE):
            if self.ended():
                break
            limit.take(len(piece))
            self._write([piece])
            written(len(piece))

    def _relay(self, chunk: Chunk, member: Member, written: Callable[[int], None]) -> bool:
        """Whether the agent has the chunk from a neighbour; it is asked for at one after another, until it is the cloud's turn."""
        while not self.ended():
            try:
                source = member.choose(chunk.index, chunk.length)
            except TimeoutError:
                self.beat()
                continue
            if source is None:
                return False
            try:
                self._fetched = chunk.index
                order = FETCH.pack(chunk.length, source.port, source.seconds, source.address.encode())
                self._write([FRAME.pack(chunk.index, ELSEWHERE, chunk.digest), order])
                written(FRAME.size + len(order))
                why = self._outcome()
            finally:
                source.end()
            if why:
                member.refuse(source, why)
            elif why is not None:
                member.fetched(chunk.length)
                return True
        return True

    def _outcome(self) -> str | None:
        """Why the chunk did not come from the neighbour, or empty; None when the agent is gone. One that says nothing is ended by the timer."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._outcomes.get(timeout=0.5)
            if self.ended():
                return None

    def beat(self) -> None:
        """Shows the agent that the connection is alive."""
        self._write([FRAME.pack(0, LATER, bytes(32))])

    def ended(self) -> bool:
        """Whether it has spoken its last word, or its process is gone: what is written then has nobody to go to."""
        return not self._said.empty() or self.process.poll() is not None


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def ssh_command(key: str | None, known_hosts: str | None, timeout: int, persist: int = 0) -> list[str]:
    """The C(ssh) command that never asks, and never takes a host key that is not known.

    A connection stays open for `persist` seconds after its last use, and is used again; each node has its own.
    """
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": str(timeout),
        # A dead link is noticed within three times this many seconds
        "ServerAliveInterval": "10",
        "ServerAliveCountMax": "3",
        # What is worth it is compressed already, by a better program
        "Compression": "no",
        # Made by the processor's own instructions; the default takes a core for itself
        "Ciphers": "^aes128-gcm@openssh.com",
        # Half the time of the default, and 2 KB less, each time
        "KexAlgorithms": "^curve25519-sha256",
    }
    if key:
        options.update({"IdentityFile": key, "IdentitiesOnly": "yes"})
    if known_hosts:
        options.update({"UserKnownHostsFile": known_hosts, "GlobalKnownHostsFile": "/dev/null"})
    if persist:
        os.makedirs(SOCKETS, mode=0o700, exist_ok=True)
        options.update({"ControlMaster": "auto", "ControlPath": f"{SOCKETS}/%C", "ControlPersist": str(persist)})
    return ["ssh", "-T", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


_UNREACHED = r"Connection refused|timed out|No route to host|Network is unreachable"
_LOST = r"Connection (to .* )?closed|Connection reset|Broken pipe|Timeout, server"


ACCESS = "run the role edge_access (edgefl.kubeedge.site --tags edge_access)"


def explain_ssh(text: str, target: Target, spoke: bool = False) -> EdgeflError:
    """What to do about an C(ssh) (or an agent) that ended without an answer, by what it wrote.

    A Transient when that may go away by itself; so is an end without a word of an agent that had spoken before.
    """
    lines = [printable(line.strip()) for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else "it said nothing"
    if not target.host:
        return EdgeflError(f"The program that asks this host's container runtime ended: {last}.")
    cases = (
        (
            r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed",
            f"its host key is not the one that is known. If it was set up anew, {ACCESS}; if not, somebody is in between.",
        ),
        (
            r"Host key verification failed|No .* host key is known",
            f"its host key is not known on this host: {ACCESS}.",
        ),
        (
            r"Permission denied",
            f"it does not let user {target.user} in with this host's key: correct ansible_user, or {ACCESS}.",
        ),
        (
            r"sudo: .*password is required|is not in the sudoers|is not allowed to (execute|run)",
            f"user {target.user} cannot become root there without a password: give it a file in /etc/sudoers.d.",
        ),
        (INSTALLED, f"the program that takes images is not installed there: {ACCESS}."),
        (r"sudo: .*not found|sudo: command not found", "it has no sudo: install it, or log in as root."),
        (r"python3: .*not found|python3: command not found", "it has no python3: install it."),
        (r"Could not resolve", "its name is not known on this host: set ansible_host to its address."),
        (_UNREACHED, f"it does not answer ({last}): start its SSH server, and correct ansible_host and ansible_port."),
        (
            _LOST,
            f"the connection was lost ({last}): see that it is up, and run this again; it goes on where it was.",
        ),
    )
    advice = next((words for pattern, words in cases if re.search(pattern, text)), "")
    if not advice and spoke:
        advice = "the connection was lost: see that it is up, and run this again; it goes on where it was."
    passing = not re.search("|".join(pattern for pattern, _words in cases[:-2]), text) and (
        spoke or re.search(f"{_UNREACHED}|{_LOST}", text)
    )
    return (Transient if passing else EdgeflError)(f"{target} cannot be used from this host: {advice or f'{last}.'}")


# What runtimes say of an archive that was damaged, or cut off
_DAMAGED = re.compile(
    r"invalid diffID|unexpected EOF|content digest .* not found|no such file or directory|unrecognized image format",
    re.IGNORECASE,
)


def explain_agent(answer: dict[str, Any], target: Target) -> EdgeflError:
    """What to do about an error that the agent reports; a Transient when sending again may help."""
    reason, code, runtime = answer["reason"], answer["error"], target.runtime
    if re.search(r"no space left", reason, re.IGNORECASE):
        return EdgeflError(
            f"{target}: its disk became full ({reason}). Nothing was changed there: make room and run this again."
        )
    if code == "failed" and _DAMAGED.search(reason):
        code = "corrupt"
    advice = {
        "absent": f"runtime {runtime} is not there ({reason}): set edgefl_runtime to what runs the node's pods, or install it.",
        "containerd": f"its Docker keeps images in containerd, which cannot be asked ({reason}): start it, and install its command ctr.",
        "stopped": f"runtime {runtime} does not answer ({reason}): start it (systemctl start {runtime}).",
        "corrupt": f"what arrived is not what was sent ({reason}). Nothing was changed there: run this again.",
        "damaged": f"what arrives is not what was sent ({reason}). Nothing was changed there: see to its memory and network, and run this again.",
        "lost": f"the connection was lost ({reason}): see that it is up, and run this again; it goes on where it was.",
        "version": f"{reason}: {ACCESS}.",
        "refused": f"it takes images and nothing else ({reason}): {ACCESS}, or see who asks for that.",
        "busy": f"{reason}: wait until that is done, and run this again.",
        "failed": f"{runtime} refused the images ({reason}). Nothing was changed there: see its log, and run this again.",
    }
    kinds = {"damaged": Transient, "lost": Transient, "corrupt": CorruptError}
    return kinds.get(code, EdgeflError)(f"{target}: {advice[code]}")
