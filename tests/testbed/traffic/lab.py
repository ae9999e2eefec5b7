# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Four network namespaces: a client, a node with two networks, a pod behind it, and a server on the second.

The node translates addresses as kube-proxy does: NodePorts, ClusterIPs, and masquerade of its pod.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLIENT, NODE, POD, SERVER = "client", "node", "pod", "server"
CLIENTS = 60
SERVED = {
    NODE: [
        "tcp:22",
        "tcp:6443",
        *(f"tcp:{port}" for port in range(2000, 2020)),
        "udp:53",
        "udp:5555",
        "group:10.77.0.21",
    ],
    POD: ["tcp:8080", "tcp:9000", "udp:53"],
    SERVER: ["tcp:443", "tcp:6443", "udp:53", "udp:123"],
}
NAT = """
table inet nat {
  chain services {
    ip daddr { 10.77.0.21, 10.78.0.21 } tcp dport 30080 dnat ip to 10.244.1.7:8080
    ip daddr { 10.77.0.21, 10.78.0.21 } udp dport 30053 dnat ip to 10.244.1.7:53
    ip6 daddr { fd77::21, fd78::21 } tcp dport 30080 dnat ip6 to [fd24::7]:8080
    ip daddr 10.96.0.1 tcp dport 443 dnat ip to 10.77.0.21:6443
    ip daddr 10.96.0.2 tcp dport 443 dnat ip to 10.78.0.30:6443
    ip daddr 10.96.0.11 tcp dport 80 dnat ip to 10.244.1.7:8080
    ip daddr 10.96.0.10 udp dport 53 dnat ip to 10.244.1.7:53
  }
  chain prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain output { type nat hook output priority -100; jump services; }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr 10.244.1.0/24 oifname "eth1" masquerade
    ip6 saddr fd24::/64 oifname "eth1" masquerade
  }
}
"""
# The same as iptables-restore reads it, by family.
IPTABLES = {
    "iptables": """
*nat
:services - [0:0]
-A PREROUTING -j services
-A OUTPUT -j services
-A services -d 10.77.0.21,10.78.0.21 -p tcp --dport 30080 -j DNAT --to-destination 10.244.1.7:8080
-A services -d 10.77.0.21,10.78.0.21 -p udp --dport 30053 -j DNAT --to-destination 10.244.1.7:53
-A services -d 10.96.0.1 -p tcp --dport 443 -j DNAT --to-destination 10.77.0.21:6443
-A services -d 10.96.0.2 -p tcp --dport 443 -j DNAT --to-destination 10.78.0.30:6443
-A services -d 10.96.0.11 -p tcp --dport 80 -j DNAT --to-destination 10.244.1.7:8080
-A services -d 10.96.0.10 -p udp --dport 53 -j DNAT --to-destination 10.244.1.7:53
-A POSTROUTING -s 10.244.1.0/24 -o eth1 -j MASQUERADE
COMMIT
""",
    "ip6tables": """
*nat
:services - [0:0]
-A PREROUTING -j services
-A OUTPUT -j services
-A services -d fd77::21,fd78::21 -p tcp --dport 30080 -j DNAT --to-destination [fd24::7]:8080
-A POSTROUTING -s fd24::/64 -o eth1 -j MASQUERADE
COMMIT
""",
}
LINKS = """
link add eth0 netns {client} type veth peer name eth0 netns {node}
link add eth1 netns {node} type veth peer name eth0 netns {server}
link add cali1 netns {node} type veth peer name eth0 netns {pod}
"""
ADDRESSES = {
    CLIENT: ["10.77.0.9/24 eth0", "fd77::9/64 eth0"],
    NODE: [
        "10.77.0.21/24 eth0",
        "fd77::21/64 eth0",
        "10.78.0.21/24 eth1",
        "fd78::21/64 eth1",
        "10.244.1.1/24 cali1",
        "fd24::1/64 cali1",
    ],
    POD: ["10.244.1.7/24 eth0", "fd24::7/64 eth0"],
    SERVER: ["10.78.0.30/24 eth0", "fd78::30/64 eth0"],
}
ROUTES = {
    CLIENT: ["default via 10.77.0.21", "default via fd77::21"],
    NODE: ["default via 10.78.0.30", "10.77.2.0/24 via 10.77.0.9", "fd77:2::/64 via fd77::9"],
    POD: ["default via 10.244.1.1", "default via fd24::1"],
    SERVER: ["default via 10.78.0.21", "default via fd78::21"],
}


class Lab:
    """The namespaces, while the context lasts."""

    def __init__(self) -> None:
        self.names = {role: f"hfa{os.getpid()}-{role}" for role in (CLIENT, NODE, POD, SERVER)}
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Lab:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)

    def _build(self) -> None:
        for name in self.names.values():
            subprocess.run(["ip", "netns", "add", name], check=True)
        for line in LINKS.format(**self.names).split("\n"):
            if line:
                subprocess.run(["ip", *line.split()], check=True)
        for role, addresses in ADDRESSES.items():
            self.ip(role, "link set lo up")
            self.sysctl(role, "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")
            for address in addresses:
                where, device = address.split()
                self.ip(
                    role, f"address add {where} dev {device} {'nodad' if ':' in where else 'broadcast +'}"
                )
            for device in {address.split()[1] for address in addresses}:
                self.ip(role, f"link set {device} up")
        for number in range(1, CLIENTS + 1):
            self.ip(CLIENT, f"address add 10.77.2.{number}/32 dev eth0")
            self.ip(CLIENT, f"address add fd77:2::{number}/128 dev eth0 nodad")
        for role, routes in ROUTES.items():
            for route in routes:
                self.ip(role, f"{'-6 ' if ':' in route else ''}route add {route}")
        self.sysctl(NODE, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        subprocess.run(self.inside(NODE, "nft", "-f", "-"), input=NAT, text=True, check=True)
        for role, served in SERVED.items():
            self.spawn(role, str(HERE / "serve.py"), *served).stdout.readline()

    def inside(self, role: str, *command: str) -> list[str]:
        """A command line that runs in the namespace of a role."""
        return ["ip", "netns", "exec", self.names[role], *command]

    def ip(self, role: str, arguments: str) -> None:
        subprocess.run(["ip", "-n", self.names[role], *arguments.split()], check=True)

    def sysctl(self, role: str, *settings: str) -> None:
        subprocess.run(self.inside(role, "sysctl", "-q", "-w", *settings), check=True)

    def run(self, role: str, *command: str, text: str = "") -> str:
        """Run a command to its end and return what it printed."""
        done = subprocess.run(
            self.inside(role, *command), input=text, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def spawn(self, role: str, *script: str) -> subprocess.Popen[str]:
        """Start a Python script that ends with the lab."""
        process = subprocess.Popen(
            self.inside(role, sys.executable, *script),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def probe(self, plans: dict[str, list[dict[str, object]]]) -> None:
        """Make the traffic of a plan: for each role a list of probes, see ``probe.py``."""
        running = [
            (self.spawn(role, str(HERE / "probe.py")), "\n".join(map(json.dumps, probes)))
            for role, probes in plans.items()
        ]
        for process, text in running:
            assert process.stdin
            process.stdin.write(text)
            process.stdin.close()
        for process, _text in running:
            assert process.wait() == 0
