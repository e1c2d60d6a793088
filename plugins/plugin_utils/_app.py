# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: the app that is trained, as the controller knows it: one of the sources' own, or a Flower app's folder or .fab that somebody has."""

from __future__ import annotations

import contextlib
import difflib
import io
import re
import stat
import tomllib
import typing as t
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._ignored import Ignored

# Of ansible-core; ansible-test imports plugins where it is not
with contextlib.suppress(ImportError):
    from packaging.requirements import InvalidRequirement, Requirement

OWN_SOURCES = Path(__file__).resolve().parents[2] / "roles/build_images/files/fl_src"
FILE = "pyproject.toml"
PARTS = ("serverapp", "clientapp")
# Bytes of an app: it travels to each edge with each edit
LARGEST = 50_000_000
# What an editor, Python and Git leave behind, and what no pod may have
LEFT_OUT = ("__pycache__/", "*.py[co]", ".*", "*.egg-info/", "venv/", "env/", "node_modules/", "*.fab")
_COMPONENT = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_][\w.]*")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
# What Flower's secure aggregation needs, and the images have not; an app that names it gets it
OF_SECURE_AGGREGATION = ("cryptography", "pycryptodome")
_SECURE_AGGREGATION = re.compile(rb"\b(?:secagg(?:plus)?_mod|SecAgg(?:Plus)?Workflow)\b")
# A name that becomes a label together with a node's
_LONGEST_NAME = 40


@dataclass
class AppInfo:
    """The fact C(edgefl_app_info). `path` is empty for an app of the sources; `problems` say what to change before it can be trained."""

    name: str
    path: str = ""
    built_in: bool = False
    classifier: bool = False
    shards: bool = False
    components: dict[str, str] = field(default_factory=dict)
    config: dict[str, t.Any] = field(default_factory=dict)
    dependencies: list[str] = field(default_factory=list)
    aggregator_dependencies: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def is_path(app: str) -> bool:
    """Whether C(edgefl_app) is a path rather than the name of an app of the sources."""
    return "/" in app or app.startswith(("~", ".")) or app.endswith(".fab")


def built_in(sources: str) -> list[str]:
    """Names of the apps in the sources that images are built from: folders of edgefl/apps with a pyproject.toml."""
    return sorted(path.parent.name for path in Path(sources).glob(f"edgefl/apps/*/{FILE}"))


def app_info(app: t.Any, sources: str = "", config: t.Any = None) -> dict[str, t.Any]:
    """The app that C(edgefl_app) names, as plain data (AppInfo). Never raises: what is wrong is among its C(problems).

    :param sources: folder that images are built from; the collection's own when empty
    :param config: C(edgefl_app_config)
    """
    app = str(app)
    info = _outside(app) if is_path(app) else _own(app, sources or str(OWN_SOURCES))
    info.problems += _config_problems(info, {} if config is None else config)
    return asdict(info)


def _own(app: str, sources: str) -> AppInfo:
    known = built_in(sources)
    if app in known:
        folder = Path(sources) / "edgefl/apps" / app
        info = _read(folder)
        if info.name != app:
            info.problems.append(
                f"{folder}/{FILE} is of the app {info.name}: a folder in edgefl/apps is called as its app, so rename one of the two."
            )
        # What they need is in the images already
        return replace(info, name=app, path="", built_in=True, dependencies=[], aggregator_dependencies=[])
    info = AppInfo(app, built_in=True, classifier=True, shards=True)
    # Own sources may have their apps elsewhere
    if known:
        near = difflib.get_close_matches(app, known, n=1, cutoff=0.6)
        meant = f" Did you mean {near[0]}?" if near else ""
        info.problems.append(
            f"edgefl_app is {app!r}: use {' or '.join(known)}, or the path of a Flower app's folder or .fab (./{app or 'app'}).{meant}"
        )
    return info


def _outside(app: str) -> AppInfo:
    return _read(Path(app).expanduser().absolute())


def _read(path: Path) -> AppInfo:
    info = AppInfo(path.stem if path.suffix == ".fab" else path.resolve().name, str(path))
    try:
        files = Files(path)
        document = _document(files)
    except EdgeflError as error:
        info.problems.append(error.message)
        return info
    where = f"{path}: {FILE}"
    reader = _Reader(document, where, info.problems)
    package = reader.package("tool", "edgefl", "classifier")
    info.name, info.classifier = package or reader.text("project", "name") or info.name, package != ""
    if not _NAME.fullmatch(info.name) or len(info.name) > _LONGEST_NAME:
        info.problems.append(
            f"{where}: [project] name is {info.name!r}, which names images and objects of Kubernetes: use at most {_LONGEST_NAME} letters, digits and - in it."
        )
    for part in PARTS:
        value = reader.text("tool", "flwr", "app", "components", part)
        if value:
            info.components[part] = value
            info.problems += _component_problems(files, where, part, value)
    info.config = reader.config()
    info.problems += _keras_problems(files, where, reader, package)
    info.shards = reader.flag("tool", "edgefl", "shards")
    info.dependencies = reader.requirements("project", "dependencies") or []
    own = reader.requirements("tool", "edgefl", "aggregator-dependencies")
    info.aggregator_dependencies = info.dependencies if own is None else own
    if files.mention(_SECURE_AGGREGATION):
        info.dependencies = [*info.dependencies, *OF_SECURE_AGGREGATION]
        info.aggregator_dependencies = [*info.aggregator_dependencies, *OF_SECURE_AGGREGATION]
    try:
        files.check_size()
    except EdgeflError as error:
        info.problems.append(error.message)
    return info


def _document(files: Files) -> dict[str, t.Any]:
    try:
        return tomllib.loads(files.read(FILE).decode())
    except KeyError:
        raise EdgeflError(
            f"{files.path} (edgefl_app) has no {FILE}, so it is no Flower app: name the folder that has one (`flwr new` makes one)."
        ) from None
    except UnicodeDecodeError as error:
        raise EdgeflError(f"{files.path}: {FILE} is no text in UTF-8 ({error.reason}): save it as UTF-8.") from error
    except RecursionError as error:
        raise EdgeflError(f"{files.path}: {FILE} is nested too deep to be read: make it flat.") from error
    except tomllib.TOMLDecodeError as error:
        raise EdgeflError(f"{files.path}: {FILE} is no TOML: {error}. Correct it.") from error


def _keras_problems(files: Files, where: str, reader: _Reader, package: str) -> list[str]:
    """Of what makes the app's Keras model, where it names that."""
    keys = ("tool", "edgefl", "keras")
    if not reader.has(*keys):
        return []
    if package:
        return [
            f"{where}: [tool.edgefl] keras is for apps that are no classifier, whose model is that of {package}/model.py: leave it out."
        ]
    value = reader.text(*keys)
    return _component_problems(files, where, "keras", value, "tool.edgefl") if value else []


def _component_problems(
    files: Files, where: str, part: str, value: str, table: str = "tool.flwr.app.components"
) -> list[str]:
    found = _COMPONENT.fullmatch(value)
    if not found:
        return [f'{where}: [{table}] {part} is {value!r}: use "module:object", such as "app.{part}:app".']
    module = found[1].replace(".", "/")
    candidates = (f"{module}.py", f"{module}/__init__.py")
    source = next((name for name in candidates if name in files), "")
    if not source:
        return [
            f'{where}: [{table}] {part} is "{value}", but there is no {candidates[0]} in {files.path}: correct {part}, or add the file.'
        ]
    attribute = value.partition(":")[2].partition(".")[0]
    # It may come from an import or a star; what defines it nowhere at all is told here, all else by the trial in the image
    text = files.read(source).decode(errors="replace")
    if "import *" not in text and not re.search(rf"\b{attribute}\b", text):
        return [
            f'{where}: [{table}] {part} is "{value}", but {source} defines no {attribute}: correct {part}, or define {attribute} there.'
        ]
    return []


def _config_problems(info: AppInfo, config: t.Any) -> list[str]:
    if not isinstance(config, Mapping):
        return [f"edgefl_app_config is {config!r}: use a dictionary, such as {{lr: 0.1}}."]
    if not config:
        return []
    if info.classifier:
        return [
            f"edgefl_app_config has {', '.join(map(str, config))}, but edgefl_app is {info.name}, a classifier, which variables configure: set "
            "edgefl_epochs, edgefl_batch_size and the like, or leave edgefl_app_config out."
        ]
    if not info.components:
        return []  # nothing could be read of it, which is told
    found = []
    for key, value in config.items():
        if key not in info.config:
            near = difflib.get_close_matches(str(key), info.config, n=1, cutoff=0.6)
            meant = f" Did you mean {near[0]}?" if near else ""
            found.append(
                f"edgefl_app_config has {key}, which [tool.flwr.app.config] in {info.path}/{FILE} has not: there are "
                f"{', '.join(sorted(info.config)) or 'none'}.{meant}"
            )
        elif not isinstance(value, bool | int | float | str):
            found.append(f"edgefl_app_config: {key} is {value!r}: use a number, a text, true or false.")
    return found


class _Reader:
    """Values of a pyproject.toml of the right type; what is wrong goes to `problems`."""

    def __init__(self, document: dict[str, t.Any], where: str, problems: list[str]) -> None:
        self._document, self._where, self._problems = document, where, problems

    def _at(self, *keys: str) -> t.Any:
        value: t.Any = self._document
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def has(self, *keys: str) -> bool:
        """Whether there is a value."""
        return self._at(*keys) not in (None, "")

    def _wrong(self, keys: tuple[str, ...], text: str) -> None:
        self._problems.append(f"{self._where}: [{'.'.join(keys[:-1])}] {keys[-1]} {text}")

    def text(self, *keys: str) -> str:
        value = self._at(*keys)
        if value is None or value == "":
            self._problems.append(f'{self._where} has no [{".".join(keys[:-1])}] {keys[-1]} = "...": add it.')
        elif not isinstance(value, str):
            self._wrong(keys, f"is {value!r}: use a text.")
        else:
            return value
        return ""

    def flag(self, *keys: str) -> bool:
        value = self._at(*keys)
        if value not in (None, True, False) or (isinstance(value, int) and not isinstance(value, bool)):
            self._wrong(keys, f"is {value!r}: use true or false.")
        return value is True

    def package(self, *keys: str) -> str:
        value = self._at(*keys)
        if value is None or value == "" or (isinstance(value, str) and value.isidentifier()):
            return value or ""
        self._wrong(keys, f"is {value!r}: use the name of the package with data.py and model.py.")
        return ""

    def config(self) -> dict[str, t.Any]:
        keys = ("tool", "flwr", "app", "config")
        found = self._at(*keys)
        if found is not None and not isinstance(found, dict):
            self._wrong(keys, f"is {found!r}: use a table.")
            return {}
        return dict(self._flat(found or {}, keys))

    def _flat(self, tree: dict[str, t.Any], keys: tuple[str, ...], prefix: str = "") -> Iterator[tuple[str, t.Any]]:
        for key, value in tree.items():
            if isinstance(value, dict):
                yield from self._flat(value, keys, f"{prefix}{key}.")
            elif isinstance(value, bool | int | float | str):
                yield prefix + key, value
            else:
                self._wrong((*keys, prefix + key), f"is {value!r}: use a number, a text, true or false.")

    def requirements(self, *keys: str) -> list[str] | None:
        value = self._at(*keys)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            self._wrong(keys, f"is {value!r}: use a list of texts.")
            return []
        for part in value:
            try:
                Requirement(part)
            except InvalidRequirement as error:
                self._wrong(keys, f"has {part!r}, which names no package: {str(error).splitlines()[0]}.")
        return value


class Files:
    """The files of an app that go into the images, of its folder or .fab: names relative to it, with their content.

    Left out are what Python and tools leave behind, and what a .gitignore or .fabignore in the folder names. Raises EdgeflError for
    what is neither, or reaches out of the app.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        try:
            if path.is_dir():
                self._sizes = dict(self._walk())
            elif path.is_file():
                if path.suffix != ".fab":
                    raise EdgeflError(
                        f"{path} (edgefl_app) is a file, but neither a folder nor a .fab: name the app's folder."
                    )
                self._archive = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
                self._sizes = dict(self._members(self._archive))
            else:
                raise EdgeflError(
                    f"{path} (edgefl_app) is not there on the controller: name a Flower app's folder or .fab, relative to where ansible-playbook is called."
                )
        except zipfile.BadZipFile as error:
            raise EdgeflError(
                f"{path} (edgefl_app) is no .fab, which is a zip archive ({error}): make it again with `flwr build`."
            ) from error
        except OSError as error:
            raise EdgeflError(f"{error.filename or path} can't be read on the controller: {error.strerror}.") from error

    def _walk(self) -> Iterator[tuple[str, int]]:
        ignored = Ignored([*LEFT_OUT, *self._patterns(".gitignore"), *self._patterns(".fabignore")])
        top = self.path.resolve()
        waiting = [self.path]
        while waiting:
            for path in sorted(waiting.pop().iterdir()):
                name = path.relative_to(self.path).as_posix()
                if ignored(name, path.is_dir()):
                    continue
                if path.is_symlink() and not path.resolve().is_relative_to(top):
                    raise EdgeflError(f"{path} leads out of the app, to {path.resolve()}: put the file itself there.")
                if path.is_dir():
                    # A link to a folder inside of the app may lead round in circles
                    if not path.is_symlink():
                        waiting.append(path)
                elif path.is_file():
                    yield name, path.stat().st_size

    def _patterns(self, name: str) -> list[str]:
        file = self.path / name
        return file.read_text(errors="replace").splitlines() if file.is_file() else []

    def _members(self, archive: zipfile.ZipFile) -> Iterator[tuple[str, int]]:
        for member in archive.infolist():
            name = PurePosixPath(member.filename)
            if (
                name.is_absolute()
                or ".." in name.parts
                or "\\" in member.filename
                or stat.S_ISLNK(member.external_attr >> 16)
            ):
                raise EdgeflError(
                    f"{self.path} (edgefl_app) holds {member.filename!r}, which leads out of the app: make it again with `flwr build`."
                )
            if not member.is_dir():
                yield name.as_posix(), member.file_size

    def __contains__(self, name: str) -> bool:
        return name in self._sizes

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._sizes))

    def read(self, name: str) -> bytes:
        """Content of a file. Raises KeyError when there is none."""
        if name not in self._sizes:
            raise KeyError(name)
        try:
            return self._archive.read(name) if self._archive else (self.path / name).read_bytes()
        except (OSError, zipfile.BadZipFile, RuntimeError) as error:
            raise EdgeflError(f"{self.path}: {name} can't be read on the controller: {error}.") from error

    def mention(self, pattern: re.Pattern[bytes]) -> bool:
        """Whether the source of one of the modules has it."""
        return any(pattern.search(self.read(name)) for name in self if name.endswith(".py"))

    def check_size(self) -> None:
        """Raises EdgeflError for an app that is too large to travel with each edit, with its largest file."""
        total = sum(self._sizes.values())
        if total > LARGEST:
            name = max(self._sizes, key=lambda each: self._sizes[each])
            raise EdgeflError(
                f"{self.path} (edgefl_app) has {total / 1e6:.0f} MB, at most {LARGEST / 1e6:.0f} MB go into an image: data belong on the edges. "
                f"The largest file is {name}, {self._sizes[name] / 1e6:.0f} MB; take it out, or name it in a .fabignore."
            )
