"""The faults as data: what is done at a node's console, how it is undone, and what is there again when the lab has recovered."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from support.helpers import ROOT

AGGREGATOR, CLIENT = "[e]dgefl.aggregator", "[e]dgefl.client"
APISERVER, ETCD = "^[k]ube-apiserver ", "^[e]tcd "
# A cable that is pulled: no end is told
CUT = (
    "iptables --insert INPUT --in-interface eth0 --jump DROP; iptables --insert OUTPUT --out-interface eth0 --jump DROP"
)
MEND = (
    "while iptables --delete INPUT --in-interface eth0 --jump DROP; do :; done 2>/dev/null;"
    "while iptables --delete OUTPUT --out-interface eth0 --jump DROP; do :; done 2>/dev/null; true"
)
# As when the power is lost; systemd of the node starts all again
CRASH, START = "docker kill {node}", "docker start {node}"
# The limit of the client's container goes down to nearly what it uses, and a program beside it wants more: the kernel kills what uses most
OUT_OF_MEMORY = f"""
about=/proc/$(pgrep -of '{CLIENT}')/cgroup
[ -e "$about" ] || {{ echo "no client runs on this node" >&2; exit 1; }}
group=$(sed -n 's/.*:memory://p' $about)
if [ "$group" ]; then
  cd "/sys/fs/cgroup/memory$group"; limit=memory.limit_in_bytes use=memory.usage_in_bytes events=memory.oom_control
else
  cd "/sys/fs/cgroup$(sed -n 's/^0:://p' $about)"; limit=memory.max use=memory.current events=memory.events
fi
was=$(cat $limit) before=$(grep '^oom_kill ' $events)
trap 'echo $was >$limit' EXIT
# It may have used more than usual when it was asked
for attempt in $(seq 20); do
  echo $(($(cat $use) + 4000000)) >$limit
  sh -c 'echo $$ >cgroup.procs; exec python3 -c "x = 60_000_000 * bytes([1])"'
  [ "$(grep '^oom_kill ' $events)" = "$before" ] || exit 0
done
exit 1
"""
# While the aggregator is frozen: it must not write another one before it is killed
DAMAGE = f"""
pkill -STOP -f '{AGGREGATOR}'
newest=$(ls {{state}}/*.npz | tail -n 1)
python3 - "$newest" <<'END'
import sys
with open(sys.argv[1], "r+b") as file:
    place = file.seek(0, 2) // 2
    file.seek(place)
    byte = file.read(1)[0]
    file.seek(place)
    file.write(bytes([byte ^ 255]))
END
pkill -KILL -f '{AGGREGATOR}'
"""


def killed(program: str) -> str:
    """The command that ends all processes of a program's command line at once: aggregator and client are several, which watch over each other."""
    return f"pkill -KILL -f '{program}'"


def flooded(port: int, way: str, seconds: int = 20) -> str:
    """The command that floods a port of the cloud node from where a client runs; `way` is of tests/support/flood.py."""
    program = base64.b64encode((ROOT / "tests/support/flood.py").read_bytes()).decode()
    return f"""
address=$(tr '\\0' '\\n' </proc/$(pgrep -of '{CLIENT}')/cmdline | sed -n 's/^--server_address=//p')
echo {program} | base64 -d | python3 - "${{address%:*}}" {port} {way} {seconds}
"""


# KubeEdge's edges forget a pod whose status they report while the API server is down, when they are restarted before the next report
API_AWAY, API_BACK = (
    f"docker exec edgefl-lab-cloud mv /etc/kubernetes/{here}/kube-apiserver.yaml /etc/kubernetes/{there}"
    for here, there in (("manifests", ""), ("", "manifests"))
)
FORGET = f"""
{API_AWAY}
while docker exec edgefl-lab-cloud pgrep -f '{APISERVER}' >/dev/null; do sleep 0.5; done
for time in 1 2; do
  {CRASH}
  {START}
  sleep 15
done
"""


@dataclass(frozen=True)
class Fault:
    """
    One fault. Commands are run by root at the console of `host`, or for the host "" on the machine that runs the lab; {node} is the container of
    `on`, {state} the run's folder on the cloud node.

    :param on: the node that suffers
    :param program: pattern of a command line on that node; a new process of it is part of the recovery
    :param hold: seconds until it is undone; None holds it for the whole of a training
    :param times: how often it is injected, each time after some more rounds
    :param limit: most seconds from the end of the fault to a whole round, and to a whole cluster
    :param storm: whether it is one of the storm's: not those that take minutes
    :param always: whether it is one of those that `make test` has
    """

    name: str
    on: str
    inject: str
    undo: str = ""
    host: str | None = None
    program: str = ""
    hold: float | None = 0
    times: int = 1
    limit: float = 90
    storm: bool = True
    always: bool = False

    @property
    def console(self) -> str:
        return self.on if self.host is None else self.host


FAULTS = [
    Fault("client killed", "edge1", killed(CLIENT), program=CLIENT, always=True),
    Fault("API server killed", "cloud", killed(APISERVER), program=APISERVER),
    Fault("client out of memory, killed by the kernel", "edge2", OUT_OF_MEMORY, program=CLIENT),
    Fault("containerd restarted on an edge", "edge1", "systemctl restart containerd", program="/containerd$"),
    Fault("etcd killed", "cloud", killed(ETCD), program=ETCD),
    Fault("cloudcore stopped for a whole training", "cloud", "systemctl stop cloudcore", "systemctl start cloudcore", hold=None, storm=False),
    Fault("network of an edge cut for 10 s", "edge1", CUT, MEND, hold=10),
    Fault("network of an edge cut for 60 s", "edge2", CUT, MEND, hold=60),
    Fault("edge node without power", "edge1", CRASH, START, host="", always=True),
    Fault(
        "edge node without power, twice, while the API server is down", "edge2", FORGET, f"{API_BACK} 2>/dev/null || true", host="", program=CLIENT,
        limit=240, storm=False,
    ),
    # kubelet waits before each further restart: 10, 20, 40, 80 s
    Fault("aggregator killed, five times", "cloud", killed(AGGREGATOR), program=AGGREGATOR, times=5, limit=180, storm=False),
    Fault("cloud node without power", "cloud", CRASH, START, host="", program=AGGREGATOR, limit=180),
    Fault("newest checkpoint damaged, aggregator killed", "cloud", DAMAGE, program=AGGREGATOR, always=True),
    Fault("flood of TLS handshakes from an edge for 20 s", "edge1", flooded(8888, "handshake")),
    Fault("flood of slow requests for the status for 20 s", "edge2", flooded(8889, "slow")),
    Fault("edgecore stopped for 3 min", "edge2", "systemctl stop edgecore", "systemctl start edgecore", hold=180, storm=False),
    Fault("network of an edge cut for 6 min", "edge1", CUT, MEND, hold=360, storm=False),
]  # fmt: skip
STORM = [fault for fault in FAULTS if fault.storm]

SMALL = "/var/lib/edgefl/small"
FILL = f"dd if=/dev/zero of={SMALL}/filler bs=4k 2>/dev/null; [ $(df --output=avail {SMALL} | tail -n 1) = 0 ]"
# With a training of its own, whose states are there
STATE_FULL = Fault("state volume full for 20 s", "cloud", FILL, f"rm {SMALL}/filler", hold=20)

# On edge2, with a training of its own: edgecore's folder on a file system of 64 MB, before and after
SMALL_EDGE = f"""
trap 'systemctl start edgecore' EXIT
set -e
systemctl stop edgecore
mkdir -p {SMALL}
mount -t tmpfs -o size=64m edgefl-test {SMALL}
cp -a /var/lib/kubeedge/. {SMALL}
mount --bind {SMALL} /var/lib/kubeedge
"""
LARGE_EDGE = f"""
trap 'systemctl start edgecore' EXIT
systemctl stop edgecore
umount /var/lib/kubeedge && cp -a {SMALL}/. /var/lib/kubeedge
umount {SMALL}
rmdir {SMALL}
"""
EDGE_FULL = Fault("disk of edgecore full for 60 s", "edge2", FILL, f"rm {SMALL}/filler", hold=60, limit=120)

# While an image is sent to it. The first chunk has arrived
DYING_EDGE = Fault(
    "edge node without power, while an image is sent to it", "edge1",
    "until docker exec {node} sh -c '[ $(cat /var/lib/edgefl/incoming/*.part 2>/dev/null | wc -c) -gt 8000000 ]'; do sleep 0.2; done;" + CRASH,
    START, host="",
)  # fmt: skip

SHIP = "/usr/local/lib/edgefl/ship"
# A line without end, from who was asked for the images that are there
TAKE_OVER = f"""
cp -a {SHIP} {SHIP}.honest
cat >{SHIP} <<'END'
#!/bin/sh
touch /run/edgefl-asked
exec tr '\\0' x </dev/zero
END
"""
TAKEN_OVER = Fault(
    "edge that was taken over, while images are sent", "edge2", "until [ -e /run/edgefl-asked ]; do sleep 0.2; done",
    f"[ ! -e {SHIP}.honest ] || mv {SHIP}.honest {SHIP}; rm -f /run/edgefl-asked", hold=10,
)  # fmt: skip


def signed_anew(signer: str, days: int) -> str:
    """
    The command after which each certificate of the training is signed by another, and all pods have it.

    :param signer: a key, in Python, where x509, ec and serialization are known
    :param days: from now until it ends
    """
    return f"""
cd /etc/edgefl/tls
/opt/edgefl/kubernetes/venv/bin/python - fashion-mnist*-tls <<'END'
import datetime, pathlib, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
signer = {signer}
end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days={days})
for name in sys.argv[1:]:
    file = pathlib.Path(name, "tls.crt")
    old = x509.load_pem_x509_certificate(file.read_bytes())
    begin = min(old.not_valid_before_utc, end - datetime.timedelta(days=1))
    new = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), old.serial_number, begin, end, list(old.extensions))
    file.write_bytes(new.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
END
export KUBECONFIG=/etc/kubernetes/admin.conf
for name in fashion-mnist*-tls; do
  kubectl --namespace=edgefl patch secret $name --patch='{{"data": {{"tls.crt": "'$(base64 -w 0 $name/tls.crt)'"}}}}'
done
kubectl --namespace=edgefl delete pods --all --wait=false
"""


EXPIRE = signed_anew('serialization.load_pem_private_key(pathlib.Path("ca.key").read_bytes(), None)', -1)
FOREIGN = signed_anew("ec.generate_private_key(ec.SECP256R1())", 365)
