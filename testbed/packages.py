# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs of the machine that the testbed runs on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from testbed.binaries import Say
from testbed.commands import run
from testbed.errors import TestbedError

_SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
# Program -> Debian's package of it.
_PACKAGES = {
    "ip": "iproute2",
    "iptables-nft": "iptables",
    "iptables-legacy": "iptables",
    "nft": "nftables",
    "ipset": "ipset",
    "conntrack": "conntrack",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "socat": "socat",
    "modprobe": "kmod",
    "sysctl": "procps",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}


def require(say: Say) -> None:
    """Makes sure that every program is there, installing packages where apt-get can.

    :raises TestbedError: something is missing and stays so
    """
    missing = _missing()
    if not missing:
        return
    names = " ".join(missing)
    if not shutil.which("apt-get"):
        raise TestbedError(f"missing programs: install the equivalent of Debian's packages {names}")
    say(f"installing Debian packages: {names}")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    for command in (["apt-get", "update"], install):
        done = _apt(command)
    if done.returncode or _missing():
        lines = done.stderr.strip().splitlines() or ["apt-get gave no reason"]
        raise TestbedError(f"packages {names} could not be installed: {lines[-1]}")


def candidate(name: str) -> str:
    """The version of a package that apt would install; empty where it knows none, or there is no apt."""
    if not shutil.which("apt-cache"):
        return ""
    said = _apt(["apt-cache", "policy", name]).stdout
    found = re.search(r"Candidate: (\S+)", said)
    return found[1] if found and found[1] != "(none)" else ""


def unpack(names: Sequence[str], target: Path, say: Say) -> None:
    """Unpacks Debian packages into a directory: nothing is installed, so nothing is started or configured.

    :param names: packages, without what they depend on
    :raises TestbedError: one cannot be had
    """
    if not shutil.which("apt-get"):
        raise TestbedError(f"Debian packages are needed and there is no apt-get: {' '.join(names)}")
    say(f"fetching Debian packages: {' '.join(names)}")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="packages-") as work:
        # As the sandbox user, apt could not write into our directory.
        download = ["apt-get", "--option", "APT::Sandbox::User=root", "download", *names]
        done = _apt(download, work)
        if done.returncode:
            # The lists are older than what the mirrors hold, or there are none yet.
            _apt(["apt-get", "update"], work)
            done = _apt(download, work)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["apt-get gave no reason"]
            raise TestbedError(f"packages {' '.join(names)} cannot be downloaded: {lines[-1]}")
        for package in sorted(Path(work).glob("*.deb")):
            run(["dpkg-deb", "--extract", str(package), str(target)])


def _apt(command: Sequence[str], directory: str | None = None) -> subprocess.CompletedProcess[str]:
    # openssh-server would start the machine's own sshd; the nodes need the program only.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1", "LC_ALL": "C"}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def _missing() -> list[str]:
    return sorted(
        {package for program, package in _PACKAGES.items() if not shutil.which(program, path=_SEARCH)}
    )
