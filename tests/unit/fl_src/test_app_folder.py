"""A Flower app's pyproject.toml: what is read, and what is said when it is not as it must be."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from edgefl.apps import AppError
from edgefl.common import app_folder

GOOD = """
[project]
name = "means"
[tool.flwr.app.components]
serverapp = "{name}.server:app"
clientapp = "{name}.client:parts.app"
[tool.flwr.app.config]
rounds = 3
[tool.flwr.app.config.model]
rate = 0.5
name = "small"
"""


def folder(path: Path, text: str = GOOD, name: str = "means") -> Path:
    path.mkdir(exist_ok=True)
    (path / "pyproject.toml").write_text(text.replace("{name}", name))
    return path


def test_what_is_read(tmp_path: Path) -> None:
    app = app_folder.read(folder(tmp_path / "a"))
    assert app.name == "means" and app.components == {
        "serverapp": "means.server:app",
        "clientapp": "means.client:parts.app",
    }
    assert app.config == {"rounds": 3, "model.rate": 0.5, "model.name": "small"} and not app.shards
    assert app_folder.configured(app, {"model.rate": 1}) == app.config | {"model.rate": 1}
    assert app_folder.read(folder(tmp_path / "a", GOOD + "[tool.edgefl]\nshards = true\n")).shards
    needs = '[project]\ndependencies = ["flwr[simulation]>=1.20", "Torch == 2.8.0 ; python_version > \\"3\\"", "a_b.c"]'
    assert app.dependencies == frozenset()
    assert app_folder.read(folder(tmp_path / "a", GOOD.replace("[project]", needs))).dependencies == {
        "flwr",
        "torch",
        "a-b-c",
    }


def test_identity_changes_with_each_file_of_the_app_and_no_other(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "a"), folder(tmp_path / "b")
    assert app_folder.read(one).identity == app_folder.read(two).identity
    (one / "__pycache__").mkdir()
    (one / "__pycache__" / "x.pyc").write_text("1")
    (one / ".git").mkdir()
    (one / ".git" / "HEAD").write_text("1")
    assert app_folder.read(one).identity == app_folder.read(two).identity
    (one / "more.py").write_text("")
    assert app_folder.read(one).identity != app_folder.read(two).identity


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[project]\nname = ]", "is no TOML: .*line 2"),
        (GOOD.replace('name = "means"', ""), r"has no \[project\] name"),
        (GOOD.replace("clientapp", "client"), r"has no \[tool.flwr.app.components\] clientapp"),
        (GOOD.replace("{name}.server:app", "server.py"), 'must be "module:attribute"'),
        (GOOD.replace("rounds = 3", "rounds = [3]"), r"rounds = \[3\]: must be a number, a text, true or false"),
        (GOOD + '[tool.edgefl]\nshards = "yes"\n', "shards must be true or false"),
        (GOOD + '[tool.edgefl]\nclassifier = "a.b"\n', "classifier must be the name of a package, is 'a.b'"),
        (GOOD + "[tool.edgefl]\nclassifier = true\n", "classifier must be the name of a package, is True"),
        (GOOD + '[tool.edgefl]\nkeras = "model.py"\n', "keras must be \"module:function\", is 'model.py'"),
        (GOOD + "[tool.edgefl]\nkeras = 1\n", "keras must be .*, is 1"),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(AppError, match=reason):
        app_folder.read(folder(tmp_path / "a", text))


def test_nothing_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(AppError, match=r"there is no pyproject\.toml in it"):
            app_folder.read(path)


def test_a_key_that_the_app_does_not_have(tmp_path: Path) -> None:
    app = app_folder.read(folder(tmp_path / "a"))
    with pytest.raises(AppError, match=r"has lr, which .* has not; there are: model\.name, model\.rate, rounds"):
        app_folder.configured(app, {"lr": 1})


def test_components_are_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    app = app_folder.read(folder(tmp_path / "a", name="loaded_once"))
    package = tmp_path / "a" / "loaded_once"
    package.mkdir()
    (package / "__init__.py").write_text("")
    with pytest.raises(AppError, match=r"there is no module loaded_once\.server in"):
        app.load("serverapp", int)
    (package / "server.py").write_text("app = 5\n")
    assert app.load("serverapp", int) == 5
    with pytest.raises(AppError, match="is a int, not a str"):
        app.load("serverapp", str)
    (package / "client.py").write_text("import no_such_thing\n")
    with pytest.raises(
        AppError, match=r"client\.py line 1: there is no module no_such_thing: add it to the dependencies"
    ):
        app.load("clientapp", int)
    (package / "client.py").write_text("\n\nraise SystemExit(3)\n")
    with pytest.raises(AppError, match=r"client\.py line 3: SystemExit: 3"):
        app.load("clientapp", int)
    (package / "client.py").write_text("def f(:\n")
    with pytest.raises(AppError, match=r"client\.py line 1: SyntaxError"):
        app.load("clientapp", int)
    (package / "client.py").write_text("class parts: pass\n")
    with pytest.raises(AppError, match=r"defines no parts\.app, which pyproject\.toml names as clientapp"):
        app.load("clientapp", int)


def test_a_fab(tmp_path: Path) -> None:
    fab = tmp_path / "means.fab"
    with zipfile.ZipFile(fab, "w") as archive:
        archive.writestr("pyproject.toml", GOOD.replace("{name}", "means"))
    assert app_folder.read(fab).name == "means"
    with zipfile.ZipFile(fab, "w") as archive:
        archive.writestr("../outside.py", "")
    with pytest.raises(AppError, match="outside of the app"):
        app_folder.read(fab)
    fab.write_text("no zip")
    with pytest.raises(AppError, match="can't be unpacked"):
        app_folder.read(fab)


def test_pairs() -> None:
    assert app_folder.pairs('site="a \\"b\\" c" x=1') == {"site": 'a "b" c', "x": 1}
    assert app_folder.pairs("lr=0.1 name='a b' deep.er=true") == {"lr": 0.1, "name": "a b", "deep.er": True}
    for bad in ("lr", "lr=", "lr=0.1 x", "name=text", "list=[1,2]"):
        with pytest.raises(ValueError, match="must be KEY=VALUE"):
            app_folder.pairs(bad)


def test_what_names_an_app() -> None:
    assert [text for text in ("./a", "/a/b", "a.fab", ".", "fashion_mnist", "nobody") if app_folder.is_there(text)] == [
        "./a",
        "/a/b",
        "a.fab",
        ".",
        "fashion_mnist",
    ]


class Model:
    """Has of a Keras model what it is known by."""

    def __init__(self, *made_of: object) -> None:
        self.made_of = made_of

    def get_weights(self) -> list[object]:
        return []


def with_keras(path: Path, source: str) -> app_folder.AppFolder:
    """An app whose Keras model is made by the function `make` of this source."""
    app = app_folder.read(folder(path, f'{GOOD}[tool.edgefl]\nkeras = "{path.name}_model:make"\n', path.name))
    (path / f"{path.name}_model.py").write_text(source)
    return app


def test_a_keras_model_is_made_of_values_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters are named after them, with _ for - and the dots."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "given_by_a_test", sys.modules[__name__])
    source = "from given_by_a_test import Model\ndef make(model_rate, rounds=1, *, other=2):\n    return Model(model_rate, rounds, other)\n"
    app = with_keras(tmp_path / "keras_made", source)
    assert app.has_keras and not app.is_classifier
    assert app.keras_model(app.config | {"model.rate": 0.25}).made_of == (0.25, 3, 2)
    assert not app_folder.read(folder(tmp_path / "a")).has_keras


@pytest.mark.parametrize(
    ("name", "source", "told"),
    [
        ("absent", "", "keras_absent_model.py defines no make"),
        ("value", "make = 1", "is no function"),
        (
            "lacking",
            "def make(a, rounds, b): pass",
            r"takes a, b, but \[tool.flwr.app.config\] in pyproject.toml has no",
        ),
        ("list", "def make(): return []", "gives a list, no Keras model"),
        ("raises", "def make():\n    1 / 0", r"keras_raises_model.py line 2: ZeroDivisionError"),
    ],
)
def test_a_keras_model_that_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str, told: str
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    app = with_keras(tmp_path / f"keras_{name}", source)
    with pytest.raises(AppError, match=told):
        app.keras_model(app.config)
