"""What a Flower app needs on top of the images' packages: what is missing, what does not fit, and which lock is taken. No index is asked."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _app, _app_lock, _build_context
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._app_lock import PLAIN, TENSORFLOW, Locker

WHERE = "app: pyproject.toml: [project] dependencies"
HASH = "--hash=sha256:" + 64 * "0"
LOCK = f"scikit-learn==1.9.1 \\\n    {HASH}\n    # via app\nscipy==1.17.1 \\\n    {HASH}\n"


@pytest.fixture
def locker() -> Locker:
    return Locker(_app.OWN_SOURCES)


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in uv's place that notes its arguments and files, and prints the file `answer`."""
    program = tmp_path / "bin/uv"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\ncat wanted.in excluded.txt there.txt >{tmp_path}/files\ncat {tmp_path}/answer\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "answer").write_text(LOCK)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    return tmp_path


def engine(locker: Locker) -> dict[str, str]:
    return locker.packages(PLAIN).there("x86_64")


def test_what_the_images_have(locker: Locker) -> None:
    plain, tensorflow = engine(locker), locker.packages(TENSORFLOW).there("x86_64")
    assert {"flwr", "grpcio", "numpy", "protobuf"} <= plain.keys() and plain.items() <= tensorflow.items()
    assert "tensorflow-cpu" in tensorflow and "tensorflow" not in tensorflow
    assert "tensorflow" in locker.packages(TENSORFLOW).there("aarch64")
    # Taken out of the layer, so an app that wants them gets its own
    assert not {"pyyaml", "cryptography", "pydantic"} & tensorflow.keys()


@pytest.mark.parametrize(
    "dependencies", [[], ["flwr[simulation]>=1.27", "numpy>=2"], ['colorama ; sys_platform == "win32"']]
)
def test_nothing_is_missing_and_no_uv_is_needed(
    locker: Locker, dependencies: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_app_lock, "uv", lambda: pytest.fail("uv was looked for"))
    assert locker.resolve(dependencies, WHERE) == _app_lock.Locked(PLAIN, "")


def test_tensorflow_comes_from_its_own_layer(locker: Locker) -> None:
    assert locker.resolve(["tensorflow>=2.9.1", "keras>=3"], WHERE) == _app_lock.Locked(TENSORFLOW, "")


@pytest.mark.parametrize("dependency", ["flwr<1.20", "numpy<2", "tensorflow<2.1"])
def test_what_the_images_have_in_another_version(locker: Locker, dependency: str) -> None:
    with pytest.raises(
        EdgeflError, match=f"(?s)^{WHERE.replace('[', '.').replace(']', '.')} has '{dependency}'.*let it take"
    ):
        locker.resolve([dependency], WHERE)


def test_what_uv_is_asked(locker: Locker, uv: Path) -> None:
    locker.pip_options = ["--extra-index-url=https://wheels.example/cpu"]
    assert locker.resolve(["flwr", "scikit-learn>=1.3"], WHERE) == _app_lock.Locked(PLAIN, LOCK)
    call, files = (uv / "calls").read_text(), (uv / "files").read_text()
    assert "--extra-index-url=https://wheels.example/cpu wanted.in" in call
    assert "--only-binary=:all:" in call and "--python-platform=x86_64-manylinux_2_36" in call
    assert "--no-emit-package=numpy" in call
    assert files.startswith("scikit-learn>=1.3\nflwr\nray\n") and f"numpy=={engine(locker)['numpy']}\n" in files


def test_wheels_instead_of_an_index(locker: Locker, uv: Path) -> None:
    locker.wheels = str(uv)
    locker.resolve(["scikit-learn"], WHERE)
    assert f"--find-links={uv} --no-index" in (uv / "calls").read_text()


def test_a_framework_that_only_a_dependency_needs(locker: Locker, uv: Path) -> None:
    (uv / "answer").write_text(f"keras-hub==1.0 \\\n    {HASH}\ntensorflow==2.21.0 \\\n    {HASH}\n")
    assert locker.resolve(["keras-hub"], WHERE).framework == TENSORFLOW
    assert len((uv / "calls").read_text().splitlines()) == 2
    assert "tensorflow\n" in (uv / "files").read_text()


def test_python_packages_of_debian(locker: Locker, uv: Path, tmp_path: Path) -> None:
    """They are not looked for at an index, and the app has the NumPy for which they are built."""
    without = locker.key(["torch==2.8.0"])
    locker.debian = ["libgl1", "python3-torch"]
    assert locker.key(["torch==2.8.0"]) != without
    assert locker.resolve(["flwr", "torch==2.8.0", "pandas"], WHERE).framework == PLAIN
    files = (uv / "files").read_text()
    assert (
        files.startswith("pandas\nnumpy<2,>=1.26\nflwr\nray\ntorch\n")
        and "numpy==" not in files
        and "pyarrow<26\n" in files
    )
    assert "--no-emit-package=numpy" not in (uv / "calls").read_text()
    own = tmp_path / "own.txt"
    own.write_text(f"numpy==1.26.4 \\\n    {HASH}\ntorch==2.8.0 \\\n    {HASH}\n{LOCK}")
    assert _app_lock.names(locker.given(str(own)).text) == {"numpy", "scikit-learn", "scipy"}
    assert Locker(tmp_path, debian=["libgl1", "python3-sklearn"]).of_debian == {"scikit-learn"}
    own.write_text(LOCK)
    with pytest.raises(EdgeflError, match=r"no numpy>=1.26,<2, for which Debian's torch are built"):
        locker.given(str(own))


def test_what_uv_says_is_told(locker: Locker, uv: Path) -> None:
    (uv / "bin/uv").write_text("#!/bin/sh\necho 'error: nosuch was not found' >&2\nexit 1\n")
    with pytest.raises(EdgeflError, match=r"(?s)\[project\] dependencies can't.*nosuch was not found.*edgefl_app_lock"):
        locker.resolve(["nosuch"], WHERE)


def test_no_uv(locker: Locker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgeflError, match=r"pip install uv.*edgefl_app_lock"):
        locker.resolve(["scikit-learn"], WHERE)


def test_xgboost_comes_without_nccl() -> None:
    nccl = f"nvidia-nccl-cu12==2.32.3 \\\n    {HASH}\n"
    xgboost = f"xgboost==3.2.0 \\\n    {HASH}\n"
    assert _app_lock.without_nccl(nccl + xgboost) == xgboost
    assert "nccl" in _app_lock.without_nccl(f"{nccl}torch==2.8.0 \\\n    {HASH}\n{xgboost}")


def test_a_lock_of_one_s_own(locker: Locker, tmp_path: Path) -> None:
    own, there = tmp_path / "own.txt", engine(locker)
    own.write_text(f"# mine\nflwr==1.0 \\\n    {HASH}\nnumpy=={there['numpy']} \\\n    {HASH}\n{LOCK}")
    assert locker.given(str(own)) == _app_lock.Locked(PLAIN, LOCK.replace("    # via app\n", ""))
    own.write_text(f"numpy==1.26.0 \\\n    {HASH}\npandas\n")
    constraints = f"--constraints {_app.OWN_SOURCES}/requirements-aggregator.txt"
    with pytest.raises(
        EdgeflError, match=rf"numpy is 1.26.0, the images have .*pandas has no version or no hash.*{constraints} PYPR"
    ):
        locker.given(str(own))
    with pytest.raises(EdgeflError, match=r"edgefl_app_lock\) can't be read"):
        locker.given(str(tmp_path / "none.txt"))


ANNOTATED = f"""\
flwr==1.0 \\
    {HASH}
    # via seeing (pyproject.toml)
cryptography==1.0 \\
    {HASH}
    # via flwr
scikit-learn==1.9.1 \\
    {HASH}
    # via
    #   -c requirements.txt
    #   seeing (pyproject.toml)
scipy==1.17.1 \\
    {HASH}
    # via scikit-learn, tensor-flow-tools
joblib==1.5.0 \\
    {HASH}
    # via
    #   keras
    #   scipy
tensorflow==2.21.0 \\
    {HASH}
    # via seeing (pyproject.toml)
"""


def test_a_lock_of_one_s_own_has_a_part_for_the_aggregator(locker: Locker, tmp_path: Path) -> None:
    """Where [tool.edgefl] aggregator-dependencies ask for less: by its comments, without any index."""
    own = tmp_path / "own.txt"
    own.write_text(ANNOTATED)

    def locked(*aggregator: str) -> dict[str, _app_lock.Locked]:
        dependencies = ["flwr", "scikit-learn", "tensorflow"]
        app = {
            "name": "seeing",
            "path": "/apps/seeing",
            "dependencies": dependencies,
            "aggregator_dependencies": [*aggregator],
        }
        return {
            program: each.locked for program, each in _app_lock.keep(locker, app, tmp_path, str(own), False).items()
        }

    found = locked("flwr", "scikit_learn>=1.3")
    assert _app_lock.names(found["client"].text) == {"cryptography", "scikit-learn", "scipy", "joblib"}
    assert _app_lock.names(found["aggregator"].text) == {"scikit-learn", "scipy", "joblib"}
    assert (found["client"].framework, found["aggregator"].framework) == (TENSORFLOW, PLAIN)
    assert locked("flwr", "numpy")["aggregator"] == _app_lock.Locked(PLAIN, "")
    assert locked("flwr", "scikit-learn", "tensorflow")["aggregator"] == found["client"]
    own.write_text(LOCK)
    with pytest.raises(EdgeflError, match=r"does not say what needs scipy .*aggregator-dependencies can't be told"):
        locked("flwr", "numpy")


def kept(locker: Locker, folder: Path, check_mode: bool = False, **more: Any) -> dict[str, _app_lock.Kept]:
    app = {
        "name": "seeing",
        "path": "/apps/seeing",
        "dependencies": ["scikit-learn"],
        "aggregator_dependencies": ["scikit-learn"],
    }
    return _app_lock.keep(locker, app | more, folder, "", check_mode)


def test_a_lock_is_kept_until_the_dependencies_change(locker: Locker, uv: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    assert kept(locker, folder, check_mode=True)["client"].made and not folder.exists()
    first = kept(locker, folder)
    assert first["client"].made and first["client"] is first["aggregator"]
    (uv / "answer").write_text("")
    again = kept(locker, folder)
    assert not again["client"].made and again["client"].locked == first["client"].locked
    assert again["client"].locked.text.endswith(LOCK)
    other = kept(locker, folder, dependencies=["scikit-learn", "pandas"])
    assert other["client"].made and not other["aggregator"].made
    assert len(list(folder.iterdir())) == 2


def test_each_architecture_has_a_lock_of_its_own(locker: Locker, uv: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    first = kept(locker, folder)["client"]
    locker.machine = "aarch64"
    app = {
        "name": "seeing",
        "path": "/apps/seeing",
        "dependencies": ["scikit-learn"],
        "aggregator_dependencies": ["nosuch"],
    }
    found = _app_lock.keep(locker, app, folder, "", False, ("client",))
    assert list(found) == ["client"] and found["client"].made and found["client"].path != first.path
    assert "--python-platform=aarch64-manylinux_2_36" in (uv / "calls").read_text().splitlines()[-1]
    (uv / "bin/uv").write_text("#!/bin/sh\necho 'error: pandas has no wheel' >&2\nexit 1\n")
    with pytest.raises(EdgeflError, match=r"(?s)for the images' Python 3.11 on aarch64\. .*pandas has no wheel"):
        locker.resolve(["pandas"], WHERE)


def test_what_an_architecture_adds_to_the_build(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/pyproject.toml").write_text("")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    locks = {program: {"text": LOCK, "framework": PLAIN} for program in ("aggregator", "client")}
    flower = {
        "name": "seeing",
        "path": str(tmp_path / "app"),
        "locks": locks,
        "others": {"arm64": {"text": "", "framework": TENSORFLOW}},
    }
    recipe: dict[str, Any] = {
        "source": str(tmp_path),
        "base_image": "debian:12",
        "app_name": "seeing",
        "flower_app": flower,
        "architectures": ["arm64"],
    }
    more, _unnamed = _build_context.files(flower)
    assert more["flower/client-arm64.txt"] == b"" and more["flower/client.txt"] == LOCK.encode()
    wanted = {"arm64": {"CLIENT_FRAMEWORK": TENSORFLOW, "CLIENT_LOCK": "flower/client-arm64.txt"}}
    assert _build_context.architectures(recipe) == wanted
    assert _build_context.architectures({**recipe, "flower_app": None}) == {"arm64": {}}
    assert _build_context.architectures({**recipe, "architectures": []}) == {}
    plain = _build_context.engine({**recipe, "flower_app": {**flower, "others": {}}, "architectures": []})
    assert plain != _build_context.engine(recipe)
    with pytest.raises(EdgeflError, match=r"libgl1 \(edgefl_app_packages\) can't be in images for arm64"):
        _build_context.architectures({**recipe, "flower_app": {**flower, "packages": ["libgl1"]}})


def test_what_goes_into_the_build(tmp_path: Path) -> None:
    app, wheels = tmp_path / "app", tmp_path / "wheels"
    app.mkdir()
    wheels.mkdir()
    (app / "pyproject.toml").write_text("")
    for name in ("scipy-1.17.1-cp311-cp311-manylinux_2_17_x86_64.whl", "scipy-1.0-py3-none-any.whl", "odd.whl"):
        (wheels / name).write_text("")
    locks = {"aggregator": {"text": "", "framework": PLAIN}, "client": {"text": LOCK, "framework": TENSORFLOW}}
    flower = {"name": "seeing", "path": str(app), "locks": locks, "wheels": str(wheels), "packages": ["libgl1"]}
    more, unnamed = _build_context.files(flower)
    assert sorted(more) == ["flower/aggregator.txt", "flower/app/seeing/pyproject.toml", "flower/client.txt"]
    assert sorted(unnamed) == [
        "flower/pip-options.txt",
        "flower/wheels/scipy-1.17.1-cp311-cp311-manylinux_2_17_x86_64.whl",
    ]
    assert unnamed["flower/pip-options.txt"] == b"--no-index\n--find-links=/build/wheels\n"
    assert _build_context.arguments(flower) == {
        "AGGREGATOR_FRAMEWORK": PLAIN, "CLIENT_FRAMEWORK": TENSORFLOW, "APP_BASE": "packages_base", "APP_PACKAGES": "libgl1",
    }  # fmt: skip
    with pytest.raises(EdgeflError, match="'x; reboot', which names no Debian package"):
        _build_context.arguments(flower | {"packages": ["x; reboot"]})
    with pytest.raises(EdgeflError, match="is no folder"):
        _build_context.files(flower | {"wheels": str(tmp_path / "none")})


def test_what_runs_an_app_is_all_of_a_build_but_the_app(tmp_path: Path) -> None:
    app, sources = tmp_path / "app", tmp_path / "sources"
    for folder in (app, sources):
        folder.mkdir()
    (app / "pyproject.toml").write_text("")
    (sources / "Dockerfile").write_text("FROM scratch\n")
    locks = {program: {"text": LOCK, "framework": PLAIN} for program in ("aggregator", "client")}
    flower = {"name": "seeing", "path": str(app), "locks": locks}
    own: dict[str, Any] = {
        "source": str(sources),
        "base_image": "debian:12",
        "arguments": {},
        "app_name": "seeing",
        "flower_app": None,
    }
    recipe = {**own, "flower_app": flower}
    first = _build_context.engine(recipe)
    (app / "pyproject.toml").write_text("# edited\n")
    assert _build_context.engine(recipe) == first
    other = {**flower, "locks": {**locks, "client": {"text": "", "framework": PLAIN}}}
    changes = ({"base_image": "debian:13"}, {"arguments": {"A": 1}}, {"flower_app": other}, {"flower_app": None})
    found = {_build_context.engine({**recipe, **change}) for change in changes}
    (sources / "Dockerfile").write_text("FROM scratch\nUSER 1\n")
    assert len({first, _build_context.engine(recipe), *found}) == 6
