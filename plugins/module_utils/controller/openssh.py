# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one opener of connections to nodes: OpenSSH, and each connection new.

A connection that was kept open proves nothing: the kernel lets it live on after new ones are denied. What
Ansible's connection plugins do here depends on plugin, strategy and arguments, so each connection is a
process of its own, with multiplexing off whatever the user's arguments and configuration say.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..calico.bad_input import BadInput

# Connections that reuse or replace SSH: they make no new login from outside, or none by SSH.
SSH_CONNECTIONS = frozenset(("", "ssh", "smart", "paramiko", "paramiko_ssh", "libssh"))

# How a node is logged in to, in the argument spec of every module that does.
OPTIONS: dict[str, Any] = {
    "node": {"type": "str", "required": True},
    "host": {"type": "str", "default": ""},
    "port": {"type": "int"},
    "user": {"type": "str", "default": ""},
    "private_key_file": {"type": "str", "default": "", "no_log": False},
    "connection": {"type": "str", "default": "ssh"},
    "executable": {"type": "str", "default": "ssh"},
    "ssh_args": {"type": "str", "default": ""},
}


@dataclass(frozen=True)
class Login:
    """How a node is logged in to.

    :ivar node: its name in Kubernetes
    :ivar connection: Ansible's name of the connection that it uses
    :ivar arguments: for ssh, as the user has set them
    """

    node: str
    host: str
    port: Optional[int] = None
    user: str = ""
    private_key_file: str = ""
    connection: str = ""
    executable: str = "ssh"
    arguments: Sequence[str] = ()

    @property
    def is_local(self) -> bool:
        """Whether this machine is the node."""
        return self.connection.rpartition(".")[2] == "local"

    def problem(self) -> str:
        """Why no connection from here would prove anything, or nothing."""
        name = self.connection.rpartition(".")[2]
        if self.is_local:
            return "its connection is local: it takes no login from outside"
        if name not in SSH_CONNECTIONS:
            return f"its connection is {self.connection}, and a login by SSH would prove nothing for that"
        return ""


@dataclass(frozen=True)
class Done:
    """How one connection ended.

    :ivar status: that ssh ended with; 255 is its own
    :ivar error: why there was none, one line, or nothing
    """

    output: str = ""
    errors: str = ""
    status: int = 0
    error: str = ""

    @property
    def last_words(self) -> str:
        """Why it failed, one line."""
        said = [line.strip() for line in self.errors.splitlines() if line.strip()]
        return (said[-1] if said else f"it ended with {self.status}")[:300]


def login_fields(raw: Mapping[str, Any], place: str) -> dict[str, Any]:
    """An entry of ``OPTIONS`` as the fields of a :class:`Login`.

    :param place: where it stands, for the error
    :raises BadInput: the host or the arguments cannot be used
    """
    host = raw.get("host") or raw["node"]
    if host.startswith("-") or any(mark.isspace() for mark in host):
        raise BadInput(f"{place}.host", host, "an address or a name")
    try:
        arguments = shlex.split(raw.get("ssh_args") or "")
    except ValueError as error:
        raise BadInput(f"{place}.ssh_args", raw["ssh_args"], f"arguments as a shell reads them: {error}")
    return {
        "node": raw["node"],
        "host": host,
        "port": raw.get("port") or None,
        "user": raw.get("user") or "",
        "private_key_file": raw.get("private_key_file") or "",
        "connection": raw.get("connection") or "",
        "executable": raw.get("executable") or "ssh",
        "arguments": tuple(arguments),
    }


def command_line(login: Login, timeout: float) -> list[str]:
    """OpenSSH's, up to the command: of an option it takes the first value, of ``-S`` the last."""
    own = {
        "ControlMaster": "no",
        "ControlPath": "none",
        "ControlPersist": "no",
        "BatchMode": "yes",
        "ConnectTimeout": str(max(1, int(timeout))),
        "ConnectionAttempts": "1",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "1",
    }
    line = [login.executable, "-T", *(part for item in own.items() for part in ("-o", "=".join(item)))]
    line += login.arguments
    if login.port:
        line += ["-o", f"Port={login.port}"]
    if login.user:
        line += ["-o", f"User={login.user}"]
    if login.private_key_file:
        line += ["-o", f"IdentityFile={login.private_key_file}"]
    return [*line, "-S", "none", "--", login.host]


def run(login: Login, command: Sequence[str], *, connect: float, seconds: float, given: str = "") -> Done:
    """Run a command on a node over a connection of its own.

    :param command: its words, which the node's shell sees quoted
    :param connect: seconds for the connection
    :param seconds: for all of it, after which it and whatever it started here are ended
    :param given: what the command reads
    """
    return _run([*command_line(login, connect), shlex.join(command)], seconds, given)


def run_here(command: Sequence[str], *, seconds: float, given: str = "") -> Done:
    """Run a command on this machine, which is the node; otherwise as :func:`run`."""
    return _run(command, seconds, given)


def _run(command: Sequence[str], seconds: float, given: str) -> Done:
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return Done(error=f"cannot start {command[0]}: {error.strerror}")
    try:
        output, errors = process.communicate(given.encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Done(error=f"no answer in {seconds:g} s")
    return Done(output.decode(errors="replace"), errors.decode(errors="replace"), process.returncode)
