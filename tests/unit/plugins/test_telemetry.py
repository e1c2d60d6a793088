"""Telemetry of the cluster: taken from a server that speaks TLS as the API server does, written down, and read as the report takes them."""

from __future__ import annotations

import datetime
import fcntl
import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from unit.plugins.training_lines import WHOLE, data

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.certificates import Authority, Wanted
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.api import ClusterApi
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.tunnels import Tunnels
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry import records
from ansible_collections.edgefl.kubeedge.plugins.module_utils._telemetry.recorder import (
    Recorder,
    Schedule,
    ended,
    record,
)
from ansible_collections.edgefl.kubeedge.plugins.plugin_utils._report.data import (
    Capacity,
    Hpa,
    Limits,
    parse_details,
    parse_telemetry,
)

PODS = "/api/v1/namespaces/edgefl/pods"
EVENTS = "/api/v1/namespaces/edgefl/events"
DEPLOYMENTS = "/apis/apps/v1/namespaces/edgefl/deployments"
HPAS = "/apis/autoscaling/v2/namespaces/edgefl/horizontalpodautoscalers"
INFO = {
    "kubeletVersion": "v1.32.10-kubeedge-v1.23.1",
    "containerRuntimeVersion": "containerd://1.6.20",
    "architecture": "amd64",
    "bootID": "another at each boot",
}
VPAS = "/apis/autoscaling.k8s.io/v1/namespaces/edgefl/verticalpodautoscalers"
NODE_USE = "/apis/metrics.k8s.io/v1beta1/nodes"
POD_USE = "/apis/metrics.k8s.io/v1beta1/namespaces/edgefl/pods"


def stamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name: str, node: str = "edge1", restarts: int = 0, ready: bool = True) -> dict[str, Any]:
    status: dict[str, Any] = {"name": "client", "restartCount": restarts}
    if restarts:
        status["lastState"] = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    return {
        "metadata": {"name": name, "labels": {"app": "federated-learning-client"}},
        "spec": {
            "nodeName": node,
            "containers": [{"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [status],
        },
    }


def workload(replicas: int, ready: int, name: str = "client-edge1") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"edgefl.kubeedge/workload": "client"}},
        "spec": {"replicas": replicas, "template": {"spec": {"nodeName": "edge1"}}},
        "status": {"readyReplicas": ready},
    }


def hpa(current: int, desired: int, use: int | None) -> dict[str, Any]:
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    return {
        "metadata": {"name": "client-edge1"},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "client-edge1"},
            "minReplicas": 1,
            "maxReplicas": 5,
            "metrics": [{"type": "Resource", "resource": resource}],
        },
        "status": {
            "currentReplicas": current,
            "desiredReplicas": desired,
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": use}}}
            ],
        },
    }


def use(name: str, at: float, **where: str) -> dict[str, Any]:
    figures = {"cpu": "250m", "memory": "300Mi"}
    found: dict[str, Any] = {"metadata": {"name": name}, "timestamp": stamp(at)}
    return found | ({"containers": [{"usage": figures}, {"usage": figures}]} if where else {"usage": figures})


class Cluster:
    """Documents by path, as the API server has them; an exception in their place is raised."""

    def __init__(self, begin: float = 1_800_000_000.0) -> None:
        self.now = begin
        self.asked: list[str] = []
        self.documents: dict[str, Any] = {
            "/api/v1/nodes": [
                {
                    "metadata": {"name": "edge1"},
                    "status": {"allocatable": {"cpu": "2", "memory": "4Gi"}, "nodeInfo": INFO},
                }
            ],
            PODS: [pod("client-1")],
            DEPLOYMENTS: [workload(1, 1)],
            NODE_USE: [use("edge1", begin - 5)],
            POD_USE: [use("client-1", begin - 7, kind="pod")],
            EVENTS: [],
        }

    def get(self, path: str) -> Any:
        self.asked.append(path)
        found = self.documents.get(path)
        if isinstance(found, Exception):
            raise found
        return None if found is None else {"items": found}

    def recorder(self) -> Recorder:
        return Recorder(self.get, "edgefl", "r", lambda: self.now)


def kinds(lines: list[dict[str, Any]]) -> list[str]:
    return [line["kind"] for line in lines]


# Taking ----------------------------------------------------------------------------------------------------------------


def test_only_what_has_changed_is_written_again() -> None:
    cluster = Cluster()
    recorder = cluster.recorder()
    first = recorder.snapshot()
    assert kinds(first) == ["capacity", "pod_state", "replicas", "node", "pod"]
    assert first[4] == {
        "time": cluster.now - 7,
        "kind": "pod",
        "node": "edge1",
        "pod": "client-1",
        "cpu_cores": 0.5,
        "memory_bytes": 600 * 2**20,
    }
    cluster.now += 5
    assert recorder.snapshot() == []
    cluster.documents[POD_USE] = [use("client-1", cluster.now - 1, kind="pod")]
    cluster.documents[DEPLOYMENTS] = [workload(3, 1)]
    assert kinds(recorder.snapshot()) == ["replicas", "pod"]
    assert cluster.asked.count("/api/v1/nodes") == 1, "nodes are large, and asked for once"


class Ended(Tunnels):
    """Tunnels of edges that were to be opened anew, each time."""

    def __init__(self) -> None:
        self.of: list[dict[str, str]] = []

    def reopen(self, without: Mapping[str, str]) -> list[str]:
        self.of.append(dict(without))
        return list(without)


def test_the_tunnel_of_an_edge_without_figures_is_opened_anew() -> None:
    cluster = Cluster()
    edges = [
        {
            "metadata": {"name": f"edge{number}", "labels": {"node-role.kubernetes.io/edge": ""}},
            "status": {"addresses": [{"type": "InternalIP", "address": f"192.0.2.{number}"}]},
        }
        for number in (1, 2)
    ]
    cluster.documents["/api/v1/nodes"] += [{"metadata": {"name": "cloud"}}, *edges]
    tunnels = Ended()
    recorder = Recorder(cluster.get, "edgefl", "r", lambda: cluster.now, tunnels)
    told = [line for line in recorder.snapshot() if line["kind"] == "event"]
    assert [(line["node"], line["reason"], line["type"]) for line in told] == [("edge2", "TunnelReopened", "Warning")]
    cluster.documents[NODE_USE] = [use("edge1", cluster.now), use("edge2", cluster.now)]
    assert kinds(recorder.snapshot()) == ["node", "node"]
    cluster.documents[NODE_USE] = []
    assert recorder.snapshot() == []
    assert tunnels.of == [{"edge2": "192.0.2.2"}, {}], "where no node has figures metrics-server is what is missing"


def test_a_restart_and_a_pod_that_goes() -> None:
    cluster = Cluster()
    recorder = cluster.recorder()
    recorder.snapshot()
    cluster.documents[PODS] = [pod("client-1", restarts=1)]
    event, state = recorder.snapshot()
    assert (event["reason"], event["text"], event["pod"]) == ("Restarted", "OOMKilled, exit code 137", "client-1")
    assert state["restarts"] == 1
    cluster.documents[PODS] = []
    about = {"kind": "Pod", "name": "client-1"}
    cluster.documents[EVENTS] = [
        {"metadata": {"name": "e1"}, "involvedObject": about, "reason": "Killing", "lastTimestamp": stamp(cluster.now)}
    ]
    gone, killing = recorder.snapshot()
    assert (gone["phase"], killing["reason"]) == ("Gone", "Killing")
    assert killing["node"] == "edge1", "where a pod that has gone was is still known"


def test_events_from_before_are_left_out_and_each_is_told_once() -> None:
    cluster = Cluster()
    about = {"kind": "HorizontalPodAutoscaler", "name": "client-edge1"}
    old, new = (
        {
            "metadata": {"name": f"e{at}"},
            "involvedObject": about,
            "reason": "R",
            "lastTimestamp": stamp(cluster.now + at),
        }
        for at in (-100, 0)
    )
    cluster.documents[EVENTS] = [old, new]
    recorder = cluster.recorder()
    assert [line["node"] for line in recorder.snapshot() if line["kind"] == "event"] == ["edge1"]
    assert recorder.snapshot() == []
    cluster.documents[EVENTS] = [old, new | {"count": 2}]
    assert kinds(recorder.snapshot()) == ["event"], "it happened again"


def test_figures_of_a_host_with_a_wrong_clock_are_placed_when_they_are_seen() -> None:
    cluster = Cluster()
    cluster.documents[NODE_USE] = [use("edge1", cluster.now - 4000)]
    assert [line["time"] for line in cluster.recorder().snapshot() if line["kind"] == "node"] == [cluster.now]


def test_an_addon_that_is_missing_is_asked_for_rarely() -> None:
    cluster = Cluster()
    recorder = cluster.recorder()
    for _dummy in range(5):
        recorder.snapshot()
        cluster.now += 5
    assert cluster.asked.count(HPAS) == 1
    cluster.now += 60
    cluster.documents[HPAS] = [hpa(1, 1, 5)]
    assert kinds(recorder.snapshot()) == ["hpa_spec", "hpa"]


def test_no_answer_is_told_once_and_recording_goes_on() -> None:
    cluster = Cluster()
    recorder = cluster.recorder()
    recorder.snapshot()
    kept = cluster.documents[PODS]
    cluster.documents[PODS] = Transient("the API server does not answer (refused)")
    assert [line["text"] for line in recorder.snapshot()] == ["the API server does not answer (refused)"]
    assert recorder.snapshot() == []
    cluster.documents[PODS] = kept
    assert recorder.snapshot() == []
    cluster.documents[PODS] = Transient("again")
    assert kinds(recorder.snapshot()) == ["problem"]
    cluster.documents |= {PODS: EdgeflError("the API server answers 403"), NODE_USE: [use("edge1", cluster.now)]}
    assert kinds(recorder.snapshot()) == ["problem", "node"], (
        "what may not be read does not keep the rest from being read"
    )


def test_now_sums_the_clients_of_a_node() -> None:
    cluster = Cluster()
    cluster.documents[PODS] += [pod("client-2")]
    cluster.documents[POD_USE] += [use("client-2", cluster.now, kind="pod")]
    cluster.documents[DEPLOYMENTS] = [workload(3, 2)]
    recorder = cluster.recorder()
    recorder.snapshot()
    assert recorder.newest()["nodes"] == {
        "edge1": {"wanted": 3, "ready": 2, "cpu_cores": 1.0, "memory_bytes": 1200 * 2**20}
    }


def test_a_run_that_is_stopped_or_replaced_is_gone() -> None:
    cluster = Cluster()
    recorder = cluster.recorder()
    for deployed, gone in (("old", False), ("r", False), ("r", False), ("new", True)):
        aggregator = workload(1, 1, "aggregator")
        aggregator["metadata"] = {"name": "aggregator", "annotations": {"edgefl.kubeedge/run": deployed}}
        cluster.documents[DEPLOYMENTS] = [workload(1, 1), aggregator]
        recorder.snapshot()
        assert recorder.gone is gone
    cluster.documents[DEPLOYMENTS] = Transient("no answer")
    recorder.snapshot()
    assert recorder.gone


# The file --------------------------------------------------------------------------------------------------------------


def record_cluster(folder: Path, until: Any, **more: float) -> dict[str, Any]:
    cluster = Cluster(time.time())
    schedule = Schedule(**{"interval": 0.05, "timeout": 5.0, **more})
    return record(lambda: cluster.get, folder, "r", "edgefl", schedule, until)


def test_it_ends_with_the_run_and_says_what_it_took(tmp_path: Path) -> None:
    rounds = tmp_path / "rounds.jsonl"
    threading.Timer(0.3, lambda: rounds.write_bytes(data(*WHOLE))).start()
    figures = record_cluster(tmp_path, lambda: ended(rounds))
    assert 0.25 < figures["seconds"] < 4
    assert figures["snapshots"] > 2
    found = records.read(tmp_path, "r", 1)
    assert found["problems"] == []
    assert found["recorder"]["lines"] == figures["lines"] == len(found["text"].splitlines()) - 1
    assert records.newest(tmp_path, "r")["nodes"]["edge1"]["ready"] == 1
    assert records.newest(tmp_path, "other") == {}


def test_time_limit_and_time_after_the_run(tmp_path: Path) -> None:
    assert 0.2 <= record_cluster(tmp_path, lambda: False, timeout=0.2)["seconds"] < 2
    assert 0.4 <= record_cluster(tmp_path, lambda: True, after=0.4)["seconds"] < 2


def test_two_do_not_record_the_same_run(tmp_path: Path) -> None:
    with open(tmp_path / "r.jsonl", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert record_cluster(tmp_path, lambda: True)["snapshots"] == 0
        found = records.read(tmp_path, "r", 0.2)
        assert "the end of the recording" in found["problems"][0]


def test_it_goes_on_where_another_was_ended_in_the_middle_of_a_line(tmp_path: Path) -> None:
    assert record_cluster(tmp_path, lambda: True)["snapshots"] > 0
    with open(tmp_path / "r.jsonl", "ab") as file:
        file.write(b'{"time": 1, "kind": "no')
    lines = record_cluster(tmp_path, lambda: True)["lines"]
    found = records.read(tmp_path, "r", 1)
    assert found["problems"] == ["1 lines of the telemetry are damaged, and were left out."]
    assert found["recorder"]["lines"] == lines


def test_what_keeps_it_from_beginning_is_told_in_the_results(tmp_path: Path) -> None:
    def connect() -> Any:
        raise EdgeflError("The kubeconfig names no cluster and user")

    with pytest.raises(EdgeflError):
        record(connect, tmp_path, "r", "edgefl", Schedule(1, 1), lambda: True)
    assert records.read(tmp_path, "r", 1)["problems"] == [
        "While it was recorded: The kubeconfig names no cluster and user."
    ]
    assert "Nothing was recorded" in records.read(tmp_path, "other", 1)["problems"][0]


@pytest.mark.parametrize(
    ("content", "over"),
    [(data(*WHOLE), True), (data(*WHOLE[:2]), False), (data(*WHOLE)[:-9], False), (b"", False), (b"7\n", False)],
)
def test_the_end_of_a_run(tmp_path: Path, content: bytes, over: bool) -> None:
    (tmp_path / "rounds.jsonl").write_bytes(content)
    assert ended(tmp_path / "rounds.jsonl") is over
    assert not ended(tmp_path / "missing")


# What the report gets --------------------------------------------------------------------------------------------------


def test_the_report_takes_all_of_it() -> None:
    cluster = Cluster()
    cluster.documents[HPAS] = [hpa(1, 1, 5)]
    recorder = cluster.recorder()
    lines = recorder.snapshot()
    cluster.now += 15
    about = {"kind": "HorizontalPodAutoscaler", "name": "client-edge1"}
    cluster.documents |= {
        HPAS: [hpa(1, 3, 150)],
        EVENTS: [
            {
                "metadata": {"name": "e"},
                "involvedObject": about,
                "reason": "SuccessfulRescale",
                "message": "New size: 3",
                "lastTimestamp": stamp(cluster.now),
            },
            {
                "metadata": {"name": "f"},
                "involvedObject": about,
                "reason": "Started",
                "lastTimestamp": stamp(cluster.now),
            },
        ],
    }
    lines += recorder.snapshot()
    telemetry = records.report_records(json.loads(json.dumps(lines)))
    read = parse_telemetry(telemetry)
    assert sorted(type(each).__name__ for each in read) == [
        "ClusterEvent",
        "Hpa",
        "Hpa",
        "NodeUse",
        "PodUse",
        "Replicas",
    ]
    assert [(each.current, each.desired, each.use_percent) for each in read if isinstance(each, Hpa)] == [
        (1, 1, 5),
        (1, 3, 150),
    ]
    details = parse_details(records.details(lines))
    assert details.limits == [Limits("edge1", "client-1", 0.5, None, 2**30, 2**31)]
    assert details.capacity == [Capacity("edge1", 2.0, 2**32)]
    assert details.versions == {"node edge1": "v1.32.10-kubeedge-v1.23.1, containerd://1.6.20, amd64"}
    assert [(each.node, each.text) for each in details.scalings] == [
        ("edge1", "From 1 to 3 pods: CPU use 150 %, target 60 %: ceil(1 × 150 / 60) = 3.")
    ]


def test_an_autoscaler_that_was_there_before_its_clients_is_explained_too() -> None:
    """So it is in each training: it is made before the pods that it is for, whose node nobody knows then."""
    cluster = Cluster()
    cluster.documents |= {HPAS: [hpa(0, 0, None)], DEPLOYMENTS: []}
    recorder = cluster.recorder()
    lines = recorder.snapshot()
    for current, desired, use_, ready in ((1, 1, 20, 1), (1, 3, 150, 1), (3, 3, 5, 3), (3, 1, 5, 1)):
        cluster.now += 400
        cluster.documents |= {HPAS: [hpa(current, desired, use_)], DEPLOYMENTS: [workload(desired, ready)]}
        lines += recorder.snapshot()
    told = [(each["node"], each["text"]) for each in records.details(lines)["scalings"]]
    assert [text for _node, text in told if text.startswith("From")] == [
        "From 1 to 3 pods: CPU use 150 %, target 60 %: ceil(1 × 150 / 60) = 3.",
        "From 3 to 1 pod: CPU use 5 %, target 60 %: ceil(3 × 5 / 60) = 1.",
    ]
    assert {node for node, _text in told} == {"edge1"}


def test_recommendations_of_a_vertical_autoscaler_are_recorded_once() -> None:
    cluster = Cluster()
    target = {"containerName": "client", "target": {"cpu": "250m", "memory": "600Mi"}}
    vpa: dict[str, Any] = {
        "metadata": {"name": "client-edge1"},
        "spec": {"targetRef": {"name": "client-edge1"}, "updatePolicy": {"updateMode": "Recreate"}},
        "status": {"recommendation": {"containerRecommendations": [target]}},
    }
    cluster.documents[VPAS] = [vpa]
    recorder = cluster.recorder()
    (line,) = [line for line in recorder.snapshot() if line["kind"] == "vpa"]
    assert (line["node"], line["mode"], line["recommendation"]) == ("edge1", "Recreate", [target])
    assert "vpa" not in kinds(recorder.snapshot())


def test_the_last_exit_of_a_pod_that_never_ended_is_not_known() -> None:
    cluster = Cluster()
    recorder = cluster.recorder()
    recorder.snapshot()
    restarted = pod("client-1", restarts=1)
    del restarted["status"]["containerStatuses"][0]["lastState"]
    cluster.documents[PODS] = [restarted]
    (event,) = [line for line in recorder.snapshot() if line["kind"] == "event"]
    assert (event["reason"], event["text"]) == ("Restarted", "")


def test_telemetry_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").mkdir()
    with pytest.raises(EdgeflError, match="run this on the cloud node with become"):
        records.read(tmp_path, "r", 1)


def test_damaged_lines_are_left_out_and_counted() -> None:
    lines, problems = records.parse('{"time":1,"kind":"problem","text":"x"}\n{"time":1,"ki\n[]\n')
    assert len(lines) == 1
    assert problems == ["2 lines of the telemetry are damaged, and were left out."]


# TLS -------------------------------------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections: list[Any]

    def do_GET(self) -> None:
        if self.client_address not in self.connections:
            self.connections.append(self.client_address)
        body = b"[" if self.path == "/broken" else json.dumps({"path": self.path}).encode()
        self.send_response({"/none": 404, "/forbidden": 403, "/busy": 503}.get(self.path, 200))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        # The server ends the connection without a word, as after a long pause
        self.close_connection = self.path == "/last"

    def log_message(self, *_given: Any) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[dict[str, Any], type[Handler]]]:
    """A server that wants a client certificate; gives the kubeconfig for it."""
    made = Authority(str(tmp_path / "tls"), 10, 1, datetime.datetime.now(datetime.UTC).replace(microsecond=0))
    made.ensure([Wanted("server", ("IP:127.0.0.1",), server=True), Wanted("admin", ("DNS:admin",))], check_mode=False)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "tls/ca.crt"))
    context.load_cert_chain(tmp_path / "tls/server/tls.crt", tmp_path / "tls/server/tls.key")
    context.verify_mode = ssl.CERT_REQUIRED
    handler = type("OneHandler", (Handler,), {"connections": []})
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    listener.daemon_threads = True
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    secret = made.secret("admin")
    config = {
        "clusters": [
            {
                "cluster": {
                    "server": f"https://127.0.0.1:{listener.server_port}",
                    "certificate-authority-data": secret["ca.crt"],
                }
            }
        ],
        "users": [{"user": {"client-certificate-data": secret["tls.crt"], "client-key-data": secret["tls.key"]}}],
    }
    yield config, handler
    listener.shutdown()
    listener.server_close()


def test_one_connection_for_all_questions(server: tuple[dict[str, Any], type[Handler]]) -> None:
    config, handler = server
    api = ClusterApi(config)
    for path in ("/a", "/b", "/last", "/c"):
        assert api.get(path) == {"path": path}
    assert len(handler.connections) == 2, "a new one only after the server ended it"


def test_answers_that_are_none(server: tuple[dict[str, Any], type[Handler]]) -> None:
    api = ClusterApi(server[0])
    assert api.get("/none") is None
    for path, kind in (("/forbidden", EdgeflError), ("/busy", Transient), ("/broken", Transient)):
        with pytest.raises(kind) as raised:
            api.get(path)
        assert isinstance(raised.value, Transient) is (kind is Transient)
    assert api.get("/a") == {"path": "/a"}


def test_a_server_of_another_authority_is_not_asked(
    server: tuple[dict[str, Any], type[Handler]], tmp_path: Path
) -> None:
    config, handler = server
    other = Authority(str(tmp_path / "other"), 10, 1, datetime.datetime.now(datetime.UTC).replace(microsecond=0))
    other.ensure([Wanted("admin", ("DNS:admin",))], check_mode=False)
    config["clusters"][0]["cluster"]["certificate-authority-data"] = other.secret("admin")["ca.crt"]
    with pytest.raises(Transient, match="certificate verify failed"):
        ClusterApi(config).get("/a")
    assert handler.connections == []


def test_nobody_listens() -> None:
    config = {"clusters": [{"cluster": {"server": "https://127.0.0.1:1"}}], "users": [{"user": {"token": "t"}}]}
    with pytest.raises(Transient, match="does not answer"):
        ClusterApi(config).get("/a")


@pytest.mark.parametrize(
    ("cluster", "user", "words"),
    [
        ({}, {}, "names no cluster"),
        ({"server": "http://x"}, {"token": "t"}, "use https"),
        ({"server": "https://x", "insecure-skip-tls-verify": True}, {"token": "t"}, "can't be verified"),
        ({"server": "https://x"}, {"exec": {}}, "neither a client certificate nor a token"),
        ({"server": "https://x"}, {"client-certificate-data": "bm8="}, "can't be read"),
        ({"server": "https://x", "certificate-authority-data": "!"}, {"token": "t"}, "can't be read"),
    ],
)
def test_kubeconfigs_that_can_not_be_used(cluster: Any, user: Any, words: str) -> None:
    with pytest.raises(EdgeflError, match=words):
        ClusterApi({"clusters": [{"cluster": cluster}], "users": [{"user": user}]})
