"""Pods that are not ready, and the aggregator that is waited for; with objects as the API gives them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.aggregator import Aggregator
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.pods import (
    BROKEN_APP,
    Lasting,
    Problem,
    current,
    evicted,
    log_tail,
    problem,
    problems,
)


def pod(
    text: str, name: str = "client-1", owner: bool = True, made: str = "2030-01-01T00:00:00Z", **labels: str
) -> Any:
    """A Pod object with this status (YAML), made by a ReplicaSet if `owner`."""
    meta: dict[str, Any] = {"name": name, "creationTimestamp": made, "labels": labels or {"app": "client"}}
    if owner:
        meta["ownerReferences"] = [{"kind": "ReplicaSet", "name": "client", "controller": True}]
    return {"metadata": meta, "spec": {"nodeName": "edge1"}, "status": yaml.safe_load(text)}


READY = """
phase: Running
podIP: 10.0.0.2
conditions: [{type: PodScheduled, status: "True"}, {type: Ready, status: "True"}]
containerStatuses: [{restartCount: 0, state: {running: {}}}]
"""
NEVER_PULL = """
phase: Pending
conditions: [{type: Ready, status: "False"}]
containerStatuses:
  - {restartCount: 0, state: {waiting: {reason: ErrImageNeverPull, message: Container image "x:1" is not present with pull policy of Never}}}
"""
CRASH = """
phase: Running
conditions: [{{type: Ready, status: "False"}}]
containerStatuses:
  - restartCount: {restarts}
    state: {{waiting: {{reason: CrashLoopBackOff, message: back-off 40s restarting failed container}}}}
    lastState: {{terminated: {{reason: {reason}, exitCode: {code}}}}}
"""
BROKEN = """
phase: Running
containerStatuses: [{restartCount: 0, state: {terminated: {reason: Error, exitCode: 65}}}]
"""
BROKEN_AGAIN = """
phase: Running
containerStatuses:
  - {restartCount: 1, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {reason: Error, exitCode: 65}}}
"""
CORRECTED = """
phase: Running
conditions: [{type: Ready, status: "True"}]
containerStatuses: [{restartCount: 1, state: {running: {}}, lastState: {terminated: {reason: Error, exitCode: 65}}}]
"""
OUT_OF_MEMORY = """
phase: Running
conditions: [{type: Ready, status: "False"}]
containerStatuses: [{restartCount: 1, state: {terminated: {reason: OOMKilled, exitCode: 137}}}]
"""
UNSCHEDULABLE = """
phase: Pending
conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/3 nodes are available: 3 Insufficient cpu."}]
"""
TOO_SMALL = """
phase: Failed
reason: OutOfcpu
message: 'Pod was rejected: Node didn''t have enough resource: cpu, requested: 9000, used: 100, capacity: 2000'
"""


@pytest.mark.parametrize(
    ("status", "reason", "terminal", "words"),
    [
        (NEVER_PULL, "ErrImageNeverPull", True, "run edgefl.kubeedge.ship_images"),
        (
            CRASH.format(restarts=2, reason="Error", code=2),
            "CrashLoopBackOff",
            False,
            "ended 2 times, the last time with Error: exit code 2",
        ),
        (CRASH.format(restarts=4, reason="Error", code=2), "CrashLoopBackOff", True, "ended 4 times"),
        (CRASH.format(restarts=9, reason="Error", code=137), "CrashLoopBackOff", False, "ended 9 times"),
        (CRASH.format(restarts=4, reason="OOMKilled", code=137), "CrashLoopBackOff", True, "raise memory_limit"),
        (BROKEN, "BrokenApp", True, "correct it"),
        (BROKEN_AGAIN, "BrokenApp", True, "correct it"),
        (OUT_OF_MEMORY, "OOMKilled", False, "raise memory_limit"),
        (UNSCHEDULABLE, "Unschedulable", False, "3 Insufficient cpu"),
        (TOO_SMALL, "OutOfcpu", True, "lower the requests"),
        ("{phase: Failed, reason: Evicted, message: low on disk}", "Evicted", False, "low on disk"),
        (
            "{phase: Failed, reason: Evicted, message: low on disk,"
            " containerStatuses: [{state: {terminated: {exitCode: 0, reason: Completed}}}]}",
            "Evicted",
            False,
            "low on disk",
        ),
        ("{phase: Pending}", "Starting", False, "its container is being made"),
        (
            "{phase: Pending, containerStatuses: [{state: {waiting: {reason: ContainerCreating}}}]}",
            "Starting",
            False,
            "being made",
        ),
        (
            '{phase: Running, conditions: [{type: Ready, status: "False"}], containerStatuses: [{state: {running: {}}}]}',
            "NotReady",
            False,
            "not ready yet",
        ),
        ("{phase: Running, containerStatuses: [{state: {terminated: {exitCode: 0}}}]}", "Error", False, "exit code 0"),
        (
            '{phase: Running, containerStatuses: [{state: {terminated: {exitCode: 1, message: "Traceback\n\nValueError: bad\n\n"}}}]}',
            "Error",
            False,
            "exit code 1: ValueError: bad",
        ),
        (
            '{phase: Running, containerStatuses: [{state: {terminated: {exitCode: 65, message: "a line\n\nfailed: no such file\n\n"}}}]}',
            BROKEN_APP,
            True,
            "correct it (failed: no such file)",
        ),
        ("{}", "Starting", False, ""),
    ],
)
def test_problem(status: str, reason: str, terminal: bool, words: str) -> None:
    found = problem(pod(status))
    assert found and (found.reason, found.terminal) == (reason, terminal)
    assert words in found.message and str(found).startswith("pod client-1 on node edge1: ")


@pytest.mark.parametrize("status", [READY, "{phase: Succeeded}"])
def test_no_problem(status: str) -> None:
    assert problem(pod(status)) is None


def test_pods_that_were_evicted_are_told_with_what_to_change() -> None:
    status = "{{phase: Failed, reason: {}, message: {}}}"
    full = pod(
        status.format("Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "), "a"
    )
    others = [
        pod(status.format("Evicted", "low on memory"), "b"),
        pod(status.format("UnexpectedAdmissionError", "x"), "c"),
        pod(READY, "d"),
    ]
    assert evicted([full, *others]) == [
        "pod a on node edge1: Evicted (Pod ephemeral local storage usage exceeds the total limit of containers 1Mi."
        " Raise disk_limit in the resources of this workload, or let the app write less)",
        "pod b on node edge1: Evicted (low on memory)",
    ]
    assert problems([full, pod(READY, "e")]) == []


def test_a_pod_that_nobody_makes_anew() -> None:
    found = problem(pod("{phase: Failed, reason: Evicted}", owner=False))
    assert found and found.terminal


OLD: Any = {"app": "client", "pod-template-hash": "a"}
NEW: Any = {"app": "client", "pod-template-hash": "b"}


def test_pods_that_were_replaced_do_not_count() -> None:
    old = pod(TOO_SMALL, "client-0", **OLD)
    new = pod(READY, "client-1", made="2030-01-01T00:01:00Z", **NEW)
    other = pod(TOO_SMALL, "other-0", app="other")
    assert current([old, new, other]) == [new, other]
    leaving = pod(READY, "client-2", made="2030-01-01T00:02:00Z", **OLD)
    leaving["metadata"]["deletionTimestamp"] = "2030-01-01T00:03:00Z"
    assert current([leaving, new]) == [new]
    assert current([old]) == [old]


def test_terminal_problems_come_first() -> None:
    found = problems([pod(UNSCHEDULABLE, "a", app="a"), pod(NEVER_PULL, "z", app="z"), pod(READY, "r", app="r")])
    assert [item.pod for item in found] == ["z", "a"]


def test_a_broken_app_is_told_at_once_but_not_while_it_is_tried_again() -> None:
    assert Lasting(15)([("a", "BrokenApp"), ("b", "ErrImageNeverPull")]) == {("a", "BrokenApp")}
    assert problem(pod(CORRECTED)) is None


def test_a_problem_that_was_just_mended_may_be_seen_for_a_while() -> None:
    now = [0.0]
    lasting = Lasting(15, lambda: now[0])
    key, other = ("a", "ErrImageNeverPull"), ("b", "ErrImageNeverPull")
    assert lasting([key]) == set()
    now[0] = 10
    assert lasting([other, key]) == set()
    now[0] = 16
    assert lasting([other, key]) == {key}
    assert lasting([]) == set() and lasting([key]) == set()


# -- the aggregator --------------------------------------------------------------------------------------------------

DEPLOYMENT = yaml.safe_load("""
metadata: {name: fashion-mnist, generation: 2, annotations: {edgefl.kubeedge/run: r1}}
spec: {selector: {matchLabels: {app: federated-learning}}}
status: {observedGeneration: 2}
""")
SLICE = {"endpoints": [{"addresses": ["10.0.0.2"], "conditions": {"ready": True}}]}


def look(
    deployment: Any = DEPLOYMENT,
    pods: Any = None,
    slices: Any = None,
    status: Any = None,
    readyz: tuple[int, str] = (200, "ready"),
    log: str = "",
    service: Any = "there",
    regions: Any = None,
) -> Any:
    answers = {
        "deployments,pods": {"items": regions or []},
        "deployment": deployment,
        "pods": {"items": [pod(READY, "agg")] if pods is None else pods},
        "endpointslices.discovery.k8s.io": {"items": [SLICE] if slices is None else slices},
        "service": {} if service else None,
    }

    def run(arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        words = arguments[4:]
        if words[0] == "logs":
            return 0, log, ""
        found = answers[words[1]]
        return 0, "" if found is None else json.dumps(found), ""

    def fetch(path: str) -> tuple[int, Any]:
        return readyz if path == "/readyz" else (200, status or {"run": "r1", "state": "waiting"})

    return Aggregator(
        Kubectl(run, "/k"), fetch, "edgefl", "fashion-mnist", "svc", "http://127.0.0.1:8889", Lasting(0),
        () if regions is None else ("north", "south"), Lasting(0),
    ).ready()  # fmt: skip


@pytest.mark.parametrize(
    ("before", "told"), [("failed: line 23", "failed: line 23"), ("", "started"), ("unable to retrieve container logs for c", "started")]
)  # fmt: skip
def test_a_broken_app_is_told_by_the_container_that_ended(before: str, told: str) -> None:
    """It may have been started again since: the log of the new container has no error yet."""

    def run(arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        if "--previous" not in arguments:
            return 0, "started\n", ""
        return (0, before, "") if before else (1, "", 'previous terminated container "c" in pod "p" not found')

    item = Problem("p", "edge1", BROKEN_APP, "", 1, True)
    assert log_tail(Kubectl(run, "/k"), item, "n") == f"Its last log lines:\n  {told}"


def test_a_broken_app_whose_log_is_gone_says_it_again() -> None:
    """The node has no log of the container that ended, and the new one has written nothing so far."""
    written = iter(["", "failed: line 23\n"])

    def run(arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        return 0, "unable to retrieve container logs for c" if "--previous" in arguments else next(written), ""

    item = Problem("p", "edge1", BROKEN_APP, "", 1, True)
    assert log_tail(Kubectl(run, "/k"), item, "n") == "Its last log lines:\n  failed: line 23"


def test_the_aggregator_is_ready() -> None:
    outcome = look()
    assert outcome.state == "done"
    assert outcome.value == {
        "pod": "agg",
        "node": "edge1",
        "address": "10.0.0.2",
        "status": {"run": "r1", "state": "waiting"},
    }


REFUSED = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({"deployment": None}, "failed", "no Deployment fashion-mnist"),
        ({"deployment": {**DEPLOYMENT, "status": {}}}, "pending", "not looked at"),
        (
            {"deployment": {**DEPLOYMENT, "status": {"observedGeneration": 2, "conditions": [REFUSED]}}},
            "failed",
            "exceeded quota",
        ),
        ({"pods": []}, "pending", "no pod yet"),
        ({"pods": [pod(NEVER_PULL)]}, "failed", "ErrImageNeverPull"),
        (
            {"pods": [pod(CRASH.format(restarts=4, reason="Error", code=2))], "log": "port taken\n"},
            "failed",
            "last log lines:\n  port taken",
        ),
        ({"pods": [pod(UNSCHEDULABLE)]}, "pending", "Insufficient cpu"),
        ({"readyz": (503, "not ready: x")}, "pending", "/readyz says 503: not ready: x"),
        ({"readyz": (0, "nothing answers (refused)")}, "pending", "/readyz says nothing answers"),
        ({"status": {"run": "r0"}}, "pending", "has run r0, not r1"),
        ({"slices": []}, "pending", "leads to nothing"),
        ({"slices": [], "service": None}, "failed", "no Service svc"),
        ({"slices": [{"endpoints": None}]}, "pending", "leads to nothing"),
        (
            {"slices": [{"endpoints": [{"addresses": ["10.0.0.2"], "conditions": {"ready": False}}]}]},
            "pending",
            "leads to nothing",
        ),
        ({"slices": [{"endpoints": [{"addresses": ["10.0.0.9"]}]}]}, "pending", "leads to 10.0.0.9"),
    ],
)
def test_the_aggregator_is_not_ready(change: dict[str, Any], state: str, words: str) -> None:
    outcome = look(**change)
    assert outcome.state == state and words in outcome.reason


def of_region(region: str, item: dict[str, Any], kind: str = "Pod", **status: Any) -> dict[str, Any]:
    found = {**item, "kind": kind, "metadata": {**item["metadata"], "labels": {"edgefl.kubeedge/region": region}}}
    return {**found, "status": {**item["status"], **status}}


def regions(north: Any, south: Any, **status: Any) -> list[dict[str, Any]]:
    """Deployments and pods of two regions; of the second Deployment with this status."""
    made = {"updatedReplicas": 1}
    found = [of_region(name, DEPLOYMENT, "Deployment", **made) for name in ("north", "west")]
    found.append(of_region("south", DEPLOYMENT, "Deployment", **{**made, **status}))
    pods = {"north": north, "south": south, "west": NEVER_PULL}
    return found + [of_region(name, pod(text, f"pod-{name}")) for name, text in pods.items() if text]


def test_the_aggregator_is_ready_when_those_of_its_regions_are() -> None:
    """A region that is not waited for may be on a node that is away."""
    assert look(regions=regions(READY, READY)).value["pod"] == "agg"


@pytest.mark.parametrize(
    ("there", "state", "words"),
    [
        ([], "failed", "no Deployment of region north"),
        (regions(READY, READY, observedGeneration=1), "pending", "of region south was not looked at"),
        (regions(READY, READY, updatedReplicas=0), "pending", "has no pod yet"),
        (regions(READY, None), "pending", "has no pod yet"),
        (regions(READY, UNSCHEDULABLE), "pending", "pod-south"),
        (regions(NEVER_PULL, READY), "failed", "pod-north on node edge1: ErrImageNeverPull"),
    ],
)
def test_a_region_is_not_ready(there: list[dict[str, Any]], state: str, words: str) -> None:
    outcome = look(regions=there)
    assert outcome.state == state and words in outcome.reason
