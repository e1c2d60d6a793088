"""Machines beside the lab's cluster that images are shipped to: from the lab's node image, with Docker and containerd, but without a kubelet."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from support.helpers import ROOT, Result, load_yaml, run

LABEL = "edgefl.ship"
IMAGE = "edgefl-ship/node"
CLOUD = "edgefl-lab-cloud"
# On the cloud node, gone with a restart of it
FOLDER = "/run/edgefl-ship-nodes"
# Beyond the addresses of the lab's own nodes
FIRST_ADDRESS = 101
PACKAGES = "docker.io docker-registry zstd"
CHANNEL = "/etc/edgefl/ssh/id_ed25519"
AGENT = ROOT / "plugins/module_utils/_images/ship/agent.py"
# Where the role edge_access installs it
INSTALLED = "/usr/local/lib/edgefl"


def docker(*words: str, text: str = "") -> str:
    """What a docker command on this machine writes; AssertionError with what it said when it fails."""
    done = subprocess.run(["docker", *words], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout


def inside(container: str, script: str) -> str:
    """What a shell script as root in a container writes."""
    return docker("exec", "--interactive", container, "bash", "-euo", "pipefail", text=script)


class Nodes:
    """So many machines, `ship1` to `shipN`, which the lab's cloud node reaches by SSH; use it in a `with` statement."""

    def __init__(self, count: int) -> None:
        self.names = [f"ship{number}" for number in range(1, count + 1)]

    def __enter__(self) -> Nodes:
        self.remove()
        docker("build", "--quiet", "--tag", IMAGE, "-", text=self._dockerfile())
        variables = load_yaml(Path("roles/lab_nodes/vars/main.yml"))
        defaults = load_yaml(Path("roles/lab_nodes/defaults/main.yml"))
        key = inside(CLOUD, f"cat {CHANNEL}.pub").strip()
        inside(CLOUD, f"mkdir -p -m 700 {FOLDER}")
        for name in self.names:
            docker(
                "run", "--detach", f"--name=edgefl-{name}", f"--hostname={name}", f"--label={LABEL}={name}",
                f"--network={defaults['lab_nodes_network']}", f"--ip={self.address(name)}",
                *variables["__lab_nodes_options"],
                *(f"--volume={folder}" for folder in variables["__lab_nodes_volumes"]),
                IMAGE,
            )  # fmt: skip
        for name in self.names:
            self.run(
                name,
                "timeout 60 bash -c 'until docker info && ctr version && test -s /etc/ssh/ssh_host_ed25519_key.pub; do sleep 0.5; done' >/dev/null 2>&1;"
                f"install -d -m 700 -o ops /home/ops/.ssh; echo {shlex.quote(key)} >/home/ops/.ssh/authorized_keys",
            )
            self.learn(name, self.run(name, "cat /etc/ssh/ssh_host_ed25519_key.pub").strip())
        return self

    def __exit__(self, *_unused: object) -> None:
        self.remove()
        inside(CLOUD, f"rm -rf {FOLDER}")

    def remove(self) -> None:
        """Removes them, and what an earlier run left."""
        old = docker("ps", "--all", "--quiet", f"--filter=label={LABEL}").split()
        if old:
            docker("rm", "--force", "--volumes", *old)

    def _dockerfile(self) -> str:
        # The registry is started by whoever wants to compare with it
        return (
            "FROM edgefl-lab/node\n"
            f"RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends {PACKAGES} >/dev/null && systemctl disable docker-registry\n"
        )

    @staticmethod
    def address(name: str) -> str:
        """Its address in the lab's network."""
        subnet = load_yaml(Path("roles/lab_nodes/defaults/main.yml"))["lab_nodes_subnet"]
        return f"{subnet.rpartition('.')[0]}.{FIRST_ADDRESS - 1 + int(name.removeprefix('ship'))}"

    def learn(self, name: str, key: str) -> None:
        """Makes the cloud node believe that this is its host key."""
        inside(CLOUD, f"echo {shlex.quote(f'{self.address(name)} {key}')} >{FOLDER}/{name}")

    def run(self, name: str, script: str) -> str:
        """What a shell script as root on it writes."""
        return inside(f"edgefl-{name}", script)

    def renew(self, name: str, programs: Path, own: bool) -> None:
        """
        Gives it a newer Docker, which keeps images in containerd, in place of Debian's.

        :param programs: folder with what is in tests/go/docker
        :param own: whether Docker starts a containerd of its own, instead of using the machine's
        """
        self.run(
            name,
            "systemctl stop docker.socket docker containerd; rm -rf /var/lib/docker/* /var/lib/containerd/* /run/containerd/*",
        )
        docker("cp", f"{programs}/.", f"edgefl-{name}:/opt/docker")
        features = {"features": {"containerd-snapshotter": True}}
        self.run(
            name,
            "cd /opt/docker; install containerd ctr containerd-shim-runc-v2 /usr/bin; install dockerd /usr/sbin;"
            "install -D buildx /usr/libexec/docker/cli-plugins/docker-buildx;"
            f"echo {shlex.quote(json.dumps(features))} >/etc/docker/daemon.json; rm -f /etc/containerd/config.toml;"
            + (
                "systemctl mask --quiet containerd; sed -i 's/ --containerd=[^ ]*//' /lib/systemd/system/docker.service;"
                if own
                else ""
            )
            + "systemctl daemon-reload; systemctl start docker",
        )

    def install(self) -> None:
        """Installs the agent on all of them, as the role edge_access does."""
        template = (ROOT / "roles/edge_access/templates/ship.j2").read_text()
        start = template.replace("{{ __edge_access_folder }}", INSTALLED).replace("{{ ansible_managed | comment }}", "")
        for name in self.names:
            self.run(
                name,
                f"mkdir -p {INSTALLED}; printf %s {shlex.quote(start)} >{INSTALLED}/ship; chmod 755 {INSTALLED}/ship;"
                f"printf %s {shlex.quote(AGENT.read_text())} >{INSTALLED}/ship_agent.py",
            )

    def believe(self, name: str, others: Iterable[str], key: Path) -> dict[str, Any]:
        """
        Lets it ship images as the cloud node does: to `others`, over SSH.

        :param key: with which this machine comes in
        :return: it as a host of an inventory
        """
        public = key.with_name(f"{key.name}.pub").read_text().strip()
        self.run(
            name,
            f"echo {shlex.quote(public)} >>/home/ops/.ssh/authorized_keys;"
            f"install -d -m 700 {Path(CHANNEL).parent} {FOLDER}; rm -f {CHANNEL}; ssh-keygen -q -t ed25519 -N '' -f {CHANNEL}",
        )
        own = self.run(name, f"cat {CHANNEL}.pub").strip()
        for other in others:
            self.run(other, f"echo {shlex.quote(own)} >>/home/ops/.ssh/authorized_keys")
            self.run(name, f"echo {shlex.quote(inside(CLOUD, f'cat {FOLDER}/{other}').strip())} >{FOLDER}/{other}")
        known = f"{self.address(name)} {self.run(name, 'cat /etc/ssh/ssh_host_ed25519_key.pub').strip()}"
        return {
            "ansible_host": self.address(name),
            "ansible_user": "ops",
            "ansible_ssh_private_key_file": str(key),
            "ansible_python_interpreter": "/usr/bin/python3",
            "known": known,
        }

    def sender(self, folder: Path) -> dict[str, Any]:
        """Makes the last one ship to the others, which are C(names) from now on; as `believe()`, with a key in a folder of this machine."""
        *self.names, name = self.names
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        return self.believe(name, self.names, key)

    def target(self, node: str, runtime: str, **more: Any) -> dict[str, Any]:
        """It as a target of the module image_ship."""
        about = {"name": node, "host": self.address(node), "user": "ops", "runtime": runtime}
        return {**about, "known_hosts": f"{FOLDER}/{node}", **more}

    def empty(self) -> None:
        """Takes all images away."""
        for name in self.names:
            self.run(
                name,
                "docker image ls --all --quiet | sort -u | xargs --no-run-if-empty docker image rm --force >/dev/null;"
                "if [ -S /run/containerd/containerd.sock ]; then"
                " ctr --namespace=k8s.io images ls --quiet | xargs --no-run-if-empty ctr --namespace=k8s.io images rm --sync >/dev/null; fi;"
                "rm -rf /var/lib/edgefl/incoming",
            )


def ship(
    folder: Path,
    targets: Iterable[dict[str, Any]],
    images: list[str],
    check: bool = False,
    source: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[dict[str, Any], Result]:
    """
    Calls the module image_ship on the lab's cloud node, as a playbook does.

    :param folder: for the playbook and its result
    :param source: on this machine of `believe()` instead
    :return: what the module returned (also when it failed), and what the playbook wrote
    """
    task = {"images": images, "targets": list(targets), "ssh_key": CHANNEL, **options}
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    play = {
        "hosts": "source" if source else "cloud",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Ship",
                "edgefl.kubeedge.image_ship": task,
                "become": True,
                "register": "shipped",
                "failed_when": False,
            },
            {
                "name": "Keep the result",
                "ansible.builtin.copy": {"content": "{{ shipped | to_json }}", "dest": str(answer)},
                "delegate_to": "localhost",
                "check_mode": False,
                "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
            },
        ],
    }
    playbook = folder / "ship.yml"
    playbook.write_text(json.dumps([play]))
    words: list[str | Path] = ["--check"] if check else []
    if source:
        known = folder / "known_hosts"
        known.write_text(f"{source['known']}\n")
        about = source | {"ansible_ssh_common_args": f"-o UserKnownHostsFile={known}"}
        inventory = folder / "source.json"
        inventory.write_text(json.dumps({"all": {"hosts": {"source": about}}}))
        words += ["-i", inventory]
    result = run("ansible-playbook", playbook, *words, cwd=ROOT, timeout=1800).ok()
    found: dict[str, Any] = json.loads(answer.read_text())
    return found, result


def build(
    tag: str,
    megabytes: int,
    line: str = "",
    created: str = "",
    where: str = CLOUD,
    command: str = "docker build",
    path: str = "/data",
) -> str:
    """
    Builds an image of two layers on the lab's cloud node: data that cannot be compressed, the same for each size, and a line.

    :param where: another container that builds it
    :param path: of the data in the image
    :return: its digest
    """
    label = f"LABEL created={created}\n" if created else ""
    script = f"""
    folder=$(mktemp -d); trap 'rm -r "$folder"' EXIT; cd "$folder"
    openssl enc -aes-128-ctr -pass pass:{megabytes} -nosalt </dev/zero 2>/dev/null | head -c {megabytes * 1_000_000} >data || true
    touch -d 2030-01-01 data
    echo {shlex.quote(line)} >line
    printf 'FROM scratch\\nCOPY data {path}\\nCOPY line /line\\n{label}CMD ["/none"]\\n' >Dockerfile
    {command} --quiet --tag {tag} . >/dev/null
    docker image inspect --format '{{{{.Id}}}}' {tag}
    """
    return inside(where, script).strip()


def forget(repository: str) -> None:
    """Removes the images of a repository from the cloud node's Docker."""
    inside(
        CLOUD,
        f"docker image ls --format '{{{{.Repository}}}}:{{{{.Tag}}}}' {repository} | xargs --no-run-if-empty docker image rm --force >/dev/null",
    )
