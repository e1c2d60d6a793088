# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: images that are named after all that goes into them, built by Docker where no image of that name is there."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.platforms import arguments, empty_image
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.agent import AgentError, Docker, run

# Lines of a failed build that are told
TOLD = 25
# Most seconds of a build, of a trial, of one under emulation: TensorFlow alone then takes minutes to be imported
LONGEST_BUILD, LONGEST_TRIAL, LONGEST_EMULATED = 7200, 600, 3600
# What a container's program ends with that the host's processor can't run
FOREIGN = "exec format error"
# With this C(docker run) ends when Docker did not start the container (L(exit status,https://docs.docker.com/engine/containers/run/#exit-status))
NOT_STARTED = 125
# Most seconds that a program of Docker's takes to end
GRACE = 20
# Component of a Flower app that runs in a target's image
COMPONENTS = {"aggregator": "serverapp", "client": "clientapp"}
# How the app is tried: as the client's pods run, without a network
TRIAL = ("--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--user=10001:10001")


@dataclass(frozen=True)
class Recipe:
    """What the images are made of. `sources` is their digest, `engine` that of all but the app; `app` is tried in them, empty for none; `stages` is what
    its stages' names begin with. `architectures` are those, besides this host's own, that the clients' image is built for, each with arguments of its own.
    """

    repository: str
    version: str
    base_image: str
    sources: str
    arguments: dict[str, str] = field(default_factory=dict)
    targets: tuple[str, ...] = ("aggregator", "client")
    app: str = ""
    stages: str = ""
    engine: str = ""
    architectures: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def images(self) -> dict[str, tuple[str, str]]:
        """What ends each image's name -> its target, and its architecture, empty for this host's own."""
        own = {target: (target, "") for target in self.targets}
        return {**own, **{f"client-{name}": ("client", name) for name in sorted(self.architectures)}}

    def tag(self, base: str) -> str:
        """Version and two hashes, of all but the app and of all; `base` is the identity of the base image."""
        more = {"architectures": self.architectures} if self.architectures else {}
        parts = [
            {"sources": sources, "base": base, "arguments": self.arguments, **more}
            for sources in (self.engine, self.sources)
        ]
        hashes = [hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:12] for part in parts]
        return "-".join((self.version, *hashes))

    def job(self, tag: str) -> str:
        """What the job of a build of this content is called."""
        return f"{self.repository.replace('/', '_')}-{tag}-{self.app_name}"

    @property
    def app_name(self) -> str:
        """The last part of an app's path in the images."""
        return self.app.rpartition("/")[2]

    @property
    def trials(self) -> dict[str, tuple[str, ...]]:
        """What is called in which images to try the app."""
        return {
            image: ("edgefl.common.check_app", self.app, COMPONENTS[target])
            for image, (target, _architecture) in self.images.items()
            if target in COMPONENTS
        }

    def name(self, image: str, tag: str) -> str:
        """The full name of one of C(images)."""
        return f"{self.repository}-{image}:{tag}"


@dataclass(frozen=True)
class Snapshot:
    """What there is. `missing` ones of C(images) are not there with this content; `untagged` ones are, but not under the plain version's tag."""

    tag: str
    missing: list[str]
    untagged: list[str]
    untried: bool

    @property
    def lacking(self) -> bool:
        """Whether images or names of them would be made."""
        return bool(self.missing or self.untagged)


class Builder:
    """What there is on this host's Docker; `tried` is the folder of notes on trials that went well."""

    def __init__(self, recipe: Recipe, tried: str) -> None:
        self._docker = Docker()
        self.recipe = recipe
        self._tried = Path(tried)

    def tag(self, lenient: bool = False) -> str:
        """Of the content; empty on a host without Docker or the base image, or, when `lenient`, as if its name were its identity."""
        name = self.recipe.base_image
        base = self._id(name) or (name if lenient else "")
        return self.recipe.tag(base) if base else ""

    def snapshot(self, tag: str) -> Snapshot:
        """Asks Docker for the images; a host without it has none."""
        recipe = self.recipe
        there = {image: self._id(recipe.name(image, tag)) for image in recipe.images}
        missing = [image for image, id_ in there.items() if not id_]
        untagged = [
            image
            for image, id_ in there.items()
            if image not in missing and id_ != self._id(recipe.name(image, recipe.version))
        ]
        return Snapshot(tag, missing, untagged, bool(recipe.app) and not self.note(tag).exists())

    def give_plain_tag(self, tag: str, images: list[str]) -> None:
        """Gives the images of this content the plain version as a tag too, and notes that they are the newest."""
        try:
            for image in images:
                self._docker.tag(self.recipe.name(image, tag), f"{self.recipe.repository}-{image}", self.recipe.version)
        except AgentError as error:
            raise _failed(error) from error
        newest = self.newest()
        if not newest.is_file() or newest.read_text() != tag:
            newest.parent.mkdir(parents=True, exist_ok=True)
            newest.write_text(tag)

    def newest(self) -> Path:
        """Says which tag the newest build has: two builds may be byte for byte the same, and an image has the names of both."""
        return self._tried / f"newest-{self.recipe.repository.replace('/', '_')}-{self.recipe.version}"

    def note(self, tag: str) -> Path:
        """There once the app was tried in the images of this content, with the architectures that this host could not try it for."""
        return self._tried / f"{tag}-{self.recipe.app_name}"

    def untried(self, tag: str) -> list[str]:
        """Architectures that the app was not tried for, as this host runs none of their programs."""
        note = self.note(tag)
        return note.read_text().split() if self.recipe.app and note.is_file() else []

    def load_empty(self, architecture: str) -> str:
        """Brings Docker the empty image that those for an architecture are built on; returns its name."""
        name = f"{self.recipe.repository}-platform:{architecture}"
        try:
            # Not by the connection that is as old as this build: Docker may have closed that
            Docker().load([name], True, iter([empty_image(name, architecture)]))
        except AgentError as error:
            raise _failed(error) from error
        return name

    def remove(self, name: str) -> None:
        """Takes an image's name away; one that is in use stays."""
        with suppress(AgentError):
            Docker().remove([name])

    def runs(self, name: str, architecture: str) -> bool:
        """Whether this host runs the programs of an image for another architecture (by binfmt_misc). Anything else that is wrong is left to who runs it."""
        try:
            run(
                [
                    "docker",
                    "run",
                    "--rm",
                    "--network=none",
                    f"--platform=linux/{architecture}",
                    "--entrypoint=true",
                    name,
                ]
            )
        except AgentError as error:
            return FOREIGN not in str(error)
        return True

    def _id(self, name: str) -> str:
        """An image's id; empty when there is none, or no Docker."""
        try:
            found = self._docker.inspect(name)
        except AgentError:
            return ""
        return str(found["ids"][0]) if found else ""


def _failed(error: AgentError) -> EdgeflError:
    return EdgeflError(f"Docker on this host: {error}. See to it, and run this again.")


class Build:
    """Builds what `snapshot` misses from the archive `context`, and tries the app: one job."""

    def __init__(self, builder: Builder, snapshot: Snapshot, context: bytes, host: str) -> None:
        self._builder = builder
        self._snapshot = snapshot
        self._host = host
        self._stage = "builds" if snapshot.missing else "tries"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment: dict[str, str] = {}
        # In no folder: nobody has to remove it, however this ends
        self._context = tempfile.TemporaryFile()  # noqa: SIM115 - for as long as this lives
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._context.write(context)

    def run(self) -> dict[str, Any]:
        """Nothing to tell. Raises EdgeflError with the end of what Docker said."""
        if self._snapshot.missing:
            self._build()
        self._stage = "tries"
        if self._snapshot.untried:
            untried = self._try_app()
            note = self._builder.note(self._snapshot.tag)
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text("".join(f"{name}\n" for name in untried))
        return {}

    def _build(self) -> None:
        snapshot, recipe = self._snapshot, self._builder.recipe
        try:
            self._environment = buildkit(run(["docker", "version", "--format={{.Client.Version}}"]).strip())
        except AgentError as error:
            raise _failed(error) from error
        for image in snapshot.missing:
            architecture = recipe.images[image][1]
            empty = self._builder.load_empty(architecture) if architecture else ""
            self._context.seek(0)
            self._call(
                self._arguments(image, empty),
                LONGEST_BUILD,
                self._context,
                f"The image {recipe.name(image, snapshot.tag)} can't be built on {self._host}. What docker build said at its end:\n{{said}}\n"
                f"Correct the sources (edgefl_source), or edgefl_base_image ({recipe.base_image}), "
                "or edgefl_ca_bundle where TLS is re-signed on the way out.",
            )
            if empty:
                self._builder.remove(empty)

    def _try_app(self) -> list[str]:
        """Architectures that could not be tried."""
        recipe, untried = self._builder.recipe, []
        for each, called in recipe.trials.items():
            image, architecture = recipe.name(each, self._snapshot.tag), recipe.images[each][1]
            if architecture and not self._builder.runs(image, architecture):
                untried.append(architecture)
                continue
            longest = LONGEST_EMULATED if architecture else LONGEST_TRIAL
            platform = [f"--platform=linux/{architecture}"] if architecture else []
            # By timeout(1): as a container's first process Python would not see a signal
            limited = [*platform, "--entrypoint=timeout", image, "--signal=KILL", str(longest)]
            self._call(
                ["docker", "run", *TRIAL, *limited, "python3", "-m", *called],
                longest + GRACE,
                subprocess.DEVNULL,
                f"The app {recipe.app_name} does not work in the image, so nothing is deployed: {{last}}",
                f"Docker on {self._host} cannot run the image {image}, so nothing is deployed: {{last}}. See to it (journalctl -u docker), and run this again.",
            )
        return untried

    def progress(self) -> dict[str, str]:
        """C(stage): V(builds) or V(tries); C(line): what was said last."""
        return {"stage": self._stage, "line": (self._said()[-1:] or [""])[0]}

    def stop(self) -> None:
        """Ends what Docker does for it, from another thread."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)

    def _arguments(self, image: str, empty: str) -> list[str]:
        recipe = self._builder.recipe
        target, architecture = recipe.images[image]
        given = {"BASE_IMAGE": recipe.base_image, **recipe.arguments}
        if architecture:
            given.update({**arguments(architecture, empty), **recipe.architectures[architecture]})
        values = [f"--build-arg={name}={value}" for name, value in given.items()]
        return [
            "docker",
            "build",
            f"--target={recipe.stages}{target}",
            f"--tag={recipe.name(image, self._snapshot.tag)}",
            *values,
            "-",
        ]

    def _call(self, arguments: list[str], longest: float, stdin: Any, failure: str, not_started: str = "") -> None:
        self._log.seek(0)
        self._log.truncate()
        environment = {**self._environment, **os.environ}
        with subprocess.Popen(  # pylint: disable=ansible-bad-function
            arguments, stdin=stdin, stdout=self._log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        ) as self._process:
            try:
                code = self._process.wait(longest)
            except subprocess.TimeoutExpired:
                self.stop()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(GRACE)
                self._process.kill()
                code = -1
        if code:
            # 137: by SIGKILL
            ended = (
                f"it was ended, after {longest} s or for want of memory"
                if code in (-1, 137)
                else f"it ended with {code}"
            )
            # The last line of Docker's own may only name its help
            said = [line for line in self._said() if "--help'" not in line] or [f"nothing; {ended}"]
            if code == NOT_STARTED and not_started:
                failure = not_started
            raise EdgeflError(failure.format(said="\n".join(said[-TOLD:]), last=said[-1]))

    def _said(self) -> list[str]:
        size = os.fstat(self._log.fileno()).st_size
        start = max(0, size - 16384)
        # Not read(): the position belongs to the process that writes
        text = os.pread(self._log.fileno(), size - start, start).decode(errors="replace")
        return [line.strip() for line in text.splitlines() if line.strip()]


def buildkit(version: str) -> dict[str, str]:
    """Environment that has this version of Docker build with BuildKit: 20.10 has it inside, but not as the default (Docker's build documentation).

    >>> buildkit("20.10.24+dfsg1"), buildkit("29.0.1")
    ({'DOCKER_BUILDKIT': '1'}, {})
    """
    return {"DOCKER_BUILDKIT": "1"} if version.startswith("20.") else {}
