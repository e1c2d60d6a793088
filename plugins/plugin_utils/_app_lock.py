# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: what a Flower app needs on top of the images' own packages, locked with hashes on the controller."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import typing as t
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError

# Of ansible-core; ansible-test imports plugins where it is not
with contextlib.suppress(ImportError):
    from packaging.markers import default_environment
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name, parse_wheel_filename

# Where the images' Python looks for wheels: Debian bookworm's C library, Python 3.11
PYTHON = "3.11"
PLATFORM = "manylinux_2_36"
PROGRAMS = ("aggregator", "client")
# The stage of the Dockerfile that an image begins with
PLAIN, TENSORFLOW = "plain", "tensorflow_there"
# In the image under another name, or with its own engine, which is not used here
_EXCLUDED = ("flwr", "ray")
_OF_TENSORFLOW = {"tensorflow", "tensorflow-cpu", "keras"}
# Python packages of Debian bookworm are built for NumPy 1; Flower takes it from here on
_NUMPY_OF_DEBIAN = "numpy>=1.26,<2"
# Debian packages with a Python package of another name
_NAMES_IN_DEBIAN = {"pil": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "yaml": "pyyaml"}
# What does not say of itself that it refuses that one
_WITH_NUMPY_OF_DEBIAN = ("pyarrow<26",)
_LONGEST = 600
_TOLD = 12
_ENTRY = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)\s*(?:;\s*([^\\]+))?", re.MULTILINE)
# After it, who needs a package; several in lines of their own
_VIA = re.compile(r"#[ \t]*via\b(.*)", re.DOTALL)


@dataclass(frozen=True)
class Packages:
    """The packages of an image before any app's: name -> version, and what is taken out of them."""

    lock: Path
    slim: tuple[Path, ...]

    def there(self, machine: str) -> dict[str, str]:
        """Those that are in the image of this machine, by their canonical names."""
        environment: dict[str, str] = {
            **t.cast(dict[str, str], default_environment()), "python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "sys_platform": "linux",
            "platform_system": "Linux", "os_name": "posix", "platform_machine": machine, "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }  # fmt: skip
        try:
            text = self.lock.read_text()
            lines = [line.strip() for path in self.slim for line in path.read_text().splitlines()]
        except OSError as error:
            raise EdgeflError(
                f"{error.filename} can't be read: the sources of the images (edgefl_source) lack the lists of packages that an app goes on top of."
            ) from error
        out = {canonicalize_name(line[:-2]) for line in lines if re.fullmatch(r"[\w.-]+-\*", line)}
        found: dict[str, str] = {}
        for name, version, marker in _ENTRY.findall(text):
            requirement = Requirement(f"{name}=={version}" + (f" ; {marker}" if marker.strip() else ""))
            if canonicalize_name(name) not in out and (
                not requirement.marker or requirement.marker.evaluate(environment)
            ):
                found[canonicalize_name(name)] = version
        return found


@dataclass
class Locked:
    """What an image gets for an app: the framework that it begins with, and a lock, empty when nothing is missing."""

    framework: str
    text: str


@dataclass
class Locker:
    """Locks the dependencies of an app.

    `pip_options` are pip's and uv's; `wheels` is a folder that is looked in instead of an index; `debian` are the Debian packages of the images.
    """

    sources: Path
    machine: str = "x86_64"
    pip_options: list[str] = field(default_factory=list)
    wheels: str = ""
    ca_bundle: str = ""
    debian: list[str] = field(default_factory=list)

    @property
    def of_debian(self) -> set[str]:
        """Names of the Python packages that Debian's give: python3-torch gives torch."""
        names = {canonicalize_name(name[8:]) for name in self.debian if name.startswith("python3-")}
        return {_NAMES_IN_DEBIAN.get(name, name) for name in names}

    def there(self, framework: str) -> dict[str, str]:
        """What an image has before the app's own packages, which come first where Python looks."""
        found = self.packages(framework).there(self.machine)
        return {name: version for name, version in found.items() if not (self.of_debian and name == "numpy")}

    def packages(self, framework: str) -> Packages:
        image, engine = self.sources / "image", self.sources / "image/engine-slim.txt"
        if framework == TENSORFLOW:
            return Packages(self.sources / "requirements-client.txt", (engine, image / "tensorflow-slim.txt"))
        return Packages(self.sources / "requirements-aggregator.txt", (engine,))

    def key(self, dependencies: Iterable[str]) -> str:
        """Changes with all that a lock depends on."""
        there = [self.there(framework) for framework in (PLAIN, TENSORFLOW)]
        debian = [*sorted(self.of_debian), _NUMPY_OF_DEBIAN, *_WITH_NUMPY_OF_DEBIAN] if self.of_debian else []
        parts = [sorted(dependencies), self.machine, self.pip_options, self.wheels, debian, there]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def resolve(self, dependencies: Iterable[str], where: str) -> Locked:
        """Raises EdgeflError with what does not fit. `where` names the file and key with the dependencies."""
        wanted = [Requirement(text) for text in dependencies]
        direct = {canonicalize_name(each.name) for each in wanted if self._applies(each)}
        framework = TENSORFLOW if direct & _OF_TENSORFLOW else PLAIN
        while True:
            there = self.there(framework)
            missing = list(self._missing(wanted, there, where))
            if self.of_debian:
                missing.append(Requirement(_NUMPY_OF_DEBIAN))
            text = without_nccl(self._resolved(missing, there, framework, where) if missing else "")
            if framework == TENSORFLOW or not _OF_TENSORFLOW & names(text):
                return Locked(framework, text)
            # Something that the app needs needs it
            framework = TENSORFLOW

    def given(self, path: str, wanted: Iterable[str] | None = None) -> Locked:
        """A lock that somebody has, without what is in the images; of it the part that these dependencies need, where `wanted` are not None."""
        try:
            text = Path(path).expanduser().read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise EdgeflError(f"{path} (edgefl_app_lock) can't be read on the controller: {error}.") from error
        kept, problems = [], []
        if wanted is not None:
            text, untold = needed_by(text, [*wanted, *([_NUMPY_OF_DEBIAN] if self.of_debian else [])])
            problems += [
                f"it does not say what needs {name} (`# via`), so the part for [tool.edgefl] aggregator-dependencies can't be told"
                for name in untold[:1]
            ]
        framework = TENSORFLOW if _OF_TENSORFLOW & names(text) else PLAIN
        there = self.there(framework)
        for name, block in blocks(text):
            if name in self._excluded(framework):
                continue
            version = _ENTRY.match(block)
            if version is None or "--hash=" not in block:
                problems.append(f"{name} has no version or no hash")
            elif name not in there:
                kept.append(block)
            elif version[2] != there[name]:
                problems.append(f"{name} is {version[2]}, the images have {there[name]}")
        if self.of_debian and not any(block.startswith("numpy==1.") for block in kept):
            problems.append(
                f"it has no {_NUMPY_OF_DEBIAN}, for which Debian's {', '.join(sorted(self.of_debian))} are built"
            )
        if problems:
            without = "" if self.of_debian else f" --constraints {self.packages(framework).lock}"
            raise EdgeflError(
                f"{path} (edgefl_app_lock) does not fit: {'; '.join(problems)}. Make it with `uv pip compile --generate-hashes "
                f"--python-version {PYTHON}{without} PYPROJECT`, or leave edgefl_app_lock out: then it is made here."
            )
        return Locked(framework, "".join(kept))

    def _excluded(self, framework: str) -> set[str]:
        """What no lock has: it is in the image already, or never."""
        return {*_EXCLUDED, *self.of_debian, *(_OF_TENSORFLOW if framework == TENSORFLOW else ())}

    def _applies(self, requirement: Requirement) -> bool:
        environment = {
            "python_version": PYTHON,
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": self.machine,
        }
        return requirement.marker is None or requirement.marker.evaluate({**environment, "extra": ""})

    def _missing(self, wanted: list[Requirement], there: Mapping[str, str], where: str) -> Iterator[Requirement]:
        """Those that the image has not; raises EdgeflError for one that it has in a version that does not do."""
        flwr = self.packages(PLAIN).there(self.machine).get("flwr", "")
        for requirement in wanted:
            name: str = canonicalize_name(requirement.name)
            if not self._applies(requirement) or name == "ray" or name in self.of_debian:
                continue
            if name == "tensorflow" and name not in there:
                name = "tensorflow-cpu"
            version = flwr if name == "flwr" else there.get(name)
            if version and not requirement.specifier.contains(version, prereleases=True):
                raise EdgeflError(
                    f"{where} has {str(requirement)!r}, but the images have {requirement.name} {version}: let it take that version."
                )
            if version is None or (requirement.extras and name != "flwr"):
                yield requirement

    def _resolved(self, wanted: list[Requirement], there: Mapping[str, str], framework: str, where: str) -> str:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "wanted.in").write_text("".join(f"{each}\n" for each in wanted))
            constraints = [f"{name}=={version}" for name, version in there.items()]
            constraints += _WITH_NUMPY_OF_DEBIAN if self.of_debian else ()
            (folder / "there.txt").write_text("".join(f"{each}\n" for each in constraints))
            (folder / "excluded.txt").write_text("".join(f"{name}\n" for name in sorted(self._excluded(framework))))
            command = [
                uv(), "pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate", "--no-config", "--only-binary=:all:",
                f"--python-version={PYTHON}", f"--python-platform={self.machine}-{PLATFORM}", "--no-emit-index-url", "--no-emit-find-links",
                "--index-strategy=unsafe-best-match", "--constraints=there.txt", "--excludes=excluded.txt",
                *(f"--no-emit-package={name}" for name in there),
                *([f"--find-links={Path(self.wheels).expanduser().absolute()}", "--no-index"] if self.wheels else []),
                *self.pip_options, "wanted.in",
            ]  # fmt: skip
            more = {"SSL_CERT_FILE": self.ca_bundle} if self.ca_bundle else {"UV_SYSTEM_CERTS": "true"}
            try:
                done = subprocess.run(
                    command,
                    cwd=folder,
                    env={**os.environ, **more},
                    capture_output=True,
                    text=True,
                    timeout=_LONGEST,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise EdgeflError(
                    f"{where} could not be resolved in {_LONGEST} s: see that the controller reaches the index of packages (edgefl_pip_options), "
                    "or give edgefl_app_lock."
                ) from error
        if done.returncode:
            said = "\n".join([line for line in done.stderr.splitlines() if line.strip()][-_TOLD:])
            raise EdgeflError(
                f"{where} can't be resolved for the images' Python {PYTHON} on {self.machine}. What uv says:\n{said}\n"
                "Change it there, or name another index (edgefl_pip_options), a folder of wheels (edgefl_app_wheels) or a lock (edgefl_app_lock)."
            )
        return done.stdout


def uv() -> str:
    """The program; raises EdgeflError when it is not there."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise EdgeflError(
            f"The app has dependencies that must be locked, and the controller has no uv, which does that: call `{sys.executable} -m pip install uv`, "
            "or give a lock of your own (edgefl_app_lock)."
        )
    return found


def blocks(text: str, comments: bool = False) -> Iterator[tuple[str, str]]:
    """Canonical names of a lock's packages, each with its lines, and those that are comments where they are asked for."""
    name, lines = "", ""
    for line in text.splitlines(keepends=True):
        if re.match(r"[A-Za-z0-9]", line):
            if name:
                yield name, lines
            name, lines = canonicalize_name(re.split(r"[=<>!~ ;\[@]", line.strip(), maxsplit=1)[0]), ""
        if name and (comments or not line.lstrip().startswith("#")):
            lines += line
    if name:
        yield name, lines


def needed_by(text: str, dependencies: Iterable[str]) -> tuple[str, list[str]]:
    """The part of a lock that these dependencies need, by what its comments say (`# via scipy`); and names of packages of which they say nothing."""
    users: dict[str, set[str]] = {}
    untold = []
    for name, block in blocks(text, comments=True):
        told = _VIA.search(block)
        users[name] = {canonicalize_name(each) for each in re.split(r"[\s#,]+", told[1])} if told else set()
        if not told:
            untold.append(name)
    found: set[str] = {canonicalize_name(Requirement(each).name) for each in dependencies}
    # What the engine needs is in the images
    while more := {name for name, by in users.items() if by & found - {*_EXCLUDED}} - found:
        found |= more
    return "".join(block for name, block in blocks(text) if name in found), untold


def without_nccl(text: str) -> str:
    """XGBoost loads NCCL, 300 MB, only for several GPUs; where nothing else may want it, it is left out."""
    found = names(text)
    if "xgboost" not in found or found & {"torch", "jax", "tensorflow"}:
        return text
    return "".join(block for name, block in blocks(text) if not name.startswith("nvidia-nccl-"))


def names(text: str) -> set[str]:
    """Canonical names of a lock's packages."""
    return {name for name, _dummy in blocks(text)}


def wheels_of(folder: str, *locks: str) -> dict[str, Path]:
    """The wheels in a folder that belong to the locks, by file name. Raises EdgeflError when it is no folder."""
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise EdgeflError(
            f"{folder} (edgefl_app_wheels) is no folder on the controller: name the folder with the wheels."
        )
    wanted = {(canonicalize_name(name), version) for text in locks for name, version, _dummy in _ENTRY.findall(text)}
    found = {}
    for wheel in sorted(path.glob("*.whl")):
        try:
            name, version, *_dummy = parse_wheel_filename(wheel.name)
        except ValueError:
            continue
        if (name, str(version)) in wanted:
            found[wheel.name] = wheel
    return found


def frameworks(text: str) -> str:
    """The framework that a lock's first line names."""
    found = re.match(r"# framework: (\w+)$", text.partition("\n")[0])
    return found[1] if found else PLAIN


@dataclass
class Kept:
    """A lock's file; `made` when it was resolved now."""

    path: Path
    locked: Locked
    made: bool


def keep(
    locker: Locker,
    app: Mapping[str, t.Any],
    folder: Path,
    given: str,
    check_mode: bool,
    programs: Iterable[str] = PROGRAMS,
) -> dict[str, Kept]:
    """
    The locks of an app's images, by program; one file for both where they need the same.

    What was resolved before for the same dependencies is taken from `folder`, so that a training is what it was until somebody changes something.

    :param app: edgefl_app_info
    :param given: path of a lock that is taken instead, empty for none
    """
    found: dict[str, Kept] = {}
    for program in programs:
        key = "dependencies" if program == "client" else "aggregator_dependencies"
        own = app["aggregator_dependencies"] != app["dependencies"] and program == "aggregator"
        where = f"{app['path']}: pyproject.toml: {'[tool.edgefl] aggregator-dependencies' if own else '[project] dependencies'}"
        if given:
            locked = locker.given(given, app[key] if own else None)
            found[program] = Kept(Path(given).expanduser().absolute(), locked, False)
            continue
        path = folder / f"{app['name']}-{locker.key(app[key])}.txt"
        other = next((kept for kept in found.values() if kept.path == path), None)
        if other:
            found[program] = other
        elif path.is_file():
            text = path.read_text()
            found[program] = Kept(path, Locked(frameworks(text), text), False)
        else:
            locked = locker.resolve(app[key], where)
            about = f"# framework: {locked.framework}\n# Python packages of the app {app['name']} on top of the images', locked by edgefl.kubeedge\n"
            locked.text = about + locked.text
            if not check_mode:
                folder.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix(".partial")
                partial.write_text(locked.text)
                partial.replace(path)
            found[program] = Kept(path, locked, True)
    return found
