# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real OpenSSH server on loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.controller.logins import Target

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
needs_sshd = pytest.mark.skipif(
    not os.access(SSHD, os.X_OK) or os.geteuid() != 0, reason="OpenSSH's server runs as root only"
)


@contextmanager
def ssh_server(place: Path) -> Iterator[Server]:
    os.makedirs("/run/sshd", exist_ok=True)
    found = Server(place)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()


class Server:
    """A server that takes one key, and what a client needs for it."""

    def __init__(self, place) -> None:
        self.place = place
        for name in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)], check=True
            )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (place / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nStrictModes no\nUsePAM no\n"
            f"AuthorizedKeysFile {place}/user.pub\nPidFile none\nPermitRootLogin prohibit-password\n"
            "MaxStartups 500\n"
        )
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(place / "sshd_config")])
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("sshd does not listen")

    def target(self, *arguments: str, **more: object) -> Target:
        base = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        given = Target("node1", "127.0.0.1", self.port, getpass.getuser(), str(self.place / "user"))
        return replace(given, arguments=[*base, *arguments], **more)

    def stop_listening(self) -> None:
        """New connections are refused; those that are open go on."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def node(self, name: str, python: str) -> dict[str, Any]:
        """How the modules log in to it."""
        return {
            "node": name,
            "host": "127.0.0.1",
            "port": self.port,
            "private_key_file": str(self.place / "user"),
            "ssh_args": "-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
            "python": python,
        }
