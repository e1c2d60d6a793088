"""The client: commands that it runs, and what it makes of kubectl's answers (texts as kubectl 1.34 writes them)."""

from __future__ import annotations

import json

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl, NotFound

PREFIX = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "--request-timeout=20s"]


class Answers:
    """Stands for run_command: gives one answer, and keeps what was asked."""

    def __init__(self, output: str = "", code: int = 0, errors: str = "") -> None:
        self.answer = (code, output, errors)
        self.commands: list[list[str]] = []
        self.data: list[str | None] = []

    def __call__(self, arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        self.commands.append(arguments)
        self.data.append(data)
        return self.answer


def client(answers: Answers) -> Kubectl:
    return Kubectl(answers, "/etc/kubernetes/admin.conf")


@pytest.mark.parametrize(
    ("keywords", "arguments"),
    [
        ({"name": "a"}, ["a", "--ignore-not-found"]),
        ({"name": "a", "namespace": "n"}, ["a", "--ignore-not-found", "-n", "n"]),
        ({"namespace": "n", "selector": "x=y"}, ["-n", "n", "-l", "x=y"]),
        ({}, ["-A"]),
    ],
)
def test_get_asks_for_json(keywords: dict[str, str], arguments: list[str]) -> None:
    answers = Answers(json.dumps({"items": []}))
    client(answers).get("pods", **keywords)
    assert answers.commands == [[*PREFIX, "get", "pods", "-o", "json", *arguments]]


def test_get_gives_object_list_or_none() -> None:
    assert client(Answers('{"kind": "Node"}')).get("node", "a") == {"kind": "Node"}
    assert client(Answers("")).get("node", "a") is None
    assert client(Answers('{"items": [{"a": 1}]}')).get("nodes") == [{"a": 1}]


def test_raw_gives_json_or_text() -> None:
    assert client(Answers('{"items": []}')).raw("/x") == {"items": []}
    assert client(Answers("ok\n")).raw("/readyz") == "ok"


def test_logs() -> None:
    answers = Answers("one\ntwo\n")
    assert client(answers).logs("p", "n", tail=5, container="c") == "one\ntwo\n"
    assert answers.commands == [[*PREFIX, "logs", "p", "-n", "n", "--tail=5", "-c", "c"]]
    waiting = 'Error from server (BadRequest): container "c" in pod "p" is waiting to start: ContainerCreating'
    assert client(Answers(code=1, errors=waiting)).logs("p", "n") == ""


def test_logs_of_the_container_before() -> None:
    answers = Answers("one\n")
    assert client(answers).logs("p", "n", previous=True) == "one\n"
    assert answers.commands == [[*PREFIX, "logs", "p", "-n", "n", "--tail=20", "--previous"]]
    none = 'Error from server (BadRequest): previous terminated container "c" in pod "p" not found'
    assert client(Answers(code=1, errors=none)).logs("p", "n", previous=True) == ""
    # An edge's words come as if they were the log
    for words in ("unable to retrieve container logs for containerd://130654e5", none.partition("): ")[2]):
        assert client(Answers(words)).logs("p", "n", previous=True) == ""


@pytest.mark.parametrize(
    "text",
    [
        "The connection to the server 172.30.0.2:6443 was refused - did you specify the right host or port?",
        "error: You must be logged in to the server (Unauthorized)",
        "Error from server (ServiceUnavailable): the server is currently unable to handle the request",
        "Unable to connect to the server: net/http: TLS handshake timeout",
        "Unable to connect to the server: dial tcp 172.30.0.2:6443: connect: no route to host",
        "Unable to connect to the server: EOF",
        'Error from server (InternalError): an error on the server ("[-]etcd failed") has prevented the request from succeeding',
        "Error from server: etcdserver: leader changed",
        'Error from server (Forbidden): pods is forbidden: User "kubernetes-admin" cannot list resource "pods" in API group ""',
    ],
)
def test_an_api_server_that_restarts_is_transient(text: str) -> None:
    with pytest.raises(Transient):
        client(Answers(code=1, errors=text)).get("nodes")


def test_only_the_last_line_is_for_people() -> None:
    noise = (
        'E1124 memcache.go:265] "Unhandled Error" err="connection refused"\nThe connection to the server x was refused'
    )
    with pytest.raises(Transient, match=r"^kubectl get --raw /x: The connection to the server x was refused$"):
        client(Answers(code=1, errors=noise)).raw("/x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "error: stat /etc/kubernetes/admin.conf: no such file or directory",
            "does not exist on this host: set edgefl_kubeconfig",
        ),
        (
            'error: error loading config file "/etc/kubernetes/admin.conf": open /etc/kubernetes/admin.conf: permission denied',
            "run this with become",
        ),
        ('error: context "x" does not exist', 'context "x" does not exist'),
    ],
)
def test_what_does_not_go_away_is_final(text: str, message: str) -> None:
    with pytest.raises(EdgeflError, match=message) as caught:
        client(Answers(code=1, errors=text)).get("nodes")
    assert not isinstance(caught.value, Transient)


@pytest.mark.parametrize(
    "text",
    [
        "Error from server (NotFound): the server could not find the requested resource",
        'error: the server doesn\'t have a resource type "vpa"',
    ],
)
def test_what_the_server_does_not_know(text: str) -> None:
    with pytest.raises(NotFound):
        client(Answers(code=1, errors=text)).raw("/apis/metrics.k8s.io/v1beta1/nodes")


def test_no_kubectl() -> None:
    def run(arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        raise FileNotFoundError(2, "No such file or directory", "kubectl")

    with pytest.raises(EdgeflError, match=r"kubectl cannot be run .* install it"):
        Kubectl(run, "/k").get("nodes")


def test_no_json() -> None:
    with pytest.raises(EdgeflError, match="gave no JSON"):
        client(Answers("Warning: hm")).get("node", "a")
