"""Flags of static pods: what the command line becomes, what the file's text becomes, and when the pod counts as started anew."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.command import Run
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.static_pod import (
    Flag,
    Mirror,
    Parser,
    Task,
    command_line,
    edited,
    plan,
    right,
    select,
)

ROUTING = Flag.of("enable-aggregator-routing", "true")

# As kubeadm writes it, shortened, and with what users add
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
  namespace: kube-system
spec:
  containers:
  - command:
    - kube-apiserver
    - --advertise-address=172.30.0.2
    # Our own: more of the audit log
    - --audit-log-maxage=30   # days

    - --secure-port=6443
    image: registry.k8s.io/kube-apiserver:v1.34.4
    name: kube-apiserver
  hostNetwork: true
status: {}
"""


def patch_locally(arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
    """Stands for C(kubectl patch --local), which is compared with it below: merges nothing, or adds what our JSON patches add."""
    options = dict(zip(arguments, arguments[1:]))
    try:
        pod = yaml.safe_load(data or "")
    except yaml.YAMLError as error:
        return 1, "", f"error: error parsing STDIN: error converting YAML to JSON: yaml: {' '.join(str(error).split())}"
    if not isinstance(pod, dict):
        return 1, "", 'error: unable to decode "STDIN": json: cannot unmarshal array into Go value of type unstructured.detector'  # fmt: skip
    if "kind" not in pod:
        return 1, "", f"error: unable to decode \"STDIN\": Object 'Kind' is missing in '{json.dumps(pod)}'"
    for step in json.loads(options["-p"]):
        _root, _spec, _containers, index, field = step["path"].split("/")
        pod["spec"]["containers"][int(index)][field] = step["value"]
    return 0, json.dumps(pod) if options["-o"] == "json" else yaml.safe_dump(pod), ""


PARSER = Parser(Kubectl(patch_locally, "/k"), "/m.yaml")
parse, rewrite = PARSER.parse, PARSER.rewrite


def change(text: str, flag: Flag, index: int = 0) -> tuple[str, bool]:
    return edited(text, parse(text), index, flag, parse, rewrite)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl to compare with")
@pytest.mark.parametrize("text", [MANIFEST, "a: [1\n", "[1]\n", "a: 1\n"])
def test_the_stand_in_is_as_kubectl(text: str) -> None:
    def real(arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        done = subprocess.run(arguments, input=data, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def outcome(run: Run) -> Any:
        # It asks no cluster, but reads its configuration
        parser = Parser(Kubectl(run, "/dev/null"), "/m.yaml")
        try:
            found = parser.parse(text)
        except EdgeflError as error:
            # The reason is a parser's own
            return error.message.partition("(")[0]
        patch = [{"op": "add", "path": "/spec/containers/0/command", "value": ["a", "b=c"]}]
        return found, yaml.safe_load(parser.rewrite(text, patch))

    assert outcome(real) == outcome(patch_locally)


def test_a_new_flag_is_one_line_at_the_end_of_the_list() -> None:
    new, kept = change(MANIFEST, ROUTING)
    assert kept
    assert new == MANIFEST.replace(
        "    - --secure-port=6443\n", "    - --secure-port=6443\n    - --enable-aggregator-routing=true\n"
    )


def test_another_value_replaces_its_line_and_leaves_its_comment() -> None:
    new, kept = change(MANIFEST, Flag.of("--audit-log-maxage", "7"))
    assert kept
    assert new == MANIFEST.replace("--audit-log-maxage=30   # days", "--audit-log-maxage=7   # days")


def test_a_flag_that_goes_takes_only_its_line() -> None:
    new, kept = change(MANIFEST, Flag.of("secure-port", None))
    assert kept
    assert new == MANIFEST.replace("    - --secure-port=6443\n", "")


@pytest.mark.parametrize(
    "flag",
    [Flag.of("secure-port", "6443"), Flag.of("enable-aggregator-routing", None), Flag.of("audit_log_maxage", "30")],
)
def test_a_right_file_stays(flag: Flag) -> None:
    assert change(MANIFEST, flag) == (MANIFEST, True)


def test_set_and_removed_again_is_the_file_of_before() -> None:
    new, _kept = change(MANIFEST, ROUTING)
    assert change(new, Flag.of("enable-aggregator-routing", None)) == (MANIFEST, True)


@pytest.mark.parametrize(
    ("before", "flag", "after"),
    [
        (["p", "--x=1", "--x=2"], ("x", "2"), ["p", "--x=2"]),
        (["p", "--x=1", "-v", "--x=1"], ("x", "1"), ["p", "--x=1", "-v"]),
        (["p", "--x", "1", "--y"], ("x", "2"), ["p", "--x=2", "--y"]),
        (["p", "--x", "1"], ("x", "1"), None),
        (["p", "--x", "1", "--y"], ("x", None), ["p", "--y"]),
        (["p", "--x"], ("x", "true"), None),
        (["p", "--x"], ("x", "false"), ["p", "--x=false"]),
        (["p", "--x_y=1"], ("x-y", "2"), ["p", "--x-y=2"]),
        (["p", "--xy=1", "--x.y=1"], ("x", "1"), ["p", "--xy=1", "--x.y=1", "--x=1"]),
        (["p", "--x="], ("x", ""), None),
        (["p", "--x=True"], ("x", "True"), ["p", "--x=true"]),
        (["p", "--x=a=b"], ("x", "a=b"), None),
    ],
)
def test_command_lines(before: list[str], flag: tuple[str, str | None], after: list[str] | None) -> None:
    wanted = Flag.of(*flag)
    changes = plan({"name": "c", "command": before}, wanted)
    result = changes["command"].apply(before) if changes else None
    assert result == after
    assert right(after or before, wanted)


def test_a_flag_in_args_stays_in_args() -> None:
    container = {"name": "c", "command": ["p", "--y"], "args": ["--x=1", "--z"]}
    assert list(plan(container, Flag.of("x", "2"))) == ["args"]
    assert list(plan(container, Flag.of("y", "false"))) == ["command"]
    assert list(plan(container, Flag.of("new", "2"))) == ["args"]
    assert list(plan({"name": "c"}, Flag.of("new", "2"))) == ["args"]


def test_duplicates_in_command_and_args_become_one() -> None:
    container: dict[str, Any] = {"name": "c", "command": ["p", "--x=1"], "args": ["--x=2", "--z"]}
    changes = plan(container, Flag.of("x", "3"))
    assert changes["command"].apply(container["command"]) == ["p", "--x=3"]
    assert changes["args"].apply(container["args"]) == ["--z"]


def test_a_shell_is_left_to_people() -> None:
    with pytest.raises(EdgeflError, match=r"started by a shell \(/bin/sh -c\): set --x=1 in its script by hand"):
        plan({"name": "c", "command": ["/bin/sh", "-c", "exec etcd --x=2"]}, Flag.of("x", "1"))


@pytest.mark.parametrize("name", ["", "--", "a b", "x=1", "-x"])
def test_names_that_are_no_flags(name: str) -> None:
    with pytest.raises(EdgeflError, match="is not the name of a flag"):
        Flag.of(name, "1")


OTHERS = {
    "quoted": MANIFEST.replace("--secure-port=6443", '"--secure-port=6443"').replace("--audit-log-maxage=30", "'--audit-log-maxage=30'"),
    "deep": MANIFEST.replace("    - ", "        -   "),
    "windows": MANIFEST.replace("\n", "\r\n"),
    "no end": MANIFEST[: MANIFEST.index("    image:")].replace("  - command:", "  - name: kube-apiserver\n    command:").rstrip("\n"),
    "two": MANIFEST.replace("  hostNetwork", "  - name: other\n    command:\n    - kube-apiserver\n    - --secure-port=1\n  hostNetwork"),
}  # fmt: skip


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS.keys())
def test_other_ways_of_writing_keep_their_formatting(text: str) -> None:
    new, kept = change(text, ROUTING)
    assert kept
    assert len(new.splitlines()) == len(text.splitlines()) + 1
    assert command_line(parse(new)["spec"]["containers"][0]) == [
        *command_line(parse(text)["spec"]["containers"][0]),
        str(ROUTING),
    ]
    replaced, kept = change(text, Flag.of("secure-port", "7443"))
    assert kept
    assert replaced == text.replace("port=6443", "port=7443").replace('"--secure-port=7443"', "--secure-port=7443")


def test_the_second_of_two_equal_containers() -> None:
    text = MANIFEST.replace(
        "  hostNetwork", "  - name: other\n    command:\n    - kube-apiserver\n    - --secure-port=1\n  hostNetwork"
    )
    text = text.replace(
        "    - --advertise-address=172.30.0.2\n    # Our own: more of the audit log\n    - --audit-log-maxage=30   # days\n\n",
        "",
    )
    text = text.replace("port=6443", "port=1")
    new, kept = change(text, ROUTING, index=1)
    assert kept
    before, after = (parse(each)["spec"]["containers"] for each in (text, new))
    assert after[0] == before[0]
    assert after[1]["command"] == [*before[1]["command"], str(ROUTING)]


@pytest.mark.parametrize(
    "text",
    [
        'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, command: ["a", "--y"]}]}\n',
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n  - name: c\n    image: i\n",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n  - name: c\n    command:\n    - a\n    - >-\n      --y=1\n",
    ],
    ids=["inline", "no command", "folded"],
)
def test_what_cannot_be_kept_is_written_anew(text: str) -> None:
    new, kept = change(text, ROUTING)
    assert not kept
    before, after = (parse(each) for each in (text, new))
    assert command_line(after["spec"]["containers"][0]) == [
        *command_line(before["spec"]["containers"][0]),
        str(ROUTING),
    ]


@given(
    st.lists(
        st.text(st.characters(codec="ascii", exclude_characters="\x7f", min_codepoint=32), min_size=1, max_size=12),
        max_size=5,
    ),
    st.text(st.characters(codec="ascii", exclude_characters="\x7f", min_codepoint=32), max_size=12),
)
def test_any_arguments_and_any_value(arguments: list[str], value: str) -> None:
    """Whatever the arguments and the value are, the file says in the end what was wanted, and a second run changes nothing."""
    text = yaml.safe_dump(
        {
            "kind": "Pod",
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c", "command": ["p", *arguments]}]},
        },
        width=1000,
    )
    flag = Flag.of("x", value)
    new, _kept = change(text, flag)
    assert right(command_line(parse(new)["spec"]["containers"][0]), flag)
    assert change(new, flag) == (new, True)


@pytest.mark.parametrize(
    ("pod", "container", "message"),
    [
        ({"kind": "Deployment"}, None, "holds a Deployment, not a Pod"),
        ({}, None, "holds a file without a kind, not a Pod"),
        ({"kind": "Pod", "metadata": {"name": "p"}}, None, "has no containers"),
        ({"kind": "Pod", "spec": {}}, None, "has no name"),
        (
            {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}},
            "c",
            "no container 'c': choose one of a, b",
        ),
    ],
)
def test_files_that_cannot_be_changed(pod: dict[str, Any], container: str | None, message: str) -> None:
    with pytest.raises(EdgeflError, match=message):
        select(pod, "/m.yaml", container)


class Answers:
    """Stands for run_command: an answer for each part of a command line that tells it."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def __call__(self, arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        answer = self.answers["readyz" if "/readyz" in arguments else arguments[4]]
        return (
            answer
            if isinstance(answer, tuple)
            else (0, answer if isinstance(answer, str) else json.dumps({"items": answer}), "")
        )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            (
                1,
                "",
                "error: error parsing STDIN: error converting YAML to JSON: yaml: line 1: did not find expected node content",
            ),
            r"/m.yaml is not a manifest .*line 1",
        ),
        ((1, "", "error: no objects passed to patch"), "is not a manifest"),
        ('{"kind": "Pod"}\n{"kind": "Pod"}\n', "more than one object"),
        ("[]", "holds no Kubernetes object"),
    ],
)
def test_files_that_kubectl_cannot_read(answer: Any, message: str) -> None:
    with pytest.raises(EdgeflError, match=message):
        Parser(Kubectl(Answers(patch=answer), "/k"), "/m.yaml").parse("a: [")


def test_an_empty_file() -> None:
    with pytest.raises(EdgeflError, match=r"/m.yaml is empty"):
        Parser(Kubectl(Answers(), "/k"), "/m.yaml").parse(" \n")


def mirror_pod(
    node: str = "cloud", config: str = "720ebb", name: str = "kube-apiserver", ready: str = "True", **container: Any
) -> dict[str, Any]:
    """A mirror pod as the kubelet 1.34 makes it, cut to what is read."""
    return {
        "metadata": {
            "name": f"{name}-{node}",
            "annotations": {
                "kubernetes.io/config.hash": config,
                "kubernetes.io/config.mirror": config,
                "kubernetes.io/config.source": "file",
            },
        },
        "spec": {"nodeName": node, "containers": [{"name": name, "command": container.pop("command", [name])}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": name, "restartCount": 0, "state": {"running": {}}, **container}],
        },
    }


def mirror(
    pods: list[dict[str, Any]],
    readyz: Any = "ok",
    name: str = "kube-apiserver",
    hostname: str = "cloud",
    node: str | None = None,
) -> Mirror:
    pod = {"metadata": {"name": name, "namespace": "kube-system"}, "spec": {"containers": [{"name": name}]}}
    return Mirror(Kubectl(Answers(get=pods, readyz=readyz), "/k"), pod, 0, hostname, node)


def test_the_former_api_server_does_not_count() -> None:
    subject = mirror([mirror_pod(config="old")])
    assert (
        subject.runs(subject.accepts_new("old")).reason
        == "the kubelet has not started kube-apiserver anew yet (config hash is still old)"
    )
    assert subject.runs(subject.accepts_new("other")).state == "done"
    assert subject.runs(subject.accepts_old("old")).state == "done"
    assert subject.runs(subject.accepts_old("other")).state == "pending"


def test_the_api_server_must_say_that_it_is_ready() -> None:
    subject = mirror([mirror_pod()], readyz="[-]etcd failed")
    assert subject.runs(subject.accepts_new("old")).reason == "/readyz says '[-]etcd failed'"
    assert mirror([]).runs(lambda pod: "").reason == "static pod kube-apiserver is not there"


def test_which_of_several_mirror_pods_is_ours() -> None:
    pods = [mirror_pod("cp1", "a"), mirror_pod("cp2", "b"), mirror_pod("cp3", "c", name="kube-apiserver-proxy")]
    assert mirror(pods, hostname="cp2").hash() == "b"
    assert mirror(pods, hostname="host", node="cp1").hash() == "a"
    assert mirror(pods, node="cp9").hash() is None
    with pytest.raises(EdgeflError, match="runs on cp1, cp2, and none is called host like this host: set `node`"):
        mirror(pods, hostname="host").hash()


def test_a_pod_of_another_node_is_not_taken_for_ours_while_ours_is_away() -> None:
    pods = [mirror_pod("cloud", "a")]
    subject = mirror(pods)
    assert subject.hash() == "a"
    pods[:] = [mirror_pod("cp2", "b")]
    assert subject.hash() is None


def test_a_pod_that_only_has_the_name_is_no_static_pod() -> None:
    pod = mirror_pod()
    pod["metadata"]["annotations"]["kubernetes.io/config.source"] = "api"
    assert mirror([pod]).hash() is None


def test_an_unfinished_earlier_run_is_waited_for() -> None:
    subject = mirror([mirror_pod(command=["kube-apiserver", "--enable-aggregator-routing=true"])])
    assert subject.runs(subject.accepts_flag(ROUTING)).state == "done"
    without = Flag.of("enable-aggregator-routing", None)
    assert (
        subject.runs(subject.accepts_flag(without)).reason
        == "the kubelet has not started kube-apiserver without --enable-aggregator-routing yet"
    )


CRASH: dict[str, Any] = {
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}}
}


@pytest.mark.parametrize(
    ("pod", "state"),
    [
        (mirror_pod(name="etcd"), "done"),
        (mirror_pod(name="etcd", ready="False"), "pending"),
        (mirror_pod(name="etcd", ready="False", restartCount=1, **CRASH), "pending"),
        (mirror_pod(name="etcd", ready="False", restartCount=3, **CRASH), "failed"),
        (mirror_pod(name="etcd", ready="False", state={"waiting": {"reason": "ErrImageNeverPull"}}), "failed"),
    ],
)
def test_other_static_pods_must_be_ready(pod: dict[str, Any], state: str) -> None:
    assert mirror([pod], name="etcd").runs(lambda pod: "", steady=0).state == state


def test_the_exit_code_of_a_container_that_ends_is_told() -> None:
    pod = mirror_pod(
        name="etcd", ready="False", restartCount=2, state={"terminated": {"exitCode": 1, "reason": "Error"}}
    )
    reason = mirror([pod], name="etcd").runs(lambda pod: "").reason
    assert reason == "pod etcd-cloud is not ready (container etcd ended with exit code 1 and was started anew 2 times)"


def test_a_container_that_nothing_probes_must_stay_up() -> None:
    now = [0.0]
    pods = [mirror_pod(name="etcd")]
    subject = mirror(pods, name="etcd")
    subject.clock = lambda: now[0]
    assert subject.runs(lambda pod: "").reason == "etcd has to stay up for 10 s more"
    now[0] = 9
    pods[:] = [mirror_pod(name="etcd", restartCount=1)]
    assert subject.runs(lambda pod: "").reason == "etcd has to stay up for 10 s more"
    now[0] = 19
    assert subject.runs(lambda pod: "").state == "done"
    pods[0]["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"path": "/readyz"}}
    pods[0]["status"]["containerStatuses"][0]["restartCount"] = 2
    assert subject.runs(lambda pod: "").state == "done"


class Machine:
    """A control plane in miniature: kubectl, and a kubelet that runs what the manifest says `delay` seconds after it was written.

    An API server with an argument of `broken` does not answer.
    """

    def __init__(self, path: Path, broken: str = "", delay: float = 40) -> None:
        self.path = path
        self.broken = broken
        self.delay = delay
        self.now = 0.0
        self.written = [(float("-inf"), path.read_bytes())]

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def replace(self, path: str, content: bytes) -> None:
        Path(path).write_bytes(content)
        self.written.append((self.now, content))

    @staticmethod
    def config(content: bytes) -> tuple[str, list[str]]:
        pod = parse(content.decode())
        return str(hash(content)), pod["spec"]["containers"][0]["command"]

    def kubectl(self, arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        if "patch" in arguments:
            assert data is not None
            return 0, json.dumps(parse(data)), ""
        running = next(content for when, content in reversed(self.written) if self.now >= when + self.delay)
        config = self.config(running)
        starting = any(when <= self.now < when + self.delay / 2 for when, _content in self.written[-1:])
        if (self.broken and any(self.broken in argument for argument in config[1])) or starting:
            return (
                1,
                "",
                "The connection to the server 172.30.0.2:6443 was refused - did you specify the right host or port?",
            )
        if "/readyz" in arguments:
            return 0, "ok", ""
        return 0, json.dumps({"items": [mirror_pod(config=config[0], command=config[1])]}), ""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifests" / "kube-apiserver.yaml"
    path.parent.mkdir()
    path.write_text(MANIFEST)
    path.chmod(0o600)
    return path


@pytest.fixture
def task(manifest: Path) -> Callable[..., Task]:
    """A function that makes a task, on a machine of its own when none is given."""

    def make(machine: Machine | None = None, **options: Any) -> Task:
        machine = machine or Machine(manifest)
        defaults: dict[str, Any] = {
            "path": str(manifest),
            "flag": ROUTING,
            "container": None,
            "node": None,
            "hostname": "cloud",
            "backup_dir": str(manifest.parents[1] / "backup"),
            "wait": True,
            "timeout": 300,
            "sleep": 2,
            "kubectl": Kubectl(machine.kubectl, "/k"),
            "replace": machine.replace,
            "clock": machine.clock,
            "pause": machine.pause,
        }
        return Task(**{**defaults, **options})

    return make


def test_the_task_changes_keeps_a_copy_and_waits(task: Callable[..., Task], manifest: Path) -> None:
    machine = Machine(manifest)
    result = task(machine).run(dry=False)
    copy = Path(result["backup_file"])
    assert result["changed"] and str(ROUTING) in result["arguments"] and str(ROUTING) in manifest.read_text()
    assert copy.read_text() == MANIFEST == result["diff"]["before"]
    assert copy.parent.stat().st_mode & 0o777 == 0o700 and copy.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in copy.parent.iterdir()] == [copy.name]
    assert machine.now == 40
    again = task(machine).run(dry=False)
    assert (again["changed"], again["backup_file"]) == (False, "")
    assert len(machine.written) == 2 and machine.now == 40


def test_a_dry_run_writes_nothing(task: Callable[..., Task], manifest: Path) -> None:
    machine = Machine(manifest)
    assert task(machine).run(dry=True)["changed"]
    assert manifest.read_text() == MANIFEST
    assert (machine.now, len(machine.written)) == (0, 1)
    assert not (manifest.parents[1] / "backup").exists()


def test_without_waiting(task: Callable[..., Task], manifest: Path) -> None:
    machine = Machine(manifest)
    assert task(machine, wait=False).run(dry=False)["changed"]
    assert machine.now == 0
    # The next run waits for what this one did not wait for
    assert not task(machine).run(dry=False)["changed"]
    assert machine.now == 40


def test_a_value_that_does_not_work_is_taken_back(task: Callable[..., Task], manifest: Path) -> None:
    machine = Machine(manifest, broken="banana")
    with pytest.raises(
        EdgeflError, match=r"did not come back after --secure-port=banana was set .*refused.* works as before: correct"
    ) as caught:
        task(machine, flag=Flag.of("secure-port", "banana")).run(dry=False)
    assert caught.value.result["restored"] is True
    assert manifest.read_text() == MANIFEST
    assert machine.now >= 300


def test_a_former_pod_that_does_not_come_back_either(task: Callable[..., Task], manifest: Path) -> None:
    machine = Machine(manifest, delay=10_000)
    with pytest.raises(EdgeflError, match=r"The former manifest was put back, but: .*journalctl -u kubelet"):
        task(machine).run(dry=False)
    assert manifest.read_text() == MANIFEST


def test_nothing_is_changed_while_the_api_server_is_away(task: Callable[..., Task], manifest: Path) -> None:
    machine = Machine(manifest, broken="secure-port")
    with pytest.raises(EdgeflError, match=r"nothing was changed"):
        task(machine).run(dry=False)
    assert (manifest.read_text(), len(machine.written)) == (MANIFEST, 1)


@pytest.mark.parametrize("folder", [".", "backup"])
def test_no_copy_where_the_kubelet_would_run_it(task: Callable[..., Task], manifest: Path, folder: str) -> None:
    with pytest.raises(EdgeflError, match=r"where the kubelet runs every file: choose another one"):
        task(backup_dir=str(manifest.parent / folder)).run(dry=False)
    assert manifest.read_text() == MANIFEST


def test_no_manifest(task: Callable[..., Task], manifest: Path) -> None:
    with pytest.raises(EdgeflError, match=r"does not exist: run this on a host of the control plane, or set `path`"):
        task(path=str(manifest) + "x").run(dry=False)
    broken = task()
    manifest.write_bytes(b"\xff\xfe")
    with pytest.raises(EdgeflError, match=r"cannot be read as text"):
        broken.run(dry=False)
