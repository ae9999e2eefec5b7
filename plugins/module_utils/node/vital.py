# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find out on the node which API servers, Typha, DNS and time servers and SSH port it really uses."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ..calico.failsafe.vital_paths import Target, VitalFacts
from .kernel import process_name, processes

KUBECONFIGS = (
    "/etc/kubernetes/kubelet.conf",
    "/var/lib/kubelet/kubeconfig",
    "/etc/cni/net.d/calico-kubeconfig",
    "/var/lib/rancher/rke2/agent/kubelet.kubeconfig",
    "/var/lib/rancher/k3s/agent/kubelet.kubeconfig",
)
RESOLVERS = ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")
TIME_DAEMONS = (
    "/etc/chrony/chrony.conf",
    "/etc/chrony.conf",
    "/etc/chrony/sources.d/*.sources",
    "/etc/ntp.conf",
    "/etc/ntpsec/ntp.conf",
    "/etc/systemd/timesyncd.conf",
    "/etc/systemd/timesyncd.conf.d/*.conf",
)
API_CLIENTS = frozenset(("kubelet", "calico-node", "calico-felix", "kube-proxy"))
API_PORTS = frozenset((443, 6443))
TYPHA_PORT = 5473
ETCD_PORTS = frozenset((2379, 2380))

_SERVER = re.compile(r"^\s*server:\s*[\"']?https?://(\[[0-9a-fA-F:]+\]|[^:/\s\"']+)(?::(\d+))?", re.MULTILINE)
_NAMESERVER = re.compile(r"^\s*nameserver\s+(\S+)", re.MULTILINE)
_TIME_SERVER = re.compile(r"^\s*(?:server|pool|peer)\s+(\S+)", re.MULTILINE)
_TIMESYNCD = re.compile(r"^\s*NTP=(.*)$", re.MULTILINE)
_LISTEN, _ESTABLISHED = 0x0A, 0x01


@dataclass(frozen=True)
class Socket:
    """A TCP socket of /proc/net/tcp or tcp6."""

    state: int
    local: Target
    remote: Target
    inode: str


def facts() -> VitalFacts:
    """Look at this machine's configuration and sockets; what cannot be read is left out."""
    sockets = list(_sockets())
    clients = _inodes_of(API_CLIENTS)
    established = [item for item in sockets if item.state == _ESTABLISHED and not _loopback(item.remote[0])]
    ours = [item for item in established if item.inode in clients]
    listening = frozenset(
        item.local for item in sockets if item.state == _LISTEN and not _loopback(item.local[0])
    )
    return VitalFacts(
        api=tuple(
            sorted({*_configured_api(), *(item.remote for item in ours if item.remote[1] in API_PORTS)})
        ),
        typha=tuple(sorted({item.remote for item in ours if item.remote[1] == TYPHA_PORT})),
        dns=tuple(_dns()),
        ntp=tuple(sorted(set(_ntp()))),
        ssh=tuple(sorted(_ssh_ports(sockets))),
        etcd_peers=tuple(sorted({item.remote for item in established if item.remote[1] in ETCD_PORTS})),
        listening=listening,
    )


def _configured_api() -> Iterator[Target]:
    for path in KUBECONFIGS:
        for host, port in _SERVER.findall(_text(path)):
            for address in _resolve(host.strip("[]")):
                if not _loopback(address):
                    yield address, int(port or 443)


def _resolve(host: str) -> list[str]:
    with contextlib.suppress(OSError):
        return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
    return []


def _dns() -> list[str]:
    for path in RESOLVERS:
        found = [address for address in _NAMESERVER.findall(_text(path)) if not _loopback(address)]
        if found:
            return found
    return []


def _ntp() -> Iterator[str]:
    for pattern in TIME_DAEMONS:
        for path in sorted(glob.glob(pattern)):
            text = _text(path)
            names = _TIME_SERVER.findall(text)
            names += [name for line in _TIMESYNCD.findall(text) for name in line.split()]
            for name in names:
                yield from (address for address in _resolve(name) if not _loopback(address))


def _ssh_ports(sockets: list[Socket]) -> set[int]:
    daemons = _inodes_of(frozenset(("sshd",)))
    ports = {item.local[1] for item in sockets if item.state == _LISTEN and item.inode in daemons}
    # The port by which this very session came in, as sshd tells it.
    words = os.environ.get("SSH_CONNECTION", "").split()
    if len(words) == 4 and words[3].isdigit():
        ports.add(int(words[3]))
    return ports


def _inodes_of(names: frozenset[str]) -> set[str]:
    found = set()
    for process in processes():
        if process_name(process) not in names:
            continue
        with contextlib.suppress(OSError):
            for entry in os.listdir(f"/proc/{process}/fd"):
                with contextlib.suppress(OSError):
                    target = os.readlink(f"/proc/{process}/fd/{entry}")
                    if target.startswith("socket:["):
                        found.add(target[8:-1])
    return found


def _sockets() -> Iterator[Socket]:
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _text(path).splitlines()[1:]:
            words = line.split()
            if len(words) > 9:
                local, remote = _target(words[1]), _target(words[2])
                if local and remote:
                    yield Socket(int(words[3], 16), local, remote, words[9])


def _target(text: str) -> Optional[Target]:
    """``0100007F:0016``: groups of four bytes in the machine's order, and a port."""
    address, _separator, port = text.partition(":")
    raw = bytes.fromhex(address)
    ordered = b"".join(
        struct.pack("=I", *struct.unpack("!I", raw[at : at + 4])) for at in range(0, len(raw), 4)
    )
    if ordered[:12] == b"\0" * 10 + b"\xff\xff":
        ordered = ordered[12:]
    family = socket.AF_INET if len(ordered) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, ordered), int(port, 16)


def _loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def own_targets(
    listening: frozenset[Target],
    interfaces: Mapping[str, list[str]],
    known: Sequence[str],
    ports: Iterable[int],
) -> list[str]:
    """Where others can try this node: its addresses, at ports that something listens on.

    :param known: addresses by which the cluster knows the node; others, such as that of a bridge for
        containers, may exist on every node
    """
    own = [text.split("/")[0] for texts in interfaces.values() for text in texts]
    addresses = [address for address in own if address in known] or [
        address for address in own if not _loopback(address) and not address.lower().startswith("fe80:")
    ]
    return [
        f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        for port in ports
        for address in addresses
        if _listens(listening, address, port)
    ]


def _listens(listening: frozenset[Target], address: str, port: int) -> bool:
    """A socket on all IPv6 addresses takes IPv4 as well, unless its program asked for less."""
    every = ("::",) if ":" in address else ("0.0.0.0", "::")
    return any((local, port) in listening for local in (address, *every))
