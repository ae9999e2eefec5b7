# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs run on nodes over OpenSSH connections of our own: each one new, never one that was kept open.

What Ansible's connection plugins do here depends on plugin, strategy and ssh_args; a proof must not.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable, Optional

CONNECT_SECONDS = 5
_AT_ONCE = 32
# OpenSSH takes the first value that it is given, so these come before the user's own.
_FRESH = (
    *("-o", "BatchMode=yes", "-o", "ControlMaster=no", "-o", "ControlPath=none"),
    *("-o", f"ConnectTimeout={CONNECT_SECONDS}", "-o", "ConnectionAttempts=1", "-T"),
)
# The program and what it is given come over standard input: nothing of it is in the node's list of processes.
_BOOT = (
    "import sys,json;_given=json.loads(sys.stdin.readline());"
    "exec(compile(_given['program'],'hostfence','exec'),"
    "{'__name__':'__main__','PARAMETERS':_given['parameters']})"
)

OPTIONS: dict[str, Any] = {
    "nodes": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "node": {"type": "str", "required": True},
            "host": {"type": "str", "required": True},
            "port": {"type": "int"},
            "user": {"type": "str"},
            "args": {"type": "str", "default": ""},
            "key": {"type": "path"},
            "python": {"type": "str", "default": "python3"},
            "become": {"type": "bool", "default": False},
        },
    },
}


@dataclass(frozen=True)
class Login:
    """How a node is logged in to."""

    node: str
    host: str
    port: Optional[int] = None
    user: Optional[str] = None
    args: str = ""
    key: Optional[str] = None
    python: str = "python3"
    become: bool = False

    def command(self) -> list[str]:
        command = ["ssh", *_FRESH, *shlex.split(self.args)]
        command += ["-p", str(self.port)] if self.port else []
        command += ["-l", self.user] if self.user else []
        command += ["-i", self.key] if self.key else []
        sudo = ["sudo", "-n"] if self.become else []
        return [*command, "--", self.host, shlex.join([*sudo, self.python, "-c", _BOOT])]


@dataclass(frozen=True)
class Answer:
    """What a program printed, or why there is nothing.

    :ivar error: one line; empty where the program ran to its end
    """

    document: Any = None
    error: str = ""


def logins(given: Iterable[Mapping[str, Any]]) -> dict[str, Login]:
    """The option ``nodes`` by node."""
    return {entry["node"]: Login(**entry) for entry in given}


def run_on(
    targets: Iterable[Login],
    program: str,
    parameters: Callable[[str], Mapping[str, Any]],
    seconds: float = 40,
) -> dict[str, Answer]:
    """Run a program on nodes in parallel, each over a connection of its own.

    :param program: Python 3.9 that finds ``PARAMETERS`` and prints one JSON document
    :param parameters: what it is given, by the node's name
    :param seconds: after which a node counts as unreachable
    """
    chosen = list(targets)
    if not chosen:
        return {}
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(chosen))) as pool:
        answers = pool.map(lambda login: _run(login, program, parameters(login.node), seconds), chosen)
        return {login.node: answer for login, answer in zip(chosen, answers)}


def _run(login: Login, program: str, parameters: Mapping[str, Any], seconds: float) -> Answer:
    given = json.dumps({"program": program, "parameters": parameters}) + "\n"
    try:
        process = subprocess.Popen(
            login.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
    except OSError as error:
        return Answer(error=f"{login.node}: ssh: {error}")
    try:
        output, errors = process.communicate(given, timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Answer(error=f"{login.node}: no answer over SSH in {seconds:.0f} s")
    if process.returncode:
        why = " ".join(errors.split())[-300:] or f"status {process.returncode}"
        return Answer(error=f"{login.node}: SSH to {login.host}: {why}")
    try:
        return Answer(json.loads(output.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        return Answer(error=f"{login.node}: no JSON but {output[-200:]!r}")
