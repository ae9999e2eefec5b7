# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The testbed's own certificate authority."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=365)
# The machine's clock and a virtual machine's may differ a little.
_BACKDATED = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class KeyPair:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a directory, made on first use.

    :param directory: where its certificate, key and everything it issues lie
    :param name: its own common name; another authority's must differ, as it is what a certificate's issuer is
        looked up by
    """

    def __init__(self, directory: Path, name: str = "hostfence-testbed") -> None:
        self._directory = directory
        self._name = name
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.pair = self._files("ca")
        if not self.pair.certificate.exists():
            self._create()
        self._certificate = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
        key = serialization.load_pem_private_key(self.pair.key.read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self._key = key

    def server(self, name: str, hosts: Sequence[str]) -> KeyPair:
        """A serving certificate.

        :param hosts: DNS names and addresses it is good for
        """
        alternatives: list[x509.GeneralName] = []
        for host in hosts:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                alternatives.append(x509.DNSName(host))
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        return self._issue(
            name, subject, ExtendedKeyUsageOID.SERVER_AUTH, x509.SubjectAlternativeName(alternatives)
        )

    def client(self, user: str, groups: Sequence[str] = ()) -> KeyPair:
        """A client certificate for a Kubernetes user.

        :param user: user name
        :param groups: groups the user is in
        """
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        return self._issue(f"client-{user.replace('/', '_')}", subject, ExtendedKeyUsageOID.CLIENT_AUTH)

    def signing_key(self, name: str) -> Path:
        """A bare private key, for ServiceAccount tokens."""
        path = self._directory / f"{name}.key"
        if not path.exists():
            _write_key(path, ec.generate_private_key(ec.SECP256R1()))
        return path

    def _files(self, name: str) -> KeyPair:
        return KeyPair(self._directory / f"{name}.crt", self._directory / f"{name}.key")

    def _create(self) -> None:
        # An API server checks its signature under a client's certificate at every request: RSA takes half the
        # time of P-256.
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)])
        certificate = (
            _builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write_key(self.pair.key, key)
        self.pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _issue(
        self,
        name: str,
        subject: list[x509.NameAttribute[str]],
        usage: x509.ObjectIdentifier,
        alternatives: x509.SubjectAlternativeName | None = None,
    ) -> KeyPair:
        pair = self._files(name)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(x509.Name(subject), self._certificate.subject, key.public_key())
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage("digital_signature"), True),
            (x509.ExtendedKeyUsage([usage]), False),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (signer, False),
        ]
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        if alternatives:
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        _write_key(pair.key, key)
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return pair


def _key_usage(*purposes: str) -> x509.KeyUsage:
    """What a key may be used for; RFC 5280 demands it of authorities, and Python 3.13 looks by default."""
    every = (
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
    return x509.KeyUsage(**{purpose: purpose in purposes for purpose in every})


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
    )


def _write_key(path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
