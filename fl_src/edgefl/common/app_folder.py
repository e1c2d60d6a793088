"""A Flower app: a folder with a pyproject.toml as Flower wants it, or a .fab file, which is such a folder zipped. Knows nothing of Flower's code.

[tool.flwr.app.components]   serverapp = "module:attribute", clientapp = "module:attribute"
[tool.flwr.app.config]       what the app is configured with; `flwr run -c` and --app_config replace values
[tool.edgefl]                shards = true: the app divides a node's data among its pods by shard-index and shard-count of its node_config
                             classifier = "package": what its rounds need is in the package's data and model (edgefl.apps); it is the app's name, too
                             keras = "module:function": makes the Keras model whose weights the arrays are; its parameters are values of the configuration
[tool.edgefl.serve]          predict = "module:function", input-shape = [4], input-type = "FP32": how its model predicts (edgefl.serve.predictor)
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import linecache
import operator
import os
import re
import sys
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from edgefl import apps
from edgefl.apps import AppError, Classifier

FILE = "pyproject.toml"
OWN = Path(apps.__file__).parent
"""The folders of apps that are found by name."""
ALONE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
"""What apps and their packages read: no hub is asked for data and models, nobody is told of the run. Where the environment says otherwise, that holds."""
Value = bool | int | float | str
TYPES = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16", "FP32": "float32", "FP64": "float64",
}  # fmt: skip
"""Names of types in the Open Inference Protocol, and in NumPy."""
_PAIR = re.compile(r"(\S+?)=('[^']*'|\"(?:[^\"\\]|\\.)*\"|\S+)")
# Parameters that are given by their names, and needed
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_COMPONENT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def names() -> list[str]:
    """The apps that are found by name."""
    return sorted(path.parent.name for path in OWN.glob(f"*/{FILE}"))


def is_there(text: str) -> bool:
    """Whether --app names a folder, a .fab, or one of `names`."""
    return "/" in text or text.endswith(".fab") or text in (".", "..") or text in names()


@dataclass(frozen=True)
class AppFolder:
    """What the pyproject.toml says. `identity` changes with any file of the app. Flower's own names have no underscore: a classifier goes by its package's."""

    folder: Path
    name: str
    components: dict[str, str]
    config: dict[str, Value]
    shards: bool = False
    identity: str = field(default="", repr=False)
    serve: dict[str, Any] = field(default_factory=dict)
    dependencies: frozenset[str] = frozenset()
    """Names of the packages that the app depends on."""
    package: str = ""
    """Of a classifier's data and model."""
    keras: str = ""
    """What makes the model of an app that is no classifier."""

    @property
    def is_classifier(self) -> bool:
        """Whether its rounds are the coordinator's, rather than its ServerApp's."""
        return bool(self.package)

    @property
    def has_keras(self) -> bool:
        """Whether it tells how its Keras model is made."""
        return self.is_classifier or bool(self.keras)

    def classifier(self) -> Classifier:
        """Its data and model. Raises AppError with file and line."""
        model, data = (self._module("classifier", self.package, f"{self.package}.{part}") for part in ("model", "data"))
        return apps.classifier(self.name, data, model)

    def load(self, part: str, kind: type) -> Any:
        """Import `part` (serverapp, clientapp), an object of class `kind`. Raises AppError with file and line."""
        found, file = self._imported(part, self.components[part])
        if not isinstance(found, kind):
            raise AppError(
                f"app {self.name}: {self.components[part]} in {file} is a {type(found).__name__}, not a {kind.__name__}"
            )
        return found

    def predict(self) -> Callable[..., Any]:
        """The function that predicts. Raises AppError with file and line."""
        found, file = self._imported("predict", self.serve["predict"])
        if not callable(found):
            raise AppError(f"app {self.name}: {self.serve['predict']} in {file} is no function")
        call: Callable[..., Any] = found
        return call

    def keras_model(self, config: Mapping[str, Value]) -> Any:
        """The Keras model, as it is made before any training, where the run has this configuration. Raises AppError with file and line."""
        if self.is_classifier:
            classifier = self.classifier()
            return classifier.guarded(classifier.build)
        make, file = self._imported("keras", self.keras)
        named = f"app {self.name}: {self.keras} in {file}"
        if not callable(make):
            raise AppError(f"{named} is no function")
        values = {re.sub("[-.]", "_", key): value for key, value in config.items()}
        parameters = inspect.signature(make).parameters.values()
        lacking = [each.name for each in parameters if each.default is each.empty and each.kind in _NAMED]
        if lacking := [name for name in lacking if name not in values]:
            raise AppError(
                f"{named} takes {', '.join(lacking)}, but [tool.flwr.app.config] in {FILE} has no such value: add it, or give it a default"
            )
        try:
            model = make(**{each.name: values[each.name] for each in parameters if each.name in values})
        except Exception as err:
            raise AppError(f"{self.where(err)}{type(err).__name__}: {err}") from err
        if not hasattr(model, "get_weights"):
            raise AppError(f"{named} gives a {type(model).__name__}, no Keras model")
        return model

    def _imported(self, part: str, named: str) -> tuple[Any, str | None]:
        """What "module:attribute" names, and the module's file."""
        module_name, _dummy, attribute = named.partition(":")
        module = self._module(part, named, module_name)
        try:
            return operator.attrgetter(attribute)(module), module.__file__
        except AttributeError:
            raise AppError(
                f"app {self.name}: {module.__file__} defines no {attribute}, which {FILE} names as {part}"
            ) from None

    def _module(self, part: str, named: str, module: str) -> ModuleType:
        """A module, which `named` asks for as `part`."""
        for key, value in ALONE.items():
            os.environ.setdefault(key, value)
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as err:
            if err.name and (module == err.name or module.startswith(f"{err.name}.")):
                raise AppError(
                    f'app {self.name}: {self.folder / FILE} names {part} = "{named}", but there is no module {err.name} in {self.folder}'
                ) from err
            hint = f"add it to the dependencies in {self.folder / FILE}, and build the image again"
            raise AppError(f"{self.where(err)}there is no module {err.name}: {hint}") from err
        except AppError:
            raise
        except BaseException as err:  # SystemExit too
            raise AppError(f"{self.where(err)}{type(err).__name__}: {err}") from err

    def where(self, err: BaseException) -> str:
        """The app's name and the innermost of its lines that an exception came through."""
        place = apps.where(err, self.folder)
        linecache.clearcache()
        return f"app {self.name}: {place}"


def read(path: str | Path) -> AppFolder:
    """The app of a name, in a folder or .fab. Raises AppError that says what is missing in which file."""
    folder = OWN / path if path in names() else Path(path)
    if folder.suffix == ".fab":
        folder = Path(tempfile.mkdtemp(prefix="fab-"))
        unpack(Path(path), folder)
    folder = folder.resolve()
    file = folder / FILE
    try:
        document = tomllib.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise AppError(f"app {path}: there is no {FILE} in it; a Flower app has one (flwr new makes one)") from None
    except (OSError, UnicodeDecodeError) as err:
        raise AppError(f"app {path}: {file} can't be read: {err}") from err
    except tomllib.TOMLDecodeError as err:
        raise AppError(f"app {path}: {file} is no TOML: {err}") from err
    name = _text(document, file, "project", "name")
    components = {
        part: _text(document, file, "tool", "flwr", "app", "components", part) for part in ("serverapp", "clientapp")
    }
    for part, value in components.items():
        if not _COMPONENT.fullmatch(value):
            raise AppError(
                f'app {name}: {file}: {part} = "{value}" must be "module:attribute", such as "{name}.{part}:app"'
            )
    tool = document["tool"]
    config = flat(tool["flwr"]["app"].get("config", {}), f"{file}: [tool.flwr.app.config]")
    ours = tool.get("edgefl", {})
    shards, package, keras = ours.get("shards", False), ours.get("classifier", ""), ours.get("keras", "")
    if not isinstance(shards, bool):
        raise AppError(f"app {name}: {file}: [tool.edgefl] shards must be true or false, is {shards!r}")
    if package != "" and not (isinstance(package, str) and package.isidentifier()):
        raise AppError(f"app {name}: {file}: [tool.edgefl] classifier must be the name of a package, is {package!r}")
    if keras != "" and not _COMPONENT.fullmatch(str(keras)):
        raise AppError(f'app {name}: {file}: [tool.edgefl] keras must be "module:function", is {keras!r}')
    serve = _serve(ours.get("serve", {}), f"app {name}: {file}: [tool.edgefl.serve]")
    name = package or name
    identity = f"{name}@{_digest(folder)}"
    return AppFolder(folder, name, components, config, shards, identity, serve, _dependencies(document), package, keras)


def _dependencies(document: dict[str, Any]) -> frozenset[str]:
    """Names of packages, as they are compared; what is no list of requirements was refused on the controller."""
    found = document["project"].get("dependencies", [])
    names = (re.match(r"[A-Za-z0-9._-]+", text) for text in found if isinstance(text, str))
    return frozenset(re.sub(r"[-_.]+", "-", name[0]).lower() for name in names if name)


def _serve(given: Any, where: str) -> dict[str, Any]:
    """How the app's model predicts; empty when it does not say. Raises AppError."""
    if given == {}:
        return {}
    if not isinstance(given, dict) or not _COMPONENT.fullmatch(str(given.get("predict"))):
        raise AppError(f'{where} predict must be "module:function"')
    shape = given.get("input-shape")
    if not isinstance(shape, list) or not all(
        isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape
    ):
        raise AppError(f"{where} input-shape must be the sizes of one input, such as [28, 28] or [], got {shape!r}")
    kind = given.get("input-type", "FP32")
    if kind not in TYPES:
        raise AppError(f"{where} input-type must be one of {', '.join(TYPES)}, got {kind!r}")
    return {"predict": given["predict"], "input-shape": shape, "input-type": kind}


def _text(document: dict[str, Any], file: Path, *keys: str) -> str:
    value: Any = document
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise AppError(f'app {file.parent}: {file} has no [{".".join(keys[:-1])}] {keys[-1]} = "..."; add it')
    return value


def _digest(folder: Path) -> str:
    """A hash of the app's files, without what Python and tools leave behind."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") or part == "__pycache__" for part in inside.parts) or not path.is_file():
            continue
        found.update(f"{inside}\0{path.stat().st_size}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .fab, or another zip with an app. Raises AppError when it can't be read, or holds what is outside of the app."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.namelist():
                if not (folder / member).resolve().is_relative_to(folder.resolve()):
                    raise AppError(f"app {archive}: it holds {member}, which is outside of the app")
            opened.extractall(folder)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as err:
        raise AppError(f"app {archive}: it can't be unpacked: {err}") from err


def flat(tree: dict[str, Any], where: str, prefix: str = "") -> dict[str, Value]:
    """Flower's configurations have no depth: {"a": {"b": 1}} is {"a.b": 1}. Raises AppError for values of other types."""
    found: dict[str, Value] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, where, f"{prefix}{key}.")
        elif isinstance(value, (bool, int, float, str)):
            found[prefix + key] = value
        else:
            raise AppError(f"{where} {prefix}{key} = {value!r}: must be a number, a text, true or false")
    return found


def pairs(text: str) -> dict[str, Value]:
    """KEY=VALUE, several divided by spaces, values as in TOML: `lr=0.1 name="x"`, as `flwr run -c` takes them. Raises ValueError."""
    matches = _PAIR.findall(text)
    if not matches or _PAIR.sub("", text).strip():
        raise ValueError(f"must be KEY=VALUE such as lr=0.1 or name='x', got {text!r}")
    try:
        return flat(tomllib.loads("\n".join(f"{key} = {value}" for key, value in matches)), "")
    except (tomllib.TOMLDecodeError, AppError) as err:
        raise ValueError(
            f"must be KEY=VALUE with a number, true, false or a text in quotes, got {text!r} ({err})"
        ) from None


def configured(app: AppFolder, changes: dict[str, Value]) -> dict[str, Value]:
    """The app's configuration with `changes`. Raises AppError for a key that the app does not have."""
    unknown = sorted(changes.keys() - app.config.keys())
    if unknown:
        raise AppError(
            f"app {app.name}: --app_config has {', '.join(unknown)}, which [tool.flwr.app.config] in {app.folder / FILE} has not; "
            f"there are: {', '.join(sorted(app.config)) or 'none'}"
        )
    return app.config | changes
