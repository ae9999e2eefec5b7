# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs roles and playbooks of the collection as an installer does: ansible-playbook, on the controller."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.signals import heed_signals

ROOT = Path(__file__).resolve().parent.parent.parent
_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
# molecule asks for colours.
_COLOURLESS = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}


# The head of a play whose modules run here, by the Python of Ansible itself.
ON_THE_CONTROLLER: dict[str, Any] = {
    "hosts": "localhost",
    "gather_facts": False,
    "vars": {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    },
}


@dataclass(frozen=True)
class Run:
    """What became of it.

    :ivar changed: number of changed tasks; -1 where the run did not get as far as the recap
    """

    code: int
    changed: int
    output: str

    @property
    def text(self) -> str:
        """The output on one line, as wrapping differs with the message."""
        return " ".join(self.output.split())


def run_roles(
    kubeconfig: str,
    roles: Sequence[str],
    *flags: str,
    groups: dict[str, list[str]] | None = None,
    head: dict[str, Any] | None = None,
    **variables: Any,
) -> Run:
    """Run roles in one play.

    :param groups: inventory groups and their hosts
    :param head: what the play's head says otherwise, such as ``{"serial": 1}``
    """
    play = {**ON_THE_CONTROLLER, **(head or {}), "roles": [f"hostfence.calico.{role}" for role in roles]}
    inventory = {name: {"hosts": {host: {} for host in hosts}} for name, hosts in (groups or {}).items()}
    with tempfile.TemporaryDirectory(prefix="hostfence-role-") as directory:
        place = Path(directory)
        (place / "play.json").write_text(json.dumps([play]))
        (place / "hosts.json").write_text(
            json.dumps({"all": {"hosts": {"localhost": {}}, "children": inventory}})
        )
        process = start_playbook(
            kubeconfig, place / "play.json", *flags, inventory=str(place / "hosts.json"), **variables
        )
        return end_of(process)


def run_playbook(kubeconfig: str, playbook: str, *flags: str, **variables: Any) -> Run:
    """Run a playbook of the repository, named by its path, with no hosts but the controller."""
    return end_of(start_playbook(kubeconfig, ROOT / playbook, *flags, **variables))


def start_playbook(
    kubeconfig: str,
    playbook: Path,
    *flags: str,
    inventory: str = "localhost,",
    **variables: Any,
) -> subprocess.Popen[str]:
    """Start ansible-playbook with all its modules in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [str(_PLAYBOOK), "-i", inventory, str(playbook), "-e", json.dumps(variables), *flags],
        env={**os.environ, **_COLOURLESS, "K8S_AUTH_KUBECONFIG": kubeconfig},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
        preexec_fn=heed_signals,
    )


def end_of(process: subprocess.Popen[str], *, within: float | None = None) -> Run:
    """Wait for a playbook to end.

    :param within: seconds after which it is killed, and counts as failed
    """
    try:
        output, _none = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _none = process.communicate()
        raise AssertionError(f"not at its end after {within} s: {output[-1500:]}")
    changed = re.search(r"changed=(\d+)", output)
    return Run(process.returncode, int(changed[1]) if changed else -1, output)
