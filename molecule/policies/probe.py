# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real packets on the testbed: who gets through to node2, from where, and what node2 reaches.

Prints JSON: name of a flow -> whether a new connection was made. The outside is the namespace of the API
server, under addresses that stand for an administrator, a NodePort client and a stranger.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from testbed.fabric import Fabric
from testbed.state import namespace_prefix, run_directory

OUTSIDE = {
    "admin": ("192.0.2.10", "2001:db8:1::10"),
    "client": ("198.51.100.10", "2001:db8:2::10"),
    "stranger": ("203.0.113.10", "2001:db8:3::10"),
}
NODE, NODE_ADDRESSES = "node2", ("10.99.0.12", "fd99::12")
PEER, PEER_ADDRESSES = "node3", ("10.99.0.13", "fd99::13")
GATEWAY = ("10.99.0.1", "fd99::1")
SSH, FAILSAFE, OTHER, NODEPORT = 2222, 22, 8080, 30080

LISTEN = """
import select, socket, sys
found = []
for port in map(int, sys.argv[1:]):
    s = socket.socket(socket.AF_INET6)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", port))
    s.listen(64)
    found.append(s)
print("ready", flush=True)
while True:
    for s in select.select(found, [], [])[0]:
        s.accept()[0].close()
"""
CONNECT = """
import socket, sys
source, target, port = sys.argv[1:]
try:
    socket.create_connection((target, int(port)), 2, (source, 0) if source else None).close()
except OSError:
    sys.exit(1)
"""


def inside(netns: str, *command: str) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{netns}", *command]


def ip(netns: str, *arguments: str) -> None:
    subprocess.run(inside(netns, "ip", *arguments), check=True, capture_output=True)


@contextmanager
def listening(netns: str, *ports: int) -> Iterator[None]:
    command = inside(netns, sys.executable, "-c", LISTEN, *map(str, ports))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def connects(netns: str, target: str, port: int, source: str = "") -> bool:
    command = inside(netns, sys.executable, "-c", CONNECT, source, target, str(port))
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def prepare(outside: str, nodes: list[str]) -> None:
    """Addresses for the outside, routes back to them, and cold neighbour caches."""
    for addresses in OUTSIDE.values():
        for address in addresses:
            length = "128" if ":" in address else "32"
            ip(outside, "address", "replace", f"{address}/{length}", "dev", "lo")
            for netns in nodes:
                gateway = GATEWAY[":" in address]
                ip(netns, "route", "replace", f"{address}/{length}", "via", gateway)
    for netns in (outside, *nodes):
        for family in ("-4", "-6"):
            subprocess.run(
                inside(netns, "ip", family, "neigh", "flush", "all"), check=False, capture_output=True
            )


def flows(outside: str, node: str, peer: str) -> dict[str, tuple[str, str, int, str]]:
    """Flow -> namespace, target, port, source."""
    found: dict[str, tuple[str, str, int, str]] = {}
    for version, target in zip("46", NODE_ADDRESSES):
        index = int(version == "6")
        for who, addresses in OUTSIDE.items():
            for what, port in (
                ("ssh", SSH),
                ("failsafe", FAILSAFE),
                ("other", OTHER),
                ("nodeport", NODEPORT),
            ):
                found[f"{who} {what} v{version}"] = (outside, target, port, addresses[index])
        found[f"peer other v{version}"] = (peer, target, OTHER, "")
        found[f"peer kubelet v{version}"] = (peer, target, 10250, "")
        found[f"loopback v{version}"] = (node, ("127.0.0.1", "::1")[index], OTHER, "")
        found[f"own address v{version}"] = (node, target, OTHER, "")
        found[f"outbound v{version}"] = (node, OUTSIDE["stranger"][index], 4433, "")
        found[f"to peer v{version}"] = (node, PEER_ADDRESSES[index], 4433, "")
    return found


def main() -> None:
    fabric = Fabric(namespace_prefix(run_directory()))
    outside, node, peer = fabric.netns, fabric.node_netns(NODE), fabric.node_netns(PEER)
    prepare(outside, [fabric.node_netns(f"node{n}") for n in (1, 2, 3)])
    with (
        listening(node, SSH, OTHER, NODEPORT, 10250),
        listening(outside, 4433),
        listening(peer, 4433),
        ThreadPoolExecutor(12) as pool,
    ):
        found = flows(outside, node, peer)
        answers = list(pool.map(lambda f: connects(*f), found.values()))
    print(json.dumps(dict(zip(found, answers)), indent=1, sort_keys=True))


if __name__ == "__main__":
    socket.setdefaulttimeout(5)
    main()
