# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the hosts of an inventory are logged in to, in the words of the modules that log in themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_SSH_ARGUMENTS = ("ssh_args", "ssh_common_args", "ssh_extra_args")


def logins_of(
    hosts: Iterable[str],
    variables: Mapping[str, Mapping[str, Any]],
    defaults: Mapping[str, str],
    *,
    programs: bool = False,
) -> list[dict[str, Any]]:
    """A login for each host, as Ansible's ssh connection would make it.

    :param variables: of each host
    :param defaults: ``ssh_args``, ``ssh_common_args``, ``ssh_extra_args`` and ``remote_user`` as configured
    :param programs: whether Python programs are to be run there, which takes an interpreter and a user
    :returns: options ``nodes`` of the modules prove and plan, with ``programs`` of enforce
    """
    return [_login(host, variables[host], defaults, programs=programs) for host in hosts]


def _login(
    host: str, own: Mapping[str, Any], defaults: Mapping[str, str], *, programs: bool
) -> dict[str, Any]:
    def first(*names: str, otherwise: Any = "") -> Any:
        return next((own[name] for name in names if name in own), otherwise)

    arguments = [first(f"ansible_{name}", otherwise=defaults[name]) for name in _SSH_ARGUMENTS]
    found = {
        "node": first("failsafes_node", otherwise=host),
        "host": first("ansible_host", "ansible_ssh_host", otherwise=host),
        "port": int(first("ansible_port", "ansible_ssh_port", otherwise=0)),
        "user": first("ansible_user", "ansible_ssh_user", otherwise=defaults["remote_user"]),
        "private_key_file": first("ansible_ssh_private_key_file", "ansible_private_key_file"),
        "connection": first("ansible_connection", otherwise="ssh"),
        "executable": first("ansible_ssh_executable", otherwise="ssh"),
        "ssh_args": " ".join(str(text) for text in arguments if text),
    }
    if not programs:
        return found
    python = str(first("ansible_python_interpreter", otherwise="auto"))
    become = str(first("ansible_become", otherwise=False)).lower() in ("true", "yes", "1", "on")
    # Which interpreter there is, "auto" leaves to Ansible.
    return {**found, "python": "python3" if python.startswith("auto") else python, "become": become}
