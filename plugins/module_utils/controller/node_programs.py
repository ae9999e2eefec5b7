# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Python programs run on nodes, each over a new connection, on all nodes at once.

Where this machine is the node, they run here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable

from . import openssh

CONNECT_SECONDS = 5
# Most of the time of each is waiting for the node.
_AT_ONCE = 64
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
            **openssh.OPTIONS,
            "python": {"type": "str", "default": "python3"},
            "become": {"type": "bool", "default": False},
        },
    },
}


@dataclass(frozen=True)
class ProgramLogin(openssh.Login):
    """How a program is started on a node.

    :ivar python: 3.9 or later
    :ivar become: by ``sudo -n``
    """

    python: str = "python3"
    become: bool = False

    @property
    def command(self) -> list[str]:
        return [*(("sudo", "-n") if self.become else ()), self.python, "-c", _BOOT]


@dataclass(frozen=True)
class Answer:
    """What a program printed, or why there is nothing.

    :ivar error: one line; empty where the program ran to its end
    """

    document: Any = None
    error: str = ""


def logins(given: Iterable[Mapping[str, Any]]) -> dict[str, ProgramLogin]:
    """The option ``nodes`` by node.

    :raises BadInput: one of them cannot be used
    """
    found = {}
    for index, raw in enumerate(given):
        fields = openssh.login_fields(raw, f"nodes[{index}]")
        python = raw.get("python") or "python3"
        found[raw["node"]] = ProgramLogin(**fields, python=python, become=bool(raw.get("become")))
    return found


def run_on(
    targets: Iterable[ProgramLogin],
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


def _run(login: ProgramLogin, program: str, parameters: Mapping[str, Any], seconds: float) -> Answer:
    problem = "" if login.is_local else login.problem()
    if problem:
        return Answer(error=f"{login.node}: {problem}")
    given = json.dumps({"program": program, "parameters": parameters}) + "\n"
    if login.is_local:
        done = openssh.run_here(login.command, seconds=seconds, given=given)
    else:
        done = openssh.run(login, login.command, connect=CONNECT_SECONDS, seconds=seconds, given=given)
    if done.error:
        return Answer(error=f"{login.node}: {done.error}")
    if done.status:
        return Answer(error=f"{login.node}: SSH to {login.host}: {done.last_words}")
    try:
        return Answer(json.loads(done.output.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        return Answer(error=f"{login.node}: no JSON but {done.output[-200:]!r}")
