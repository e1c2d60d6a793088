# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: why a pod is not ready, and whether that will pass by itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import Outcome, done, pending, wait
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl

# A program that ends this often does so for a reason that is in its log, not in its timing
MANY_RESTARTS = 3
CRASHES = "CrashLoopBackOff"

# States that last until somebody changes something, and what that is
TERMINAL = {
    "ErrImageNeverPull": "the image is not on the node: run edgefl.kubeedge.ship_images",
    "InvalidImageName": "the name of the image is wrong: correct it",
    "ImagePullBackOff": "the image can't be pulled: ship it to the node, or check its name and the registry",
    "CreateContainerConfigError": "a Secret or ConfigMap that the pod needs is not there: create it",
    "OutOfcpu": "the node has too few CPUs left: lower the requests in edgefl_client_resources or edgefl_aggregator_resources",
    "OutOfmemory": "the node has too little memory left: lower the requests in edgefl_client_resources or edgefl_aggregator_resources",
    "OutOfpods": "the node runs as many pods as it may: lower the replicas",
    "NodeAffinity": "the pod's node selector does not fit its node: correct one of them",
}
# A client's exit code when its app or data is wrong (sysexits.h), which is the same each time
BROKEN = os.EX_DATAERR
BROKEN_APP = "BrokenApp"
# Exit code of a container that was killed; where it was for its memory, the reason says so
KILLED = 137
# A pod that the kubelet ended to spare its node, and what is said of one that wrote too much
EVICTED = "Evicted"
FULL_DISK = "ephemeral local storage"
# Seconds in which a container that was started again has loaded its app, and says what is wrong with it
NEW_LOG = 20
# Labels that differ between two pods of one workload
OF_ONE_POD = (
    "pod-template-hash",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
)


@dataclass(frozen=True)
class Problem:
    """What keeps a pod from being ready. `terminal`: it will not pass by itself."""

    pod: str
    node: str
    reason: str
    message: str
    restarts: int
    terminal: bool

    def __str__(self) -> str:
        where = f" on node {self.node}" if self.node else ""
        return f"pod {self.pod}{where}: {self.reason}" + (f" ({self.message})" if self.message else "")

    def as_dict(self) -> dict[str, Any]:
        """The problem as modules return it."""
        return asdict(self)


class _Found:
    """Makes the Problem of one Pod object of the API."""

    def __init__(self, pod: dict[str, Any]) -> None:
        self.pod = pod
        self.status: dict[str, Any] = pod.get("status", {})
        self.node: str = pod.get("spec", {}).get("nodeName", "")
        self.containers = self.status.get("initContainerStatuses", []) + self.status.get("containerStatuses", [])
        self.restarts: int = max((each.get("restartCount", 0) for each in self.containers), default=0)

    def __call__(self, reason: str, message: str = "", terminal: bool = False) -> Problem:
        words = short(TERMINAL.get(reason, "") or message)
        name = self.pod["metadata"]["name"]
        return Problem(name, self.node, printable(reason), words, self.restarts, terminal or reason in TERMINAL)


def problem(pod: dict[str, Any]) -> Problem | None:
    """What is wrong with a Pod object of the API; None when it is ready, or has done its work."""
    found = _Found(pod)
    phase = found.status.get("phase", "Pending")
    if pod["metadata"].get("deletionTimestamp"):
        return found("Terminating", "it is being removed")
    if phase == "Succeeded":
        return None
    if phase == "Failed":
        ended = _ended(found.containers) or ("Failed", "")
        # Of a pod that was evicted the kubelet says why; its container just ended
        reason, message = found.status.get("reason", ""), found.status.get("message", "")
        if reason == EVICTED and FULL_DISK in message:
            message = f"{message.strip()} Raise disk_limit in the resources of this workload, or let the app write less"
        return found(reason or ended[0], message or ended[1], terminal=_alone(pod))
    for container in found.containers:
        held = _held_back(container, found)
        if held:
            return held
    return _not_ready(phase, found)


def was_broken(pod: dict[str, Any]) -> bool:
    """Whether the app that it has, or had last, broke a container: the kubelet makes such a one wait, longer each time."""
    return any((_end(each) or {}).get("exitCode") == BROKEN for each in _Found(pod).containers)


def has_failed(pod: dict[str, Any]) -> bool:
    """Whether none of its containers will run again."""
    return bool(pod.get("status", {}).get("phase") == "Failed")


def evicted(items: list[dict[str, Any]]) -> list[str]:
    """Of each pod that was evicted, in words, why it was; another one is in its place at once, which L(problems) looks at."""
    there = [pod for pod in items if has_failed(pod) and pod["status"].get("reason") == EVICTED]
    return [str(item) for item in map(problem, there) if item]


def _held_back(container: dict[str, Any], found: _Found) -> Problem | None:
    """Why a container is not started (again)."""
    state = container.get("state", {})
    end = _end(container) or {}
    if "running" not in state and end.get("exitCode") == BROKEN:
        said = _said_last(end)
        return found(
            BROKEN_APP, "the app or its data is wrong: correct it" + (f" ({said})" if said else ""), terminal=True
        )
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason")
    if reason in ("ContainerCreating", "PodInitializing", None):
        return None
    if reason != CRASHES:
        return found(reason, waiting.get("message", ""))
    # Killed from outside, the program is not what is wrong, and is started again
    killed = end.get("exitCode") == KILLED and end.get("reason") != "OOMKilled"
    ended = _ended([container])
    why = f"it ended {found.restarts} times" + (f", the last time with {ended[0]}: {ended[1]}" if ended else "")
    return found(reason, why, terminal=found.restarts > MANY_RESTARTS and not killed)


def _not_ready(phase: str, found: _Found) -> Problem | None:
    """What a pod waits for whose containers nothing holds back; None when it is ready."""
    conditions = {each["type"]: each for each in found.status.get("conditions", [])}
    scheduled, ready = conditions.get("PodScheduled", {}), conditions.get("Ready", {})
    if scheduled.get("status") == "False":
        return found(scheduled.get("reason", "Unscheduled"), scheduled.get("message", ""))
    if ready.get("status") == "True":
        return None
    terminated = [each for each in found.containers if each.get("state", {}).get("terminated")]
    if terminated:
        ended = _ended(terminated)
        return found(ended[0], ended[1]) if ended else found("Terminated")
    if phase == "Running":
        return found("NotReady", ready.get("message", "") or "it runs and is not ready yet")
    return found("Starting", "its container is being made" if found.containers or found.node else "it has no node yet")


def _ended(containers: list[dict[str, Any]]) -> tuple[str, str] | None:
    """How the first container that ended did so: the reason, and words for people."""
    for each in containers:
        end = _end(each)
        if end:
            if end.get("reason") == "OOMKilled":
                return (
                    "OOMKilled",
                    "it needed more memory than its limit: raise memory_limit in the resources of this workload",
                )
            said = _said_last(end)
            return end.get("reason", "Error"), f"exit code {end.get('exitCode')}" + (f": {said}" if said else "")
    return None


def _said_last(end: dict[str, Any]) -> str:
    """The last line that a container wrote before it ended; its message may be the end of its log (terminationMessagePolicy)."""
    return (end.get("message") or "").strip().rpartition("\n")[2].strip()


def _end(container: dict[str, Any]) -> dict[str, Any] | None:
    """The newest end of a container that the API tells of."""
    for key in ("state", "lastState"):
        end: dict[str, Any] | None = container.get(key, {}).get("terminated")
        if end:
            return end
    return None


def _alone(pod: dict[str, Any]) -> bool:
    """No controller makes another pod in its place."""
    return not any(owner.get("controller") for owner in pod["metadata"].get("ownerReferences", []))


def short(text: str) -> str:
    """A message on one line, of 300 characters at most, all of them printable."""
    return printable(" ".join(text[:10_000].split()), 300)


def current(pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pods that count: without those that ended, or are being removed, when a newer one of the same workload is there."""

    def workload(pod: dict[str, Any]) -> Any:
        labels = pod["metadata"].get("labels", {})
        return (
            pod["metadata"]["name"]
            if _alone(pod)
            else tuple(sorted(item for item in labels.items() if item[0] not in OF_ONE_POD))
        )

    def over(pod: dict[str, Any]) -> bool:
        return bool(pod["metadata"].get("deletionTimestamp")) or pod.get("status", {}).get("phase") in (
            "Failed",
            "Succeeded",
        )

    def made(pod: dict[str, Any]) -> str:
        return str(pod["metadata"].get("creationTimestamp", ""))

    return [
        pod
        for pod in pods
        if not (
            over(pod)
            and any(
                workload(other) == workload(pod) and other is not pod and (made(other) > made(pod) or not over(other))
                for other in pods
            )
        )
    ]


def problems(pods: list[dict[str, Any]]) -> list[Problem]:
    """What is wrong with the pods that count; terminal ones first."""
    found = [item for item in map(problem, current(pods)) if item]
    return sorted(found, key=lambda item: (not item.terminal, item.node, item.pod))


class Lasting:
    """Tells the terminal problems that have lasted for a while: just after their cause was mended they are still shown.

    An app that is broken is told at once: a corrected one comes with another pod.
    """

    def __init__(self, seconds: float = 15, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._since: dict[tuple[str, str], float] = {}

    def __call__(self, found: list[tuple[str, str]]) -> set[tuple[str, str]]:
        """Takes the (pod, reason) of those that there are now; gives those that were there all the time."""
        now = self._clock()
        self._since = {key: self._since.get(key, now) for key in found}
        return {key for key, since in self._since.items() if now - since >= self._seconds or key[1] == BROKEN_APP}


def _written(kubectl: Kubectl, pod: str, namespace: str, tail: int) -> Outcome:
    """The last lines of the container before, or of the one that runs now; pending while neither has some."""
    for previous in (True, False):
        lines = kubectl.logs(pod, namespace, tail=tail, previous=previous).strip().splitlines()
        if lines:
            return done(lines)
    return pending("its log is empty")


def log_tail(kubectl: Kubectl, item: Problem, namespace: str, tail: int = 10) -> str:
    """The last lines of a pod's log, for a message; in their place the reason why there are none; empty when it never ran."""
    if not item.restarts and item.reason in TERMINAL:
        return ""
    try:
        # One whose app is broken is started again at once: what it wrote before is what matters. Where the node has no log of that any more, the new
        # one says the same in a moment
        if item.reason == BROKEN_APP:
            lines = wait(lambda: _written(kubectl, item.pod, namespace, tail), NEW_LOG, 1, f"the log of pod {item.pod}")
        else:
            lines = kubectl.logs(item.pod, namespace, tail=tail).strip().splitlines()
    except EdgeflError as error:
        return f"Its log can't be read: {error.message}"
    # Indented, so that none can be taken for a line of ours
    return (
        "\n".join(["Its last log lines:", *(f"  {printable(line)}" for line in lines[-tail:])])
        if lines
        else "Its log is empty."
    )
