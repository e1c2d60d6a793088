# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what runs on the node that receives images, as root, under any Python 3.

Its source is the first that goes there over C(ssh), so it imports nothing of this collection and needs nothing on the node. One connection does all:
it tells what the runtime has, reads an answer, hands the archive that follows to the runtime untouched, and tells what the runtime has then.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

NAMESPACE = "k8s.io"
# Under this name an image arrives; it gets its own when all of it is there
INCOMING = "-incoming"
_CHECK = re.compile(r"\s(\w+)\s+\(\d+/\d+\)\s.*\s(true|false)\s*$")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


class AgentError(Exception):
    """C(code) is a word for the program at the other end, the text is for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def run(arguments: list[str], stdin: Any = subprocess.DEVNULL) -> str:
    """Standard output of a command; AgentError with the end of what it said when it fails."""
    try:
        done = subprocess.run(
            arguments,
            stdin=stdin,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except FileNotFoundError:
        raise AgentError("absent", f"the command {arguments[0]} is not there") from None
    output = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        lines = (done.stderr.decode("utf-8", "replace").strip() or output.strip()).splitlines()
        raise AgentError("failed", lines[-1].strip() if lines else f"{arguments[0]} ended with {done.returncode}")
    return output


class Containerd:
    """The images that the kubelet's pods use of a containerd."""

    root = "/var/lib/containerd"

    def ctr(self, *arguments: str, stdin: Any = subprocess.DEVNULL) -> str:
        """Runs C(ctr) in the namespace of the kubelet's pods."""
        return run(["ctr", "--namespace", NAMESPACE, *arguments], stdin=stdin)

    def state(self, names: list[str]) -> dict[str, Any]:
        """`layers`: digests of all stored content; `images`: what is there under each name."""
        try:
            content = self.ctr("content", "ls", "--quiet").split()
        except AgentError as error:
            raise AgentError("absent" if error.code == "absent" else "stopped", str(error)) from None
        return {
            "layers": content,
            "chains": [],
            "images": {name: self.image(name) for name in names},
            "store": "content",
        }

    def image(self, name: str) -> dict[str, Any] | None:
        """Digests of manifest and configuration, and the layers' diff ids; None when it is not there, or not usable as it is."""
        found = [line.split() for line in self.ctr("images", "ls", f"name=={name}").splitlines()[1:]]
        if not found:
            return None
        check = _CHECK.search(self.ctr("images", "check", f"name=={name}").strip())
        if not check or check.group(1) != "complete" or check.group(2) != "true":
            return None
        manifest_digest = found[0][2]
        manifest = json.loads(self.ctr("content", "get", manifest_digest))
        if "manifests" in manifest:
            here = ARCHITECTURES.get(platform.machine(), platform.machine())
            fitting = [
                each for each in manifest["manifests"] if each.get("platform", {}).get("architecture") in (here, None)
            ]
            if not fitting:
                return None
            manifest = json.loads(self.ctr("content", "get", fitting[0]["digest"]))
        config = json.loads(self.ctr("content", "get", manifest["config"]["digest"]))
        return {
            "ids": [manifest_digest, manifest["config"]["digest"]],
            "layers": config.get("rootfs", {}).get("diff_ids") or [],
        }

    def load(self, names: list[str], whole: bool, command: list[str]) -> None:
        """Imports the archive of standard input; `whole` when it was not made by us, and its images arrive under their own names."""
        before = (
            {}
            if not whole
            else {name: bool(self.ctr("images", "ls", "--quiet", f"name=={name}").strip()) for name in names}
        )
        arriving = [name if whole else name + INCOMING for name in names]
        try:
            feed(command, lambda stdin: self.ctr("images", "import", "-", stdin=stdin))
            bad = [name for name in arriving if self.image(name) is None]
            if bad:
                raise AgentError("corrupt", f"not all of {', '.join(bad)} arrived")
            if not whole:
                for name in names:
                    self.ctr("images", "tag", "--force", name + INCOMING, name)
        except AgentError:
            for name in arriving:
                if not before.get(name):
                    self.remove(name)
            raise
        if not whole:
            # Those of an earlier transfer that lost its power as well: they would keep its layers for ever
            repositories = {name.rpartition(":")[0] for name in names}
            for name in self.ctr("images", "ls", "--quiet").split():
                if name.endswith(INCOMING) and name.rpartition(":")[0] in repositories:
                    self.remove(name)

    def remove(self, name: str) -> None:
        """Takes a name away; one that is not there is no error, as it may have failed before it got it."""
        try:
            self.ctr("images", "rm", "--sync", name)
        except AgentError as error:
            if "not found" not in str(error):
                raise


class Docker:
    """The images of a Docker."""

    root = "/var/lib/docker"

    def state(self, names: list[str]) -> dict[str, Any]:
        """`ids`: of all images; `chains`: the layers of each, in order; `images`: what is there under each name."""
        try:
            info = json.loads(run(["docker", "info", "--format", "{{json .}}"]))
        except AgentError as error:
            raise AgentError("absent" if error.code == "absent" else "stopped", str(error)) from None
        if info.get("ServerErrors"):
            raise AgentError("stopped", info["ServerErrors"][0])
        self.root = info.get("DockerRootDir") or self.root
        # There the archive is unpacked as containerd does it, into a namespace of Docker's own that we do not look into
        foreign = "io.containerd.snapshotter" in json.dumps(info.get("DriverStatus") or [])
        ids = sorted(set(run(["docker", "image", "ls", "--all", "--quiet", "--no-trunc"]).split()))
        items = json.loads(run(["docker", "image", "inspect", *ids])) if ids else []
        chains = [item["RootFS"].get("Layers") or [] for item in items]
        return {
            "layers": [],
            "ids": ids,
            "chains": [] if foreign else chains,
            "images": {name: self.image(name) for name in names},
            "store": "chain",
        }

    def image(self, name: str) -> dict[str, Any] | None:
        """As that of Containerd."""
        try:
            item = json.loads(run(["docker", "image", "inspect", name]))[0]
        except AgentError as error:
            if "No such image" in str(error) or "not found" in str(error):
                return None
            raise
        return {"ids": [item["Id"]], "layers": item["RootFS"].get("Layers") or []}

    def load(self, names: list[str], whole: bool, command: list[str]) -> None:
        """Loads the archive of standard input; Docker proves every layer before it gives the image its name."""
        del whole
        feed(command, lambda stdin: run(["docker", "load", "--quiet"], stdin=stdin))
        bad = [name for name in names if self.image(name) is None]
        if bad:
            raise AgentError("corrupt", f"{', '.join(bad)} did not arrive")


def feed(command: list[str], consume: Callable[[Any], object]) -> None:
    """Runs `consume` with standard input, or with what `command` makes of it."""
    if not command:
        consume(sys.stdin.fileno())
        return
    try:
        filtering = subprocess.Popen(
            command, stdin=sys.stdin.fileno(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise AgentError("absent", f"the command {command[0]} is not there") from None
    with filtering:
        consume(filtering.stdout)
    code = filtering.returncode
    if code:
        raise AgentError("corrupt", f"{command[0]} could not read all of what arrived")


def line() -> Any:
    """The next line of standard input, not a byte more: what follows belongs to the runtime."""
    data = b""
    while not data.endswith(b"\n"):
        byte = os.read(sys.stdin.fileno(), 1)
        if not byte:
            return None
        data += byte
    return json.loads(data)


def tell(value: object) -> None:
    """Says one thing to the other end."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def free(path: str) -> int:
    """Bytes that are free where `path` is, or will be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize


def main(request: dict[str, Any]) -> None:
    """`request`: C(runtime) and C(names)."""
    try:
        runtime = Docker() if request["runtime"] == "docker" else Containerd()
        state = runtime.state(request["names"])
        state["arch"] = ARCHITECTURES.get(platform.machine(), platform.machine())
        state["root"], state["free"] = runtime.root, free(runtime.root)
        state["zstd"] = shutil.which("zstd") is not None
        tell(state)
        answer = line()
        if answer is None:
            return
        runtime.load(answer["names"], answer["whole"], answer["filter"])
        tell({"images": {name: runtime.image(name) for name in answer["names"]}})
    except AgentError as error:
        tell({"error": error.code, "reason": str(error)})


if __name__ == "__main__":
    main(json.loads(sys.argv[-1]))
