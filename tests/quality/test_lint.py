"""Every linter is one test; its output is the failure's message."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from support.helpers import LINK, ROOT, copy_collection, files, load_yaml, run


def shell_scripts() -> list[Path]:
    """The checkout's shell scripts, known by name or by their first line; a template is none before it is rendered."""
    found = []
    # fl_src is a link to a folder, under a role
    for path in filter(lambda path: (ROOT / path).is_file(), files(":!*.txt", ":!*.sum", ":!*.j2")):
        with (ROOT / path).open("rb") as stream:
            first = stream.readline(80)
        if path.suffix == ".sh" or (first.startswith(b"#!") and first.split(b"/")[-1].split()[-1] in (b"sh", b"bash")):
            found.append(path)
    return found


def check(*command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> None:
    """Runs a linter; fails with what it said."""
    result = run(*command, cwd=cwd, env=env, timeout=900)
    if result.code != 0:
        pytest.fail(f"{command[0]} found something:\n{result.output}", pytrace=False)


def test_yamllint() -> None:
    check("yamllint", "--strict", "--config-file", ".config/yamllint.yml", ".")


def test_ruff_check() -> None:
    check("ruff", "check", "--no-fix", ".")


def test_ruff_format() -> None:
    check("ruff", "format", "--diff", ".")


def test_mypy() -> None:
    # By the link: only so do the collection's files have their names as Ansible imports them
    check("mypy", "fl_src", "tests", "benchmarks", "tools", LINK.relative_to(ROOT) / "plugins")


def test_shellcheck() -> None:
    scripts = shell_scripts()
    assert Path(".ci/run") in scripts
    check("shellcheck", "--external-sources", *scripts)


def test_ansible_lint() -> None:
    check(
        "ansible-lint",
        "--config-file",
        ".config/ansible-lint.yml",
        "--yamllint-file",
        ".config/yamllint.yml",
        "--nocolor",
        env={"PYTHONPATH": str(ROOT / "tests/support/linters")},
    )


def test_changelog(tmp_path: Path) -> None:
    """Fragments and releases are in form, name every module and plugin, and CHANGELOG.md is what is made of them."""
    check("antsibull-changelog", "lint")
    check("antsibull-changelog", "lint-changelog-yaml", "changelogs/changelog.yaml")
    named: set[tuple[str, str]] = set()
    for release in load_yaml(Path("changelogs/changelog.yaml"))["releases"].values():
        kinds = release.get("plugins", {}) | {"modules": release.get("modules", [])}
        named |= {(kind, entry["name"]) for kind, entries in kinds.items() for entry in entries}
    kinds_here = {"callback": "*.py", "filter": "*.yml", "inventory": "*.py", "modules": "*.py"}
    here = {(kind, path.stem) for kind, names in kinds_here.items() for path in (ROOT / "plugins" / kind).glob(names)}
    assert here - named == set(), "run `make changelog`"
    collection = tmp_path / "ansible_collections/edgefl/kubeedge"
    copy_collection(collection)
    check("antsibull-changelog", "generate", cwd=collection)
    assert (collection / "CHANGELOG.md").read_text() == (ROOT / "CHANGELOG.md").read_text(), "run `make changelog`"


def test_documentation(tmp_path: Path) -> None:
    collection = tmp_path / "ansible_collections/edgefl/kubeedge"
    copy_collection(collection)
    env = {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path)}
    check("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", ".", cwd=collection, env=env)
