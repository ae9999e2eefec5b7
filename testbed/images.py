# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The container images of the testbed, made here from packages of Debian or Ubuntu: no registry is asked."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import re
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.binaries import Say, cache_directory, locked_cache
from testbed.commands import run
from testbed.download import ARCHITECTURES
from testbed.errors import TestbedError
from testbed.packages import candidate, unpack

# Part of the files' names: another recipe makes other files.
_RECIPE = 2
_REPOSITORY = "hostfence.test"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# As process 1 a shell ignores what it has no trap for.
_PAUSE = "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done"
# Distributions name some libraries otherwise: the first name that apt knows is taken.
_LIBRARIES = (
    ("libc6",),
    ("libgcc-s1",),
    ("zlib1g",),
    ("libexpat1",),
    ("libssl3t64", "libssl3", "libssl1.1"),
    ("libzstd1",),
    ("libffi8", "libffi7"),
    ("libbz2-1.0",),
    ("liblzma5",),
    ("libuuid1",),
)
_NEEDED = "import ctypes, http.client, json, ssl, uuid, zlib"
# What Debian 12's packages still keep beside usr, and newer ones no more.
_MERGED = ("bin", "sbin", "lib", "lib64")
# busybox --list would have to be run, which another architecture could not.
# fmt: off
_APPLETS = (
    "[", "awk", "basename", "cat", "chmod", "cp", "cut", "date", "df", "dirname", "du", "echo", "env",
    "expr", "false", "find", "free", "grep", "head", "hostname", "id", "ip", "kill", "ln", "ls", "mkdir",
    "mktemp", "mv", "nc", "netstat", "nslookup", "ping", "printenv", "printf", "ps", "pwd", "readlink", "rm",
    "rmdir", "sed", "seq", "sh", "sleep", "sort", "stat", "tail", "tar", "tee", "test", "timeout", "top",
    "touch", "tr", "true", "uname", "uniq", "vi", "wc", "wget", "which", "whoami", "xargs", "yes",
)
# fmt: on


@dataclass(frozen=True)
class Image:
    """An image in an OCI archive.

    :param name: repository and tag
    :param digest: of its manifest, ``sha256:…``
    :param archive: the file; imported, it is known by tag and by digest
    """

    name: str
    digest: str
    archive: Path

    @property
    def pinned(self) -> str:
        """The name under which exactly this image is meant."""
        return f"{self.name}@{self.digest}"


def pause(say: Say) -> Image:
    """What holds a pod's namespaces; it also is the program of place holders."""
    return _image(
        f"{_REPOSITORY}/pause:{_RECIPE}", ("busybox-static",), {"Entrypoint": ["/bin/sh", "-c", _PAUSE]}, say
    )


def python(say: Say) -> Image:
    """A stock Python image, with this distribution's Python.

    :raises TestbedError: apt knows none
    """
    version = _python_version()
    packages = (
        f"python{version}-minimal",
        f"libpython{version}-minimal",
        f"libpython{version}-stdlib",
        "busybox-static",
        *(_first_known(names) for names in _LIBRARIES),
    )
    return _image(f"{_REPOSITORY}/python:{version}", packages, {"Cmd": ["python3"]}, say)


def _python_version() -> str:
    found = re.match(r"(?:\d+:)?(3\.\d+)", candidate("python3-minimal"))
    if not found:
        raise TestbedError("no image with Python can be made: apt knows no package python3-minimal")
    return found[1]


def _first_known(names: Sequence[str]) -> str:
    for name in names:
        if candidate(name):
            return name
    raise TestbedError(f"no image with Python can be made: apt knows none of {', '.join(names)}")


def _image(name: str, packages: Sequence[str], config: dict[str, Any], say: Say) -> Image:
    directory = cache_directory() / "images"
    stem = f"{name.rpartition('/')[2].replace(':', '-')}-{_RECIPE}"
    archive, digest = directory / f"{stem}.tar", directory / f"{stem}.digest"
    if not digest.exists():
        with locked_cache():
            _make(archive, digest, name, packages, config, say)
    return Image(name, digest.read_text(), archive)


def _make(
    archive: Path, digest: Path, name: str, packages: Sequence[str], config: dict[str, Any], say: Say
) -> None:
    if digest.exists():
        return
    archive.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="build-") as work:
        root = Path(work, "root")
        _fill(root, packages, say)
        described = _write_archive(archive, name, root, config)
    # Last and at once: where it is, the archive is whole.
    new = digest.with_suffix(".new")
    new.write_text(described)
    new.rename(digest)


def _fill(root: Path, packages: Sequence[str], say: Say) -> None:
    """Makes a root file system of packages."""
    root.mkdir()
    unpack(packages, root, say)
    for directory in _MERGED:
        _merge(root, directory)
    for applet in _APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    for python in root.glob("usr/bin/python3.*"):
        (root / "usr/bin/python3").symlink_to(python.name)
        # Of another distribution it may lack a library that none of ours needs.
        run(["chroot", str(root), "/usr/bin/python3", "-c", _NEEDED])
    for unused in ("doc", "man", "locale", "lintian", "bash-completion"):
        shutil.rmtree(root / "usr/share" / unused, ignore_errors=True)
    for directory in ("dev", "etc", "proc", "root", "run", "sys", "tmp", "var/tmp"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nnonroot:x:65532:65532::/tmp:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nnonroot:x:65532:\n")


def _merge(root: Path, directory: str) -> None:
    """Makes /lib and the like what they are on every distribution of today: links into /usr."""
    apart, merged = root / directory, root / "usr" / directory
    merged.mkdir(parents=True, exist_ok=True)
    if apart.is_dir():
        shutil.copytree(apart, merged, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(apart)
    apart.symlink_to(f"usr/{directory}")


def _write_archive(path: Path, name: str, root: Path, config: dict[str, Any]) -> str:
    """Writes an OCI archive (OCI Image Layout Specification 1.0); returns the digest of its manifest."""
    architecture = ARCHITECTURES.get(platform.machine())
    if not architecture:
        raise TestbedError(f"no image for the architecture {platform.machine()}: amd64 and arm64 have one")
    layer = _layer(root)
    image = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": [f"PATH={_PATH}"], **config},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    blobs = {"config": _json(image), "layer": layer}
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", blobs["config"]),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
        }
    )
    described = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    names = (name, f"{name.rpartition(':')[0]}@{described['digest']}")
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{**described, "annotations": {"io.containerd.image.name": one}} for one in names],
    }
    with tarfile.open(path, "w") as archive:
        _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", _json(index))
        for blob in (*blobs.values(), manifest):
            _add(archive, f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}", blob)
    digest: str = described["digest"]
    return digest


def _layer(root: Path) -> bytes:
    """The same tree gives the same bytes, so that the digest says something."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as layer:
        for path in sorted(root.rglob("*")):
            layer.add(path, str(path.relative_to(root)), recursive=False, filter=plain)
    return content.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
