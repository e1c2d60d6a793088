"""The sources of images: what their digest depends on, and what Docker is sent."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._sources import Sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sources = tmp_path / "sources"
    (sources / "edgefl/__pycache__").mkdir(parents=True)
    (sources / "Dockerfile").write_text("FROM scratch\n")
    (sources / "edgefl/model.py").write_text("layers = 1\n")
    (sources / "edgefl/__pycache__/model.pyc").write_bytes(b"1")
    return sources


def test_the_digest_is_of_what_goes_into_the_build(folder: Path) -> None:
    seen = {Sources(str(folder)).digest()}

    def new() -> bool:
        digest = Sources(str(folder)).digest()
        known = digest in seen
        seen.add(digest)
        return not known

    model = folder / "edgefl/model.py"
    model.write_text("layers = 2\n")
    assert new()
    model.chmod(0o755)
    assert new()
    model.rename(folder / "edgefl/net.py")
    assert new()
    (folder / "data").symlink_to("edgefl")
    assert new()
    (folder / "edgefl/__pycache__/model.pyc").write_bytes(b"2")
    (folder / "ca.crt").write_text("of another build")
    (folder / "requirements-client.in").write_text("numpy\n")
    assert not new()


def test_the_archive_has_the_same_files_and_the_certificates(folder: Path) -> None:
    (folder / "ca.crt").write_text("of another build")
    (folder / "data").symlink_to("edgefl")
    packed = io.BytesIO()
    Sources(str(folder)).pack(packed, b"trusted")
    assert packed.getvalue().startswith(b"Dockerfile\0")
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        assert sorted(archive.getnames()) == ["Dockerfile", "ca.crt", "data", "edgefl/model.py"]
        certificates = archive.extractfile("ca.crt")
        assert certificates and certificates.read() == b"trusted"
        assert {(member.uid, member.uname) for member in archive} == {(0, "")}


def test_the_archive_is_the_same_whoever_installed_the_folder(folder: Path) -> None:
    """A collection may be installed read-only or with a strict umask: the pods' user must read the files, and the build's cache know them."""
    program = folder / "run.sh"
    program.write_text("#!/bin/sh\n")

    def modes(of_model: int, of_program: int) -> dict[str, int]:
        (folder / "edgefl/model.py").chmod(of_model)
        program.chmod(of_program)
        packed = io.BytesIO()
        Sources(str(folder)).pack(packed, b"")
        packed.seek(0)
        with tarfile.open(fileobj=packed) as archive:
            return {about.name: about.mode for about in archive}

    wanted = {"Dockerfile": 0o644, "ca.crt": 0o644, "edgefl/model.py": 0o644, "run.sh": 0o755}
    assert modes(0o644, 0o755) == modes(0o400, 0o500) == modes(0o664, 0o775) == wanted


def test_a_folder_without_a_dockerfile(tmp_path: Path) -> None:
    with pytest.raises(EdgeflError, match=r"edgefl_source.*no Dockerfile"):
        Sources(str(tmp_path))


def test_what_runs_an_app_does_not_depend_on_it(folder: Path) -> None:
    app, other = (folder / f"edgefl/apps/{name}/model.py" for name in ("footwear", "hats"))
    for path in (app, other):
        path.parent.mkdir(parents=True)
    other.touch()

    def engine(text: str, flower: bytes = b"", name: str = "footwear") -> str:
        app.write_text(text)
        return Sources(str(folder), {"flower/app/x/x.py": flower}).digest(without=name)

    assert engine("1") == engine("2") != engine("1", b"1")
    assert engine("1", name="x") == engine("1", b"1", name="x") != engine("2", name="x")
    # Too large to lie beside the image
    assert len({engine("1"), engine("1" * 5_000_000), engine("2" * 5_000_000)}) == 3
    # It may import what the other has
    before = engine("1")
    other.write_text("1")
    assert engine("1") != before


def test_files_from_elsewhere(folder: Path) -> None:
    def sources(app: bytes, options: bytes = b"") -> Sources:
        return Sources(str(folder), {"flower/app/x.py": app}, {"flower/pip-options.txt": options})

    one = sources(b"1")
    assert one.digest() not in (Sources(str(folder)).digest(), sources(b"2").digest())
    # Where packages come from makes no other image
    assert one.digest() == sources(b"1", b"--pre").digest()
    assert sources(b"1", b"--pre").size() == one.size() + 5
    packed = io.BytesIO()
    sources(b"1", b"--pre").pack(packed, b"")
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        found = archive.extractfile("flower/pip-options.txt")
        assert found is not None and found.read() == b"--pre"
        assert archive.getmember("flower/app/x.py").mode == 0o644
