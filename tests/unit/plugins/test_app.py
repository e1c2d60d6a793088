"""The app that edgefl_app names: what is read of it on the controller, and what is refused there, however hostile the folder is."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _app, _ignored
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._app import Files, app_info

RIGHT = """
[project]
name = "seeing"
dependencies = ["flwr[simulation]>=1.20", "scikit-learn>=1.3"]
[tool.flwr.app.components]
serverapp = "seeing.server:app"
clientapp = "seeing.client:app"
[tool.flwr.app.config]
lr = 0.1
rounds = 3
[tool.flwr.app.config.net]
depth = 2
"""

App = Callable[..., Path]


@pytest.fixture
def app(tmp_path: Path) -> App:
    def made(pyproject: str | None = RIGHT, **files: str) -> Path:
        folder = tmp_path / "app"
        contents = {"seeing/__init__.py": "", "seeing/server.py": "app = 1\n", "seeing/client.py": "app = 2\n", **files}
        if pyproject is not None:
            contents["pyproject.toml"] = pyproject
        for name, text in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    return made


def packed(folder: Path, to: Path, **more: str) -> Path:
    with zipfile.ZipFile(to, "w") as archive:
        for path in folder.rglob("*"):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
        for name, text in more.items():
            archive.writestr(name, text)
    return to


def problem(app: Any, config: Any = None) -> str:
    (found,) = app_info(app, config=config)["problems"]
    return str(found)


def test_a_folder(app: App) -> None:
    path = app()
    found = app_info(path)
    assert found == {
        "name": "seeing",
        "path": str(path),
        "built_in": False,
        "classifier": False,
        "shards": False,
        "components": {"serverapp": "seeing.server:app", "clientapp": "seeing.client:app"},
        "config": {"lr": 0.1, "rounds": 3, "net.depth": 2},
        "dependencies": ["flwr[simulation]>=1.20", "scikit-learn>=1.3"],
        "aggregator_dependencies": ["flwr[simulation]>=1.20", "scikit-learn>=1.3"],
        "problems": [],
    }


def test_secure_aggregation_gets_what_it_needs(app: App) -> None:
    path = app(RIGHT + "[tool.edgefl]\naggregator-dependencies = []\n")
    assert app_info(path)["aggregator_dependencies"] == []
    (path / "seeing/client.py").write_text("from flwr.client.mod import secaggplus_mod\napp = 1\n")
    found = app_info(path)
    assert found["problems"] == [] and found["aggregator_dependencies"] == ["cryptography", "pycryptodome"]
    assert found["dependencies"] == ["flwr[simulation]>=1.20", "scikit-learn>=1.3", "cryptography", "pycryptodome"]


def test_a_fab_is_the_same(app: App, tmp_path: Path) -> None:
    folder = app(RIGHT + '[tool.edgefl]\nshards = true\naggregator-dependencies = ["numpy"]\n')
    found = app_info(packed(folder, tmp_path / "x.fab"))
    assert found == app_info(folder) | {"path": str(tmp_path / "x.fab")}
    assert found["shards"] and found["aggregator_dependencies"] == ["numpy"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("fashion_mnist", False),
        ("fashion", False),
        ("./x", True),
        ("~/x", True),
        (".", True),
        ("a/b", True),
        ("x.fab", True),
    ],
)
def test_a_name_or_a_path(text: str, path: bool) -> None:
    assert _app.is_path(text) == path


def test_it_is_relative_to_where_ansible_playbook_was_called(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = app()
    monkeypatch.chdir(folder.parent)
    assert app_info("./app")["path"] == str(folder)
    monkeypatch.chdir(folder)
    assert app_info(".")["name"] == "seeing"
    monkeypatch.setenv("HOME", str(folder.parent))
    assert app_info("~/app") == app_info(folder)


def test_one_of_the_sources_own() -> None:
    found = app_info("fashion_mnist")
    assert (
        found["built_in"]
        and found["classifier"]
        and found["shards"]
        and found["path"] == ""
        and found["problems"] == []
    )
    assert found["components"]["clientapp"] == "fashion_mnist.app:clientapp" and found["dependencies"] == []
    assert "Did you mean fashion_mnist?" in problem("fashion_mnst")
    assert "edgefl_epochs" in problem("fashion_mnist", {"lr": 1})


def changed(old: str, new: str) -> str:
    assert old in RIGHT
    return RIGHT.replace(old, new)


@pytest.mark.parametrize(
    ("pyproject", "words"),
    [
        (None, ["no pyproject.toml", "flwr new"]),
        ("[project", ["pyproject.toml is no TOML", "end of a table"]),
        ("a = " + "[" * 9000, ["nested too deep"]),
        (changed('name = "seeing"', ""), ['has no [project] name = "..."']),
        (changed('"seeing"', "3"), ["[project] name is 3", "use a text"]),
        (changed('"seeing"', '"../../etc"'), ["[project] name is '../../etc'", "letters"]),
        (changed('"seeing"', f'"{"a" * 64}"'), ["at most 40"]),
        (changed('serverapp = "seeing.server:app"', ""), ["has no [tool.flwr.app.components] serverapp"]),
        (changed("seeing.server:app", "seeing.server"), ["serverapp is 'seeing.server'", "module:object"]),
        (changed("seeing.server:app", "os.path:$(id)"), ["serverapp is 'os.path:$(id)'"]),
        (changed("seeing.server:app", "seen.server:app"), ["there is no seen/server.py in"]),
        (changed("seeing.client:app", "seeing.client:application"), ["seeing/client.py defines no application"]),
        (changed("rounds = 3", "rounds = [3]"), ["[tool.flwr.app.config] rounds is [3]", "use a number"]),
        (changed("[tool.flwr.app.config]\nlr", "[tool.flwr.app]\nconfig"), None),
        (RIGHT + '[tool.edgefl]\nshards = "yes"', ["[tool.edgefl] shards is 'yes'", "true or false"]),
        (RIGHT + "[tool.edgefl]\nshards = 1", ["[tool.edgefl] shards is 1"]),
        (RIGHT + '[tool.edgefl]\nclassifier = "a.b"', ["[tool.edgefl] classifier is 'a.b'", "data.py and model.py"]),
        (RIGHT + '[tool.edgefl]\nkeras = "model.py"', ["[tool.edgefl] keras is 'model.py'", "module:object"]),
        (RIGHT + "[tool.edgefl]\nkeras = 1", ["[tool.edgefl] keras is 1", "use a text"]),
        (RIGHT + '[tool.edgefl]\nkeras = "seeing.net:build"', ["keras is", "there is no seeing/net.py in"]),
        (RIGHT + '[tool.edgefl]\nkeras = "seeing.client:build"', ["seeing/client.py defines no build"]),
        (
            RIGHT + '[tool.edgefl]\nclassifier = "seeing"\nkeras = "seeing.client:app"',
            ["no classifier", "leave it out"],
        ),
        (RIGHT + "[tool.edgefl]\naggregator-dependencies = 1", ["aggregator-dependencies is 1", "list of texts"]),
        (changed('"scikit-learn>=1.3"', '"scikit learn"'), ["[project] dependencies has 'scikit learn'"]),
        (changed('"scikit-learn>=1.3"', '"--index-url=http://x"'), ["dependencies has '--index-url=http://x'"]),
    ],
)
def test_what_is_refused_names_file_key_and_what_to_change(
    app: App, pyproject: str | None, words: list[str] | None
) -> None:
    path = app(pyproject)
    found = app_info(path)["problems"]
    assert found and all(str(path) in text for text in found), found
    for word in words or []:
        assert any(word in text for text in found), (word, found)


def test_all_that_is_wrong_is_told_at_once(app: App) -> None:
    found = app_info(app("[project]\n"))["problems"]
    assert len(found) == 3, found


def test_the_configuration_s_keys_are_the_app_s(app: App) -> None:
    path = app()
    assert app_info(path, config={"lr": 1, "net.depth": 3})["problems"] == []
    assert "has lrr" in problem(path, {"lrr": 1}) and "Did you mean lr?" in problem(path, {"lrr": 1})
    assert "lr is [1]" in problem(path, {"lr": [1]})
    assert "use a dictionary" in problem(path, "lr=1")


def test_what_is_no_app_at_all(tmp_path: Path) -> None:
    assert "is not there" in problem(tmp_path / "none/here")
    (tmp_path / "app.py").write_text("")
    assert "neither a folder nor a .fab" in problem(tmp_path / "app.py")
    (tmp_path / "x.fab").write_text("no zip")
    assert "is no .fab" in problem(tmp_path / "x.fab")


@pytest.mark.parametrize("name", ["../out.py", "/etc/out.py", "a/../../out.py", "a\\..\\out.py"])
def test_a_fab_that_leads_out_of_itself(app: App, tmp_path: Path, name: str) -> None:
    assert "leads out of the app" in problem(packed(app(), tmp_path / "x.fab", **{name: "x"}))


def test_a_fab_with_a_link(app: App, tmp_path: Path) -> None:
    fab = packed(app(), tmp_path / "x.fab")
    link = zipfile.ZipInfo("seeing/secret")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(fab, "a") as archive:
        archive.writestr(link, "/etc/shadow")
    assert "leads out of the app" in problem(fab)


def test_a_link_out_of_the_folder_and_one_in_circles(app: App) -> None:
    path = app()
    (path / "seeing/again").symlink_to(path)
    assert app_info(path)["problems"] == []
    (path / "seeing/secret.py").symlink_to("/etc/hostname")
    assert "leads out of the app, to /etc/hostname" in problem(path)


def test_what_travels(app: App) -> None:
    path = app(
        **{
            ".gitignore": "*.npz\n/data/\n!keep.npz\n",
            ".fabignore": "notes/**\n",
            ".git/config": "",
            "seeing/__pycache__/x.pyc": "",
            "data/x.csv": "",
            "seeing/data/y.csv": "",
            "a.npz": "",
            "keep.npz": "",
            "notes/a/b.txt": "",
            "README.md": "",
        }
    )
    assert list(Files(path)) == [
        "README.md",
        "keep.npz",
        "pyproject.toml",
        "seeing/__init__.py",
        "seeing/client.py",
        "seeing/data/y.csv",
        "seeing/server.py",
    ]


def test_what_is_too_large(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_app, "LARGEST", 10_000)
    path = app(**{"seeing/weights.bin": "x" * 9_990})
    assert "The largest file is seeing/weights.bin" in problem(path)
    (path / ".fabignore").write_text("*.bin\n")
    assert app_info(path)["problems"] == []


@given(some.binary(max_size=300) | some.text(max_size=200).map(str.encode))
def test_no_pyproject_breaks_it(content: bytes) -> None:
    folder = io.BytesIO()
    with zipfile.ZipFile(folder, "w") as archive:
        archive.writestr("pyproject.toml", content)
    files = Files.__new__(Files)
    files.path, files._archive, files._sizes = Path("x"), zipfile.ZipFile(folder), {"pyproject.toml": len(content)}
    with suppress(EdgeflError):
        assert isinstance(_app._document(files), dict)


@given(some.text(max_size=30), some.text(min_size=1, max_size=30))
def test_no_pattern_breaks_it(pattern: str, name: str) -> None:
    assert _ignored.Ignored([pattern])(name, True) in (True, False)


def test_apps(tmp_path: Path) -> None:
    for name in ("footwear", "fashion_mnist"):
        (tmp_path / "edgefl/apps" / name).mkdir(parents=True)
        (tmp_path / "edgefl/apps" / name / "pyproject.toml").touch()
    (tmp_path / "edgefl/apps/notes").mkdir()
    assert _app.built_in(str(tmp_path)) == ["fashion_mnist", "footwear"]


def test_a_classifier_that_lies_elsewhere(app: App) -> None:
    path = app(RIGHT + '[tool.edgefl]\nclassifier = "seeing"\nshards = true\n')
    found = app_info(path)
    assert found["classifier"] and found["shards"] and not found["built_in"]
    assert "edgefl_epochs" in problem(path, {"lr": 1})
    # Flower's own names have no underscore
    assert app_info(app(RIGHT + '[tool.edgefl]\nclassifier = "see_ing"\n'))["name"] == "see_ing"


def test_what_is_wrong_with_one_of_the_sources_is_told_as_well(app: App, tmp_path: Path) -> None:
    folder = tmp_path / "edgefl/apps/seeing"
    folder.parent.mkdir(parents=True)
    app(changed("seeing.client:app", "seen.client:app")).rename(folder)
    assert "there is no seen/client.py in" in " ".join(app_info("seeing", str(tmp_path))["problems"])
    folder.rename(folder.with_name("other"))
    (other, _dummy) = sorted(app_info("other", str(tmp_path))["problems"], key=lambda text: "rename" not in text)
    assert "is of the app seeing" in other
