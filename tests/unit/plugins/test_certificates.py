"""Certificates of the training: made once, renewed in time, and accepted by another program's TLS only as far as they should be."""

from __future__ import annotations

import base64
import datetime
import json
import socket
import ssl
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.certificates import (
    Authority,
    Held,
    Wanted,
    apply_secrets,
)
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.deployed import FINGERPRINT
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl

NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
SERVER = Wanted("server", ("DNS:cloud", "IP:127.0.0.1"), server=True)
EDGES = [Wanted("edge1", ("DNS:edge1",)), Wanted("edge2", ("DNS:edge2",))]
ALL = [SERVER, *EDGES]


def authority(folder: Path, days_later: float = 0, days: int = 365, renew_days: int = 30) -> Authority:
    return Authority(str(folder / "tls"), days, renew_days, NOW + datetime.timedelta(days=days_later))


def reasons(held: list[Held]) -> list[str]:
    return [one.reason for one in held]


def test_made_once(tmp_path: Path) -> None:
    first = authority(tmp_path).ensure(ALL, check_mode=False)
    assert reasons(first) == ["missing"] * 3 and len({one.fingerprint for one in first}) == 3
    second = authority(tmp_path).ensure(ALL, check_mode=False)
    assert reasons(second) == [""] * 3
    assert [one.fingerprint for one in second] == [one.fingerprint for one in first]


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    held = authority(tmp_path).ensure(ALL, check_mode=True)
    assert reasons(held) == ["the authority is new"] * 3 and not list(tmp_path.iterdir())
    authority(tmp_path).ensure(ALL[:2], check_mode=False)
    held = authority(tmp_path).ensure(ALL, check_mode=True)
    assert reasons(held) == ["", "", "missing"] and held[2].fingerprint == "" and held[0].fingerprint
    assert not (tmp_path / "tls/edge2").exists()


def test_only_root_reads_the_keys(tmp_path: Path) -> None:
    authority(tmp_path).ensure(ALL, check_mode=False)
    for path in (tmp_path / "tls").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize(("later", "reason"), [(334, ""), (335, "it ends in 30 days"), (400, "it ends in -35 days")])
def test_renewed_in_time(tmp_path: Path, later: int, reason: str) -> None:
    before = authority(tmp_path).ensure(ALL, check_mode=False)
    after = authority(tmp_path, later).ensure(ALL, check_mode=False)
    assert reasons(after) == [reason] * 3
    kept = [one.fingerprint for one in before] == [one.fingerprint for one in after]
    assert kept == (not reason)


def test_an_authority_outlives_what_it_signs(tmp_path: Path) -> None:
    authority(tmp_path).ensure(EDGES, check_mode=False)
    held = authority(tmp_path, days_later=3651).ensure(EDGES, check_mode=False)
    assert reasons(held) == ["signed by another authority"] * 2


def test_another_address_makes_another_certificate(tmp_path: Path) -> None:
    authority(tmp_path).ensure(ALL, check_mode=False)
    moved = Wanted("server", ("DNS:cloud", "IP:127.0.0.2"), server=True)
    assert reasons(authority(tmp_path).ensure([moved, *EDGES], check_mode=False)) == ["its names are others", "", ""]


def test_another_purpose_makes_another_certificate(tmp_path: Path) -> None:
    authority(tmp_path).ensure(ALL, check_mode=False)
    serving = Wanted(EDGES[0].name, EDGES[0].names, server=True)
    wanted = [ALL[0], serving, EDGES[1]]
    assert reasons(authority(tmp_path).ensure(wanted, check_mode=False)) == ["", "its purpose is another", ""]
    assert reasons(authority(tmp_path).ensure(wanted, check_mode=False)) == ["", "", ""]


def test_a_pair_that_does_not_fit_is_made_anew(tmp_path: Path) -> None:
    authority(tmp_path).ensure(ALL, check_mode=False)
    (tmp_path / "tls/edge1/tls.key").write_bytes((tmp_path / "tls/edge2/tls.key").read_bytes())
    assert reasons(authority(tmp_path).ensure(ALL, check_mode=False)) == ["", "its key is another's", ""]
    assert reasons(authority(tmp_path).ensure(ALL, check_mode=False)) == ["", "", ""]


@pytest.mark.parametrize(("file", "says"), [("ca.crt", "not a certificate"), ("edge1/tls.key", "not a private key")])
def test_a_damaged_file_is_named(tmp_path: Path, file: str, says: str) -> None:
    authority(tmp_path).ensure(ALL, check_mode=False)
    (tmp_path / "tls" / file).write_text("-----BEGIN NONSENSE-----")
    with pytest.raises(EdgeflError, match=f"{file} is {says}"):
        authority(tmp_path).ensure(ALL, check_mode=False)


def test_an_authority_with_the_wrong_key_is_refused(tmp_path: Path) -> None:
    authority(tmp_path).ensure(ALL, check_mode=False)
    (tmp_path / "tls/ca.key").write_bytes((tmp_path / "tls/edge2/tls.key").read_bytes())
    with pytest.raises(EdgeflError, match="not the key of"):
        authority(tmp_path).ensure(ALL, check_mode=False)


@pytest.mark.parametrize("name", ["edge1", "IP:nowhere", "EMAIL:a@example.org"])
def test_bad_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgeflError, match="is no name for a certificate"):
        authority(tmp_path).ensure([Wanted("x", (name,))], check_mode=False)


def test_certificates_must_live_longer_than_their_last_days(tmp_path: Path) -> None:
    with pytest.raises(EdgeflError, match="let them live longer"):
        authority(tmp_path, days=30, renew_days=30)


def shake_hands(folder: Path, server: str, client: str | None, name: str = "127.0.0.1") -> str:
    """Empty when a TLS server with one certificate and a client with another accept each other, else what the client is told."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / server / "tls.crt", folder / server / "tls.key")
    serving.load_verify_locations(folder / "ca.crt")
    serving.verify_mode = ssl.CERT_REQUIRED
    asking = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if client:
        asking.load_cert_chain(folder / client / "tls.crt", folder / client / "tls.key")
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with serving.wrap_socket(theirs, server_side=True) as connection:
                connection.sendall(b"welcome")
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with asking.wrap_socket(ours, server_hostname=name) as connection:
            return "" if connection.recv(7) == b"welcome" else "closed"
    except (ssl.SSLError, OSError) as error:
        return str(error)
    finally:
        thread.join(10)


def test_who_is_let_in(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    authority(tmp_path).ensure(ALL, check_mode=False)
    other = Authority(str(tmp_path / "other"), 365, 30, NOW)
    other.ensure(EDGES, check_mode=False)
    (folder / "stranger").symlink_to(tmp_path / "other/edge1")
    assert shake_hands(folder, "server", "edge1") == ""
    assert shake_hands(folder, "server", "edge1", name="cloud") == ""
    assert "certificate" in shake_hands(folder, "server", "edge1", name="elsewhere")
    assert shake_hands(folder, "server", None) != ""
    assert shake_hands(folder, "server", "stranger") != ""
    assert shake_hands(folder, "server", "server") != ""  # what serves cannot pass for an edge
    assert "purpose" in shake_hands(folder, "edge1", "edge2", name="edge1")  # nor an edge for the aggregator


def test_a_region_serves_and_asks(tmp_path: Path) -> None:
    north = Wanted("north", ("DNS:north", "IP:127.0.0.1"), server=True, client=True)
    authority(tmp_path).ensure([*ALL, north], check_mode=False)
    assert shake_hands(tmp_path / "tls", "server", "north") == shake_hands(tmp_path / "tls", "north", "edge1") == ""
    wanted = [Wanted("north", north.names, server=True)]
    assert reasons(authority(tmp_path).ensure(wanted, check_mode=False)) == ["its purpose is another"]


class Cluster:
    """Secrets as kubectl shows them, and what was asked of kubectl."""

    def __init__(self) -> None:
        self.secrets: dict[str, Any] = {}

    def run(self, arguments: list[str], data: str | None = None) -> tuple[int, str, str]:
        words = arguments[4:]
        if words[0] == "get":
            return 0, json.dumps({"items": list(self.secrets.values())}), ""
        if words[0] == "apply":
            assert data is not None
            item = json.loads(data)
            self.secrets[item["metadata"]["name"]] = item
        elif words[0] == "delete":
            for name in words[4:]:
                del self.secrets[name]
        return 0, "", ""


def test_secrets_follow_the_certificates(tmp_path: Path) -> None:
    cluster = Cluster()
    kubectl = Kubectl(cluster.run, "/kubeconfig")

    def bring(wanted: list[Wanted], later: int = 0, check_mode: bool = False) -> list[str]:
        made = authority(tmp_path, later)
        return apply_secrets(kubectl, "edgefl", made, made.ensure(wanted, check_mode), {"a": "b"}, check_mode)

    assert bring(ALL, check_mode=True) == ["Secret server: written", "Secret edge1: written", "Secret edge2: written"]
    assert cluster.secrets == {}
    assert len(bring(ALL)) == 3 and bring(ALL) == []
    secret = cluster.secrets["edge1"]
    assert secret["type"] == "kubernetes.io/tls" and secret["metadata"]["annotations"][FINGERPRINT]
    for key, file in (("ca.crt", "ca.crt"), ("tls.crt", "edge1/tls.crt"), ("tls.key", "edge1/tls.key")):
        assert base64.b64decode(secret["data"][key]) == (tmp_path / "tls" / file).read_bytes()
    assert bring(ALL, later=350) == ["Secret server: renewed", "Secret edge1: renewed", "Secret edge2: renewed"]
    assert bring(ALL[:2], later=350) == ["Secret edge2: removed"]
    assert set(cluster.secrets) == {"server", "edge1"}
