"""An app's packages on their whole way: locked by the real uv, collected for the build, installed as the stage of the image does it. No index is asked."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _app, _app_lock, _build_context
from support.helpers import ROOT, Result, run
from support.wheels import write_wheel

INSTALL = ROOT / "fl_src/image/install.py"
SLIM = ROOT / "fl_src/image/app-slim.txt"
# Where the stage has them
IN_THE_BUILD = b"/build/wheels"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with a package, what it needs, and one that nobody wants."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    write_wheel(
        folder, "edgefl_levels", '"""Documented."""\nfrom edgefl_limits import HIGHEST\n', needs=("edgefl-limits>=2",)
    )
    for version in ("1.0", "2.1"):
        write_wheel(folder, "edgefl_limits", f"HIGHEST = {version}\n", version)
    write_wheel(folder, "edgefl_unwanted", "")
    return folder


def kept(folder: Path, wheels: Path) -> dict[str, _app_lock.Kept]:
    """The locks of an app whose clients need a package that the images lack, and whose aggregator needs none."""
    app = folder / "app"
    app.mkdir(exist_ok=True)
    about = {
        "name": "levels",
        "path": str(app),
        "dependencies": ["flwr>=1.20", "numpy", "edgefl-levels"],
        "aggregator_dependencies": ["flwr", "numpy"],
    }
    return _app_lock.keep(_app_lock.Locker(_app.OWN_SOURCES, wheels=str(wheels)), about, folder / "locks", "", False)


def installed(folder: Path, locks: dict[str, _app_lock.Kept], wheels: Path, program: str) -> tuple[Path, Result]:
    """The packages of a program's image as its stage installs them, from the context that is sent to the build."""
    flower = {
        "name": "levels",
        "path": str(folder / "app"),
        "wheels": str(wheels),
        "locks": {name: {"text": lock.locked.text, "framework": lock.locked.framework} for name, lock in locks.items()},
    }
    more, unnamed = _build_context.files(flower)
    context, build, target = more | unnamed, folder / program / "build", folder / program / "packages"
    build.mkdir(parents=True)
    for name, content in context.items():
        if not name.startswith("flower/app/"):
            data = content if isinstance(content, bytes) else content.read_bytes()
            (build / Path(name).name).write_bytes(data.replace(IN_THE_BUILD, bytes(build)))
    words = (
        "--lock",
        build / f"{program}.txt",
        "--options",
        build / "pip-options.txt",
        "--slim-some",
        SLIM,
        "--with-source",
    )
    return target, run(sys.executable, INSTALL, "--target", target, *words, timeout=120)


def test_a_package_from_a_wheel_to_the_image(tmp_path: Path, wheels: Path) -> None:
    locks = kept(tmp_path, wheels)
    entries = dict(_app_lock.blocks(locks["client"].path.read_text()))
    assert list(entries) == ["edgefl-levels", "edgefl-limits"] and "edgefl-limits==2.1" in entries["edgefl-limits"]
    assert all("--hash=sha256:" in entry for entry in entries.values())
    assert _app_lock.names(locks["aggregator"].locked.text) == set()

    target, done = installed(tmp_path, locks, wheels, "client")
    assert "kept" in done.ok().output
    assert sorted(path.name for path in (tmp_path / "client/build").glob("*.whl")) == [
        "edgefl_levels-1.0-py3-none-any.whl",
        "edgefl_limits-2.1-py3-none-any.whl",
    ]
    program = "import edgefl_levels; print(edgefl_levels.HIGHEST, edgefl_levels.__doc__, edgefl_levels.__cached__)"
    used = subprocess.run([sys.executable, "-B", "-c", program], cwd=target, check=True, capture_output=True, text=True)
    assert used.stdout.startswith("2.1 Documented. ") and Path(used.stdout.split()[-1]).is_file()

    target, done = installed(tmp_path, locks, wheels, "aggregator")
    assert done.ok().output == "" and list(target.iterdir()) == []


def test_a_package_for_another_machine(tmp_path: Path) -> None:
    """The wheel of that machine, wherever it is installed, also behind a marker; what has none is told by the lock, before any build."""
    here = platform.machine()
    there = next(name for name in ("aarch64", "x86_64") if name != here)
    folder = tmp_path / "wheels"
    folder.mkdir()
    for machine in (here, there):
        write_wheel(folder, "edgefl_fast", f"MACHINE = '{machine}'\n", tag=f"cp311-cp311-manylinux_2_28_{machine}")
    write_wheel(folder, "edgefl_here", "", tag=f"cp311-cp311-manylinux_2_17_{here}")
    locker = _app_lock.Locker(_app.OWN_SOURCES, there, wheels=str(folder))
    lock = tmp_path / "lock.txt"
    lock.write_text(locker.resolve([f"edgefl-fast; platform_machine == '{there}'"], "app").text)
    assert _app_lock.names(lock.read_text()) == {"edgefl-fast"}
    lock.write_text(lock.read_text().replace("edgefl-fast==1.0", f"edgefl-fast==1.0 ; platform_machine == '{there}'"))
    options = tmp_path / "options.txt"
    options.write_text(f"--no-index\n--find-links={folder}\n")
    target = tmp_path / "packages"
    words = ("--machine", there, "--target", target, "--lock", lock, "--options", options, "--with-source")
    run(sys.executable, INSTALL, *words, timeout=120).ok()
    assert (target / "edgefl_fast.py").read_text() == f"MACHINE = '{there}'\n"
    assert list(target.glob("__pycache__/edgefl_fast.*.pyc"))
    with pytest.raises(EdgeflError, match=rf"(?s)Python 3.11 on {there}\. What uv says.*edgefl-here"):
        locker.resolve(["edgefl-here"], "app")


def test_a_wheel_that_is_not_the_locked_one(tmp_path: Path, wheels: Path) -> None:
    """It has the name and the version, but other contents."""
    locks = kept(tmp_path, wheels)
    write_wheel(wheels, "edgefl_limits", "HIGHEST = 9\n", "2.1")
    target, done = installed(tmp_path, locks, wheels, "client")
    assert done.code != 0 and "DO NOT MATCH THE HASHES" in done.output
    assert not (target / "edgefl_limits.py").exists()


def test_a_package_that_is_not_in_the_folder(tmp_path: Path, wheels: Path) -> None:
    (wheels / "edgefl_limits-2.1-py3-none-any.whl").unlink()
    with pytest.raises(EdgeflError, match=r"(?s)can't be resolved .*edgefl-limits.*edgefl_app_wheels"):
        kept(tmp_path, wheels)
