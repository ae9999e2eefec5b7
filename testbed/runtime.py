# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where containerd, runc and the CNI plugins come from: the machine, else Debian's packages, unpacked."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from testbed.binaries import Say, cache_directory, locked_cache
from testbed.commands import PATH
from testbed.packages import unpack

_PACKAGES = ("containerd", "runc", "containernetworking-plugins")
_PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "runc")
_PLUGINS = ("bridge", "host-local", "loopback")
_PLUGIN_DIRECTORIES = ("/usr/lib/cni", "/opt/cni/bin")


@dataclass(frozen=True)
class Runtime:
    """A container runtime.

    :param path: value for ``PATH`` with which all of its programs are found
    :param plugins: directory of the CNI plugins
    """

    path: str
    plugins: Path


def locate(say: Say) -> Runtime:
    """Finds the machine's runtime if it is whole, else unpacks Debian's packages into the cache, once.

    :raises TestbedError: neither is possible
    """
    installed = _found(PATH, [Path(directory) for directory in _PLUGIN_DIRECTORIES])
    if installed:
        return installed
    with locked_cache() as cache:
        return _cached() or _unpacked(cache, say)


def _cached() -> Runtime | None:
    root = cache_directory() / "debian"
    path = os.pathsep.join([str(root / "usr/bin"), str(root / "usr/sbin"), PATH])
    return _found(path, [root / "usr/lib/cni"])


def _unpacked(cache: Path, say: Say) -> Runtime:
    new = cache / "debian.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    unpack(_PACKAGES, new, say)
    shutil.rmtree(cache / "debian", ignore_errors=True)
    # Under its name only when it is whole.
    new.rename(cache / "debian")
    found = _cached()
    assert found, "Debian's packages hold what they are known to hold"
    return found


def _found(path: str, directories: list[Path]) -> Runtime | None:
    if not all(shutil.which(program, path=path) for program in _PROGRAMS):
        return None
    for directory in directories:
        if all(os.access(directory / plugin, os.X_OK) for plugin in _PLUGINS):
            return Runtime(path, directory)
    return None
