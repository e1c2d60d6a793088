"""The client's image from the lab's cloud node to edges of its own making: the first time, after one source line changed, and when nothing changed.

  ours       module image_ship into Docker (what the others can fill), and into containerd, with the agent installed as site.yml does it; "open" with
             connections that stay open
  ours, sent the same into Docker, on edges that the cloud node reaches otherwise: the agent goes along each time
  scp        docker save to a file, scp, docker load
  zstd       docker save | zstd | ssh zstd -d | docker load
  push       docker push through an SSH tunnel that is open into a registry on the edge, then docker pull there

Seconds are those of the work on the cloud node, without Ansible's or a shell's own start; all edges at the same time, whatever the way. Megabytes are what
arrived at the edges' network interfaces; "left" is what left the cloud node's, where that is slowed down: with --rates 100 to 100 Mbit/s. Whoever saves has no
other way after a change, or when nothing changed, than to send all of it: that is measured once. Needs the running lab (`make lab`), whose cloud node gets the
package zstd; makes its edges and removes them.

With --dependency it measures one thing alone: a layer with TensorFlow as the client's image has it is there; then keras stands in another folder, pandas is
added, and all files have another time. Ours sends new files only; "whole" is without that.

With --relay it measures one upload for a site: all edges are of one, a machine beside them sends, and its uplink is that of all. "relay" is ours with
chunks from neighbours, "each" without. Unpacking is what the same takes where nothing limits the uplink: all edges unpack on the cores of this one machine.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.table import Bench
from support.ship_nodes import CHANNEL, CLOUD, FOLDER, Nodes, build, docker, forget, inside, ship

CLIENT = "kubeedge/fashion-mnist-client:v1.0.0"
CHANGED = "edgefl-bench/client"
DEPENDENCY = "edgefl-bench/dependency"
PANDAS = "pandas==2.2.3"
REPEATS = 3
REGISTRY = "/var/lib/docker-registry"
# Debian's own asks for a password
REGISTRY_CONFIG = (
    f"{{version: 0.1, storage: {{filesystem: {{rootdirectory: {REGISTRY}}}}}, http: {{addr: '127.0.0.1:5000'}}}}"
)


def change(number: int) -> str:
    """The image with one line of an app's source changed, in a layer of the apps as the Dockerfile makes it."""
    tag = f"{CHANGED}:{number}"
    inside(
        CLOUD,
        f"""
        folder=$(mktemp -d); trap 'rm -r "$folder"' EXIT; cd "$folder"
        container=$(docker create {CLIENT}); docker cp "$container:/opt/edgefl/app/edgefl/apps" . >/dev/null; docker rm "$container" >/dev/null
        echo "# {number}" >>"$(find apps -name '*.py' | sort | head -n 1)"
        printf 'FROM {CLIENT}\\nCOPY apps /opt/edgefl/app/edgefl/apps\\n' >Dockerfile
        docker build --quiet --tag {tag} . >/dev/null
        """,
    )
    return tag


def depend(folder: Path) -> tuple[str, str]:
    """Two images of one layer: TensorFlow as the client's image has it, and the same with a dependency more."""
    words = [
        "--no-deps",
        "--only-binary=:all:",
        "--python-version=3.11",
        "--platform=manylinux2014_x86_64",
        "--no-compile",
        "--quiet",
    ]
    subprocess.run([sys.executable, "-m", "pip", "install", PANDAS, *words, f"--target={folder}/pandas"], check=True)
    docker("cp", f"{folder}/pandas", f"{CLOUD}:/var/tmp/edgefl-bench-pandas")
    inside(
        CLOUD,
        f"""
        folder=$(mktemp -d -p /var/tmp); trap 'rm -r "$folder" /var/tmp/edgefl-bench-pandas' EXIT; cd "$folder"
        container=$(docker create {CLIENT}); docker cp "$container:/opt/edgefl/tensorflow" packages >/dev/null
        docker cp "$container:/opt/edgefl/pure/keras" packages/ >/dev/null; docker rm "$container" >/dev/null
        printf 'FROM scratch\nCOPY packages /opt/edgefl/packages\nCMD ["/none"]\n' >Dockerfile
        docker build --quiet --tag {DEPENDENCY}:old . >/dev/null
        mkdir packages/moved; mv packages/keras packages/moved/keras; cp -r /var/tmp/edgefl-bench-pandas/. packages
        find packages -exec touch -d 2030-01-01 {{}} +
        docker build --quiet --tag {DEPENDENCY}:new . >/dev/null
        """,
    )
    return f"{DEPENDENCY}:old", f"{DEPENDENCY}:new"


@contextmanager
def slow(megabits: int, where: str = CLOUD) -> Iterator[None]:
    """The interface of a container with so many Mbit/s; 0 leaves it as it is."""
    if megabits:
        inside(where, f"tc qdisc replace dev eth0 root tbf rate {megabits}mbit burst 128kb latency 200ms")
    try:
        yield
    finally:
        if megabits:
            inside(where, "tc qdisc del dev eth0 root")


def left(where: str = CLOUD) -> float:
    """Megabytes that the slow interface has let through, with the headers of each packet: an edge's interface counts one for many packets (GRO)."""
    (queue,) = json.loads(inside(where, "tc -s -j qdisc show dev eth0"))
    return float(queue["bytes"]) / 1e6


class Ways:
    """How images get to the edges: each returns the seconds that it took."""

    def __init__(self, nodes: Nodes, folder: Path, parallel: int) -> None:
        self.nodes = nodes
        self.folder = folder
        self.parallel = parallel

    def ours(
        self, image: str, runtime: str = "docker", persist: int = 0, reuse: bool = True, installed: bool = True
    ) -> float:
        """Verification included; fails when one edge failed."""
        targets = [self.nodes.target(name, runtime, installed=installed) for name in self.nodes.names]
        found, _output = ship(self.folder, targets, [image], persist=persist, parallel=self.parallel, reuse=reuse)
        assert all(not node["failed"] for node in found["nodes"].values()), found
        return float(found["seconds"])

    def scp(self, image: str) -> float:
        return self._everywhere(
            f"docker save --output $file {image}",
            "scp -q $options $file ops@$address:image.tar && $ssh ops@$address 'sudo docker load --quiet --input image.tar && rm image.tar'",
        )

    def zstd(self, image: str) -> float:
        return self._everywhere(
            "", f"docker save {image} | zstd -q -3 -T0 | $ssh ops@$address 'zstd -q -d | sudo docker load --quiet'"
        )

    def push(self, image: str) -> float:
        name = f"{image.partition('/')[2].partition(':')[0]}:bench"
        return self._everywhere(
            "",
            f"docker tag {image} 127.0.0.1:$port/{name} && docker push --quiet 127.0.0.1:$port/{name}"
            f" && $ssh -S {FOLDER}/tunnel-$node ops@$address 'sudo docker pull --quiet 127.0.0.1:5000/{name} && sudo docker tag 127.0.0.1:5000/{name} {image}'",
        )

    def open_tunnels(self) -> None:
        """A fresh registry on each edge, and a tunnel to it."""
        for name in self.nodes.names:
            self.nodes.run(
                name,
                f"systemctl stop docker-registry; rm -rf {REGISTRY}/*; echo {shlex.quote(REGISTRY_CONFIG)} >/etc/docker/registry/config.yml;"
                "systemctl start docker-registry;"
                "until bash -c '</dev/tcp/127.0.0.1/5000' 2>/dev/null; do sleep 0.2; done",
            )
        self._everywhere(
            "",
            f"$ssh -f -N -M -S {FOLDER}/tunnel-$node -o ExitOnForwardFailure=yes -L 127.0.0.1:$port:127.0.0.1:5000 ops@$address </dev/null >/dev/null 2>&1",
        )

    def close_tunnels(self) -> None:
        """And the registries, and what Docker on the cloud node calls the images."""
        self._everywhere("", f"$ssh -S {FOLDER}/tunnel-$node -O exit ops@$address 2>/dev/null || true")
        for name in self.nodes.names:
            self.nodes.run(name, f"systemctl stop docker-registry; rm -rf {REGISTRY}/*")
        # By tag where they have one, and by what the push made of it
        inside(
            CLOUD,
            "docker image ls --digests --format '{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}' '127.0.0.1:*/*'"
            " | tr ' ' '\\n' | grep -v '<none>' | sort -u"
            " | xargs --no-run-if-empty docker image rm --force >/dev/null 2>&1 || true",
        )

    def _everywhere(self, once: str, each: str) -> float:
        """Runs `once` and then `each` for all edges at the same time, on the cloud node; fails when one of them fails."""
        options = f"-o BatchMode=yes -o StrictHostKeyChecking=yes -o Ciphers=^aes128-gcm@openssh.com -i {CHANNEL} -o GlobalKnownHostsFile=/dev/null"
        nodes = "\n".join(
            f"one {name} {self.nodes.address(name)} {6000 + number} & jobs+=($!)"
            for number, name in enumerate(self.nodes.names)
        )
        script = f"""
        file=/var/tmp/edgefl-bench.tar; trap 'rm -f $file' EXIT
        one() {{
          node=$1 address=$2 port=$3
          options="{options} -o UserKnownHostsFile={FOLDER}/$node"
          ssh="ssh $options"
          {each}
        }}
        begin=$(date +%s%N); jobs=()
        {{ {once or ":"}; }} >/dev/null
        {{ {nodes}
        for job in "${{jobs[@]}}"; do wait "$job"; done; }} >/dev/null
        echo $(( ($(date +%s%N) - begin) / 1000000 ))
        """
        return int(inside(CLOUD, script).split()[-1]) / 1000

    def arrived(self) -> float:
        """Megabytes that the edges' interfaces have received so far."""
        return sum(int(self.nodes.run(name, "cat /sys/class/net/eth0/statistics/rx_bytes")) for name in self.nodes.names) / 1e6  # fmt: skip


def place(nodes: Nodes, megabits: int) -> str:
    """What a row is called after: the edges, and the rate."""
    return f"{len(nodes.names)} edge{'s' if len(nodes.names) > 1 else ''}" + (
        f", {megabits} Mbit/s" if megabits else ""
    )


def measure_one(bench: Bench, ways: Ways, megabits: int, work: str, way: str, send: Callable[[], float]) -> None:
    """One shipment: its seconds, and what arrived and left."""
    where, before = place(ways.nodes, megabits), ways.arrived()
    with slow(megabits):
        seconds = send()
        if megabits:
            bench.add(f"{work}, {where}: left", way, "MB", left())
    bench.add(f"{work}, {where}", way, "s", seconds)
    bench.add(f"{work}, {where}: arrived", way, "MB", ways.arrived() - before)
    print(f"{work}, {where}, {way}: {seconds:.2f} s", file=sys.stderr, flush=True)


def measure_dependency(bench: Bench, ways: Ways, megabits: int, images: tuple[str, str], repeats: int) -> None:
    """One dependency more, into both runtimes, with and without the files that are there."""
    nodes, where = ways.nodes, place(ways.nodes, megabits)
    for runtime in ("docker", "containerd"):
        name = "ours" if runtime == "docker" else "ours, containerd"
        for _repeat in range(repeats):
            for way, reuse in ((f"{name}, whole", False), (name, True)):
                nodes.empty()
                ways.ours(images[0], runtime)
                send = partial(ways.ours, images[1], runtime, reuse=reuse)
                measure_one(bench, ways, megabits, "dependency", way, send)
        arrived = bench.median(f"dependency, {where}: arrived", name) / len(nodes.names)
        bench.goal(f"dependency, {where}, {name}: on the wire, each", arrived, at_most=15, unit="MB")
        ratio = bench.ratio(f"dependency, {where}", name, f"{name}, whole")
        bench.goal(f"dependency, {where}, {name}: over the time of the whole", ratio, at_most=2)


def measure_relay(bench: Bench, folder: Path, count: int, rates: list[int], megabytes: int) -> None:
    """One upload for a site: with and without, at these rates of the uplink, and first without a limit."""
    with Nodes(count + 1) as nodes:
        sender = nodes.names[-1]
        source, image = nodes.sender(folder), CLIENT
        if megabytes:
            image = "edgefl-bench/relay:1"
            build(image, megabytes, where=f"edgefl-{sender}")
        else:
            saved = subprocess.Popen(["docker", "exec", CLOUD, "docker", "save", image], stdout=subprocess.PIPE)
            load = ["docker", "exec", "--interactive", f"edgefl-{sender}", "docker", "load", "--quiet"]
            subprocess.run(load, stdin=saved.stdout, check=True)
        targets = [nodes.target(name, "docker", site="harbour") for name in nodes.names]
        for megabits in [0, *(rate for rate in rates if rate)]:
            work = f"site, {place(nodes, megabits)}"
            for way, relay in (("relay", True), ("each", False)):
                if not megabits and not relay:
                    continue
                nodes.empty()
                with slow(megabits, f"edgefl-{sender}"):
                    found, _output = ship(folder, targets, [image], source=source, relay=relay)
                    assert all(not node["failed"] for node in found["nodes"].values()), found
                    if megabits:
                        bench.add(f"{work}: left", way, "MB", left(f"edgefl-{sender}"))
                bench.add(work, way, "s", found["seconds"])
                bench.add(f"{work}: sent", way, "MB", found["bytes"] / 1e6)
                bench.add(f"{work}: from neighbours", way, "MB", found["relayed"] / 1e6)
                print(f"{work}, {way}: {found['seconds']:.1f} s", file=sys.stderr, flush=True)
            if megabits:
                judge_relay(bench, nodes, megabits)


def judge_relay(bench: Bench, nodes: Nodes, megabits: int) -> None:
    """The goals of one upload for a site."""
    work, unpacking = f"site, {place(nodes, megabits)}", bench.median(f"site, {place(nodes, 0)}", "relay")
    one = bench.median(f"{work}: sent", "each") / len(nodes.names)
    bench.ratio(work, "each", "relay")
    bench.ratio(f"{work}: left", "each", "relay")
    uploads = bench.median(f"{work}: left", "relay") / one
    bench.goal(f"{work}: left, over one image", uploads, at_most=1.15)
    allowed = 1.3 * one * 8 / megabits + unpacking
    bench.goal(f"{work}", bench.median(work, "relay"), at_most=allowed, unit="s")


def measure(bench: Bench, ways: Ways, megabits: int, wanted: list[str], firsts: int) -> None:
    """All ways in turn with these edges: the first ship as often as `firsts`, the others after the last of them."""
    nodes, where = ways.nodes, place(ways.nodes, megabits)
    saves = {"scp": ways.scp, "zstd": ways.zstd}
    ours: dict[str, Callable[..., float]] = {
        "ours": ways.ours,
        "ours, containerd": partial(ways.ours, runtime="containerd"),
        "ours, sent": partial(ways.ours, installed=False),
    }

    def one(work: str, way: str, send: Callable[[str], float], image: str) -> None:
        measure_one(bench, ways, megabits, work, way, partial(send, image))

    number = iter(range(1, 1000))
    for turn in range(firsts):
        for way in wanted:
            nodes.empty()
            if way == "push":
                ways.open_tunnels()
            send = ways.push if way == "push" else (saves | ours)[way]
            one("first", way, send, CLIENT)
            if turn == firsts - 1:
                for _repeat in range(1 if way in saves else REPEATS):
                    image = change(next(number))
                    one("changed", way, send, image)
                    if way not in saves:
                        one("nothing", way, send, image)
                if way in ours:
                    again = partial(ours[way], persist=60)
                    again(image)
                    for _repeat in range(REPEATS):
                        image = change(next(number))
                        one("changed", f"{way}, open", again, image)
                        one("nothing", f"{way}, open", again, image)
            if way == "push":
                ways.close_tunnels()
    judge(bench, where, megabits, wanted)


def judge(bench: Bench, where: str, megabits: int, wanted: list[str]) -> None:
    """Ratios to ours, and the goals."""
    if "ours" not in wanted:
        return
    for work in ("first", "changed", "nothing"):
        for other in ("scp", "zstd", "push"):
            if other in wanted and not (work == "nothing" and other != "push"):
                bench.ratio(f"{work}, {where}", other, "ours")
                bench.ratio(f"{work}, {where}: arrived", other, "ours")
    count = int(where.split()[0])
    first, wire = bench.median(f"first, {where}", "ours"), bench.median(f"first, {where}: arrived", "ours")
    bench.goal(f"first, {where}: on the wire, each", wire / count, at_most=300, unit="MB")
    for other in ("scp", "zstd", "push"):
        if other in wanted:
            bench.goal(f"first, {where}: {other} / ours", bench.median(f"first, {where}", other) / first, at_least=1)
    if megabits:
        needed = bench.median(f"first, {where}: left", "ours") * 8 / megabits
        bench.goal(f"first, {where}: over the time that the bytes need", first / needed, at_most=1.15)
    changed = bench.median(f"changed, {where}: arrived", "ours, open") * 1000 / count
    bench.goal(f"changed, {where}: on the wire, each, open", changed, at_most=20, unit="KB")
    if count == 1:
        bench.goal(f"changed, {where}: open", bench.median(f"changed, {where}", "ours, open"), at_most=0.5, unit="s")
    bench.goal(f"nothing, {where}", bench.median(f"nothing, {where}", "ours"), at_most=1, unit="s")


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


KNOWN = ["ours", "ours, containerd", "ours, sent", "scp", "zstd", "push"]


def ways_of(text: str) -> list[str]:
    """The ways that a word names; argparse says of another one which there are."""
    found = text.split("+")
    if unknown := set(found) - set(KNOWN):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} is no way: choose of {' + '.join(KNOWN)}")
    return found


def main() -> None:
    bench = Bench("Shipping", __doc__)
    bench.parser.add_argument("--edges", type=numbers, default=[1], metavar="N,N", help="how many edges (1)")
    bench.parser.add_argument("--rates", type=numbers, default=[0], metavar="N,N", help="Mbit/s, 0 for no limit (0)")
    bench.parser.add_argument("--ways", type=ways_of, default=KNOWN, metavar="WAY+WAY", help=" + ".join(KNOWN))
    bench.parser.add_argument(
        "--firsts", type=int, default=1, metavar="N", help="how often all ways ship for the first time, in turn (1)"
    )
    bench.parser.add_argument(
        "--parallel", type=int, default=0, metavar="N", help="edges that ours sends to at the same time; 0 for all (0)"
    )
    bench.parser.add_argument("--dependency", action="store_true", help="only a layer with one dependency more")
    bench.parser.add_argument("--relay", action="store_true", help="only one upload for a site")
    bench.parser.add_argument(
        "--megabytes",
        type=int,
        default=0,
        metavar="N",
        help="with --relay, of data that cannot be compressed; 0 for the client's image (0)",
    )
    options: argparse.Namespace = bench.options()
    if options.relay:
        for count in options.edges:
            with tempfile.TemporaryDirectory() as folder:
                measure_relay(bench, Path(folder), count, options.rates, options.megabytes)
        bench.finish()
        return
    inside(CLOUD, "command -v zstd || { apt-get update -qq && apt-get install -qq -y --no-install-recommends zstd; }")
    try:
        with tempfile.TemporaryDirectory() as folder:
            images = depend(Path(folder)) if options.dependency else None
            for count in options.edges:
                with Nodes(count) as nodes:
                    nodes.install()
                    ways = Ways(nodes, Path(folder), options.parallel)
                    for megabits in options.rates:
                        if images:
                            measure_dependency(bench, ways, megabits, images, options.firsts)
                        else:
                            measure(bench, ways, megabits, options.ways, options.firsts)
                forget(CHANGED)
    finally:
        forget(CHANGED)
        forget(DEPENDENCY)
    bench.finish()


if __name__ == "__main__":
    main()
