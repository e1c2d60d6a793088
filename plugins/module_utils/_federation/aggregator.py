# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: whether the aggregator takes clients, and those of its regions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.wait import Outcome, done, failed, pending
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.deployed import REGION, RUN
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.pods import (
    Lasting,
    current,
    log_tail,
    problems,
    short,
)


@dataclass(frozen=True)
class Aggregator:
    """The aggregator of a namespace: its Deployment, its Service, and its status endpoint at `status_url`; and its `regions`, by name.

    `fetch(path)` asks the status endpoint and gives (HTTP status, JSON or text); (0, reason) when nothing answers.
    """

    kubectl: Kubectl
    fetch: Callable[[str], tuple[int, Any]]
    namespace: str
    deployment: str
    service: str
    status_url: str
    lasting: Lasting = field(default_factory=Lasting)
    regions: tuple[str, ...] = ()
    of_regions: Lasting = field(default_factory=Lasting)

    def ready(self) -> Outcome:
        """Whether clients can come: the pod is ready, the aggregator says so of the run it was started for, the Service leads to it, and the pods of all
        regions are ready.

        Done with {pod, node, address, status}. Raises Transient while the API server does not answer.
        """
        workload = self.kubectl.get("deployment", self.deployment, self.namespace)
        return (
            self._applied(self.deployment, workload)
            .then(self._runs)
            .then(self._answers)
            .then(self._is_reached)
            .then(self._regions_run)
        )

    def _applied(self, name: str, workload: dict[str, Any] | None) -> Outcome:
        """The Deployment of this name, once the controller manager has made what it asks for."""
        if workload is None:
            return failed(
                f"there is no Deployment {name} in namespace {self.namespace}: apply it first (role federation)"
            )
        if workload["status"].get("observedGeneration", 0) < workload["metadata"]["generation"]:
            return pending(f"Deployment {name} was not looked at by the controller manager yet")
        for condition in workload["status"].get("conditions", []):
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                return failed(f"no pod of Deployment {name} can be made: {short(condition.get('message', ''))}")
        return done(workload)

    def _runs(self, workload: dict[str, Any]) -> Outcome:
        """The Deployment and its newest pod, once all of its pods are ready."""
        selector = ",".join(f"{key}={value}" for key, value in workload["spec"]["selector"]["matchLabels"].items())
        pods = current(self.kubectl.get("pods", namespace=self.namespace, selector=selector))
        if not pods:
            return pending(f"Deployment {self.deployment} has no pod yet")
        newest = max(pods, key=lambda each: str(each["metadata"].get("creationTimestamp", "")))
        return self._healthy(pods, self.lasting).then(lambda _pods: done((workload, newest)))

    def _healthy(self, pods: list[dict[str, Any]], lasting: Lasting) -> Outcome:
        """The pods that count, once all of them are ready."""
        found = problems(pods)
        lasted = lasting([(item.pod, item.reason) for item in found if item.terminal])
        for item in found:
            if (item.pod, item.reason) in lasted:
                return failed(f"{item}. {log_tail(self.kubectl, item, self.namespace)}".strip())
        return pending(str(found[0])) if found else done(pods)

    def _answers(self, found: tuple[dict[str, Any], dict[str, Any]]) -> Outcome:
        """The pod and what it says of itself, once that is the run of the Deployment."""
        workload, pod = found
        code, text = self.fetch("/readyz")
        if code != 200:
            return pending(f"{self.status_url}/readyz says {f'{code}: ' if code else ''}{short(str(text))}")
        code, status = self.fetch("/status")
        if code != 200 or not isinstance(status, dict):
            return pending(f"{self.status_url}/status gave no JSON document ({code})")
        run = workload["metadata"].get("annotations", {}).get(RUN)
        if run and status.get("run") != run:
            return pending(
                f"the aggregator at {self.status_url} has run {short(str(status.get('run')))}, not {run}: the old one is still there"
            )
        return done((pod, status))

    def _is_reached(self, found: tuple[dict[str, Any], dict[str, Any]]) -> Outcome:
        """What is known of it, once the Service leads to its pod."""
        pod, status = found
        slices = self.kubectl.get(
            "endpointslices.discovery.k8s.io",
            namespace=self.namespace,
            selector=f"kubernetes.io/service-name={self.service}",
        )
        if not slices and self.kubectl.get("service", self.service, self.namespace) is None:
            return failed(
                f"there is no Service {self.service} in namespace {self.namespace}: apply it first (role federation)"
            )
        ready = [
            address
            for each in slices
            for endpoint in each.get("endpoints") or []
            if endpoint.get("conditions", {}).get("ready") is not False
            for address in endpoint["addresses"]
        ]
        address = pod["status"].get("podIP", "")
        if address not in ready:
            return pending(
                f"Service {self.service} does not lead to {address} yet (it leads to {', '.join(ready) or 'nothing'})"
            )
        node = pod["spec"].get("nodeName", "")
        return done({"pod": pod["metadata"]["name"], "node": node, "address": address, "status": status})

    def _regions_run(self, found: dict[str, Any]) -> Outcome:
        """What is known of the aggregator, once those of all its regions are ready, too. What is there of all of them is asked for at once."""
        if not self.regions:
            return done(found)
        items = self.kubectl.get("deployments,pods", namespace=self.namespace, selector=REGION)
        workloads = {item["metadata"]["labels"][REGION]: item for item in items if item["kind"] == "Deployment"}
        pods = [
            item for item in current([each for each in items if each["kind"] == "Pod"]) if _region(item) in self.regions
        ]
        for region in self.regions:
            applied = self._applied(f"of region {region}", workloads.get(region))
            if applied.state != "done":
                return applied
            # Of the old ones none counts, ready or not
            if not applied.value["status"].get("updatedReplicas") or region not in map(_region, pods):
                return pending(f"Deployment {applied.value['metadata']['name']} has no pod yet")
        return self._healthy(pods, self.of_regions).then(lambda _pods: done(found))


def _region(item: dict[str, Any]) -> str:
    return str(item["metadata"]["labels"][REGION])
