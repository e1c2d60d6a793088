"""What the pages name is there: variables, make targets, playbooks, roles and modules, files; and their inventories are inventories."""

from __future__ import annotations

import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.helpers import BIN, ROOT, files, inventory, load_yaml, run

PAGES = sorted([Path("README.md"), Path("CONTRIBUTING.md"), *files("docs/*.md", "roles/*/README.md")])
ROLES = {path.name for path in (ROOT / "roles").iterdir() if path.is_dir()}
MODULES = {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}
PLAYBOOKS = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
PLUGINS = {path.stem for kind in ("callback", "inventory", "filter") for path in (ROOT / "plugins" / kind).glob("*")}
pages = pytest.mark.parametrize("page", PAGES, ids=str)
# How a page that stands alone leads into the repository
REPOSITORY = re.compile(
    r"https://(?:github\.com/edgefl/kubeedge/(?:blob|tree|raw)|raw\.githubusercontent\.com/edgefl/kubeedge)/main/"
)


@cache
def variables() -> set[str]:
    """All that a user can set, with the options within."""
    found: set[str] = set()

    def collect(options: dict[str, Any], parent: str = "") -> None:
        for name, option in options.items():
            found.add(f"{parent}{name}")
            collect(option.get("options", {}), f"{parent}{name}.")

    for spec in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        for entry in load_yaml(spec)["argument_specs"].values():
            collect(entry.get("options") or {})
    return found


@cache
def facts() -> set[str]:
    """What roles tell those that come after them."""
    found: set[str] = set()

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            found.update(value.get("ansible.builtin.set_fact", {}))
            found.add(str(value.get("register", "")))
            value = list(value.values())
        if isinstance(value, list):
            for part in value:
                collect(part)

    for path in (ROOT / "roles").glob("*/tasks/*.yml"):
        collect(load_yaml(path))
    for path in (ROOT / "roles").glob("*/vars/*.yml"):
        found.update(load_yaml(path) or {})
    return found


@cache
def code(page: Path) -> list[str]:
    """What a page shows as code: spans, and the lines of blocks."""
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [line for block in blocks for line in block.splitlines()] + spans


@pages
def test_variables(page: Path) -> None:
    names = {
        word
        for line in code(page)
        for word in re.findall(rf"(?<![\w./-])(?:{'|'.join(sorted(ROLES))})_[a-z_]+\b(?!\.yml|/)", line)
    }
    metrics = set(re.findall(r'"(edgefl_\w+)"', (ROOT / "fl_src/edgefl/aggregator/status.py").read_text()))
    metrics |= {f"edgefl_{key}" for key in ("loop", "round", "rounds", "accuracy", "loss")}
    metrics |= {f"{name}_{end}" for name in metrics for end in ("count", "total")}
    assert names - variables() - facts() - metrics - ROLES - MODULES == set()


@pages
def test_make_targets(page: Path) -> None:
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = {
        word
        for line in code(page)
        if (found := re.match(r"(?:\w+=\S+ )?make ([^#]+)", line))
        for word in found[1].split()
        if "=" not in word
    }
    assert wanted - targets == set()


@pages
def test_names_of_the_collection(page: Path) -> None:
    text = (ROOT / page).read_text()
    names = set(re.findall(r"edgefl\.kubeedge\.(\w+)", text))
    assert names - ROLES - MODULES - PLAYBOOKS - PLUGINS == set()


# Roles that make a cluster or the lab; what they make goes with it
CLUSTER = {"cloudcore", "containerd", "control_plane", "edgecore", "lab_artifacts", "lab_nodes"}


def made_by_roles() -> set[str]:
    """Paths on a node that a role of the training makes: those with our name, and what a task names as a whole."""
    found: set[str] = set()
    for path in files("roles/*/defaults/*.yml", "roles/*/tasks/*.yml", "roles/*/vars/*.yml"):
        if path.parts[1] not in CLUSTER:
            text = re.sub(r"^\s*#.*", "", (ROOT / path).read_text(), flags=re.MULTILINE)
            found.update(re.findall(r"(?<![\w./{}-])/(?:etc|opt|usr|var)/[\w./-]*edgefl[\w./-]*", text))
            found.update(re.findall(r"^\s+(?:creates|dest|home): \"?(/[\w./-]+)", text, re.MULTILINE))
    # Where a Flower app lies in its image
    return found - {"/opt/edgefl/flower/"}


def test_the_page_names_all_that_is_made_on_a_cluster() -> None:
    page = (ROOT / "docs/your-cluster.md").read_text()
    table = page.partition("### What it changes on a cluster")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(/[^`]+)`", table))
    made = made_by_roles()
    assert len(made) > 10
    missing = {path for path in made if not any(path == one or path.startswith(f"{one}/") for one in told)}
    assert missing == set()
    texts = "\n".join((ROOT / path).read_text() for path in files("roles/*/*/*.yml", "plugins/**.py"))
    assert {path for path in told if path not in texts} == set()


def test_the_readme_names_each_playbook() -> None:
    text = (ROOT / "README.md").read_text()
    called = {path.stem for path in ROOT.glob("*.yml")} & PLAYBOOKS
    assert {name for name in called if not re.search(rf"edgefl\.kubeedge\.{name}\b", text)} == set()


def test_the_map_has_each_folder() -> None:
    section = (ROOT / "docs/development.md").read_text().partition("## Where things are")[2].partition("\n## ")[0]
    paths = [path.parts for path in files()]
    folders = {parts[0] for parts in paths if len(parts) > 1}
    folders |= {parts[1] for parts in paths if parts[0] in ("plugins", "tests") and len(parts) > 2}
    folders |= {parts[2] for parts in paths if parts[:2] == ("fl_src", "edgefl") and len(parts) > 3}
    assert {name for name in folders if not re.search(rf"[`/]{re.escape(name)}/", section)} == set()


def test_the_glossary_is_in_order() -> None:
    words = re.findall(r"^\| \*\*([^*]+)\*\*", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert words == sorted(words, key=str.lower)


@pages
def test_files(page: Path) -> None:
    """A path in code ends like the path of a file of the project; those of a cluster begin with a slash."""
    known = {str(path) for path in files()}
    folders = {str(parent) for path in known for parent in Path(path).parents}
    wanted = {
        word.strip("/")
        for line in code(page)
        for word in re.findall(r"(?<![\w./~$<>…-])(?:\w[\w.-]*/)+[\w.-]+\.(?:py|yml|toml|md|sh|json|svg)\b", line)
        if not word.startswith(("results/", "inventory/", "apps/footwear", "fl_src/edgefl/apps/footwear", "build/"))
    }
    missing = {
        word for word in wanted if not any(path == word or path.endswith(f"/{word}") for path in known | folders)
    }
    assert missing == set()


@pytest.mark.parametrize("page", [Path("README.md"), Path("docs/your-cluster.md")], ids=str)
def test_an_inventory_to_copy(page: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(all:\n.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    (tmp_path / "hosts.yml").write_text(textwrap.dedent(blocks[0]))
    found = inventory(run(BIN / "ansible-inventory", "--inventory", tmp_path / "hosts.yml", "--list").ok().output)
    assert len(found["cloud"]["hosts"]) == 1
    assert len(found["edges"]["hosts"]) == 2
    given = {name for host in found["_meta"]["hostvars"].values() for name in host if not name.startswith("ansible_")}
    assert given <= variables()


@pytest.mark.parametrize("page", [page for page in PAGES if page.name == "README.md"], ids=str)
def test_links_of_the_artifact_are_whole(page: Path) -> None:
    """Galaxy shows these pages, and an installed collection has them, without the repository around them."""
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text())
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


@cache
def places(page: Path) -> set[str]:
    """What can be linked to in a page: its headings, as GitHub names them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pages
def test_links_lead_to_files_and_headings(page: Path) -> None:
    """Those to the repository by its address, too; what is elsewhere is not asked."""
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        path, _hash, heading = REPOSITORY.sub("/", link).partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        target = ROOT / path[1:] if path.startswith("/") else (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (heading and target.suffix == ".md" and heading not in places(target.resolve())):
            wrong.append(link)
    assert wrong == []


def test_an_execution_environment_to_copy(tmp_path: Path) -> None:
    """As far as it goes without a registry: ansible-builder makes a recipe of it."""
    blocks = re.findall(
        r"^```yaml\n# execution-environment\.yml\n(.*?)^```", (ROOT / "docs/your-cluster.md").read_text(), re.M | re.S
    )
    assert len(blocks) == 1
    (tmp_path / "execution-environment.yml").write_text(blocks[0])
    run("ansible-builder", "create", cwd=tmp_path).ok()
    assert "edgefl.kubeedge" in (tmp_path / "context/_build/requirements.yml").read_text()


@pages
def test_yaml(page: Path) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL):
        assert yaml.safe_load(textwrap.dedent(block)) is not None
