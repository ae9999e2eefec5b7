# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The network of the testbed: one namespace with a bridge, one namespace a node.

Nothing of it touches the machine's own network: the bridge lives in the fabric's namespace, and the only way
in is ``nsenter`` (for ssh) or the forwarder that listens on 127.0.0.1 (for the API).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from testbed.commands import run
from testbed.control_plane import SERVICE_ADDRESS
from testbed.errors import TestbedError

API_ADDRESS = "10.99.0.1"
API_PORT = 6443
POD_NETWORK = "10.244.0.0/16"

_NAMED = Path("/run/netns")
_BRIDGE = "br0"
# Its own: else a bridge has that of one of its ports, and another one when that node leaves, while the others
# still remember the old one.
_BRIDGE_MAC = "02:00:0a:63:00:01"
# What kube-proxy would do on each node: a pod finds the API at the kubernetes Service, port 443.
_SERVICE = f"""\
table ip service {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE_ADDRESS} tcp dport 443 dnat to {API_ADDRESS}:{API_PORT}
  }}
}}
"""
_API_ADDRESS_V6 = "fd99::1"
_FIRST_HOST = 10
_LAST_HOST = 254
_KILL_SECONDS = 10


@dataclass(frozen=True)
class Fabric:
    """The namespaces of one testbed.

    :param prefix: begins the name of each
    """

    prefix: str

    @property
    def netns(self) -> str:
        """Where the bridge and the control plane are."""
        return f"{self.prefix}-net"

    def node_netns(self, node: str) -> str:
        return f"{self.prefix}-node-{node}"

    def create(self) -> None:
        """Makes the fabric's namespace and its bridge."""
        run(["ip", "netns", "add", self.netns])
        addresses = [f"{API_ADDRESS}/24", f"{_API_ADDRESS_V6}/64 nodad", f"{SERVICE_ADDRESS}/32"]
        lines = [
            f"link add {_BRIDGE} address {_BRIDGE_MAC} type bridge",
            f"link set {_BRIDGE} up",
            "link set lo up",
        ]
        lines += [f"addr add {address} dev {_BRIDGE}" for address in addresses]
        _batch(self.netns, lines)

    def open_to_pods(self) -> None:
        """Lets pods reach one another across nodes, and the API at its Service."""
        self._inside(["nft", "-f", "-"], _SERVICE)
        self._inside(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0"])
        # The way over the bridge is the only one that does not change when nodes come and go.
        self._inside(
            ["sysctl", "-qw", *(f"net.ipv4.conf.{one}.send_redirects=0" for one in ("all", _BRIDGE))]
        )

    def route_pods(self, node: str, address: str, network: str) -> None:
        """Leads to a node's pods, and from the node to everybody's."""
        _batch(self.netns, [f"route replace {network} via {address}"])
        _batch(self.node_netns(node), [f"route replace {POD_NETWORK} via {API_ADDRESS}"])

    def _inside(self, command: Sequence[str], text: str | None = None) -> None:
        run(["nsenter", f"--net={_NAMED / self.netns}", *command], text)

    def attach(self, node: str, addresses: tuple[str, str]) -> None:
        """Makes a node's namespace with an ``eth0`` on the bridge."""
        netns = self.node_netns(node)
        run(["ip", "netns", "add", netns])
        # Interface names hold 15 characters, node names more: the address is unique as well.
        port = f"port{addresses[0].rpartition('.')[2]}"
        _batch(
            self.netns,
            [
                f"link add {port} type veth peer name eth0 netns {netns}",
                f"link set {port} master {_BRIDGE} up",
            ],
        )
        _batch(
            netns,
            [
                "link set lo up",
                "link set eth0 up",
                f"addr add {addresses[0]}/24 dev eth0",
                f"addr add {addresses[1]}/64 dev eth0 nodad",
                f"route add {SERVICE_ADDRESS}/32 via {API_ADDRESS}",
            ],
        )

    def detach(self, node: str) -> None:
        """Removes a node's namespace and with it its interfaces."""
        self._remove(self.node_netns(node))

    def destroy(self) -> None:
        """Ends every process in the namespaces and removes them, whatever state they are in."""
        if not _NAMED.is_dir():
            return
        names = [path.name for path in _NAMED.iterdir() if path.name.startswith(f"{self.prefix}-")]
        for name in names:
            self._remove(name)

    def _remove(self, netns: str) -> None:
        if not (_NAMED / netns).exists():
            return
        end_processes(_NAMED / netns)
        run(["ip", "netns", "delete", netns])


def addresses(index: int) -> tuple[str, str]:
    """IPv4 and IPv6 address of the node with this number, from 1.

    :raises TestbedError: the network is full
    """
    host = _FIRST_HOST + index
    if host > _LAST_HOST:
        raise TestbedError(f"node number {index}: at most {_LAST_HOST - _FIRST_HOST} nodes fit")
    return f"10.99.0.{host}", f"fd99::{host}"


def end_processes(netns: Path) -> None:
    """Kills whatever runs in a network namespace: all of it is the testbed's, nothing else gets in there.

    :raises TestbedError: something does not end
    """
    deadline = time.monotonic() + _KILL_SECONDS
    while inside := _processes_in(netns):
        if time.monotonic() > deadline:
            raise TestbedError(f"process {inside[0]} in {netns.name} does not end")
        for pid in inside:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def leave_no_directory(existed: bool) -> None:
    """Undoes what the first ``ip netns add`` of a machine leaves behind: a directory mounted on itself."""
    if existed or not _NAMED.is_dir() or any(_NAMED.iterdir()):
        return
    with suppress(TestbedError):
        run(["umount", "--no-mtab", str(_NAMED)])
    _NAMED.rmdir()


def directory_exists() -> bool:
    """Whether the machine has named network namespaces already."""
    return _NAMED.is_dir()


def _processes_in(netns: Path) -> list[int]:
    try:
        wanted = netns.stat()
    except OSError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            namespace = (entry / "ns" / "net").stat()
        except OSError:
            continue
        if (namespace.st_dev, namespace.st_ino) == (wanted.st_dev, wanted.st_ino):
            found.append(int(entry.name))
    return found


def _batch(netns: str, lines: Sequence[str]) -> None:
    run(["ip", "-n", netns, "-batch", "-"], "\n".join(lines) + "\n")
