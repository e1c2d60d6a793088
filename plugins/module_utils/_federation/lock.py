# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: who may change a training. One controller at a time: it holds a Lease of the cluster, which ends by itself when nobody renews it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.text import printable
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl, NotFound

# Not in the training's own: the first run has to make that, and a stop removes it
NAMESPACE = "kube-system"
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_LOST_RACE = re.compile(r"\(Conflict\)|\(AlreadyExists\)")


class Held(EdgeflError):  # noqa: N818 - an answer, not a mistake
    """Another controller holds it; C(result) has its C(holder)."""


@dataclass
class Lock:
    """The lock of the training in a `namespace`, for `holder`. Times are those of this host, which all controllers come to."""

    kubectl: Kubectl
    namespace: str
    holder: str
    seconds: int

    @property
    def _name(self) -> str:
        return f"edgefl-{self.namespace}"

    def hold(self, break_holder: str | None = None) -> None:
        """Takes it, or renews it; Held when another one has it. `break_holder` is one whose lock does not count (empty: whoever's)."""
        there = self._read()
        self._refuse(there, break_holder)
        if self._ours(there):
            self._write(there, since=there["spec"]["acquireTime"])
        else:
            self._write(there)

    def renew(self) -> None:
        """Only where it is held already: who follows a training may have begun without it."""
        there = self._read()
        if self._ours(there):
            self._write(there, since=there["spec"]["acquireTime"])

    def release(self) -> None:
        """Gives it back; one that is another's by now stays."""
        there = self._read()
        if self._ours(there):
            wanted = {"apiVersion": "v1", "kind": "DeleteOptions"}
            wanted["preconditions"] = {"resourceVersion": there["metadata"]["resourceVersion"]}  # type: ignore[assignment]
            path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{self._name}"
            try:
                self.kubectl.call(["delete", f"--raw={path}", "--filename=-"], json.dumps(wanted))
            except NotFound:
                pass
            except EdgeflError as error:
                if not _LOST_RACE.search(error.message):
                    raise

    def _read(self) -> Any:
        return self.kubectl.get("leases.coordination.k8s.io", self._name, NAMESPACE)

    def _ours(self, there: Any) -> bool:
        return bool(there) and there["spec"].get("holderIdentity") == self.holder

    def _refuse(self, there: Any, break_holder: str | None) -> None:
        spec = there["spec"] if there else {}
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self.holder) or break_holder in ("", holder):
            return
        end = _moment(spec.get("renewTime")) + timedelta(seconds=spec.get("leaseDurationSeconds") or 0)
        left = (end - _now()).total_seconds()
        if left > 0:
            since = printable(str(spec.get("acquireTime")))[:19].replace("T", " ")
            raise Held(
                f"The training in namespace {self.namespace} is held by {printable(holder, 200)} since {since} UTC. Wait until that ansible-playbook has ended."
                f" If there is none any more, the lock ends by itself in {left / 60:.0f} min, or give -e edgefl_break_lock=true.",
                holder=holder,
            )

    def _write(self, there: Any, since: str | None = None) -> None:
        now = _now().strftime(_TIME)
        metadata: dict[str, Any] = {
            "name": self._name,
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/part-of": "edgefl"},
        }
        if there:
            # Whoever wrote it since we read it was first
            metadata["resourceVersion"] = there["metadata"]["resourceVersion"]
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self.holder,
                "acquireTime": since or now,
                "renewTime": now,
                "leaseDurationSeconds": self.seconds,
            },
        }
        try:
            self.kubectl.call(["replace" if there else "create", "--filename=-"], json.dumps(lease))
        except EdgeflError as error:
            if not _LOST_RACE.search(error.message) and not isinstance(error, NotFound):
                raise
            self._refuse(self._read(), None)
            raise EdgeflError(
                f"The lock of the training changed at this moment: run this again ({error.message})."
            ) from error


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _moment(text: Any) -> datetime:
    """A time of the API; long ago when it is none."""
    try:
        return datetime.strptime(str(text), _TIME).replace(tzinfo=timezone.utc)
    except ValueError:
        return datetime.fromtimestamp(0, timezone.utc)
