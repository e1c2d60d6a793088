"""Ansible with many hosts: `site.yml` up to the shipping, `ship_images.yml`, and all of `site.yml` in check mode, for the names of up to 200 edges.

The names stand for the edges of the lab in turn, over SSH, each with an address and a node of its own, which are made for this, kept alive and removed.
One in ten has an address that nobody has. Images are there already: what is measured is Ansible's part, seconds and processor time of the command, the
memory of all of its processes together, and the lines of its tables. Beside them a playbook of twenty tasks that connect to no edge: what Ansible itself
takes for so many hosts. The edges answer on this machine's cores, too. Needs the running lab (`make lab`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.memory import family, processes, pss
from benchmarks.table import Bench
from support.helpers import BIN, ROOT, environment
from support.running_lab import Lab, values
from support.ship_nodes import CLOUD, inside

PREFIX = "edgefl-bench-"
KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf"
DEAD = 10
"""One host in so many is dead."""
FORKS = 20
"""Hosts that Ansible works on at a time, as in ansible.cfg."""
RENEW = 15.0
"""Seconds between two signs of life of a node; after 40 it is taken for lost."""
NOTHING = "twenty tasks that do nothing"
COMMANDS = {
    # First, as it opens the cloud node's way to the edges
    "site.yml, to the shipping": ["site.yml", "--tags=preflight,edge_access,ship_images"],
    "ship_images.yml": ["ship_images.yml"],
    "site.yml --check": ["site.yml", "--check"],
    NOTHING: [],
}
LIMIT = "/etc/ssh/sshd_config.d/edgefl-bench.conf"
FIRST_ADDRESS = 20
"""Last part of the first name's address; the lab's own are below, and 200 more fit into its network."""


def named(count: int) -> list[str]:
    return [f"{PREFIX}{index:03d}" for index in range(count)]


def dead(index: int) -> bool:
    return index % DEAD == DEAD - 1


def address(lab: Lab, index: int) -> str:
    return f"{lab.hosts['cloud']['ansible_host'].rpartition('.')[0]}.{FIRST_ADDRESS + index}"


class Nodes:
    """So many nodes in the lab's cluster, which are the lab's edges under other names; and the edges take that many connections."""

    def __init__(self, lab: Lab, count: int) -> None:
        self._lab, self._names = lab, named(count)
        self._end = threading.Event()
        self._life = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Nodes:
        for edge in self._lab.edges:
            added = "; ".join(f"ip address add {each}/32 dev eth0" for each in self._addresses(edge))
            self._lab.ssh(edge, f"{added}; echo 'MaxStartups 1000' >{LIMIT}; systemctl reload ssh")
        self._apply(self._made(), "create")
        self._life.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._end.set()
        self._life.join()
        names = " ".join(self._names)
        inside(
            CLOUD,
            f"{KUBECTL} delete node {names} >/dev/null; {KUBECTL} --namespace=kube-node-lease delete lease --ignore-not-found {names} >/dev/null",
        )
        inside(CLOUD, f"rm -f /etc/edgefl/ssh/known_hosts.d/{PREFIX}*")
        for edge in self._lab.edges:
            removed = "; ".join(f"ip address delete {each}/32 dev eth0" for each in self._addresses(edge))
            self._lab.ssh(edge, f"{removed}; rm -f {LIMIT}; systemctl reload ssh")

    def _addresses(self, edge: str) -> list[str]:
        edges = self._lab.edges
        return [
            address(self._lab, index)
            for index in range(len(self._names))
            if edges[index % len(edges)] == edge and not dead(index)
        ]

    def _apply(self, items: list[dict[str, Any]], verb: str, more: str = "") -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        inside(CLOUD, f"{KUBECTL} {verb} {more} --filename=- >/dev/null <<'END'\n{text}\nEND")

    def _made(self) -> list[dict[str, Any]]:
        edges = [node for node in self._lab.objects("nodes") if node["metadata"]["name"] in self._lab.edges]
        made = []
        for index, name in enumerate(self._names):
            edge = edges[index % len(edges)]
            metadata = {"name": name, "labels": {**edge["metadata"]["labels"], "kubernetes.io/hostname": name}}
            made.append({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": edge["status"]})
        return made

    def _live(self) -> None:
        """A lease for each, renewed again and again, as a kubelet does."""
        verb = "create"
        while True:
            now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
            leases = [
                {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": name, "namespace": "kube-node-lease"},
                    "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now},
                }
                for name in self._names
            ]
            self._apply(leases, verb)
            verb = "replace"
            if self._end.wait(RENEW):
                return


@contextmanager
def inventory(lab: Lab, count: int) -> Iterator[Path]:
    """Of the lab's cloud node and so many edges, of which one in ten is dead."""
    edges = lab.edges
    names, extra = {"cloud0": "cloud"}, {}
    for index, name in enumerate(named(count)):
        names[name] = edge = edges[index % len(edges)]
        about = lab.hosts[edge]
        extra[name] = {
            "edgefl_node_name": name,
            "ansible_host": address(lab, index),
            "ansible_ssh_common_args": f"{about['ansible_ssh_common_args']} -o HostKeyAlias={about['ansible_host']}",
            "edgefl_slice_start": 100 * index,
            "edgefl_slice_stop": 100 * (index + 1),
            "edgefl_site": "",
        }
    with tempfile.TemporaryDirectory() as folder:
        yield lab.write_inventory(Path(folder, "hosts.yml"), names, extra)


def nothing(folder: Path) -> Path:
    """The playbook that does nothing for each edge."""
    tasks = [{"name": f"Do nothing, {time} of 20", "ansible.builtin.assert": {"that": True}} for time in range(1, 21)]
    play = {"name": "Do nothing", "hosts": "edges", "gather_facts": False, "tasks": tasks}
    file = folder / "nothing.yml"
    file.write_text(json.dumps([play]))
    return file


def played(words: list[str], hosts: Path) -> tuple[str, float, float, float]:
    """A playbook's output, seconds, processor seconds, and most bytes that its processes had together."""
    command = [
        str(BIN / "ansible-playbook"),
        f"--inventory={hosts}",
        *words,
        values(edgefl_max_failed=1 / DEAD, edgefl_report=False),
    ]
    begin, most = time.monotonic(), 0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )  # fmt: skip
        while process.returncode is None:
            # Workers have sessions of their own
            most = max(most, sum(map(pss, family([process.pid], processes()))))
            time.sleep(0.5)
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended:
                process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begin
        output.seek(0)
        return output.read(), seconds, used.ru_utime + used.ru_stime, most


def main() -> None:
    bench = Bench("Ansible with many hosts", __doc__)
    bench.parser.add_argument("--counts", type=int, nargs="+", default=[20, 60, 200], help="edges (default: 20 60 200)")
    bench.parser.add_argument(
        "--only",
        nargs="+",
        choices=COMMANDS,
        default=list(COMMANDS),
        help="commands (default: all; the first opens the way for the others)",
    )
    options = bench.options()
    lab = Lab(print)
    with Nodes(lab, max(options.counts)):
        for count in options.counts:
            with inventory(lab, count) as hosts:
                for name in options.only:
                    words = COMMANDS[name] or [str(nothing(hosts.parent))]
                    output, seconds, used, most = played(words, hosts)
                    good = len(re.findall(rf"^{PREFIX}\d+ .*unreachable=0 +failed=0", output, re.MULTILINE))
                    way = f"{count} edges"
                    print(
                        f"{name}, {way}: {seconds:.0f} s, {used:.0f} s of processor time, {most / 1e6:.0f} MB, {good} edges done",
                        flush=True,
                    )
                    wanted = count if name == NOTHING else count - count // DEAD
                    if good != wanted:
                        raise SystemExit(f"{output}\n{good} of {wanted} edges were done")
                    bench.add(name, way, "s", seconds)
                    bench.add(f"{name}: processor time", way, "s", used)
                    bench.add(f"{name}: memory", way, "MB", most / 1e6)
                    bench.add(f"{name}: lines of output", way, "", len(output.splitlines()))
    small, large = min(options.counts), max(options.counts)
    few, many = f"{small} edges", f"{large} edges"
    for name in options.only:
        if large > small:
            waves = ceil(large / FORKS) / ceil(small / FORKS)
            times = bench.ratio(name, many, few)
            bench.ratio(f"{name}: processor time", many, few)
            if name != NOTHING:
                bench.goal(f"{name}: time of {large} / time of {small} edges, waves of {FORKS}", times, at_most=waves)
        if name != NOTHING:
            memory = f"{name}: memory"
            bench.goal(f"{memory} with {many}", bench.median(memory, many), at_most=1000, unit="MB")
    bench.finish()


if __name__ == "__main__":
    main()
