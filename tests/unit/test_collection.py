"""The collection's rules that no linter knows: specs equal defaults, roles are tables of phases, modules are documented, lists are complete."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import agent
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry import recorder
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _options
from support.helpers import OF_THE_CONTROLLER, ROOT, files, load_yaml, run
from tools import training_options
from tools.role_tables import render

ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
PLAYBOOKS = sorted(path.name for path in (ROOT / "playbooks").glob("*.yml"))
INCLUDES = {"ansible.builtin.include_tasks", "ansible.builtin.import_tasks"}
BUILTIN = "ansible.builtin"
# What the name of a play or a task begins with
VERBS = """
Add Allow Apply Ask Authorize Become Begin Bootstrap Bring Build Call Change Check Choose Collect Compare Compile Configure Copy Create Decide Define
Deploy Destroy Enable Extract Fail Fetch Find Follow Forget Forward Get Give Hold Import Initialize Inspect Install Issue Keep Let Link List Listen Load
Lock Log Look Make Mark Measure Name Note Open Pack Prepare Pull Put Raise Reach Read Record Refuse Release Remember Remove Reset Restart Run Save Say Send
Ship Show Start Stop Tag Take Tell Train Try Turn Unmount Unpack Verify Wait Warn Withdraw Write
"""
# A name stands alone in a log: nothing there says what these are
BARE = re.compile(
    r"\b(it|them|they|those|these)\b|\b(both|others|that)$|^\w+ (its|others)\b|^(?!check|note|say|tell|verify|warn)\w+ that\b|\b(for|of) that\b|and the like",
    re.IGNORECASE,
)
# Read by the filter plugin that makes the rows of the edges
READ_BY_NAME = {"edgefl_slice_start", "edgefl_slice_stop"}


def role_file(role: str, name: str) -> Any:
    """Content of a role's YAML file; an empty dict when there is no such file."""
    path = ROOT / "roles" / role / name
    return (load_yaml(path) or {}) if path.exists() else {}


def task_files(role: str) -> list[Path]:
    return sorted(
        path for folder in ("tasks", "handlers") for path in (ROOT / "roles" / role / folder).glob("**/*.yml")
    )


def tasks(role: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every task of a role, those in blocks too, with its file."""
    for path in task_files(role):
        waiting = list(load_yaml(path) or [])
        while waiting:
            task = waiting.pop(0)
            yield path, task
            for part in ("block", "rescue", "always"):
                waiting += task.get(part, [])


# Roles -----------------------------------------------------------------------------------------------------------------


def specified(option: dict[str, Any], default: Any) -> Any:
    """What a spec says of a default. antsibull-docs takes it literally: a number that a template gives stands in the description only."""
    return None if option.get("type") in ("int", "float", "bool") and isinstance(default, str) else default


@pytest.mark.parametrize("role", ROLES)
def test_specs_equal_defaults(role: str) -> None:
    defaults = role_file(role, "defaults/main.yml")
    specs = role_file(role, "meta/argument_specs.yml").get("argument_specs", {})
    assert "main" in specs, f"roles/{role}/meta/argument_specs.yml: describe the entry point main"
    for entry, spec in specs.items():
        assert spec.get("short_description"), f"{role}: entry point {entry} needs a short_description"
        options = spec.get("options") or {}
        described = {name: option.get("default") for name, option in options.items() if not option.get("required")}
        required = {name for name, option in options.items() if option.get("required")}
        assert not required & set(defaults), (
            f"{role}/{entry}: a default hides that these are required: {required & set(defaults)}"
        )
        if entry == "main":
            assert described == {name: specified(options.get(name, {}), default) for name, default in defaults.items()}
        else:
            assert described == {
                name: specified(option, defaults.get(name, "not in defaults/main.yml"))
                for name, option in options.items()
                if name in described
            }


def called(role: str) -> set[str]:
    """Entry points of a role that playbooks and roles name; where a template chooses one, all that it has in quotes."""
    found = set()
    for path in files("playbooks/*.yml", "roles/*/tasks/*.yml"):
        text = (ROOT / path).read_text()
        for name in re.findall(rf"name: edgefl\.kubeedge\.{role}\n\s+tasks_from: (.+)", text):
            found |= set(re.findall(r"'(\w+)'", name)) if "{{" in name else {name}
    return found


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_is_described(role: str) -> None:
    """A task file that a playbook or a role calls by its name, or that nothing inside the role includes, is an entry point for others."""
    included = set()
    for _dummy, task in tasks(role):
        for action in INCLUDES & set(task):
            arguments = task[action]
            included.add(Path(arguments["file"] if isinstance(arguments, dict) else arguments).stem)
    loops = any("{{" in name for name in included)
    entries = {path.stem for path in (ROOT / "roles" / role / "tasks").glob("*.yml")} - included
    entries = (set() if loops else entries) | called(role)
    specs = set(role_file(role, "meta/argument_specs.yml").get("argument_specs", {}))
    assert entries <= specs | {"main"}, f"{role}: describe in meta/argument_specs.yml: {entries - specs}"


@pytest.mark.parametrize("role", ROLES)
def test_main_is_a_table_of_phases(role: str) -> None:
    for task in role_file(role, "tasks/main.yml"):
        assert INCLUDES & set(task), (
            f"{role}: tasks/main.yml only includes the phases' files, but has: {task.get('name', task)}"
        )
    for path, task in tasks(role):
        assert "tags" not in task, (
            f"{path.relative_to(ROOT)}, {task.get('name')}: a phase needs what those before it found: only roles have tags, in playbooks"
        )


def facts(role: str) -> set[str]:
    """What a role notes for others, by the table "Facts" of its README."""
    _before, _title, section = (ROOT / "roles" / role / "README.md").read_text().partition("\n## Facts\n")
    return set(re.findall(r"^\| `(\w+)` \|", section.partition("\n## ")[0], re.MULTILINE))


def texts(role: str) -> dict[Path, str]:
    """What a role consists of, files that it only carries left out."""
    folders = ("defaults", "handlers", "meta", "tasks", "templates", "vars")
    return {
        path: path.read_text()
        for folder in folders
        for path in sorted((ROOT / "roles" / role / folder).rglob("*"))
        if path.suffix in (".yml", ".j2")
    }


# What Ansible reads as an expression, without braces
EXPRESSIONS = {"when", "that", "changed_when", "failed_when", "until", "var"}


def expressions(value: Any, key: str = "") -> Iterator[str]:
    """Jinja of a YAML value; what only says something to people is left out."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from expressions(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from expressions(part, key)
    elif isinstance(value, str) and key not in ("fail_msg", "success_msg"):
        yield f"{{{{ {value} }}}}" if key in EXPRESSIONS and "{{" not in value else value


@functools.cache
def reads(path: Path) -> set[str]:
    """Names that the expressions of a file of a role, or of a playbook, have; also as text, by which a filter or a lookup takes them."""
    text = path.read_text()
    lexer = jinja2.Environment()
    found = set()
    for template in [text] if path.suffix == ".j2" else expressions(yaml.safe_load(text)):
        for _line, kind, word in lexer.lex(template):
            if kind in ("name", "string"):
                found.add(word.strip("'\""))
    return found


def reads_of(role: str) -> set[str]:
    """What a role reads; its specs only describe."""
    return set().union(*(reads(path) for path in texts(role) if "meta" not in path.parts))


@pytest.mark.parametrize("role", ROLES)
def test_no_role_reads_what_is_private_to_another(role: str) -> None:
    for path, text in texts(role).items():
        for name in set(re.findall(r"\b__[a-z]\w+", text)) - {"__init__", "__pycache__"}:
            assert name.startswith(f"__{role}_"), (
                f"{path.relative_to(ROOT)}: {name}: use a fact of the other role's README"
            )


def test_no_playbook_reads_what_is_private_to_a_role() -> None:
    for playbook in PLAYBOOKS:
        found = set(re.findall(r"\b__[a-z]\w+", (ROOT / "playbooks" / playbook).read_text()))
        assert found == set(), f"playbooks/{playbook}"


@pytest.mark.parametrize("role", ROLES)
def test_facts_are_there(role: str) -> None:
    """A README's facts are noted by a task, or stand in vars/."""
    noted = set(role_file(role, "vars/main.yml"))
    for _path, task in tasks(role):
        noted |= {task.get("register"), *task.get(f"{BUILTIN}.set_fact", {})}
    assert facts(role) <= noted


def test_folders_are_those_of_the_modules() -> None:
    given = role_file("edgefl", "vars/main.yml")
    assert (given["edgefl_telemetry_path"], given["edgefl_apps_path"]) == (recorder.FOLDER, agent.APPS)


@pytest.mark.parametrize("role", ROLES)
def test_somebody_reads_each_variable(role: str) -> None:
    """An expression of a role or a playbook has each of a role's defaults, vars and notes."""
    everywhere = set().union(*map(reads_of, ROLES), *(reads(ROOT / "playbooks" / name) for name in PLAYBOOKS))
    # What reads each of the training's variables by the list of its options
    listed = {option.variable for option in _options.options()}
    given = {*role_file(role, "defaults/main.yml"), *role_file(role, "vars/main.yml")}
    assert given - everywhere - listed - READ_BY_NAME == set(), "nobody reads these"
    for path, task in tasks(role):
        noted = {task.get("register"), *task.get(f"{BUILTIN}.set_fact", {})} - {None, "cacheable"}
        unread = noted - facts(role) - reads_of(role)
        assert unread == set(), f"{path.relative_to(ROOT)}, {task.get('name')}: nobody reads {unread}"


@pytest.mark.parametrize("role", ROLES)
def test_names_belong_to_the_role(role: str) -> None:
    """Defaults and facts are `<role>_x`; registered, set and looped variables, and vars/, that are no facts for others are `__<role>_x`."""
    assert [name for name in role_file(role, "defaults/main.yml") if not name.startswith(f"{role}_")] == []
    for path in sorted((ROOT / "roles" / role / "vars").glob("*.yml")):
        wrong = [
            name for name in load_yaml(path) or {} if not name.startswith(f"__{role}_") and name not in facts(role)
        ]
        assert wrong == [], path
    for path, task in tasks(role):
        names = [task["register"]] if "register" in task else []
        names += [name for name in task.get(f"{BUILTIN}.set_fact", {}) if name != "cacheable"]
        names += [task["loop_control"]["loop_var"]] if "loop_var" in task.get("loop_control", {}) else []
        wrong = [name for name in names if not name.startswith(f"__{role}_") and name not in facts(role)]
        assert wrong == [], f"{path.relative_to(ROOT)}, {task.get('name')}: begin {wrong} with __{role}_"


@pytest.mark.parametrize("role", ROLES)
def test_shared_variables_come_from_the_role_that_holds_them(role: str) -> None:
    folders = [ROOT / "roles" / role / name for name in ("defaults", "handlers", "meta", "tasks", "templates", "vars")]
    paths = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".yml", ".j2")]
    text = "\n".join(path.read_text() for path in paths)
    used = set(re.findall(r"(?<![\w.-])edgefl_\w+", text))
    dependencies = [
        entry if isinstance(entry, str) else entry["role"]
        for entry in role_file(role, "meta/main.yml").get("dependencies", [])
    ]
    # The one has them, the other gives them to the lab's machines
    if role in ("edgefl", "lab_nodes"):
        assert dependencies == []
        return
    specs = role_file("edgefl", "meta/argument_specs.yml")["argument_specs"].values()
    options = {name for spec in specs for name in spec["options"]}
    unknown = used - set(role_file("edgefl", "defaults/main.yml")) - facts("edgefl") - options
    assert unknown == set(), f"{role} uses what roles/edgefl/defaults/main.yml does not define"
    assert (dependencies == ["edgefl.kubeedge.edgefl"]) == bool(used), (
        f"{role} uses {sorted(used)} and depends on {dependencies}"
    )


@pytest.mark.parametrize("role", ROLES)
def test_metadata(role: str) -> None:
    about = role_file(role, "meta/main.yml").get("galaxy_info", {})
    assert about.get("description")
    assert about.get("license") == "GPL-3.0-or-later"
    assert about.get("min_ansible_version") == "2.19"


@pytest.mark.parametrize("role", ROLES)
def test_nothing_is_hidden(role: str) -> None:
    for path, task in tasks(role):
        where = f"{path.relative_to(ROOT)}, {task.get('name')}"
        assert not task.get("ignore_errors"), f"{where}: fail with a message, or say in failed_when what is no failure"
        assert task.get("no_log") is not True, f"{where}: let a variable switch no_log off"
        for arguments in task.values():
            assert not (isinstance(arguments, dict) and arguments.get("backup")), (
                f"{where}: backup leaves files next to those that are read"
            )


@pytest.mark.parametrize("role", ROLES)
def test_readme(role: str) -> None:
    readme = ROOT / "roles" / role / "README.md"
    assert readme.exists(), f"write roles/{role}/README.md"
    text = readme.read_text()
    assert text == render(readme.parent), "the tables are not up to date: run `make generate`"
    assert f"edgefl.kubeedge.{role}" in text, "show an example that calls the role by its full name"
    for word in ("check mode", "idempoten", "undo"):
        assert word in text.lower(), f"say something about: {word}"


@pytest.mark.parametrize("path", training_options.FILES, ids=lambda path: path.name)
def test_the_training_s_variables_are_written(path: Path) -> None:
    assert path.read_text() == training_options.render(path), "options.toml says something else: run `make generate`"


# Modules ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documented() -> dict[str, dict[str, Any]]:
    """What ansible-doc says of each module, with the doc fragments that it extends."""
    names = [f"edgefl.kubeedge.{module}" for module in MODULES]
    said = run("ansible-doc", "--json", "--type=module", *names).ok().output
    found = json.loads(said[said.index("{") :])
    return {module: found[name] for module, name in zip(MODULES, names)}


@pytest.mark.parametrize("module", MODULES)
def test_module_documentation(module: str, documented: dict[str, dict[str, Any]]) -> None:
    source = (ROOT / "plugins/modules" / f"{module}.py").read_text()
    assert "GNU General Public License v3.0+" in source.partition("from __future__")[0]
    documentation = documented[module]["doc"]
    assert documentation["module"] == module
    assert documentation["version_added"] == "1.0.0"
    assert {"check_mode", "diff_mode", "idempotent"} <= set(documentation["attributes"])
    assert documentation["attributes"]["check_mode"]["support"] == "full"
    assert documented[module]["return"]
    examples = yaml.safe_load(documented[module]["examples"])
    assert any(f"edgefl.kubeedge.{module}" in task for task in examples), "no example calls the module by its full name"
    for task in examples:
        assert any("." in word for word in task), f"an example calls a module by its short name: {task.get('name')}"


def test_the_action_group_is_of_the_modules_that_take_a_kubeconfig(documented: dict[str, dict[str, Any]]) -> None:
    groups = load_yaml(Path("meta/runtime.yml"))["action_groups"]
    takers = [module for module, found in documented.items() if "kubeconfig" in found["doc"]["options"]]
    assert groups == {"kubeedge": takers}
    for module, found in documented.items():
        told = found["doc"]["attributes"].get("action_group", {}).get("membership", [])
        assert told == (["edgefl.kubeedge.kubeedge"] if module in takers else []), module


def test_modules_that_run_on_nodes_say_which_python_they_need(documented: dict[str, dict[str, Any]]) -> None:
    for module in set(MODULES) - OF_THE_CONTROLLER:
        assert "python >= 3.8 on the host." in documented[module]["doc"]["requirements"], module


def test_modules_that_only_gather_are_called_info(documented: dict[str, dict[str, Any]]) -> None:
    """Ansible's rules: no state=get or the like, and `_info` for what only gathers; preflight gathers nothing, it refuses."""
    readers = {
        module
        for module in MODULES
        if "edgefl.kubeedge.only_reads" in (ROOT / "plugins/modules" / f"{module}.py").read_text()
    }
    assert readers - {"preflight"} == {module for module in MODULES if module.endswith("_info")}
    for module, found in documented.items():
        states = found["doc"]["options"].get("state", {}).get("choices", [])
        assert not {"get", "info", "list", "query", "read"} & set(states), module
        assert ("ansible_facts" in found["return"]) == module.endswith("_facts"), module


def test_filters_are_documented() -> None:
    """A file beside them documents each filter, with an example that calls it by its full name."""
    found = set()
    for path in (ROOT / "plugins/filter").glob("*.py"):
        module = importlib.import_module(f"ansible_collections.edgefl.kubeedge.plugins.filter.{path.stem}")
        found |= set(module.FilterModule().filters())
    assert found == {path.stem for path in (ROOT / "plugins/filter").glob("*.yml")}
    for name in found:
        about = load_yaml(Path("plugins/filter") / f"{name}.yml")
        assert about["DOCUMENTATION"]["name"] == name
        assert f"edgefl.kubeedge.{name}" in about["EXAMPLES"]
        assert about["RETURN"]["_value"]["description"]


def test_filters_load_their_code_when_they_are_called() -> None:
    """Ansible loads the files of all filters in each process that asks for one."""
    for path in (ROOT / "plugins/filter").glob("*.py"):
        lines = [line for line in path.read_text().splitlines() if "ansible_collections" in line]
        assert lines == ["from ansible_collections.edgefl.kubeedge.plugins.plugin_utils import _later"], path


def test_action_plugins_have_a_module_that_documents_them() -> None:
    assert sorted({path.stem for path in (ROOT / "plugins/action").glob("*.py")} - set(MODULES)) == []


def test_module_utils_are_private() -> None:
    assert [path.name for path in (ROOT / "plugins/module_utils").glob("*.py") if not path.name.startswith("_")] == []


# Names of plays and tasks -----------------------------------------------------------------------------------------------


def whole(name: str) -> bool:
    """Whether a name says alone what is done: a verb, of what, and no pronoun."""
    words = name.rpartition(" | ")[2]
    return words.split()[0].rstrip(",") in VERBS.split() and len(words.split()) > 1 and not BARE.search(words)


def named(content: list[dict[str, Any]]) -> Iterator[str]:
    """Names of the plays and tasks of a file, those in blocks too."""
    for entry in content:
        if "name" in entry:
            yield entry["name"]
        for part in ("pre_tasks", "tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from named(entry.get(part) or [])


def test_names_are_whole_sentences() -> None:
    contents = {
        path: load_yaml(path)
        for pattern in ("roles/*/tasks/**/*.yml", "roles/*/handlers/*.yml", "playbooks/*.yml", "molecule/**/*.yml")
        for path in sorted(ROOT.glob(pattern))
    }
    names = {path: list(named(content)) for path, content in contents.items() if isinstance(content, list)}
    assert sum(map(len, names.values())) > 500
    wrong = [f"{path.relative_to(ROOT)}: {name}" for path, found in names.items() for name in found if not whole(name)]
    assert wrong == [], "a name begins with a verb (VERBS), and says what of, without a pronoun"


@pytest.mark.parametrize(
    "name",
    [
        "Preflight",
        "Look at them",
        "Make both",
        "They are right",
        "Find | Read those of all",
        "Build others",
        "Remove its image",
        "Remove that account",
        "Check that nothing was sent for that",
        "Make folders for archives and the like",
    ],
)
def test_a_name_that_says_nothing_is_found(name: str) -> None:
    assert not whole(name)


# The whole -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_plays(playbook: str) -> None:
    """Plays gather no facts: roles ask for what they need."""
    for play in load_yaml(Path("playbooks") / playbook):
        if any(word.endswith("import_playbook") for word in play):
            continue
        where = f"playbooks/{playbook}, {play.get('name')}"
        assert play.get("gather_facts") is False, where


def test_shims() -> None:
    """What stands in the root only imports the playbook of the same name."""
    for path in ROOT.glob("*.yml"):
        content = load_yaml(path)
        if not isinstance(content, list):
            continue
        assert [play.get(f"{BUILTIN}.import_playbook") for play in content] == [f"playbooks/{path.name}"]
        assert path.name in PLAYBOOKS, f"{path.name} imports playbooks/{path.name}, which is not there"


def collections_used() -> set[str]:
    """Collections, ours and the built-in one left out, whose modules, plugins or roles are called by full name."""
    known = {"ansible.posix", "community.crypto", "community.docker", "community.general", "kubernetes.core"}
    text = "\n".join(
        (ROOT / path).read_text() for path in files("roles/**", "playbooks/**") if path.suffix in (".yml", ".j2")
    )
    return {name for name in known if re.search(rf"(?<![\w./-]){re.escape(name)}\.[a-z]\w+", text)}


def texts_of_the_collection() -> dict[Path, str]:
    """What users read of roles, playbooks and plugins: messages, documentation, comments."""
    kinds = (".j2", ".md", ".py", ".yml")
    paths = [path for path in files("roles", "playbooks", "plugins") if path.suffix in kinds]
    return {path: (ROOT / path).read_text() for path in paths if (ROOT / path).is_file()}


def test_names_in_texts_are_there() -> None:
    """Roles, tags and playbooks that a message or a page tells the user to call."""
    tags: set[str] = set()
    for playbook in PLAYBOOKS:
        for play in load_yaml(Path("playbooks") / playbook):
            for item in [play, *play.get("roles", []), *play.get("tasks", [])]:
                tags.update(item.get("tags", []))
    stems = {Path(playbook).stem for playbook in PLAYBOOKS}
    run_names = "|".join(stems)
    found = set()
    for path, text in texts_of_the_collection().items():
        roles = re.findall(r"\brun the role (?!again)(\w+)|\brole (?:`|C\()(\w+)|\brole (\w+_\w+)", text)
        for name in map("".join, roles):
            assert name in ROLES, f"{path}: there is no role {name}"
        for name in ",".join(re.findall(r"--tags[ =]([\w,]+)", text)).split(","):
            assert name in {"", *tags}, f"{path}: no play has the tag {name}"
            found.add(name)
        for name in re.findall(r"(?:[Rr]un|[Cc]all|playbook) edgefl\.kubeedge\.(\w+)", text):
            assert name in stems, f"{path}: there is no playbook {name}"
            found.add(name)
        bare = re.search(rf"(?:[Rr]un|[Cc]all|playbook) (?:{run_names})\.yml", text)
        assert bare is None, f"{path}: {bare and bare[0]}: an installed collection has it as edgefl.kubeedge.<name>"
    assert {"edge_access", "build_images", "site", "stop", "ship_images", "lab"} <= found


def test_dependencies() -> None:
    """galaxy.yml and requirements.yml name the same collections, those that are used, and the installed ones satisfy them."""
    wanted = load_yaml(Path("galaxy.yml"))["dependencies"]
    assert {entry["name"]: entry["version"] for entry in load_yaml(Path("requirements.yml"))["collections"]} == wanted
    assert collections_used() == set(wanted)
    for name, floor in wanted.items():
        spec = importlib.util.find_spec(f"ansible_collections.{name}")
        assert spec is not None, f"{name} is not installed: requirements.in must bring it"
        manifest = load_yaml(Path(next(iter(spec.submodule_search_locations or []))) / "MANIFEST.json")
        version = manifest["collection_info"]["version"]
        numbers = [tuple(map(int, text.removeprefix(">=").split("."))) for text in (version, floor)]
        assert numbers[0] >= numbers[1], f"{name} {version} is installed, galaxy.yml asks for {floor}"


def test_one_floor_of_matplotlib() -> None:
    """What was tested is what users are told, wherever they are."""
    tested = re.findall(r"^matplotlib==(\d+\.\d+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    for path in ("README.md", "docs/your-cluster.md", "meta/ee-requirements.txt", "plugins/modules/results_write.py"):
        text = (ROOT / path).read_text()
        told = re.findall(r"[Mm]atplotlib (?:>= )?(\d[\d.]*\d)|matplotlib>=(\d[\d.]*\d)", text)
        assert {"".join(one) for one in told} == set(tested), path


def test_policies_are_said() -> None:
    """What Ansible asks the pages for contributors to say."""
    contributing = " ".join((ROOT / "CONTRIBUTING.md").read_text().split())
    for asked in (
        "Every kind of contribution is welcome",
        "There is no contributor agreement to sign",
        "Versions follow [semantic versioning]",
        "What is to go is deprecated in a minor release",
        "(CODE_OF_CONDUCT.md)",
    ):
        assert asked in contributing
    assert "code of conduct of the Ansible community" in (ROOT / "CODE_OF_CONDUCT.md").read_text()


def test_one_version() -> None:
    version = load_yaml(Path("galaxy.yml"))["version"]
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    assert f"## v{version}" in (ROOT / "CHANGELOG.md").read_text().replace("\\", "")
    assert role_file("edgefl", "defaults/main.yml")["edgefl_version"] == f"v{version}"


def test_a_training_is_held_before_anything_is_changed() -> None:
    """By the play that checks, with its tag; and given back under that tag, too."""
    plays = load_yaml(ROOT / "playbooks/prepare.yml")
    first = next(play for play in plays if "hosts" in play)
    assert [role["role"] for role in first["roles"]] == ["edgefl.kubeedge.preflight"]
    held, app = first["tasks"][-2:]
    assert (held["ansible.builtin.import_role"]["tasks_from"], held["tags"]) == ("hold", ["preflight"])
    # By then the architectures are known
    assert (app["ansible.builtin.import_role"]["tasks_from"], app["tags"]) == ("app", ["preflight"])
    for name in ("site", "experiment"):
        blocks = [task for play in load_yaml(ROOT / f"playbooks/{name}.yml") for task in play.get("tasks", [])]
        released = next(task["always"][-1] for task in blocks if "always" in task)
        assert released["ansible.builtin.import_role"]["tasks_from"] == "release" and "preflight" in released["tags"]
