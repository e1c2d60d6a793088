"""From one line of the model changed to the accuracy of round 5, on the lab: the command to type, and the how-to's steps as a script without a pause.

  ours      the command below
  how-to    docker build, docker save to a file, scp to each edge, import there, then the aggregator's pod and the clients' pods applied, as
            the how-to tells; with tutorial.py inside, an image with Flower and TensorFlow as pip installs them, and Docker's cache of those

Five rounds, slices of 10 000 and 20 000 samples on the two edges. The clock starts when the line is changed. Needs the running lab (`make lab`);
`ansible-playbook site.yml` afterwards brings its own training back.
"""

from __future__ import annotations

import random
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.table import Bench
from support.helpers import ROOT, run
from support.processes import until
from support.running_lab import Lab
from support.ship_nodes import CHANNEL, CLOUD, docker, inside

COMMAND = ("ansible-playbook", "retrain.yml")
RATES = (0.1, 0.35)
"""The model's dropout is drawn from between them for each repeat: what was deployed before, by a run that was broken off perhaps, had another."""
LAST_ROUND = re.compile(r"^ *round +5/5 +accuracy")
LONGEST = 600.0
"""Seconds after which a training of the how-to is given up."""
HOWTO = "/root/edgefl-bench-howto"
IMAGE = "edgefl-bench/howto"
NAMESPACE = "edgefl-bench-howto"
KUBECTL = f"kubectl --kubeconfig=/etc/kubernetes/admin.conf --namespace={NAMESPACE}"
PORT = 8890
BASE = "edgefl-lab/debian:bookworm"
DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY ca.crt requirements.txt /build/
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv dataset-fashion-mnist >/dev/null && \\
    mkdir /data && for file in /usr/share/datasets/fashion-mnist/*.gz; do gunzip -c $file >/data/$(basename $file .gz); done
RUN if [ -s /build/ca.crt ]; then export PIP_CERT=/build/ca.crt; fi; \\
    python3 -m venv /opt/fl && /opt/fl/bin/pip install -q --no-cache-dir -r /build/requirements.txt
ENV EDGEFL_DATA_DIR=/data
WORKDIR /home/work
COPY edgefl /home/work/edgefl
COPY tutorial.py /home/work/
ENTRYPOINT ["/opt/fl/bin/python", "tutorial.py"]
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  nodeName: {node}
  hostNetwork: true
  restartPolicy: Never
  tolerations: [{{operator: Exists}}]
  containers:
    - name: main
      image: {image}
      imagePullPolicy: Never
      args: {args}
---
"""


def ours(sources: Path, rate: float) -> tuple[float, float]:
    """Seconds until round 5 is told, and until the command has ended."""
    model = sources / "edgefl/apps/fashion_mnist/fashion_mnist/model.py"
    told: list[float] = []
    begin = time.monotonic()
    before = model.read_text()
    model.write_text(re.sub(r"Dropout\([0-9.]+\)", f"Dropout({rate})", before))
    assert model.read_text() != before, f"{model} has no dropout to change"

    def seen(line: str) -> None:
        sys.stderr.write(line)
        if LAST_ROUND.search(line):
            told.append(time.monotonic() - begin)

    run(*COMMAND, f"--extra-vars=edgefl_source={sources}", show=seen).ok()
    assert told, "round 5 was never told"
    return told[0], time.monotonic() - begin


class HowTo:
    """The how-to's steps on the lab's cloud node."""

    def __init__(self, lab: Lab) -> None:
        self.edges = {name: lab.hosts[name] for name in lab.edges[:2]}
        self.cloud = lab.hosts["cloud"]["ansible_host"]

    def prepare(self) -> None:
        """The sources on the cloud node, and the first build, which nobody has to wait for after an edit."""
        inside(CLOUD, f"rm -rf {HOWTO}; mkdir -p {HOWTO}/edgefl/common {HOWTO}/edgefl/apps")
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder)
            (files / "Dockerfile").write_text(DOCKERFILE)
            (files / "requirements.txt").write_text(self._requirements())
            docker("cp", str(ROOT / "benchmarks/tutorial.py"), f"{CLOUD}:{HOWTO}/")
            for name in ("__init__.py", "apps/__init__.py", "common/__init__.py", "common/idx.py"):
                docker("cp", str(ROOT / "fl_src/edgefl" / name), f"{CLOUD}:{HOWTO}/edgefl/{name}")
            for name in ("Dockerfile", "requirements.txt"):
                docker("cp", str(files / name), f"{CLOUD}:{HOWTO}/")
        inside(CLOUD, f"cp /etc/ssl/certs/ca-certificates.crt {HOWTO}/ca.crt; {self._build()}")
        inside(CLOUD, f"{KUBECTL} create namespace {NAMESPACE} >/dev/null || true")
        # Its scp and ssh need an account; what site.yml authorizes takes images and nothing else
        key = inside(CLOUD, f"cat {CHANNEL}.pub").strip()
        for name in self.edges:
            inside(f"edgefl-lab-{name}", f"echo {key} >>/home/ops/.ssh/authorized_keys")

    def run(self, rate: float) -> float:
        """Seconds from the edit to the accuracy of round 5."""
        begin = time.monotonic()
        inside(
            CLOUD,
            f"sed -i 's/Dropout([0-9.]*)/Dropout({rate})/' {HOWTO}/tutorial.py; {self._build()}",
        )
        inside(
            CLOUD,
            f"docker save -o {HOWTO}/client.tar {IMAGE}-client; docker save {IMAGE}-server | ctr -n k8s.io images import - >/dev/null",
        )
        for name, about in self.edges.items():
            to = f"{about['ansible_user']}@{about['ansible_host']}"
            options = self._options(name)
            inside(
                CLOUD,
                f"scp {options} {HOWTO}/client.tar {to}:/var/tmp/\n"
                f"ssh {options} {to} 'sudo ctr -n k8s.io images import /var/tmp/client.tar >/dev/null; sudo rm /var/tmp/client.tar' </dev/null",
            )
        inside(CLOUD, f"{KUBECTL} delete pods --all --grace-period=1 --wait")
        self._apply("server", "cloud", IMAGE + "-server", ["server", f"--server_address=0.0.0.0:{PORT}", "--rounds=5"])
        # Clients that come before its port is open give up at once
        self._log('"event": "evaluated", "round": 0')
        time.sleep(1)
        first = 0
        for name, size in zip(self.edges, (10_000, 20_000)):
            arguments = [
                "client",
                f"--server_address={self.cloud}:{PORT}",
                f"--partition={first}",
                f"--clients={first + size}",
            ]
            self._apply(f"client-{name}", name, IMAGE + "-client", arguments)
            first += size
        self._log('"event": "evaluated", "round": 5')
        return time.monotonic() - begin

    def remove(self) -> None:
        """All that it made, but what the build left in Docker's cache."""
        forget = f"sudo ctr -n k8s.io images ls -q | {{ grep {IMAGE} || true; }} | sudo xargs -r ctr -n k8s.io images rm >/dev/null"
        inside(CLOUD, f"{KUBECTL} delete namespace {NAMESPACE} --ignore-not-found")
        inside(
            CLOUD, f"rm -rf {HOWTO}; docker image rm --force {IMAGE}-server {IMAGE}-client >/dev/null || true; {forget}"
        )
        for name, about in self.edges.items():
            inside(
                CLOUD,
                f"ssh {self._options(name)} {about['ansible_user']}@{about['ansible_host']} '{forget}' </dev/null",
            )
            inside(f"edgefl-lab-{name}", "sed -i '/ edgefl$/d' /home/ops/.ssh/authorized_keys")

    @staticmethod
    def _options(name: str) -> str:
        """With the key and the host keys that site.yml gave the cloud node; ours come that way too."""
        return f"-q -o BatchMode=yes -i {CHANNEL} -o UserKnownHostsFile=/etc/edgefl/ssh/known_hosts.d/{name}"

    @staticmethod
    def _requirements() -> str:
        wanted = ("flwr==", "tensorflow-cpu==")
        lines = (ROOT / "fl_src/requirements-client.txt").read_text().splitlines()
        return "\n".join(line.split(";")[0].split("\\")[0] for line in lines if line.startswith(wanted))

    @staticmethod
    def _build() -> str:
        build = f"docker build --quiet --build-arg BASE_IMAGE={BASE} {HOWTO} >/dev/null"
        return "; ".join(f"{build} --tag {IMAGE}-{role}" for role in ("server", "client"))

    def _apply(self, name: str, node: str, image: str, arguments: list[str]) -> None:
        pod = POD.format(name=name, namespace=NAMESPACE, node=node, image=f"docker.io/{image}:latest", args=arguments)
        inside(CLOUD, f"{KUBECTL} apply -f - >/dev/null <<'EOF'\n{pod}EOF\n")

    def _log(self, wanted: str) -> None:
        """Waits until the server has said it; it has no log before it runs."""
        ask = f"{KUBECTL} logs server 2>/dev/null || true"

        def said() -> bool:
            log = inside(CLOUD, ask)
            assert "Traceback" not in log, log
            return wanted in log

        until(said, f"{wanted} in the log of the how-to's server", LONGEST, pause=0.5)


def main() -> None:
    bench = Bench("Edit to result", __doc__)
    bench.parser.add_argument(
        "--repeats", type=int, default=3, metavar="N", help="how often both are done, in turn (3)"
    )
    options = bench.options()
    lab = Lab(print)
    howto = HowTo(lab)
    print("the how-to's first build ...", file=sys.stderr, flush=True)
    howto.prepare()
    try:
        with tempfile.TemporaryDirectory() as folder:
            sources = Path(folder) / "fl_src"
            shutil.copytree(ROOT / "fl_src", sources, ignore=shutil.ignore_patterns("__pycache__"))
            # The first edit finds what these sources make, not what another checkout has deployed
            lab.play("site.yml", f"--extra-vars=edgefl_source={sources}", show=False).ok()
            for _dummy in range(options.repeats):
                rate = round(random.uniform(*RATES), 6)
                told, ended = ours(sources, rate)
                bench.add("accuracy of round 5", "ours", "s", told)
                bench.add("command ended", "ours", "s", ended)
                bench.add("accuracy of round 5", "how-to", "s", howto.run(rate))
    finally:
        howto.remove()
    bench.ratio("accuracy of round 5", "how-to", "ours")
    bench.goal("accuracy of round 5, ours", bench.median("accuracy of round 5", "ours"), at_most=8, unit="s")
    bench.finish()


if __name__ == "__main__":
    main()
