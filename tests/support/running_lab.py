"""The running lab, asked over SSH and changed through the playbooks, as any operator would."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from support.helpers import BIN, ROOT, Result, inventory, run

NAMESPACE = "edgefl"
# Label of the clients' pods, whose names follow the app
CLIENT = "federated-learning-client"
# What of an object nobody but the cluster itself writes
OWN_BUSINESS = ("resourceVersion", "managedFields", "selfLink")

# What preflight tells of a cloudcore that is open to edges, which the lab's is not
OPENINGS = ("gives any edge the Secrets and ConfigMaps of other nodes", "reads and writes any object of the cluster")

# Name in the inventory -> node
OPERATORS_HOSTS = {"headquarters": "cloud", "harbour-7": "edge1", "lighthouse": "edge2"}

# A second site.yml, and a second lab, in times of one task on all nodes (`ansible cloud:edges -m ping`): 25 to 30 were measured for both where nothing
# else ran, up to 53 beside the other tests. The goal of a second site.yml is 30 s on a quiet machine
LONGEST = 80


@dataclass(frozen=True)
class Run:
    """An ended ansible-playbook: its result, and `changed`, `failed` ... summed over all hosts from the recap."""

    result: Result
    sums: Mapping[str, int]

    def ok(self) -> Run:
        """Itself; fails the test with the output when the playbook failed."""
        self.result.ok()
        return self

    @property
    def output(self) -> str:
        """The whole output as one line each word apart: messages are wrapped where the terminal ends."""
        return " ".join(self.result.output.split())


def recap(output: str) -> dict[str, int]:
    """`ok`, `changed`, `failed` ... of a playbook's output, each summed over all hosts; empty where nothing was played."""
    sums: dict[str, int] = {}
    found = re.findall(r"\b(ok|changed|unreachable|failed|skipped)=(\d+)", output.rpartition("PLAY RECAP")[2])
    for name, count in found:
        sums[name] = sums.get(name, 0) + int(count)
    return sums


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two states, a line each; empty when nothing does."""
    return [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


@dataclass(frozen=True)
class Lab:
    """The running lab. `show` writes a line to the terminal."""

    show: Callable[[str], None]
    # Set by who leaves another training than `make lab` does
    other_training: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def hosts(self) -> dict[str, dict[str, Any]]:
        """Node name -> host variables of the lab's inventory, group variables among them, templates as written."""
        listed = inventory(subprocess.check_output([BIN / "ansible-inventory", "--list"], cwd=ROOT, text=True))
        return {about["edgefl_node_name"]: about for about in listed["_meta"]["hostvars"].values()}

    @property
    def edges(self) -> list[str]:
        """Names of the edges, as nodes and, in the lab, in the inventory."""
        return [name for name in self.hosts if name != "cloud"]

    def ssh_words(self, host: str) -> list[str]:
        """The ssh command that opens a node, with its key and known hosts."""
        about = self.hosts[host]
        return [
            "ssh", "-o", "BatchMode=yes", "-i", about["ansible_ssh_private_key_file"], *shlex.split(about["ansible_ssh_common_args"]),
            f"{about['ansible_user']}@{about['ansible_host']}",
        ]  # fmt: skip

    def ssh(self, host: str, command: str) -> str:
        """What a shell command as root on a node writes to stdout; fails the test when it fails."""
        words = [*self.ssh_words(host), "sudo", "sh", "-c", shlex.quote(command)]
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=120)
        assert done.returncode == 0, f"{host}: {command}: {done.stderr}"
        return done.stdout

    def kubectl(self, *words: str) -> str:
        """What kubectl on the cloud node writes."""
        return self.ssh("cloud", shlex.join(["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", *words]))

    def objects(self, kinds: str, *words: str) -> list[dict[str, Any]]:
        """Objects of some kinds (comma-separated) as the API server has them."""
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kinds, "--output=json", *words))["items"]
        return items

    def ours(self, kinds: str) -> list[dict[str, Any]]:
        """Objects in our namespace."""
        return self.objects(kinds, f"--namespace={NAMESPACE}")

    def pods(self, clients: bool) -> list[dict[str, Any]]:
        """The clients' pods, or the aggregator's; without those on their way out, and those that a node refused and that have been replaced."""
        there = [
            pod
            for pod in self.ours("pods")
            if "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") != "Failed"
        ]
        return [pod for pod in there if (pod["metadata"].get("labels", {}).get("app") == CLIENT) == clients]

    def pod_ids(self) -> set[str]:
        """Those of all pods of the training; a pod that replaces another has one of its own."""
        return {pod["metadata"]["uid"] for clients in (True, False) for pod in self.pods(clients)}

    def play(
        self,
        playbook: str,
        *words: str | Path,
        inventory: Path | None = None,
        show: bool = True,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        timeout: float = 1200,
    ) -> Run:
        """Runs a playbook as the README says, and shows its lines as they come."""
        chosen: list[str | Path] = ["--inventory", inventory] if inventory is not None else []
        shown = self.show if show else None
        result = run("ansible-playbook", *chosen, playbook, *words, cwd=cwd, env=env, show=shown, timeout=timeout)
        return Run(result, recap(result.output))

    def bring_defaults(self, *values: str) -> None:
        """Trains as `make lab` does, where somebody left another training; with values that are given on top."""
        if self.other_training.is_set():
            self.play("site.yml", *(f"--extra-vars={value}" for value in values), show=False).ok()
            self.other_training.clear()

    def write_inventory(
        self, path: Path, names: Mapping[str, str], extra: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Path:
        """
        Writes an inventory of some of the lab's machines.

        :param names: name in the new inventory -> node name; the node `cloud` becomes group `cloud`, the others `edges`
        :param extra: name in the new inventory -> variables on top of the lab's
        """
        groups: dict[str, dict[str, Any]] = {"cloud": {}, "edges": {}}
        for name, node in names.items():
            about = {**self.hosts[node], "edgefl_node_name": node, **(extra or {}).get(name, {})}
            groups["cloud" if node == "cloud" else "edges"][name] = about
        path.write_text(yaml.safe_dump({group: {"hosts": hosts} for group, hosts in groups.items()}, sort_keys=False))
        return path

    def state(self) -> dict[str, Any]:
        """
        Everything that a playbook could change: our objects without what the cluster writes itself, and on each node the files, packages
        and images.
        """
        found: dict[str, Any] = {}
        for where in (NAMESPACE, "kube-system"):
            for item in self.objects(
                "deployments,statefulsets,daemonsets,services,configmaps,serviceaccounts", f"--namespace={where}"
            ):
                metadata = {key: value for key, value in item["metadata"].items() if key not in OWN_BUSINESS}
                found[f"{where}/{item['kind']}/{metadata['name']}"] = [metadata, item.get("spec"), item.get("data")]
        for item in self.ours("pods"):
            found[f"pod/{item['metadata']['name']}"] = item["metadata"]["uid"]

        def on_node(host: str) -> str:
            return self.ssh(
                host,
                "find /etc /root/.ssh /home/*/.ssh /var/lib/edgefl /opt -xdev -type f ! -name resolv.conf ! -path '/etc/kubeedge/*'"
                " -exec sha256sum {} + 2>/dev/null | awk '{print $2, $1}';"
                "dpkg-query --show; docker images --no-trunc --format '{{.Repository}}:{{.Tag}} {{.ID}}' 2>/dev/null;"
                "ctr --namespace=k8s.io images ls --quiet 2>/dev/null; true",
            )

        with ThreadPoolExecutor() as at_once:
            for host, lines in zip(self.hosts, at_once.map(on_node, self.hosts), strict=True):
                for line in lines.splitlines():
                    what, _blank, value = line.partition(" ")
                    found[f"{host}: {what}"] = value
        return found


@dataclass(frozen=True)
class Operator:
    """Somebody who has the installed collection and an inventory of the lab's machines, and calls its playbooks from a folder of their own."""

    lab: Lab
    collections: Path
    folder: Path

    @cached_property
    def inventory(self) -> Path:
        """Hosts of other names than the nodes have."""
        return self.lab.write_inventory(self.folder / "hosts.yml", OPERATORS_HOSTS)

    def play(self, playbook: str, *words: str | Path, inventory: Path | None = None, show: bool = True) -> Run:
        """Runs a playbook of the collection by its full name."""
        return self.lab.play(
            f"edgefl.kubeedge.{playbook}",
            *words,
            inventory=inventory or self.inventory,
            show=show,
            cwd=self.folder,
            env={"ANSIBLE_COLLECTIONS_PATH": str(self.collections)},
        )


def one_task() -> float:
    """Seconds of one task on all nodes: how fast this machine is now."""
    return median(run(BIN / "ansible", "cloud:edges", "-m", "ping").ok().seconds for again in range(3))


def values(**given: Any) -> str:
    """The word that gives variables to ansible-playbook, with their types."""
    return f"--extra-vars={json.dumps(given)}"


def rounds(folder: Path = ROOT) -> list[dict[str, Any]]:
    """The events of the newest results of who calls playbooks from a folder."""
    return [json.loads(line) for line in (folder / "results/latest/rounds.jsonl").read_text().splitlines()]


def edited(folder: Path, before: str, after: str) -> tuple[str, int]:
    """A copy of the sources whose model has one line changed, as the option that names it, and the number of that line."""
    source = shutil.copytree(ROOT / "fl_src", folder / "fl_src", ignore=shutil.ignore_patterns("__pycache__"))
    model = source / "edgefl/apps/fashion_mnist/fashion_mnist/model.py"
    lines = model.read_text().splitlines()
    number = next(index for index, line in enumerate(lines) if before in line)
    lines[number] = lines[number].replace(before, after)
    model.write_text("\n".join(lines) + "\n")
    return values(edgefl_source=str(source)), number + 1
