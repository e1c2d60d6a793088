# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: one flag of one static pod, changed in its manifest with as little change of the file's text as can be.

The manifest is parsed by C(kubectl patch --local), which asks no API server and needs no YAML library on the host.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import without_prefix
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import Outcome, done, failed, pending, wait
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl, NotFound

HASH = "kubernetes.io/config.hash"
SOURCE = "kubernetes.io/config.source"
# The two lists of a container that make up its command line, in this order
FIELDS = ("command", "args")
# An API server that is just busy answers within this many seconds; one that is away is no base for a change
ANSWER_TIMEOUT = 60
# A container without a readiness probe is called ready as soon as it starts; one that stays up for so many seconds did not fail at once
STEADY = 10
# A container that failed so often will not come up by itself
RESTARTS = 3

Parse = Callable[[str], "dict[str, Any]"]
Rewrite = Callable[[str, "list[dict[str, Any]]"], str]

_FLAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# An item of a list in block style: quoted or plain text on one line, perhaps a comment behind it
_ITEM = re.compile(
    r"(?P<indent> *)-(?P<gap> +)"
    r"(?P<scalar>'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"|[^\s'\"#\[{|>&*!%@`](?:[^#\n]|(?<=\S)#)*?)"
    r"(?P<rest>\s*(?:(?<=\s)#.*)?)"
)
_BLANK = re.compile(r"\s*(?:#.*)?")
_PLAIN = re.compile(r"--[A-Za-z0-9](?:[A-Za-z0-9_.,/=@%+*-]|:(?=[^\s]))*")


@dataclass(frozen=True)
class Flag:
    """A flag and the value that it shall have; None when it shall not be there."""

    name: str
    value: str | None

    @classmethod
    def of(cls, name: str, value: str | None) -> Flag:
        """The flag with or without its dashes; EdgeflError when it cannot be one."""
        name = without_prefix(name, "--")
        if not _FLAG.fullmatch(name):
            raise EdgeflError(f"{name!r} is not the name of a flag: write it like enable-aggregator-routing.")
        # YAML's true reaches a module as "True"; the file shall not change for that
        if value is not None and value.lower() in ("true", "false"):
            value = value.lower()
        return cls(name, value)

    def __str__(self) -> str:
        return f"--{self.name}" if self.value is None else f"--{self.name}={self.value}"

    def same(self, argument: str) -> bool:
        """Whether an argument sets this flag; Kubernetes' programs take C(_) in a flag for C(-)."""
        name = argument.partition("=")[0]
        return name.startswith("--") and name[2:].replace("_", "-") == self.name.replace("_", "-")


@dataclass(frozen=True)
class Change:
    """What to do with one list of arguments: texts that replace items, items that go, and a text that is added at the end."""

    replace: dict[int, str]
    delete: frozenset[int]
    append: str | None

    def apply(self, items: list[str]) -> list[str]:
        """The list after the change."""
        kept = [self.replace.get(index, item) for index, item in enumerate(items) if index not in self.delete]
        return kept if self.append is None else [*kept, self.append]


def right(arguments: list[str], flag: Flag) -> bool:
    """Whether the command line already has the flag exactly once with its value (or not at all)."""
    found = _occurrences(arguments, flag)
    if flag.value is None:
        return not found
    return len(found) == 1 and found[0][2] == flag.value


def plan(container: dict[str, Any], flag: Flag) -> dict[str, Change]:
    """Changes of C(command) and C(args) by field; empty when the flag is right.

    Of several occurrences the first is kept, in its place. A flag that is new goes to the end of the list that holds the others.
    """
    arguments = command_line(container)
    if arguments[:1] and Path(arguments[0]).name in ("sh", "bash", "dash", "ash") and "-c" in arguments:
        raise EdgeflError(
            f"Container {container['name']} is started by a shell ({arguments[0]} -c): set {flag} in its script by hand."
        )
    if right(arguments, flag):
        return {}
    border = len(container.get("command") or [])
    replace: dict[int, str] = {}
    delete: set[int] = set()
    for number, (first, last, _value) in enumerate(_occurrences(arguments, flag)):
        if number == 0 and flag.value is not None:
            replace[first] = str(flag)
            delete.update(range(first + 1, last + 1))
        else:
            delete.update(range(first, last + 1))
    home = "args" if container.get("args") or not container.get("command") else "command"
    changes = {}
    for field, low, high in (("command", 0, border), ("args", border, len(arguments))):
        change = Change(
            replace={index - low: text for index, text in replace.items() if low <= index < high},
            delete=frozenset(index - low for index in delete if low <= index < high),
            append=str(flag) if flag.value is not None and not replace and field == home else None,
        )
        if change.replace or change.delete or change.append:
            changes[field] = change
    return changes


def command_line(container: dict[str, Any]) -> list[str]:
    """C(command) and C(args) of a container, together."""
    return [*(container.get("command") or []), *(container.get("args") or [])]


def _occurrences(arguments: list[str], flag: Flag) -> list[tuple[int, int, str]]:
    """First and last index of each occurrence, and its value: C(--flag=value), C(--flag value), or C(--flag) for C(true)."""
    found = []
    for index, argument in enumerate(arguments):
        if not flag.same(argument):
            continue
        if "=" in argument:
            found.append((index, index, argument.partition("=")[2]))
        elif index + 1 < len(arguments) and not arguments[index + 1].startswith("-"):
            found.append((index, index + 1, arguments[index + 1]))
        else:
            found.append((index, index, "true"))
    return found


def select(pod: dict[str, Any], path: str, container: str | None) -> int:
    """Index of the container named so, or of the first; EdgeflError when the manifest is no Pod or has no such container."""
    if pod.get("kind") != "Pod":
        raise EdgeflError(
            f"{path} holds a {pod.get('kind') or 'file without a kind'}, not a Pod: give the manifest of a static pod."
        )
    if not (pod.get("metadata") or {}).get("name"):
        raise EdgeflError(f"The Pod in {path} has no name: correct the file.")
    containers = (pod.get("spec") or {}).get("containers") or []
    names = [each.get("name") for each in containers]
    if not names:
        raise EdgeflError(f"The Pod in {path} has no containers: correct the file.")
    if container is None:
        return 0
    if container not in names:
        raise EdgeflError(f"The Pod in {path} has no container {container!r}: choose one of {', '.join(names)}.")
    return names.index(container)


def edited(text: str, pod: dict[str, Any], index: int, flag: Flag, parse: Parse, rewrite: Rewrite) -> tuple[str, bool]:
    """The manifest's text with the flag set, and whether its formatting was kept.

    Only lines of the flag change where the list stands one item a line; every candidate is proven by parsing it.
    Otherwise (an inline list, items over several lines) `rewrite` (text, JSON patch) writes the whole file anew.
    """
    container = pod["spec"]["containers"][index]
    changes = plan(container, flag)
    if not changes:
        return text, True
    wanted = json.loads(json.dumps(pod))
    for field, change in changes.items():
        wanted["spec"]["containers"][index][field] = change.apply(container.get(field) or [])
    lines = text.splitlines(keepends=True)
    places = [[(block, changes[field]) for block in _blocks(lines, container.get(field) or [])] for field in changes]
    for candidate in itertools.product(*places):
        new = _write(lines, list(candidate))
        try:
            if parse(new) == wanted:
                return new, True
        except EdgeflError:
            # Not a place where the text can be changed; the next one may be
            continue
    patch = [
        {"op": "add", "path": f"/spec/containers/{index}/{field}", "value": wanted["spec"]["containers"][index][field]}
        for field in changes
    ]
    new = rewrite(text, patch)
    if parse(new) != wanted:
        raise EdgeflError(
            f"The manifest cannot be changed by this module without changing more than {flag}: set the flag by hand."
        )
    return new, False


def _decode(scalar: str) -> str:
    if scalar.startswith("'"):
        return scalar[1:-1].replace("''", "'")
    if scalar.startswith('"'):
        try:
            return str(json.loads(scalar))
        except ValueError:
            return scalar
    return scalar.rstrip()


def _encode(argument: str) -> str:
    return argument if _PLAIN.fullmatch(argument) else json.dumps(argument)


def _blocks(lines: list[str], items: list[str]) -> list[list[int]]:
    """Line numbers of every list in block style that consists of just these items."""
    runs: list[list[int]] = []
    run: list[int] = []
    indent = None
    for number, line in enumerate([*lines, "end"]):
        match = _ITEM.fullmatch(line.rstrip("\r\n"))
        if match and match["indent"] == indent:
            run.append(number)
        elif match is None and _BLANK.fullmatch(line.rstrip("\r\n")):
            continue
        else:
            runs.append(run)
            run, indent = ([number], match["indent"]) if match else ([], None)
    return [run for run in runs if run and [_value(lines[number]) for number in run] == items]


def _value(line: str) -> str:
    match = _ITEM.fullmatch(line.rstrip("\r\n"))
    return _decode(match["scalar"]) if match else ""


def _write(lines: list[str], edits: list[tuple[list[int], Change]]) -> str:
    """The text after changes of whole items; comments behind items that stay are kept."""
    new: dict[int, str] = dict(enumerate(lines))
    for block, change in edits:
        for index, argument in change.replace.items():
            line = lines[block[index]]
            match = _ITEM.fullmatch(line.rstrip("\r\n"))
            if match:
                ending = line[len(line.rstrip("\r\n")) :]
                new[block[index]] = f"{match['indent']}-{match['gap']}{_encode(argument)}{match['rest']}{ending}"
        for index in change.delete:
            new[block[index]] = ""
        if change.append is not None:
            last = lines[block[-1]]
            match = _ITEM.fullmatch(last.rstrip("\r\n"))
            ending = last[len(last.rstrip("\r\n")) :]
            if match:
                item = f"{match['indent']}-{match['gap']}{_encode(change.append)}"
                new[block[-1]] += f"{item}{ending}" if ending else f"\n{item}"
    return "".join(new[number] for number in sorted(new))


class Parser:
    """Reads and patches manifests with C(kubectl patch --local)."""

    def __init__(self, kubectl: Kubectl, path: str) -> None:
        self.kubectl = kubectl
        self.path = path

    def parse(self, text: str) -> dict[str, Any]:
        """The manifest as data; EdgeflError when it is no YAML, or not one Kubernetes object."""
        output = self._patch(text, "merge", {}, "json")
        try:
            data = json.loads(output)
        except ValueError as error:
            raise EdgeflError(
                f"{self.path} holds more than one object: the kubelet reads one Pod from a file, so split it."
            ) from error
        if not isinstance(data, dict):
            raise EdgeflError(f"{self.path} holds no Kubernetes object: give the manifest of a static pod.")
        return data

    def rewrite(self, text: str, patch: list[dict[str, Any]]) -> str:
        """The manifest after a JSON patch, as YAML in kubectl's formatting."""
        return self._patch(text, "json", patch, "yaml")

    def _patch(self, text: str, kind: str, patch: Any, output: str) -> str:
        if not text.strip():
            raise EdgeflError(f"{self.path} is empty: give the manifest of a static pod.")
        try:
            return self.kubectl.call(
                ["patch", "--local", "-f", "-", "--type", kind, "-p", json.dumps(patch), "-o", output], data=text
            )
        except EdgeflError as error:
            if "STDIN" in error.message or "YAML" in error.message or "no objects" in error.message:
                reason = without_prefix(error.message.rpartition("error: ")[2], "error parsing STDIN: ")
                raise EdgeflError(
                    f"{self.path} is not a manifest that Kubernetes can read ({reason}): correct the file."
                ) from error
            raise


class Mirror:
    """A static pod as the API server shows it: its mirror pod."""

    def __init__(
        self,
        kubectl: Kubectl,
        pod: dict[str, Any],
        index: int,
        hostname: str,
        node: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        metadata = pod["metadata"]
        self.kubectl = kubectl
        self.name: str = metadata["name"]
        self.namespace: str = metadata.get("namespace", "default")
        self.container: str = pod["spec"]["containers"][index]["name"]
        self.hostname = hostname
        self.node = node
        self.clock = clock
        # What tells the present containers from those before, and since when (seconds of the clock) they are ready
        self.seen: tuple[Any, float] = (None, 0)
        self.is_api_server = "kube-apiserver" in (self.name, self.container)

    def read(self) -> dict[str, Any] | None:
        """The mirror pod on this node, None when there is none now; EdgeflError when it cannot be told which of several it is."""
        found: list[dict[str, Any]] = [
            pod
            for pod in self.kubectl.get("pods", namespace=self.namespace)
            if pod["metadata"].get("annotations", {}).get(SOURCE) == "file"
            and pod["metadata"]["name"] == f"{self.name}-{pod['spec'].get('nodeName', '')}"
        ]
        nodes = [pod["spec"]["nodeName"] for pod in found]
        if self.node is not None:
            return found[nodes.index(self.node)] if self.node in nodes else None
        if not found:
            return None
        if len(found) > 1:
            if self.hostname not in nodes:
                raise EdgeflError(
                    f"Static pod {self.name} runs on {', '.join(nodes)}, and none is called {self.hostname} like this host: set `node`."
                )
            return found[nodes.index(self.hostname)]
        # Kept, so that another node's pod is not taken for ours while ours is away
        self.node = nodes[0]
        return found[0]

    def hash(self) -> str | None:
        """The hash of the manifest that the kubelet runs; None when the pod is not there."""
        pod = self.read()
        return None if pod is None else pod["metadata"]["annotations"].get(HASH)

    def runs(self, accepts: Callable[[dict[str, Any]], str], steady: float = STEADY) -> Outcome:
        """Done when the mirror pod is one that `accepts` takes (it returns why not, or an empty string) and the pod works.

        Containers whose readiness nothing probes must stay up for `steady` seconds.
        """
        pod = self.read()
        if pod is None:
            return pending(f"static pod {self.name} is not there")
        refusal = accepts(pod)
        if refusal:
            return pending(refusal)
        if self.is_api_server:
            try:
                answer = self.kubectl.raw("/readyz")
            except NotFound as error:
                raise Transient(error.message) from error
            except Transient:
                raise
            except EdgeflError as error:
                # It names the checks that have not passed yet
                return pending(error.message)
            return done() if answer == "ok" else pending(f"/readyz says {answer!r}")
        outcome = _ready(pod)
        if outcome.state != "done" or all("readinessProbe" in each for each in pod["spec"]["containers"]):
            return outcome
        starts = [(each["name"], each.get("restartCount", 0)) for each in pod["status"].get("containerStatuses", [])]
        present = (pod["metadata"]["annotations"].get(HASH), starts)
        if self.seen[0] != present:
            self.seen = (present, self.clock())
        left = steady - (self.clock() - self.seen[1])
        return outcome if left <= 0 else pending(f"{self.name} has to stay up for {left:.0f} s more")

    def accepts_new(self, old: str | None) -> Callable[[dict[str, Any]], str]:
        """Takes any pod whose hash is not `old`."""

        def accept(pod: dict[str, Any]) -> str:
            same = pod["metadata"]["annotations"].get(HASH) == old
            return f"the kubelet has not started {self.name} anew yet (config hash is still {old})" if same else ""

        return accept

    def accepts_old(self, old: str | None) -> Callable[[dict[str, Any]], str]:
        """Takes only the pod that ran before."""

        def accept(pod: dict[str, Any]) -> str:
            same = old is None or pod["metadata"]["annotations"].get(HASH) == old
            return "" if same else f"the kubelet has not gone back to the former {self.name} yet"

        return accept

    def accepts_flag(self, flag: Flag) -> Callable[[dict[str, Any]], str]:
        """Takes a pod that has the flag as it shall be: for a manifest that an earlier run changed and did not wait for."""

        def accept(pod: dict[str, Any]) -> str:
            container: dict[str, Any] = next(
                (each for each in pod["spec"]["containers"] if each["name"] == self.container), {}
            )
            state = "without" if flag.value is None else "with"
            return (
                ""
                if right(command_line(container), flag)
                else f"the kubelet has not started {self.name} {state} {flag} yet"
            )

        return accept


def _ready(pod: dict[str, Any]) -> Outcome:
    name = pod["metadata"]["name"]
    status = pod.get("status", {})
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        reason = waiting.get("reason", "")
        message = f"container {container['name']} of {name}: {reason}, {waiting.get('message', 'no message')}"
        if reason in ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"):
            return failed(message)
        if reason == "CrashLoopBackOff":
            return failed(message) if container.get("restartCount", 0) >= RESTARTS else pending(message)
    if any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", [])):
        return done()
    ends = [
        f"container {each['name']} ended with exit code {ended.get('exitCode')} and was started anew {each.get('restartCount', 0)} times"
        for each in status.get("containerStatuses", [])
        for ended in [each.get("state", {}).get("terminated") or each.get("lastState", {}).get("terminated")]
        if ended
    ]
    return pending(f"pod {name} is not ready ({'; '.join(ends) or status.get('phase', 'no phase')})")


@dataclass
class Task:
    """What the module does: one flag of one manifest, on the host of the manifest.

    `replace` (path, content) writes a file atomically, keeping its mode and owner; `timeout` and `sleep` are seconds.
    """

    path: str
    flag: Flag
    container: str | None
    node: str | None
    hostname: str
    backup_dir: str
    wait: bool
    timeout: float
    sleep: float
    kubectl: Kubectl
    replace: Callable[[str, bytes], None]
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def run(self, dry: bool) -> dict[str, Any]:
        """Makes the change, waits for it or takes it back, and returns the module's results; `dry` only tells the change."""
        content, text = self._read()
        parser = Parser(self.kubectl, self.path)
        pod = parser.parse(text)
        index = select(pod, self.path, self.container)
        new, kept = edited(text, pod, index, self.flag, parser.parse, parser.rewrite)
        changed = new != text
        after = parser.parse(new) if changed else pod
        result: dict[str, Any] = {
            "changed": changed,
            "arguments": command_line(after["spec"]["containers"][index]),
            "backup_file": "",
            "formatting_kept": kept,
        }
        if changed:
            result["diff"] = {"before": text, "after": new, "before_header": self.path, "after_header": self.path}
            self._check_backup_dir()
        if dry:
            return result
        mirror = Mirror(self.kubectl, pod, index, self.hostname, self.node, self.clock)
        if not changed:
            if self.wait:
                self._wait(lambda: mirror.runs(mirror.accepts_flag(self.flag), steady=0), self._what(mirror))
            return result
        old = None
        if self.wait:
            what = "the API server to answer; nothing was changed"
            old = wait(lambda: done(mirror.hash()), ANSWER_TIMEOUT, self.sleep, what, self.clock, self.pause)
        result["backup_file"] = str(self._keep(content))
        self.replace(self.path, new.encode())
        if self.wait:
            try:
                self._wait(lambda: mirror.runs(mirror.accepts_new(old)), self._what(mirror))
            except EdgeflError as error:
                raise self._restore(content, mirror, old, error) from error
        return result

    def _what(self, mirror: Mirror) -> str:
        return f"{mirror.name} {'without' if self.flag.value is None else 'with'} {self.flag}"

    def _wait(self, predicate: Callable[[], Outcome], what: str) -> None:
        wait(predicate, self.timeout, self.sleep, what, self.clock, self.pause)

    def _read(self) -> tuple[bytes, str]:
        try:
            content = Path(self.path).read_bytes()
            return content, content.decode()
        except FileNotFoundError as error:
            raise EdgeflError(
                f"{self.path} does not exist: run this on a host of the control plane, or set `path`."
            ) from error
        except PermissionError as error:
            raise EdgeflError(f"{self.path} cannot be read: run this with become.") from error
        except (OSError, UnicodeDecodeError) as error:
            raise EdgeflError(
                f"{self.path} cannot be read as text ({error}): give the manifest of a static pod."
            ) from error

    def _check_backup_dir(self) -> None:
        folder = Path(self.backup_dir).resolve()
        if Path(self.path).resolve().parent in (folder, *folder.parents):
            raise EdgeflError(
                f"backup_dir {self.backup_dir} is in the folder of the manifest, where the kubelet runs every file: choose another one."
            )

    def _keep(self, content: bytes) -> Path:
        """Copies the former manifest, under a name that tells its content: the same content is kept once."""
        path, folder = Path(self.path), Path(self.backup_dir)
        copy = folder / f"{path.name}.{hashlib.sha256(content).hexdigest()[:12]}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = folder / f".{copy.name}.part"
        shutil.copy2(path, partial)
        owner = path.stat()
        shutil.chown(partial, owner.st_uid, owner.st_gid)
        partial.replace(copy)
        return copy

    def _restore(self, content: bytes, mirror: Mirror, old: str | None, error: EdgeflError) -> EdgeflError:
        """Puts the former manifest back, waits for the former pod, and returns the error to fail with."""
        self.replace(self.path, content)
        reason = error.result.get("reason", error.message)
        begin = f"{mirror.name} did not come back after {self.flag} was {'removed' if self.flag.value is None else 'set'} ({reason})."
        result = {**error.result, "restored": True}
        try:
            self._wait(lambda: mirror.runs(mirror.accepts_old(old)), f"the former {mirror.name}")
        except EdgeflError as second:
            return EdgeflError(
                f"{begin} The former manifest was put back, but: {second.message}. Look at `journalctl -u kubelet` and `crictl ps -a` on this host.",
                **result,
            )
        return EdgeflError(
            f"{begin} The former manifest was put back, and {mirror.name} works as before: correct the flag or its value.",
            **result,
        )
