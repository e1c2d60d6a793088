"""What makes the images: what is taken out of them, and what stays."""

from __future__ import annotations

import importlib.util
import lzma
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images import platforms
from support.helpers import ROOT

IMAGE = ROOT / "fl_src/image"


@pytest.fixture(scope="module")
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", IMAGE / "install.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", ["slim_base.sh", "foreign_base.sh"])
@pytest.mark.parametrize("words", [[], ["--list"], ["inside"]])
def test_no_system_is_taken_apart_by_accident(words: list[str], script: str) -> None:
    """Ansible runs each executable file of a folder that it takes for an inventory (one comma too many does). Without PATH a failure removes nothing."""
    assert not (IMAGE / script).stat().st_mode & 0o111
    done = subprocess.run(
        ["/bin/sh", IMAGE / script, *words],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "for the Dockerfile" in done.stderr


def test_notices_are_kept_packed(install: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/NOTICES.txt").write_text("Permission is granted\n")
    (tmp_path / "lib/tests").mkdir()
    rules = tmp_path / "slim.txt"
    rules.write_text("pack lib/NOTICES.txt\nlib/tests  # not needed\n")
    install.slim(tmp_path, rules)
    assert sorted(path.name for path in (tmp_path / "lib").iterdir()) == ["NOTICES.txt.xz"]
    assert lzma.decompress((tmp_path / "lib/NOTICES.txt.xz").read_bytes()) == b"Permission is granted\n"


def test_a_rule_that_matches_nothing_is_told(install: ModuleType, tmp_path: Path) -> None:
    rules = tmp_path / "slim.txt"
    rules.write_text("# a comment\nstrip lib/*.so\n")
    with pytest.raises(SystemExit, match=r"line 2: lib/\*.so matches nothing any more"):
        install.slim(tmp_path, rules)


def test_what_is_taken_out_of_an_app_s_frameworks(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files as PyTorch and JAX have them: nothing that is imported, loaded or started goes, and no licence."""
    goes = [
        "torch/include/ATen/ATen.h", "torch/share/cmake/Torch/TorchConfig.cmake", "torch/bin/protoc-3.21.12.0", "torch/bin/test_api", "torch/test/a",
        "torch/lib/libdnnl.a", "torch/_C/__init__.pyi", "jaxlib/include/xla/ffi/api/api.h", "jaxlib/mlir/_mlir_libs/include/mlir-c/IR.h",
        "jaxlib/mlir/_mlir_libs/_mlir/ir.pyi",
    ]  # fmt: skip
    stays = [
        "torch/__init__.py", "torch/bin/torch_shm_manager", "torch/lib/libtorch_cpu.so", "torch/testing/_internal/logging_tensor.py",
        "torch-2.9.0.dist-info/licenses/LICENSE", "torch-2.9.0.dist-info/RECORD", "torch/_vendor/packaging/LICENSE", "jaxlib/libjax_common.so",
        "jaxlib/mlir/ir.py", "jaxlib-0.10.2.dist-info/licenses/LICENSE.txt", "skimage/__init__.pyi", "other/include/a.h", "other/lib/a.a",
    ]  # fmt: skip
    there, none, stripped = tmp_path / "there", tmp_path / "none", tmp_path / "stripped"
    for name in goes + stays:
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text("as it was")
    none.mkdir()
    # It can't do it, which is not the end of the build
    (tmp_path / "strip").write_text(f'#!/bin/sh\necho "$2" >>{stripped}\nexit 1\n')
    (tmp_path / "strip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for folder in (there, none):
        install.slim(folder, IMAGE / "app-slim.txt", some=True)
    assert sorted(str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()) == sorted(stays)
    assert {(there / name).read_text() for name in stays} == {"as it was"}
    assert stripped.read_text().split() == [str(there / "jaxlib/libjax_common.so")]


def test_each_stage_of_an_app_s_packages_has_these_rules() -> None:
    stages = (ROOT / "fl_src/Dockerfile").read_text().split("\nFROM ")
    of_apps = [stage for stage in stages if "--target /opt/edgefl/packages" in stage]
    assert len(of_apps) == 2
    assert all("image/app-slim.txt" in one and "--slim-some /build/wheels/app-slim.txt" in one for one in of_apps)


def test_a_part_that_an_app_may_complete(install: ModuleType, tmp_path: Path) -> None:
    """Without the package its names are there and say what to add, once they are used; with it they are the real ones."""
    part, package = tmp_path / "engine/part", tmp_path / "packages"
    part.mkdir(parents=True)
    package.mkdir()
    (part / "__init__.py").write_text('"""About."""\n\nfrom .real import work\n\n__all__ = [\n    "work",\n]\n')
    (part / "real.py").write_text("import needed\n\ndef work():\n    return needed.value\n")
    rules = tmp_path / "slim.txt"
    rules.write_text("optional part/__init__.py\n")
    install.slim(tmp_path / "engine", rules)
    install.bytecode_only(tmp_path / "engine")
    assert not list((tmp_path / "engine").rglob("*.py"))

    def used() -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from part import work\nprint('imported')\nprint(work())"],
            env={"PYTHONPATH": f"{tmp_path / 'engine'}:{package}"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    assert used().startswith("imported\n")
    assert "part.work needs the module needed: add its package to the app's dependencies" in used()
    (package / "needed.py").write_text("value = 7\n")
    assert used() == "imported\n7\n"


def test_packages_for_another_machine(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip asks markers of the machine that it runs on, and takes wheels of the platforms that it is told."""
    lock = "a==1 ; platform_machine == 'aarch64' \\\nb==2 ; platform_machine == \"x86_64\" or platform_machine == 'aarch64' \\\nc==3 \\\n"
    monkeypatch.setattr(install.platform, "machine", lambda: "x86_64")
    there = install.for_machine(lock, "aarch64")
    assert "a==1 ; platform_machine == 'x86_64'" in there and "c==3 " in there
    assert "platform_machine == \"aarch64\" or platform_machine == 'x86_64'" in there
    options = install.wheels_for("aarch64")
    assert {
        "--platform=manylinux_2_36_aarch64",
        "--platform=manylinux_2_17_aarch64",
        "--platform=manylinux2014_aarch64",
    } <= {*options}
    assert "--python-version=3.11" in options and "--platform=manylinux_2_37_aarch64" not in options


def test_libraries_of_another_machine_are_stripped_by_its_program(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib.so").write_text("")
    (tmp_path / "slim.txt").write_text("strip lib.so\n")
    program = tmp_path / "aarch64-linux-gnu-strip"
    program.write_text(f"#!/bin/sh\necho stripped >>{tmp_path}/log\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    install.slim(tmp_path, tmp_path / "slim.txt", strip=program.name)
    assert (tmp_path / "log").read_text() == "stripped\n"


def test_packages_of_python_alone_are_apart(install: ModuleType, tmp_path: Path) -> None:
    """By their wheels' tags; what a package for this machine has a part in stays, whatever else is taken out or compiled in between."""
    packages = {
        "alone-1": ("py3-none-any", ["alone/__init__.py", "alone_too.py", "shared/alone.py", "../../bin/alone"]),
        "native-1": ("cp311-cp311-manylinux_2_17_x86_64", ["native/__init__.py", "native/_c.so", "shared/native.py"]),
        # Its wheel says that it is pure, and is for a platform
        "library-1": ("py2.py3-none-manylinux2010_x86_64", ["library/lib.so"]),
        "gone-1": ("py3-none-any", ["gone.py"]),
    }
    target, pure = tmp_path / "engine", tmp_path / "layer/pure"
    for name, (tag, files) in packages.items():
        about = f"{name}.dist-info"
        for path in (*files, f"{about}/WHEEL", f"{about}/RECORD"):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_text("")
        (target / about / "WHEEL").write_text(f"Root-Is-Purelib: true\nTag: {tag}\n")
        (target / about / "RECORD").write_text("".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"]))
    names = install.names_of_pure(target)
    rules = tmp_path / "slim.txt"
    rules.write_text("*.dist-info/RECORD\ngone.py\n")
    install.slim(target, rules)
    install.bytecode_only(target)
    install.part(target, pure, names)
    assert sorted(path.name for path in pure.iterdir()) == [
        "alone",
        "alone-1.dist-info",
        "alone_too.pyc",
        "gone-1.dist-info",
    ]
    assert sorted(path.name for path in target.iterdir()) == [
        "library",
        "library-1.dist-info",
        "native",
        "native-1.dist-info",
        "shared",
    ]
    assert sorted(path.name for path in (target / "shared").iterdir()) == ["alone.pyc", "native.pyc"]


def test_files_and_folders_of_a_layer_have_one_time(tmp_path: Path) -> None:
    (tmp_path / "layer/opt/folder").mkdir(parents=True)
    (tmp_path / "layer/opt/folder/file").write_text("")
    (tmp_path / "layer/opt/link").symlink_to("nowhere")
    subprocess.run([IMAGE / "same_times.sh", tmp_path / "layer"], check=True)
    made = [tmp_path / "layer", *(tmp_path / "layer").rglob("*")]
    assert len(made) == 5 and {path.lstat().st_mtime for path in made} == {315532800}


def test_what_goes_into_an_image_as_a_layer_has_one_time() -> None:
    """But the system, and an app's own packages."""
    text = re.sub(r"^(#.*)?\n", "", (ROOT / "fl_src/Dockerfile").read_text(), flags=re.MULTILINE)
    stages = {stage.splitlines()[0].rpartition(" AS ")[2]: stage for stage in text.split("\nFROM ")[1:]}
    copied = set(re.findall(r"^COPY --from=(\w+) (\S+) \S+$", text, re.MULTILINE))
    others = {("slim", "${ROOT}"), ("packages", "/")}
    others |= {(f"{program}_packages", "/opt/edgefl/packages") for program in ("aggregator", "client")}
    assert others < copied and len(copied - others) == 10
    for stage, folder in copied - others:
        called, *folders = stages[stage].splitlines()[-1].removeprefix("RUN ").split()
        assert called == "/build/same_times.sh" and folder in folders, f"{stage}: {folder}"


def test_all_that_an_architecture_gives_is_an_argument_of_the_dockerfile() -> None:
    text = (ROOT / "fl_src/Dockerfile").read_text()
    given = [*platforms.arguments("arm64", "empty:1"), "CLIENT_LOCK"]
    assert [name for name in given if f"ARG {name}=" not in text or not re.search(rf"\${{?{name}\b", text)] == []
    # What takes the architecture's packages has its program to strip them
    stages = [stage for stage in text.split("\nFROM ") if '--machine "$MACHINE"' in stage]
    assert len(stages) == 3 and all("ARG MACHINE=\n" in stage for stage in stages)
    assert all(stage.startswith(("installer AS ", "engine AS ")) for stage in stages)


def test_each_argument_of_the_build_has_a_value() -> None:
    """The builder before BuildKit runs all stages up to the wanted one, those as well that nobody gives arguments to."""
    lines = (ROOT / "fl_src/Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("ARG ") and "=" not in line] == []
