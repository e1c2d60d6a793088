"""Certificates of kubelets, as metrics-server would see them, by real servers on loopback."""

from __future__ import annotations

import datetime
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError, Transient
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.certificates import Authority, Wanted
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubelets import refused

NOW = datetime.datetime.now(datetime.timezone.utc)


def signed(folder: Path, address: str) -> Path:
    """A folder with an authority, and in `kubelet` a certificate of its for an address."""
    Authority(str(folder), 30, 1, NOW).ensure([Wanted("kubelet", (f"IP:{address}",), server=True)], check_mode=False)
    return folder


@pytest.fixture
def authorities(tmp_path: Path) -> dict[str, Path]:
    return {
        "cluster": signed(tmp_path / "cluster", "127.0.0.1"),
        "of another": signed(tmp_path / "another", "127.0.0.1"),
        "for another": signed(tmp_path / "cluster2", "127.0.0.9"),
    }


class Kubelet:
    """Accepts connections by TLS until it is closed."""

    def __init__(self, folder: Path) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "kubelet/tls.crt", folder / "kubelet/tls.key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                connection, _peer = self.listener.accept()
            except OSError:
                return
            with connection:
                try:
                    self.context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    continue


@pytest.fixture
def kubelets(authorities: dict[str, Path]) -> Iterator[dict[str, Kubelet]]:
    running = {name: Kubelet(folder) for name, folder in authorities.items()}
    yield running
    for one in running.values():
        one.listener.shutdown(socket.SHUT_RDWR)
        one.listener.close()


def cluster(authority: str | None, ports: dict[str, int], address: str = "127.0.0.1") -> Kubectl:
    """A cluster that publishes an authority, whose nodes have their kubelets at some ports."""
    items = [
        {
            "metadata": {"name": name},
            "status": {
                "addresses": [{"type": "InternalIP", "address": address}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            },
        }
        for name, port in ports.items()
    ]

    def run(command: list[str], **_more: Any) -> tuple[int, str, str]:
        if "configmap" in command:
            return 0, "" if authority is None else json.dumps({"data": {"ca.crt": authority}}), ""
        return 0, json.dumps({"items": items}), ""

    return Kubectl(run, "/k")


def test_only_certificates_of_the_cluster_for_the_address_pass(
    kubelets: dict[str, Kubelet], authorities: dict[str, Path]
) -> None:
    ports = {name: one.port for name, one in kubelets.items()}
    bad, silent = refused(cluster((authorities["cluster"] / "ca.crt").read_text(), ports))
    assert sorted(bad) == ["for another", "of another"]
    assert "certificate" in bad["of another"] and str(ports["of another"]) in bad["of another"]
    assert silent == {}


def test_a_certificate_for_another_address_is_refused(authorities: dict[str, Path]) -> None:
    kubelet = Kubelet(authorities["for another"])
    bad, _silent = refused(cluster((authorities["for another"] / "ca.crt").read_text(), {"edge1": kubelet.port}))
    kubelet.listener.close()
    assert "127.0.0.1" in bad["edge1"] and "mismatch" in bad["edge1"]


def test_of_who_does_not_answer_nothing_is_known(authorities: dict[str, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ports = {"closed": 1, "mute": mute.getsockname()[1], "new": 0}
        bad, silent = refused(cluster((authorities["cluster"] / "ca.crt").read_text(), ports), timeout=0.3)
    assert bad == {}
    assert sorted(silent) == ["closed", "mute", "new"]


def test_a_new_cluster_is_waited_for() -> None:
    with pytest.raises(Transient, match="has not yet published its CA"):
        refused(cluster(None, {}))


def test_what_is_no_authority_is_told() -> None:
    with pytest.raises(EdgeflError, match="holds no certificate in PEM"):
        refused(cluster("nonsense", {}))
