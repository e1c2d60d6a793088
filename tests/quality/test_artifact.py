"""The collection as it would be published: what the artifact holds, that it stands alone, and what Galaxy's importer and ansible-builder say of it."""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path

import yaml

from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._sources import Sources
from support.artifact import NAME, content, members
from support.helpers import BIN, ROOT, files, run

# What Ansible's rules let a collection use, and what the role build_images reaches by a link
FOLDERS = {"meta", "playbooks", "plugins", "roles"}
LINK = ("roles/build_images/files/fl_src", "fl_src")
BESIDE = [
    "changelogs/changelog.yaml",
    "fl_src/.dockerignore",
    "fl_src/Dockerfile",
    "fl_src/requirements-aggregator.txt",
    "fl_src/requirements-client.txt",
]
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))


def test_artifact_holds_what_is_used(artifact: Path) -> None:
    found = members(artifact)
    tops = {name.partition("/")[0] for name in found}
    assert tops == FOLDERS | {LINK[1], "CHANGELOG.md", "LICENSE", "README.md", "changelogs"}
    assert sorted(found.keys() - {str(path) for path in files()}) == [], "not of this project"
    assert [name for name in found if re.search(r"(^|/)(tests?|molecule)(/|_)", name)] == []
    # Of the images' sources, what goes into an image and what says how; of the changelog, what tools read
    beside = [name for name in found if re.match(r"(?:changelogs|fl_src)/(?!edgefl/|image/)", name)]
    assert sorted(beside) == BESIDE
    assert [name for name in found if name.endswith(".in")] == []
    links = {
        name: posixpath.normpath(f"{posixpath.dirname(name)}/{entry.linkname}")
        for name, entry in found.items()
        if entry.issym()
    }
    assert links == dict([LINK])
    assert artifact.stat().st_size < 2_000_000


def test_installed_collection_is_the_checkout(artifact: Path, collection: Path) -> None:
    """Byte by byte, whoever installed it."""
    there = content(collection)
    assert there.keys() - {"FILES.json", "MANIFEST.json"} == members(artifact).keys()
    for folder in (*FOLDERS, LINK[1]):
        here = {
            name: digest
            for name, digest in content(ROOT / folder).items()
            if "__pycache__" not in name and not name.endswith(".in")
        }
        assert {
            name.partition("/")[2]: digest for name, digest in there.items() if name.startswith(f"{folder}/")
        } == here
    assert (collection / LINK[0] / "Dockerfile").is_file()
    # So who goes on with the installed collection has the same images
    assert Sources(str(collection / LINK[0])).digest() == Sources(str(ROOT / LINK[1])).digest()


def reached(path: Path) -> list[str]:
    """Where a file of the collection leads to: paths from the collection's root that begin at its role, its playbook or itself."""
    text, place = (ROOT / path).read_text(), str(path)
    role = "/".join(path.parts[:2])
    found = []
    for variable, start in (("role_path", role), ("playbook_dir", "playbooks")):
        for quoted, plain in re.findall(rf"\b{variable}\s*(?:~\s*'([^']*)'|}}}}([\w./-]*))", text):
            found.append(posixpath.normpath(f"{start}{quoted or plain}"))
    for count, under in re.findall(r"__file__\)(?:\.resolve\(\))?\.parents\[(\d+)\](?: / \"([^\"]*))?", text):
        found.append("/".join([*path.parts[: -int(count) - 1], under or "."]))
    return [f"{place}: {target}" for target in found if target.partition("/")[0] not in FOLDERS]


def test_nothing_outside_is_reached() -> None:
    sources = [path for path in files("roles", "playbooks", "plugins") if path.suffix in (".yml", ".j2", ".py", ".sh")]
    assert [line for path in sources if (ROOT / path).is_file() for line in reached(path)] == []


def test_all_else_can_be_deleted(collection: Path, tmp_path: Path) -> None:
    """Ansible's rule for collections: the four folders are enough to load every playbook with its roles, and every plugin's documentation."""
    bare = tmp_path / "ansible_collections/edgefl/kubeedge"
    for name in (*FOLDERS, LINK[1]):
        shutil.copytree(collection / name, bare / name, symlinks=True)
    for name in ("MANIFEST.json", "FILES.json"):
        shutil.copy(collection / name, bare)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "hosts.yml").write_text("cloud: {hosts: {a: }}\nedges: {hosts: {b: }}\n")
    names = [f"{NAME}.{playbook}" for playbook in PLAYBOOKS]
    run(
        "ansible-playbook",
        "--inventory=hosts.yml",
        "--syntax-check",
        *names,
        cwd=empty,
        env={"ANSIBLE_COLLECTIONS_PATH": str(tmp_path)},
    ).ok()


def test_galaxy_importer(artifact: Path, tmp_path: Path) -> None:
    # ansible-lint runs on the checkout, by stricter rules
    settings = {"REQUIRE_V1_OR_GREATER": "true", "CHECK_REQUIRED_TAGS": "true", "RUN_ANSIBLE_LINT": "false"}
    env = {f"GALAXY_IMPORTER_{key}": value for key, value in settings.items()}
    result = run(BIN / "python", "-m", "galaxy_importer.main", artifact, cwd=tmp_path, env=env, timeout=600).ok()
    assert "Importer processing completed successfully" in result.output
    assert re.findall(r"(?:WARNING|ERROR).*", result.output) == []


def test_execution_environment(collection: Path) -> None:
    """What ansible-builder would put into an image for AWX: packages without pins or hashes, of which the installed ones satisfy it."""
    result = run("ansible-builder", "introspect", collection.parents[2]).ok()
    found = yaml.safe_load(result.output)
    assert [line.partition("#")[0].strip() for line in found["python"]] == (
        ROOT / "meta/ee-requirements.txt"
    ).read_text().splitlines()[1:]
    assert len(found["system"]) == 2
    run(
        BIN / "python",
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--no-deps",
        "--no-index",
        "--requirement",
        ROOT / "meta/ee-requirements.txt",
    ).ok()
