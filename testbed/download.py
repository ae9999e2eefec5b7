# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ready-made programs of Kubernetes and etcd, from where their projects publish them with checksums."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_KUBERNETES = "https://dl.k8s.io/release"
_ETCD = "https://github.com/etcd-io/etcd/releases/download"
# For the whole look, as long as nothing comes: a network that drops what leaves it must not cost minutes.
_SILENT_SECONDS = 5


class NotDownloadedError(Exception):
    """Why there is no ready-made program; it can still be built."""


def wanted() -> bool:
    """Whether ready-made programs may be asked for; ``HOSTFENCE_DOWNLOAD=no`` forbids it."""
    return os.environ.get("HOSTFENCE_DOWNLOAD", "yes") != "no"


def fetch(name: str, version: str, target: Path) -> None:
    """Downloads a program and checks it against the checksum that is published with it.

    :param version: tag of its release
    :param target: file to write, executable
    :raises NotDownloadedError: it cannot be had, or is not what its checksum says
    """
    machine = ARCHITECTURES.get(platform.machine())
    if not machine:
        raise NotDownloadedError(f"nothing is published for {platform.machine()}")
    try:
        program = _etcd(version, machine) if name == "etcd" else _kubernetes(name, version, machine)
    except (OSError, tarfile.TarError, KeyError) as error:
        raise NotDownloadedError(" ".join(str(error).split()) or type(error).__name__)
    target.write_bytes(program)
    target.chmod(0o755)


def _kubernetes(name: str, version: str, machine: str) -> bytes:
    url = f"{_KUBERNETES}/{version}/bin/linux/{machine}/{name}"
    checksum = _get(f"{url}.sha256").decode(errors="replace").split()
    return _checked(_get(url), checksum[0] if checksum else "", url)


def _etcd(version: str, machine: str) -> bytes:
    directory = f"etcd-{version}-linux-{machine}"
    url = f"{_ETCD}/{version}/{directory}.tar.gz"
    published = _get(f"{_ETCD}/{version}/SHA256SUMS").decode(errors="replace")
    found = re.search(rf"^([0-9a-f]{{64}})  {re.escape(directory)}\.tar\.gz$", published, re.MULTILINE)
    archive = _checked(_get(url), found[1] if found else "", url)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        program = files.extractfile(f"{directory}/etcd")
        if program is None:
            raise NotDownloadedError(f"{url} holds no etcd")
        return program.read()


def _checked(content: bytes, checksum: str, url: str) -> bytes:
    if hashlib.sha256(content).hexdigest() != checksum:
        raise NotDownloadedError(f"{url} is not what its published checksum says")
    return content


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_SILENT_SECONDS) as answer:
        content: bytes = answer.read()
    return content
