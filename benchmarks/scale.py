"""One aggregator and a thousand light clients on loopback, which share this machine's cores: five rounds of FedAvg with a model of 400 KB, and of 4 MB.

A light client (light.py) is a connection that sends back a model of its own, 250 in a process. Each is a node. Measured are the seconds in which all
join, those of a round, the aggregator's processor time of a round and the peak of its memory; with TLS, as it is deployed, each client has its own
certificate. Needs Flower: `make bench-scale` has it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clients import processor
from benchmarks.memory import Sampler
from benchmarks.table import Bench
from benchmarks.train import AS_IN_IMAGES, lines, start
from support.processes import Federation, until

APP = Path(__file__).with_name("light_app")
TOGETHER = 250
"""Clients in one process."""
LONGEST = 1800.0
"""Seconds after which a training is given up."""


def certificates(folder: Path, count: int) -> Path:
    """A CA, the aggregator's key pair in folder/server and one in folder/NODE for each node."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now, ca_key = datetime.datetime.now(datetime.UTC), ec.generate_private_key(ec.SECP256R1())

    def signed(subject: str, key: ec.EllipticCurvePrivateKey, *more: x509.ExtensionType) -> bytes:
        draft = x509.CertificateBuilder(name("ca"), name(subject), key.public_key(), x509.random_serial_number())
        draft = draft.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        for extension in more:
            draft = draft.add_extension(extension, critical=False)
        return draft.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca = signed("ca", ca_key, x509.BasicConstraints(ca=True, path_length=0))
    for node in ("server", *(f"node{index}" for index in range(count))):
        key, own = ec.generate_private_key(ec.SECP256R1()), folder / node
        own.mkdir(parents=True)
        names = x509.SubjectAlternativeName([x509.DNSName(node), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        for file, content in (
            ("ca.crt", ca),
            ("tls.crt", signed(node, key, names)),
            ("tls.key", key.private_bytes(*plain)),
        ):
            (own / file).write_bytes(content)
    return folder


def measure(bench: Bench, way: str, count: int, megabytes: float, rounds: int, tls: bool, more: list[str]) -> None:
    name = f"{count} clients, {megabytes:g} MB"
    numbers = {"LIGHT_APP_NUMBERS": str(int(megabytes * 250_000))}
    with tempfile.TemporaryDirectory() as temporary, closing(Federation(Path(temporary))) as federation:
        folder, keys = federation.folder, []
        go = folder / "go"
        if tls:
            keys = [str(certificates(folder / "keys", count))]
            more = [*more, f"--tls_dir={keys[0]}/server"]
        state = folder / "state"
        aggregator = federation.aggregator(
            f"--app={APP}", f"--rounds={rounds}", f"--state_dir={state}", f"--min_num_clients={count}", f"--min_sample_size={count}", *more,
            **AS_IN_IMAGES, **numbers,
        )  # fmt: skip
        address = f"127.0.0.1:{federation.port}"
        processes = [
            start(federation, f"clients{first}", "benchmarks.light", address, str(first), str(min(TOGETHER, count - first)), str(go), *keys,
                  **AS_IN_IMAGES, **numbers)
            for first in range(0, count, TOGETHER)
        ]  # fmt: skip
        for process in processes:
            lines(process, "ready", 1)
        until(federation.ready, "the aggregator is ready")
        with Sampler([aggregator.process.pid]) as sampler:
            go.touch()
            begin = go.stat().st_mtime
            joined = max(lines(process, "joined", 1)[0]["time"] for process in processes) - begin
            lines(aggregator, "round", 1, LONGEST)
            used, theirs = processor(aggregator), sum(map(processor, processes))
            made = lines(aggregator, "round", rounds, LONGEST)
            used = (processor(aggregator) - used) / (rounds - 1)
            theirs = (sum(map(processor, processes)) - theirs) / (rounds - 1)
        lost = sum(len(one["lost"]) for one in made)
        if lost:
            raise SystemExit(f"{name}: {lost} answers were lost")
        if os.environ.get("KEEP_LOG"):
            print(aggregator.err.read_text()[-3000:])
    pss, seconds = sampler.pss[aggregator.process.pid] / 1e6, [round(one["seconds"], 2) for one in made]
    later = [one["seconds"] for one in made[1:]]
    for work, unit, value in (
        ("all have joined", "s", joined),
        ("first round", "s", made[0]["seconds"]),
        ("a later round", "s", sum(later) / len(later)),
        ("processor time of a later round", "s", used),
        ("processor time of a later round, all clients", "s", theirs),
        ("peak PSS", "MB", pss),
        ("peak RSS", "MB", sampler.rss[aggregator.process.pid] / 1e6),
        ("load at the end", "", os.getloadavg()[0]),
    ):
        bench.add(f"{name}: {work}", way, unit, value)
    print(f"{name}, {way}: {joined:.1f} s to join, rounds of {seconds} s, {pss:.0f} MB", flush=True)


def main() -> None:
    bench = Bench("A thousand clients", __doc__)
    bench.parser.add_argument("--count", type=int, default=1000, help="clients (default: 1000)")
    bench.parser.add_argument(
        "--megabytes", type=float, nargs="+", default=[0.4, 4], help="sizes of the model (default: 0.4 4)"
    )
    bench.parser.add_argument("--ways", nargs="+", default=["plain", "tls"], help="of plain and tls (default: both)")
    bench.parser.add_argument("--repeats", type=int, default=1, help="trainings of each (default: 1)")
    bench.parser.add_argument("--rounds", type=int, default=5, help="of a training (default: 5)")
    bench.parser.add_argument("more", nargs="*", help="further options of the aggregator, after --")
    options = bench.options()
    for _repeat in range(options.repeats):
        for megabytes in options.megabytes:
            for way in options.ways:
                measure(bench, way, options.count, megabytes, options.rounds, way == "tls", options.more)
    for megabytes in options.megabytes:
        name = f"{options.count} clients, {megabytes:g} MB"
        for way in options.ways:
            bench.goal(f"{name}, {way}: peak PSS", bench.median(f"{name}: peak PSS", way), at_most=350, unit="MB")
            bench.goal(
                f"{name}, {way}: all have joined", bench.median(f"{name}: all have joined", way), at_most=10, unit="s"
            )
            if megabytes <= 0.4:
                bench.goal(
                    f"{name}, {way}: a later round", bench.median(f"{name}: a later round", way), at_most=4, unit="s"
                )
    bench.finish()


if __name__ == "__main__":
    main()
