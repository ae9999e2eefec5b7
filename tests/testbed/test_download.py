# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ready-made programs, from a server of our own that is laid out as the projects' ones are."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from testbed import binaries, download
from testbed.errors import TestbedError

PROGRAM = b"#!/bin/sh\necho a program\n"
MACHINE = download.ARCHITECTURES[download.platform.machine()]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def published(tmp_path, monkeypatch):
    """What the server has; the cache is empty and no other program is found."""
    root = tmp_path / "published"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(download, "_KUBERNETES", url)
    monkeypatch.setattr(download, "_ETCD", url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    yield root
    server.shutdown()
    server.server_close()


def publish_kubelet(root, checksum=None):
    directory = root / binaries.KUBERNETES / "bin" / "linux" / MACHINE
    directory.mkdir(parents=True)
    (directory / "kubelet").write_bytes(PROGRAM)
    (directory / "kubelet.sha256").write_text(checksum or hashlib.sha256(PROGRAM).hexdigest())


def test_a_ready_made_program_is_kept(published):
    publish_kubelet(published)
    said = []
    found = binaries.locate(["kubelet"], said.append)["kubelet"]
    assert (found.read_bytes(), found.stat().st_mode & 0o777) == (PROGRAM, 0o755)
    assert said == [f"downloaded kubelet {binaries.KUBERNETES} (once; kept in {found.parent})"]
    # The second time nobody is asked.
    (published / binaries.KUBERNETES).rename(published / "gone")
    assert binaries.locate(["kubelet"], said.append)["kubelet"] == found
    assert len(said) == 1


def test_etcd_out_of_its_archive(published):
    name = f"etcd-{binaries.ETCD}-linux-{MACHINE}"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo(f"{name}/etcd")
        entry.size = len(PROGRAM)
        archive.addfile(entry, io.BytesIO(PROGRAM))
    directory = published / binaries.ETCD
    directory.mkdir()
    (directory / f"{name}.tar.gz").write_bytes(packed.getvalue())
    other = f"{'0' * 64}  etcd-{binaries.ETCD}-linux-other.tar.gz\n"
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    (directory / "SHA256SUMS").write_text(f"{other}{digest}  {name}.tar.gz\n")
    assert binaries.locate(["etcd"], print)["etcd"].read_bytes() == PROGRAM


def refused(said):
    # With no Go on the PATH, building is the next thing that is tried.
    with pytest.raises(TestbedError, match=r"install Go 1.26\+, or set KUBEBUILDER_ASSETS to a directory"):
        binaries.locate(["kubelet"], said.append)
    return said


def test_what_is_not_as_its_checksum_says_is_not_used(published):
    publish_kubelet(published, checksum="0" * 64)
    [line] = refused([])
    assert "is not what its published checksum says): it is built" in line


def test_what_is_not_published_is_built(published):
    [line] = refused([])
    assert line.startswith("no ready-made kubelet")
    assert "404" in line


def test_a_server_that_cannot_be_reached(published, monkeypatch):
    monkeypatch.setattr(download, "_KUBERNETES", "http://127.0.0.1:1")
    [line] = refused([])
    assert "Connection refused" in line


def test_it_can_be_forbidden(published, monkeypatch):
    publish_kubelet(published)
    monkeypatch.setenv("HOSTFENCE_DOWNLOAD", "no")
    assert refused([]) == []
