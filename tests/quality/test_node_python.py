"""Nodes have older Pythons than the controller: what runs there is read by vermin and run, as real processes, by the oldest that is promised.

Modules and module_utils need 3.8, as ansible-core 2.19 does, the agent that image_ship sends to the edges 3.7. The interpreters are those of this
machine (PATH, pyenv); without them the oldest newer one is tried, with a warning.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import agent
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship.relay import make_certificate
from support import old_python
from support.helpers import LINK, OF_THE_CONTROLLER, ROOT, files, load_yaml, run, tail

AGENT = Path("plugins/module_utils/_images/ship/agent.py")
# Tests with one of these words are of code on the controller, or of what that shares with fl_src
CONTROLLER = ("plugin_utils", "plugins.action", "plugins.filter", "training_lines", "from edgefl")
GROUP = load_yaml(Path("meta/runtime.yml"))["action_groups"]["kubeedge"]


@pytest.mark.parametrize(("floor", "where"), [("3.8", ["plugins/modules", "plugins/module_utils"]), ("3.7", [AGENT])])
def test_nothing_of_a_newer_python(floor: str, where: list[str | Path]) -> None:
    found = run("vermin", f"--target={floor}-", "--no-tips", "--lint", "--violations", *where)
    assert found.code == 0, found.output


def test_vermin_finds_what_is_too_new(tmp_path: Path) -> None:
    """That the program above can fail, for what the nodes' code has had."""
    (tmp_path / "new.py").write_text('import hashlib\n"a".removeprefix("b")\nhashlib.file_digest\n')
    found = run("vermin", "--target=3.8-", "--no-tips", "--lint", tmp_path / "new.py")
    assert found.code != 0 and "file_digest" in found.output


@pytest.fixture(scope="module")
def python38() -> Path:
    """Python 3.8 with what the nodes' code and its tests need."""
    return old_python.environment(old_python.interpreter(8), "cryptography", "hypothesis", "pytest", "pyyaml")


def test_unit_tests_pass(python38: Path) -> None:
    """Those of the code for nodes: shipping with its agent, Docker's and Kubernetes' clients, certificates, flags of static pods."""
    folder = ROOT / "tests/unit/plugins"
    names = [
        path for path in sorted(folder.glob("test_*.py")) if not any(word in path.read_text() for word in CONTROLLER)
    ]
    assert {"test_build", "test_certificates", "test_kubectl", "test_ship", "test_static_pod"} <= {
        path.stem for path in names
    }
    paths = [ROOT, ROOT / "tests", LINK.parents[2], old_python.ansible_alone()]
    done = run(
        python38, "-m", "pytest", "-c", os.devnull, f"--rootdir={folder}", f"--confcutdir={folder}", "--import-mode=importlib",
        "-p", "no:cacheprovider", "-p", "support.first_case", "--quiet", "--exitfirst", *names,
        cwd=ROOT / "tests",
        env={"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.code == 0, tail(done.output)


def test_every_file_is_imported(python38: Path) -> None:
    names = [str(path.with_suffix("")).replace("/", ".") for path in files("plugins/modules/*.py", "plugins/module_utils/**/*.py")]  # fmt: skip
    assert len(names) > 40
    program = f"import importlib\nfor name in {names}:\n    importlib.import_module('ansible_collections.edgefl.kubeedge.' + name)"
    paths = f"{LINK.parents[2]}{os.pathsep}{old_python.ansible_alone()}"
    run(python38, "-B", "-c", program, env={"PYTHONPATH": paths}).ok()


def test_the_agent_speaks_on_the_edges_python(tmp_path: Path) -> None:
    """As the other end sends it: asked what a containerd has that is not there, and for a transfer into a file, through its own standard input."""
    python37 = old_python.interpreter(7)
    program = f"""
import sys
sys.path.insert(0, {str(LINK.parents[2])!r})
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._images.ship import link
request = {{"runtime": "containerd", "names": {{"docker.io/x/y:v1": "sha256:0"}}, "digests": ["sha256:0"], "chains": [], "spool": {str(tmp_path / "spool")!r},
           "app": {{"name": "x@000000000000", "digest": "0"}}}}
sys.executable = {str(python37)!r}
target = link.Target("here", "containerd")
with link.Link(target, [], request, 60) as agent:
    state = agent.hear(dict)
    agent.order({{"names": [], "spool": request["spool"], "key": "", "check": False, "keep": 0, "repositories": []}})
    print(__import__("json").dumps([state, agent.hear(dict)]))
"""
    ctr = tmp_path / "bin/ctr"
    ctr.parent.mkdir()
    # An empty containerd
    ctr.write_text('#!/bin/sh\ncase "$3 $4" in "images ls"|"content ls") echo "REF TYPE DIGEST" ;; esac\n')
    ctr.chmod(0o755)
    done = run(shutil.which("python3") or "python3", "-c", program, env={"PATH": f"{ctr.parent}:{os.environ['PATH']}"})
    state, end = json.loads(done.ok().output)
    assert (
        state["images"] == {"docker.io/x/y:v1": None}
        and state["layers"] == []
        and "zlib" in state["codecs"]
        and state["app"]
    )
    assert end == {"images": {}, "removed": []}


def test_neighbours_speak_tls_on_the_edges_python(tmp_path: Path) -> None:
    """Both ends with the agent alone; the one that gives has Python 3.7, the one that asks the one of this machine."""
    (tmp_path / "certificate").write_text(make_certificate())
    data = b"chunk" * 100_000
    begin = f"""
import hashlib, sys
exec(open({str(ROOT / AGENT)!r}).read().partition("if __name__")[0])
certificate, digest = open({str(tmp_path / "certificate")!r}).read(), hashlib.sha256(b"chunk" * 100_000).digest()
"""
    gives = f"""{begin}
spool = Spool({str(tmp_path)!r}, "key", "sender")
spool.add(digest, b"chunk" * 100_000)
near = Neighbourhood(spool, certificate, "127.0.0.1", 0)
print(near.port, flush=True)
near.stay()
"""
    asks = f"""{begin}
near = Neighbourhood(None, certificate, "127.0.0.1", 0)
found = near.fetch(0, digest)
print(len(found) if found else found)
"""
    python37 = str(old_python.interpreter(7))
    with subprocess.Popen([python37, "-c", gives], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
        assert host.stdin and host.stdout
        where = agent.FETCH.pack(len(data), int(host.stdout.readline()), 20, b"127.0.0.1")
        for python in (sys.executable, python37):
            done = subprocess.run([python, "-c", asks], input=where, capture_output=True, check=True)
            assert done.stdout.decode().strip() == str(len(data)), done
        host.stdin.close()


# Modules as Ansible runs them -------------------------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {
    "aggregator_ready": {"deployment": "app"},
    "cluster_info": {"namespace": "edgefl"},
    "cluster_telemetry": {"run": "one"},
    "cluster_telemetry_info": {"run": "one", "telemetry_dir": "{{ folder }}", "wait_timeout": 0},
    "data_folder_info": {"path": "/etc"},
    "go_programs": {"name": "x", "source": "{{ folder }}", "programs": {"x": "y"}, "cache": "{{ folder }}", "progress": "{{ folder }}/log", "go": "/bin/true"},
    "image_build": {"repository": "x/y", "version": "v1", "tag": "v1-0123456789ab"},
    "image_ship": {"targets": [{"name": "edge1", "host": "127.0.0.1"}], "images": ["x/y:v1"]},
    "kubelet_certificates_info": {},
    "model_fetch": {"dest": "{{ folder }}", "state_dir": "{{ folder }}/none"},
    "model_ready": {"url": "http://127.0.0.1:1", "name": "x", "version": "x"},
    "model_version": {"path": "{{ folder }}/models", "version": "one"},
    "mutual_tls": {"certificates": [{"name": "one", "names": ["DNS:edge1"]}], "folder": "{{ folder }}/tls"},
    "node_metrics_ready": {},
    "preflight": {"cloud_node": "cloud", "edges": [{"host": "edge1", "node": "edge1", "name": "client-edge1", "slice_start": 0, "slice_stop": 9}]},
    "region_ports_info": {"host": "edge1", "server_port": 1024, "status_port": 1025},
    "static_pod_flag": {"flag": "v", "value": "4", "path": "{{ folder }}/pod.yaml"},
    "training_lock": {"namespace": "edgefl", "holder": "one"},
    "training_results": {"run": "one", "state_dir": "{{ folder }}"},
}  # fmt: skip
KUBECONFIG = "/nowhere/own.conf"
# What kubectl says of it
KUBECTL = f"""#!/bin/sh
[ -p /dev/stdin ] && cat >/dev/null  # whoever writes to it waits for that
[ "$1 $2" != "--kubeconfig {KUBECONFIG}" ] || echo "error: stat {KUBECONFIG}: no such file or directory" >&2
exit 1
"""
NO_KUBECONFIG = f"The kubeconfig {KUBECONFIG} does not exist on this host"
# By what a module fails, in its own words, where nothing is that it asks for; the others find nothing to do
SAYS = {
    **dict.fromkeys(set(GROUP) - {"cluster_telemetry", "training_lock"}, NO_KUBECONFIG),
    "data_folder_info": "edgefl_data is /etc, which belongs to the system",
    "model_version": "There is no version one",
    "model_fetch": "train first (site.yml)",
    "go_programs": "it is part of what is compiled, bring it back",
}


def play(tmp_path: Path, python: Path) -> dict[str, dict[str, Any]]:
    """The result of each module on this host in check mode, with the module_defaults of the action group."""
    (tmp_path / "pod.yaml").write_text("kind: Pod\n")
    kubectl = tmp_path / "bin/kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    playbook = {
        "name": "Call every module",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "module_defaults": {"group/edgefl.kubeedge.kubeedge": {"kubeconfig": KUBECONFIG}},
        "vars": {"folder": str(tmp_path), "ansible_python_interpreter": str(python)},
        "environment": {"PATH": f"{kubectl.parent}:/usr/bin:/bin"},
        # What they say is looked at by the tests
        "tasks": [
            {"name": module, f"edgefl.kubeedge.{module}": options, "check_mode": True, "failed_when": False}
            for module, options in OPTIONS.items()
        ],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([playbook], sort_keys=False))
    env = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
    said = run("ansible-playbook", "-i", "localhost,", tmp_path / "play.yml", cwd=tmp_path, env=env).ok().output
    tasks = json.loads(said[said.index("{\n") : said.rindex("}") + 1])["plays"][0]["tasks"]
    return {task["task"]["name"]: task["hosts"]["localhost"] for task in tasks}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, python38: Path) -> dict[str, dict[str, Any]]:
    return play(tmp_path_factory.mktemp("play"), python38)


def test_every_module_is_called() -> None:
    assert set(OPTIONS) == {path.stem for path in (ROOT / "plugins/modules").glob("*.py")} - OF_THE_CONTROLLER


@pytest.mark.parametrize("module", GROUP)
def test_module_defaults_of_the_group_reach_every_member(results: dict[str, dict[str, Any]], module: str) -> None:
    assert results[module]["invocation"]["module_args"]["kubeconfig"] == KUBECONFIG


@pytest.mark.parametrize("module", OPTIONS)
def test_modules_run_on_the_nodes_python(results: dict[str, dict[str, Any]], module: str) -> None:
    """To an answer of their own: none breaks off with an exception."""
    said = results[module]
    assert "Traceback" not in str(said.get("exception", "")) and "MODULE FAILURE" not in str(said.get("msg", ""))
    assert SAYS.get(module, "") in str(said.get("msg", ""))
