"""
ansible-test, sanity without ignore entries and units, with the oldest ansible-core that the collection supports and with the newest one, on a copy at the
path that it asks for. It needs a package index, but no other download.

Each proof once: sanity reads what is published (ruff, mypy, yamllint and shellcheck read the whole checkout: test_lint.py), and what depends on no
version of ansible-core is looked at with the newest one alone.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.helpers import BIN, CACHE, LINK, ROOT, Result, copy_collection, files, held, load_yaml, run

# Kept between runs: the environments that ansible-test makes for its tools, each by the hash of what is in it
HOME = CACHE / "tests/ansible-test"
# Environments with ansible-core, both made by `make .venv-test`: that of everything else, and one with the newest version, which wants a newer Python
CORES = {"oldest": BIN, "newest": ROOT / ".venv-newest/bin"}

# What sanity asks of ansible-core itself, or of the Python that it runs on
OF_THE_CORE = ("ansible-doc", "compile", "import", "runtime-metadata", "validate-modules")
PACKAGE = "ansible_collections.edgefl.kubeedge."

# What ansible-test takes for pip's bootstrap script. In a process of its own, as ensurepip switches pip's configuration off where it runs.
BOOTSTRAP = """\
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
packages = [word for word in sys.argv[1:] if not word.startswith("-")]
if packages:
    subprocess.check_call([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *packages])
"""


def ask(core: str, code: str) -> str:
    """What a line of Python prints in an environment."""
    python = CORES[core] / "python"
    assert python.exists(), f"{python} is not there: run `make .venv-test`"
    return run(python, "-c", code).ok().output.strip()


def pip_version(core: str) -> str:
    """Version of pip whose bootstrap script ansible-test looks for, such as 24.2: it is part of the script's name."""
    source = Path(ask(core, "import ansible_test._internal.python_requirements as source; print(source.__file__)"))
    found = re.search(r"pip='([0-9.]+)'", source.read_text())
    assert found, f"{source} does not say which pip it wants: adapt this test to the new ansible-test"
    return found[1]


def write_home(core: str) -> None:
    """A home for ansible-test: the bootstrap script, and pip's configuration as it is here, as ansible-test hands no PIP_* variable on."""
    script = HOME / ".ansible/test/cache" / f"get_pip_{pip_version(core).replace('.', '_')}.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(BOOTSTRAP)
    settings = {}
    for line in run(BIN / "python", "-m", "pip", "config", "list").ok().output.splitlines():
        key, value = line.split("=", 1)
        # `:env:.cert='/a/file'`, `global.cert='/a/file'`: the environment, listed last, wins
        settings[key.split(".", 1)[1]] = value.strip("'\"").replace("\\n", "\n ")
    config = HOME / ".config/pip/pip.conf"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))


def test_no_ignore_entries() -> None:
    assert files("tests/sanity/ignore*") == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The path that ansible-test asks for."""
    return tmp_path / LINK.relative_to(LINK.parents[2])


def ansible_test(core: str, collection: Path, *words: str) -> Result:
    """Runs ansible-test of an environment, by that environment's Python."""
    python = ask(core, "import sys; print(*sys.version_info[:2], sep='.')")
    env = {"HOME": str(HOME), "PATH": f"{CORES[core]}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
    fixed = ("--local", "--python", python, "--color", "no", "--truncate", "0")
    with held(HOME / "lock"):
        return run(CORES[core] / "ansible-test", *words, *fixed, cwd=collection, env=env)


def test_versions_are_the_supported_ones() -> None:
    code = "import ansible.release; print(ansible.release.__version__)"
    versions = {core: ask(core, code) for core in CORES}
    floor = load_yaml(Path("meta/runtime.yml"))["requires_ansible"].removeprefix(">=")
    assert versions["oldest"].rpartition(".")[0] == floor.rpartition(".")[0]
    assert tuple(map(int, versions["newest"].split("."))) > tuple(map(int, versions["oldest"].split(".")))


# Long with the oldest one: it is the core of all other tests, in which what it can't load or run is noticed
@pytest.mark.parametrize(
    ("core", "tests"), [pytest.param("oldest", OF_THE_CORE, marks=pytest.mark.long), pytest.param("newest", ())]
)
def test_sanity(core: str, tests: tuple[str, ...], copy: Path, artifact: Path) -> None:
    """Without `tests`, all of them."""
    write_home(core)
    shutil.unpack_archive(artifact, copy, filter="tar")
    # The role's way to fl_src. Sanity lets no link to a folder pass, which Python's packages can't hold; collections can: test_artifact.py
    (copy / "roles/build_images/files/fl_src").unlink()
    for words in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *words], cwd=copy, check=True)
    result = ansible_test(core, copy, "sanity", "--requirements", *(f"--test={name}" for name in tests))
    if result.code != 0:
        # Without the lines about installed tools, unless it never came to the tests
        found = [
            line for line in result.output.splitlines() if line.startswith(("ERROR", "WARNING", "FATAL", "See doc"))
        ]
        pytest.fail(
            "\n".join(found) if "sanity test(s) listed below" in result.output else result.output, pytrace=False
        )


def imported(path: Path) -> set[str]:
    """Names of all that a file imports, modules and what it takes out of them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def loads_ansible(path: Path) -> bool:
    """Whether a file uses Ansible, by itself or by what it imports of the collection; that modules can be imported is shown by sanity."""
    seen, left = set(), {path}
    while left:
        seen |= left
        names = {name for each in left for name in imported(each)}
        if any(name.partition(".")[0] == "ansible" for name in names):
            return True
        own = (
            ROOT / f"{name.removeprefix(PACKAGE).replace('.', '/')}.py" for name in names if name.startswith(PACKAGE)
        )
        left = {each for each in own if each.is_file() and each.parent.name != "modules"} - seen
    return False


def unit_tests(core: str) -> list[str]:
    """Those that depend on ansible-core; with the oldest one all of them."""
    found = [path for path in files("tests/unit/plugins/test_*.py") if core == "oldest" or loads_ansible(ROOT / path)]
    assert {"test_module", "test_options", "test_results"} <= {path.stem for path in found}
    return [str(path) for path in found]


# Long with the oldest one: `make test` runs the same tests by `pytest tests/unit`, whose environment has that core (test_versions_are_the_supported_ones).
# What needs no Ansible runs there, and test_node_python.py runs what is for nodes with their Python
@pytest.mark.parametrize("core", [pytest.param("oldest", marks=pytest.mark.long), "newest"])
def test_units(core: str, copy: Path) -> None:
    copy_collection(copy)
    # ansible-test reads no pyproject.toml
    folders = json.dumps([str(copy), str(copy / "tests"), str(copy / "tests/support/coverage"), str(copy / "fl_src")])
    conftest = f"import sys\n\nsys.path[:0] = {folders}\nfrom support.first_case import pytest_collection_modifyitems\n"
    (copy / "conftest.py").write_text(conftest)
    result = ansible_test(core, copy, "units", *unit_tests(core))
    assert re.search(r"\d{2,} passed", result.ok().output)
