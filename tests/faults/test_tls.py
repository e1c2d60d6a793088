"""Mutual TLS, with certificates made by openssl: who has none is refused, and nobody can speak for another node."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from support.helpers import bring
from support.processes import Federation, until


def openssl(folder: Path, *arguments: str) -> None:
    bring("openssl", "openssl")
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def authority(folder: Path) -> Path:
    folder.mkdir()
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.crt")  # fmt: skip
    return folder


def certificate(ca: Path, folder: Path, name: str, alternative: str) -> Path:
    """A folder as a TLS Secret is mounted: ca.crt, tls.crt, tls.key."""
    folder.mkdir()
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", "tls.key", "-out", "csr")  # fmt: skip
    (folder / "ext").write_text(f"subjectAltName={alternative}\n")
    openssl(folder, "x509", "-req", "-in", "csr", "-CA", str(ca / "ca.crt"), "-CAkey", str(ca / "ca.key"), "-CAcreateserial",
            "-days", "1", "-extfile", "ext", "-out", "tls.crt")  # fmt: skip
    (folder / "ca.crt").write_bytes((ca / "ca.crt").read_bytes())
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    ca, other = authority(tmp_path / "ca"), authority(tmp_path / "otherca")
    made = {name: certificate(ca, tmp_path / name, name, f"DNS:{name}") for name in ("edge1", "edge2")}
    made["aggregator"] = certificate(ca, tmp_path / "server", "aggregator", "IP:127.0.0.1,DNS:localhost")
    made["stranger"] = certificate(other, tmp_path / "stranger", "edge2", "DNS:edge2")
    (made["stranger"] / "ca.crt").write_bytes((ca / "ca.crt").read_bytes())
    return made


def test_training_over_mutual_tls(federation: Federation, folders: dict[str, Path]) -> None:
    aggregator = federation.aggregator("--rounds=2", f"--tls_dir={folders['aggregator']}")
    clients = [
        federation.light_client("edge1", 0, 500, f"--tls_dir={folders['edge1']}"),
        federation.light_client("edge2", 500, 1_500, f"--tls_dir={folders['edge2']}"),
    ]
    federation.event(aggregator, "done")
    assert aggregator.lines()[0]["settings"]["tls"] is True
    time.sleep(
        6
    )  # until a connection would be called refused: those that look whether the port answers, and later the good ones
    for client in clients:
        client.kill()
    time.sleep(5)
    assert aggregator.told("edge1-1 left")
    assert not aggregator.told("refused")


def test_a_region_has_one_certificate_for_both_sides(federation: Federation, folders: dict[str, Path]) -> None:
    """Its name for the root, its address for its clients; with another name it has no part."""
    ca = folders["aggregator"].parent / "ca"
    own = certificate(ca, ca.parent / "north", "north", "DNS:north,IP:127.0.0.1")
    root = federation.aggregator(
        "--rounds=1", "--min_num_clients=1", "--min_sample_size=1", f"--tls_dir={folders['aggregator']}"
    )
    regions = {
        name: federation.region(name, f"--tls_dir={own}", "--min_num_clients=1", "--min_sample_size=1")[0]
        for name in ("south", "north")
    }
    regions["south"].light_client("edge2", 500, 1_500, f"--tls_dir={folders['edge2']}")
    until(lambda: root.told("with the certificate of 127.0.0.1, north says it is node south"), "the pretender")
    regions["north"].light_client("edge1", 0, 500, f"--tls_dir={folders['edge1']}")
    federation.event(root, "done")
    (made,) = [entry for entry in root.lines() if entry["event"] == "round"]
    assert [(one["node"], one["examples"]) for one in made["clients"]] == [("north", 500)]


def test_who_is_not_that_node_is_refused(federation: Federation, folders: dict[str, Path]) -> None:
    aggregator = federation.aggregator(
        "--rounds=1", "--min_num_clients=1", "--min_sample_size=1", f"--tls_dir={folders['aggregator']}"
    )
    pretender = federation.light_client("edge2", 0, 500, f"--tls_dir={folders['edge1']}", pod="pretender")
    until(lambda: aggregator.told("with the certificate of edge1 says it is node edge2"), "the pretender")
    assert federation.status()["nodes"] == {} and federation.rounds(aggregator) == []
    assert pretender.lives


@pytest.mark.parametrize("which", ["none", "stranger"])
def test_who_has_no_certificate_of_our_ca_is_refused(
    federation: Federation, folders: dict[str, Path], which: str
) -> None:
    aggregator = federation.aggregator(
        "--rounds=1", "--min_num_clients=1", "--min_sample_size=1", f"--tls_dir={folders['aggregator']}"
    )
    until(federation.ready, "ready")
    own = () if which == "none" else (f"--tls_dir={folders['stranger']}",)
    client = federation.light_client("edge2", 0, 500, *own)
    reason = "wants TLS: give --tls_dir" if which == "none" else "our certificate is not of its CA"
    until(lambda: client.told(reason), "the client says why")
    until(lambda: aggregator.told("refused: 127.0.0.1 (port "), "the aggregator says who")
    assert federation.status()["nodes"] == {} and federation.rounds(aggregator) == []
    assert client.lives


def test_openssl_without_a_certificate_is_refused(federation: Federation, folders: dict[str, Path]) -> None:
    aggregator = federation.aggregator(f"--tls_dir={folders['aggregator']}")
    until(federation.ready, "ready")

    def connect(*more: str) -> str:
        command = [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{federation.port}",
            "-alpn",
            "h2",
            "-CAfile",
            "ca.crt",
            "-brief",
            *more,
        ]
        # kept open for a moment: with TLS 1.3 the refusal comes after the handshake
        shell = subprocess.run(
            f"sleep 1 | {' '.join(command)}", shell=True, cwd=folders["edge1"], capture_output=True, check=False
        )
        return (shell.stdout + shell.stderr).decode(errors="replace")

    handles = Path(f"/proc/{aggregator.process.pid}/fd")
    before = len(list(handles.iterdir()))
    assert "error:" in connect()
    until(lambda: aggregator.told("refused: 127.0.0.1 (port "), "the address in the log")
    assert "error:" not in connect("-cert", "tls.crt", "-key", "tls.key")
    until(lambda: len(list(handles.iterdir())) <= before, "closed connections")
