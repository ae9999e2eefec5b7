# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way from the machine to the nodes: keys, ssh_config, known hosts, an inventory.

All of it is written into the run directory; nothing of the user's own configuration is read or changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from testbed.commands import run
from testbed.state import NodeRecord

_SSHD = """\
Port 22
AddressFamily any
HostKey {key}
AuthorizedKeysFile {authorized}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PidFile none
PrintMotd no
Subsystem sftp internal-sftp
"""

_SSH_HOST = """\
Host {patterns}
  HostName {address}
  ProxyCommand nsenter --net=/run/netns/{netns} socat - {proxy}
"""

_SSH_ALL = """\
Host *
  User root
  IdentityFile {key}
  IdentitiesOnly yes
  UserKnownHostsFile {known}
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  LogLevel ERROR
  # The newest exchange of keys takes six times the processor time of all else in a login.
  KexAlgorithms curve25519-sha256
"""


def make_keys(directory: Path) -> None:
    """Makes the one key that logs in everywhere."""
    (directory / "ssh").mkdir(mode=0o700, parents=True, exist_ok=True)
    _keygen(directory / "ssh" / "id_ed25519", "hostfence-testbed")
    (directory / "ssh" / "authorized_keys").write_bytes((directory / "ssh" / "id_ed25519.pub").read_bytes())


def configure_server(directory: Path, node: Path) -> None:
    """Writes a node's host key and sshd_config."""
    _keygen(node / "host_key", node.name)
    configuration = _SSHD.format(key=node / "host_key", authorized=directory / "ssh" / "authorized_keys")
    (node / "sshd_config").write_text(configuration)


def write_client(directory: Path, nodes: Sequence[NodeRecord], netns: str) -> None:
    """Writes ssh_config, known_hosts, the nodes' /etc/hosts and the inventory."""
    known = directory / "ssh" / "known_hosts"
    known.write_text("".join(_known_host(directory, node) for node in nodes))
    blocks = []
    for node in nodes:
        # TCP6 wants the address in brackets, and %h has none.
        for patterns, address, proxy in (
            (f"{node.name} {node.ipv4}", node.ipv4, "TCP:%h:%p"),
            (node.ipv6, node.ipv6, "TCP6:[%h]:%p"),
        ):
            blocks.append(_SSH_HOST.format(patterns=patterns, address=address, netns=netns, proxy=proxy))
    blocks.append(_SSH_ALL.format(key=directory / "ssh" / "id_ed25519", known=known))
    (directory / "ssh_config").write_text("\n".join(blocks))
    write_hosts(directory, nodes)
    (directory / "inventory.yml").write_text(yaml.safe_dump(_inventory(directory, nodes), sort_keys=False))


def _inventory(directory: Path, nodes: Sequence[NodeRecord]) -> dict[str, object]:
    variables = {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        # A kept connection would outlive the testbed and then hang the next one.
        "ansible_ssh_common_args": f"-F {directory / 'ssh_config'} -o ControlMaster=no -o ControlPath=none",
    }
    hosts = {node.name: {"ansible_host": node.ipv4} for node in nodes}
    local = {"localhost": {"ansible_connection": "local"}}
    return {"all": {"hosts": local, "children": {"nodes": {"hosts": hosts, "vars": variables}}}}


def write_hosts(directory: Path, nodes: Sequence[NodeRecord]) -> None:
    """Writes the /etc/hosts of all nodes."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    lines += [f"{address} {node.name}" for node in nodes for address in (node.ipv4, node.ipv6)]
    # Written in place: the nodes have this very file mounted.
    (directory / "hosts").write_text("\n".join(lines) + "\n")


def _known_host(directory: Path, node: NodeRecord) -> str:
    key = (directory / "nodes" / node.name / "host_key.pub").read_text().split()[:2]
    return f"{node.name},{node.ipv4},{node.ipv6} {' '.join(key)}\n"


def _keygen(path: Path, comment: str) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
