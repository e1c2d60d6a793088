# Copyright: edgefl developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private: an authority and the certificates that it signs, as files in a folder; and the Secrets that carry them to the pods.

Files: C(ca.crt), C(ca.key), and C(NAME/tls.crt), C(NAME/tls.key) of each certificate. Keys never leave the host but in a Secret.
Profiles follow RFC 5280: the names are in subjectAltName, and a client's certificate cannot serve.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import json
import os
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.edgefl.kubeedge.plugins.module_utils._core.errors import EdgeflError
from ansible_collections.edgefl.kubeedge.plugins.module_utils._federation.deployed import FINGERPRINT
from ansible_collections.edgefl.kubeedge.plugins.module_utils._kubernetes.kubectl import Kubectl

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:
    IMPORT_ERROR = traceback.format_exc()
else:
    IMPORT_ERROR = ""

AUTHORITY_DAYS = 3650
# A node whose clock is behind must not find a new certificate not yet valid
BACKDATED = datetime.timedelta(hours=1)
LABEL = "edgefl.kubeedge/workload=tls"


@dataclass(frozen=True)
class Wanted:
    """A certificate that is to be there: `name` of its folder, C(DNS:...) and C(IP:...) `names` of its holder, and whether the holder serves, and if so
    connects to others as well.
    """

    name: str
    names: tuple[str, ...]
    server: bool = False
    client: bool = False


@dataclass(frozen=True)
class Held:
    """A certificate as it is in the folder; `reason` says why it was (or, in check mode, has to be) made, empty when it was right."""

    name: str
    reason: str
    fingerprint: str


class Authority:
    """The folder. Certificates live `days`; one that has `renew_days` or less left is made anew. Raises EdgeflError for files that are no certificates."""

    def __init__(self, folder: str, days: int, renew_days: int, now: datetime.datetime) -> None:
        if renew_days >= days:
            raise EdgeflError(
                f"Certificates of {days} days would be renewed {renew_days} days before they end, each time: let them live longer."
            )
        self.folder, self.days, self.renew_days, self.now = Path(folder), days, renew_days, now

    def ensure(self, wanted: list[Wanted], check_mode: bool) -> list[Held]:
        """Makes what is missing or does not fit, the authority first. In check mode nothing is written; what would be made has no fingerprint."""
        signer = self._signer(check_mode)
        held = []
        for one in wanted:
            reason = "the authority is new" if signer is None else self._reason(one, signer[0])
            if reason and not check_mode and signer:
                self._issue(one, signer)
            made = not reason or not check_mode
            held.append(Held(one.name, reason, self._fingerprint(one.name) if made else ""))
        return held

    def secret(self, name: str) -> dict[str, str]:
        """The C(data) of a Kubernetes Secret of type kubernetes.io/tls, with C(ca.crt)."""
        files = {"ca.crt": self.folder / "ca.crt", **{key: self.folder / name / key for key in ("tls.crt", "tls.key")}}
        return {key: base64.b64encode(path.read_bytes()).decode() for key, path in files.items()}

    def _signer(self, check_mode: bool) -> tuple[Any, Any] | None:
        """The authority's certificate and key; made when they are not there, or end before what they would sign. None in check mode then."""
        files = self.folder / "ca.crt", self.folder / "ca.key"
        if all(path.exists() for path in files):
            certificate, key = _certificate(files[0]), _key(files[1])
            if certificate.public_key() != key.public_key():
                raise EdgeflError(
                    f"{files[1]} is not the key of {files[0]}: put the right one there, or remove both, and they are made anew."
                )
            if certificate.not_valid_after_utc - self.now > datetime.timedelta(days=self.days):
                return certificate, key
        if check_mode:
            return None
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgefl training")])
        usage = x509.KeyUsage(*[each in ("key_cert_sign", "crl_sign") for each in _USAGES])
        certificate = (
            self._builder(subject, subject, key, AUTHORITY_DAYS + self.days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        self._write(certificate, key, *files)
        return certificate, key

    def _reason(self, one: Wanted, authority: Any) -> str:
        files = self.folder / one.name / "tls.crt", self.folder / one.name / "tls.key"
        if not all(path.exists() for path in files):
            return "missing"
        certificate = _certificate(files[0])
        if certificate.public_key() != _key(files[1]).public_key():
            return "its key is another's"
        try:
            certificate.verify_directly_issued_by(authority)
        except Exception:  # cryptography names three kinds of it; any means the same here
            return "signed by another authority"
        if certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value != _purpose(one):
            return "its purpose is another"
        left = (certificate.not_valid_after_utc - self.now).days
        if left <= self.renew_days:
            return f"it ends in {left} days"
        if certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value != _alternative(one.names):
            return "its names are others"
        return ""

    def _issue(self, one: Wanted, signer: tuple[Any, Any]) -> None:
        authority, signing = signer
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            # No common name: it may have 64 characters, a node's name 253
            self._builder(
                x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "edgefl")]), authority.subject, key, self.days
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(*[each == "digital_signature" for each in _USAGES]), critical=True)
            .add_extension(_purpose(one), critical=False)
            .add_extension(_alternative(one.names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
            .sign(signing, hashes.SHA256())
        )
        self._write(certificate, key, self.folder / one.name / "tls.crt", self.folder / one.name / "tls.key")

    def _builder(self, subject: Any, issuer: Any, key: Any, days: int) -> Any:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - BACKDATED)
            .not_valid_after(self.now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )

    def _write(self, certificate: Any, key: Any, certificate_file: Path, key_file: Path) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificate_file.parent.mkdir(mode=0o700, exist_ok=True)
        pem = serialization.Encoding.PEM
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        # The key first: broken off in between, the pair does not fit and is made again
        for path, content in ((key_file, secret), (certificate_file, certificate.public_bytes(pem))):
            handle, name = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)

    def _fingerprint(self, name: str) -> str:
        content = (self.folder / "ca.crt").read_bytes() + (self.folder / name / "tls.crt").read_bytes()
        return hashlib.sha256(content).hexdigest()[:16]


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _purpose(one: Wanted) -> Any:
    serves = [ExtendedKeyUsageOID.SERVER_AUTH] if one.server else []
    return x509.ExtendedKeyUsage(serves + ([ExtendedKeyUsageOID.CLIENT_AUTH] if one.client or not one.server else []))


def _alternative(names: tuple[str, ...]) -> Any:
    kinds: dict[str, Callable[[str], Any]] = {
        "DNS": x509.DNSName,
        "IP": lambda text: x509.IPAddress(ipaddress.ip_address(text)),
    }
    found: list[Any] = []
    for name in names:
        kind, _colon, value = name.partition(":")
        try:
            found.append(kinds[kind](value))
        except (KeyError, ValueError) as error:
            raise EdgeflError(
                f"{name!r} is no name for a certificate ({error}): give it like DNS:edge1 or IP:192.0.2.7."
            ) from error
    return x509.SubjectAlternativeName(found)


def _certificate(path: Path) -> Any:
    return _load(path, x509.load_pem_x509_certificate, "a certificate")


def _key(path: Path) -> Any:
    return _load(path, lambda content: serialization.load_pem_private_key(content, None), "a private key")


def _load(path: Path, parse: Any, what: str) -> Any:
    try:
        return parse(path.read_bytes())
    except (ValueError, TypeError) as error:
        raise EdgeflError(f"{path} is not {what} in PEM ({error}): remove it, and it is made anew.") from error


def apply_secrets(
    kubectl: Kubectl,
    namespace: str,
    authority: Authority,
    certificates: list[Held],
    labels: dict[str, str],
    check_mode: bool,
) -> list[str]:
    """Brings the Secrets of a namespace in line with the certificates; gives a line for each change."""
    there = {
        item["metadata"]["name"]: item["metadata"].get("annotations", {}).get(FINGERPRINT)
        for item in kubectl.get("secrets", namespace=namespace, selector=LABEL)
    }
    stale = [one for one in certificates if not one.fingerprint or there.get(one.name) != one.fingerprint]
    gone = sorted(set(there) - {one.name for one in certificates})
    if not check_mode:
        key, _equals, value = LABEL.partition("=")
        for one in stale:
            secret = {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/tls",
                "metadata": {
                    "name": one.name,
                    "namespace": namespace,
                    "labels": {**labels, key: value},
                    "annotations": {FINGERPRINT: one.fingerprint},
                },
                "data": authority.secret(one.name),
            }
            # On the server's side: the other way keeps a copy of the key in an annotation
            kubectl.call(
                ["apply", "--server-side", "--force-conflicts", "--field-manager=edgefl", "-f", "-"], json.dumps(secret)
            )
        if gone:
            kubectl.call(["delete", "secret", "-n", namespace, *gone])
    return [f"Secret {one.name}: {'renewed' if one.name in there else 'written'}" for one in stale] + [
        f"Secret {name}: removed" for name in gone
    ]
