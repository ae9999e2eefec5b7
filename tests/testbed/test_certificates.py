# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The testbed's certificates, and what is said of those that are not accepted, by real TLS handshakes."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import sys
import threading
from pathlib import Path

import pytest
import urllib3
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster, NoAnswer
from cryptography import x509

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from testbed import pki
from testbed.api import write_kubeconfig
from testbed.pki import Authority

RFC_5280 = "Python 3.13 and newer check"


@contextlib.contextmanager
def serving(pair, clients=None):
    """A TLS server on a free port; it says nothing once the handshake is done."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(clients)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _peer = listener.accept()
                with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as one:
                    one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        # Closing alone would not wake who waits in accept().
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def strict_context(authority):
    """What Python 3.13 makes by default."""
    context = ssl.create_default_context(cafile=authority)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def handshake(context, port):
    plain = socket.create_connection(("127.0.0.1", port))
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as one:
        return one.recv(15)


def message(authority_file, authority, port, tmp_path, server="127.0.0.1"):
    user = authority.client("somebody")
    kubeconfig = write_kubeconfig(
        tmp_path / "kubeconfig", f"https://{server}:{port}", authority_file, user.certificate, user.key
    )
    with pytest.raises(NoAnswer) as caught:
        Cluster.of_options({"kubeconfig": str(kubeconfig)}).get("/version")
    return str(caught.value)


def test_certificates_of_the_testbed_pass_the_strict_check_on_both_sides(tmp_path):
    authority = Authority(tmp_path / "pki")
    context = strict_context(authority.pair.certificate)
    user = authority.client("somebody", ["a-group"])
    context.load_cert_chain(user.certificate, user.key)
    with serving(authority.server("api", ["127.0.0.1", "localhost"]), authority.pair.certificate) as port:
        assert handshake(context, port) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("left_out", ["AuthorityKeyIdentifier", "SubjectKeyIdentifier", "KeyUsage"])
def test_what_the_strict_check_misses_is_named(left_out, tmp_path, monkeypatch):
    # Every certificate without one of its extensions, as the testbed's were.
    add = x509.CertificateBuilder.add_extension
    monkeypatch.setattr(
        x509.CertificateBuilder,
        "add_extension",
        lambda self, one, critical: self if type(one).__name__ == left_out else add(self, one, critical),
    )
    authority = Authority(tmp_path / "pki")
    # urllib3 makes a strict context from Python 3.13 on; before, it is asked to.
    make = urllib3.util.ssl_.create_urllib3_context

    def strict(*args, **kwargs):
        context = make(*args, **kwargs)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr("urllib3.connection.create_urllib3_context", strict)
    with serving(authority.server("api", ["127.0.0.1"])) as port:
        said = message(authority.pair.certificate, authority, port, tmp_path)
    assert RFC_5280 in said
    words = {"AuthorityKeyIdentifier": "Authority Key Identifier", "KeyUsage": "key usage"}
    assert words.get(left_out, "Subject Key Identifier").lower() in said.lower()
    assert "certificate-authority-data" not in said


def test_another_authority(tmp_path):
    authority, other = Authority(tmp_path / "pki"), Authority(tmp_path / "other")
    with serving(other.server("api", ["127.0.0.1"])) as port:
        said = message(authority.pair.certificate, authority, port, tmp_path)
    assert "its certificate is not accepted: " in said
    assert "check certificate-authority-data" in said


def test_another_name(tmp_path):
    authority = Authority(tmp_path / "pki")
    with serving(authority.server("api", ["api.example.org"])) as port:
        said = message(authority.pair.certificate, authority, port, tmp_path)
    assert "IP address mismatch, certificate is not valid for '127.0.0.1'" in said
    assert "set tls-server-name" in said


def test_an_expired_one(tmp_path, monkeypatch):
    authority = Authority(tmp_path / "pki")
    monkeypatch.setattr(pki, "_LIFETIME", datetime.timedelta(seconds=-60))
    with serving(authority.server("api", ["127.0.0.1"])) as port:
        said = message(authority.pair.certificate, authority, port, tmp_path)
    assert "not accepted: certificate has expired: renew the certificate" in said


def test_no_tls_at_all(tmp_path):
    authority = Authority(tmp_path / "pki")
    with socket.create_server(("127.0.0.1", 0)) as plain:
        thread = threading.Thread(target=_answer_in_the_clear, args=[plain], daemon=True)
        thread.start()
        said = message(authority.pair.certificate, authority, plain.getsockname()[1], tmp_path)
        plain.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert "no TLS connection: check that the kubeconfig's server is an https address" in said


def _answer_in_the_clear(listener):
    with contextlib.suppress(OSError):
        while True:
            connection, _peer = listener.accept()
            with connection:
                connection.recv(10)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
