# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one node's kernel holds of a transaction, and which new connections it can make.

One file, standard library only, Python 3.9: sent over SSH, with its parameters in ``PARAMETERS``.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from typing import Any, Optional

os.environ["PATH"] = "/usr/sbin:/sbin:/usr/local/sbin:" + os.environ.get("PATH", "/usr/bin:/bin")
SECONDS = 3.0
MOST_NEIGHBOURS = 8
HALVES = {"0.0.0.0/1", "128.0.0.0/1"}
KUBECONFIGS = (
    "/etc/kubernetes/kubelet.conf",
    "/var/lib/kubelet/kubeconfig",
    "/etc/cni/net.d/calico-kubeconfig",
    "/var/lib/rancher/rke2/agent/kubelet.kubeconfig",
    "/var/lib/rancher/k3s/agent/kubelet.kubeconfig",
)
SERVER = re.compile(r"^\s*server:\s*[\"']?https?://(\[[0-9a-fA-F:]+\]|[^:/\s\"']+)(?::(\d+))?", re.MULTILINE)


# -- the kernel --------------------------------------------------------------------------------------


def kernel(guards: list[str]) -> dict[str, Any]:
    """Calico's policy chains, and whether the sets that the guards' chains look into hold every address.

    :returns: ``chains``; ``guards`` by chain: ``full`` or ``empty``; ``forward_drops``; ``accept_mark``
    """
    found: dict[str, Any] = {"chains": [], "guards": {}, "forward_drops": False, "accept_mark": ""}
    saved = _iptables()
    if "cali-" in saved:
        _read_iptables(saved, guards, found)
    if not found["chains"] or not saved:
        _read_nftables(guards, found)
    return found


def _iptables() -> str:
    """The filter and mangle tables of whichever back end Calico uses, IPv4."""
    for command in ("iptables-nft-save", "iptables-legacy-save", "iptables-save"):
        if command == "iptables-legacy-save" and not _text("/proc/net/ip_tables_names").strip():
            continue  # it would load the module
        if shutil.which(command):
            text = _run([command])
            if ":cali-INPUT" in text:
                return text
    return ""


def _read_iptables(saved: str, guards: list[str], found: dict[str, Any]) -> None:
    found["chains"] = sorted(set(re.findall(r"^:(cali-p[io]-\S+)", saved, re.MULTILINE)))
    found["forward_drops"] = bool(re.search(r"^:FORWARD DROP", saved, re.MULTILINE))
    mark = re.search(r"^-A cali-INPUT .*--mark (0x[0-9a-f]+)/\1 .*-j ACCEPT", saved, re.MULTILINE)
    found["accept_mark"] = mark.group(1) if mark else ""
    members = _ipsets()
    for chain in guards:
        match = re.search(rf"^-A {re.escape(chain)} .*--match-set (\S+) ", saved, re.MULTILINE)
        if match:
            found["guards"][chain] = _fullness(members.get(match.group(1), set()))


def _ipsets() -> dict[str, set[str]]:
    members: dict[str, set[str]] = {}
    for line in _run(["ipset", "save"]).splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "create":
            members[words[1]] = set()
        elif len(words) >= 3 and words[0] == "add":
            members.setdefault(words[1], set()).add(words[2])
    return members


def _read_nftables(guards: list[str], found: dict[str, Any]) -> None:
    text = _run(["nft", "-j", "list", "table", "ip", "calico"]) if shutil.which("nft") else ""
    if not text:
        return
    chains: set[str] = set()
    sets: dict[str, set[str]] = {}
    used: dict[str, str] = {}
    for entry in json.loads(text)["nftables"]:
        chain, a_set, rule = entry.get("chain"), entry.get("set"), entry.get("rule")
        if chain:
            name = _without_layer(chain["name"])
            if name.startswith(("cali-pi-", "cali-po-")):
                chains.add(name)
            if chain.get("hook") == "forward" and chain.get("policy") == "drop":
                found["forward_drops"] = True
        elif a_set:
            sets[a_set["name"]] = {_member(element) for element in a_set.get("elem") or ()}
        elif rule:
            name = _without_layer(rule["chain"])
            named = re.search(r'"@([^"]+)"', json.dumps(rule["expr"]))
            if named and name in guards:
                used.setdefault(name, named.group(1))
            if name == "cali-INPUT" and not found["accept_mark"]:
                found["accept_mark"] = _accept_mark(rule["expr"])
    found["chains"] = sorted(chains)
    found["guards"] = {chain: _fullness(sets.get(name, set())) for chain, name in used.items()}


def _without_layer(name: str) -> str:
    return name.partition("-")[2] if name.startswith(("filter-", "mangle-", "raw-", "nat-")) else name


def _member(element: Any) -> str:
    value = element.get("elem", element) if isinstance(element, dict) else element
    value = value.get("val", value) if isinstance(value, dict) and "val" in value else value
    if isinstance(value, dict) and "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    if isinstance(value, dict) and "range" in value:
        return "-".join(str(end) for end in value["range"])
    return str(value)


def _accept_mark(expr: Any) -> str:
    text = json.dumps(expr)
    if '"accept"' not in text:
        return ""
    match = re.search(r'"&": \[\{"meta": \{"key": "mark"\}\}, (\d+)\]\}, "right": \1\b', text)
    return hex(int(match.group(1))) if match else ""


def _fullness(members: set[str]) -> str:
    if members >= HALVES or "0.0.0.0-255.255.255.255" in members or "0.0.0.0/0" in members:
        return "full"
    return "empty" if not members else "other"


# -- new connections ---------------------------------------------------------------------------------


def targets() -> dict[str, list[list[Any]]]:
    """Where this node finds the API and Typha, its name servers, and IPv6 neighbours that answer."""
    found: dict[str, list[list[Any]]] = {"api": [], "typha": [], "dns": [], "neighbours": _neighbours()}
    for path in KUBECONFIGS:
        for host, port in SERVER.findall(_text(path)):
            found["api"].append([host.strip("[]"), int(port or 443)])
    for address, port in _established():
        if address.startswith("127.") or address == "::1":
            continue
        kind = {5473: "typha", 6443: "api"}.get(port)
        if kind:
            found[kind].append([address, port])
    for line in _text("/etc/resolv.conf").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver" and not words[1].startswith("127."):
            found["dns"].append([words[1], 53])
    return {kind: [list(pair) for pair in dict.fromkeys(map(tuple, pairs))] for kind, pairs in found.items()}


def _neighbours() -> list[list[Any]]:
    """Routers, then all that the kernel has an entry of, those that answered last first.

    One that does not answer is among them: what worked is known by a try before policy changes. Permanent
    entries are not touched. Interfaces of pods are left out, as host policy does not govern them.
    """
    routes, entries = _with_device("route", "show", "default"), _with_device("neigh", "show")
    found = [(_after(words, "via"), _after(words, "dev")) for words in routes if "via" in words]
    entries.sort(key=lambda words: "lladdr" not in words)
    found += [(words[0], _after(words, "dev")) for words in entries]
    kept = {(words[0], _after(words, "dev")) for words in entries if {"PERMANENT", "NOARP"} & set(words)}
    ways = [way for way in dict.fromkeys(found) if way not in kept and not way[1].startswith("cali")]
    return [[f"{address}%{device}", 0] for address, device in ways[:MOST_NEIGHBOURS]]


def _with_device(*command: str) -> list[list[str]]:
    """The words of each line that ``ip -6`` prints of a device."""
    lines = [line.split() for line in _run(["ip", "-6", *command]).splitlines()]
    return [words for words in lines if "dev" in words[:-1]]


def _after(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def _established() -> list[tuple[str, int]]:
    ends = []
    for path, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        for line in _text(path).splitlines()[1:]:
            words = line.split()
            if len(words) > 3 and words[3] == "01":
                address, _colon, port = words[2].partition(":")
                raw = bytes.fromhex(address)
                parts = [raw[i : i + 4][::-1] for i in range(0, len(raw), 4)]
                ends.append((socket.inet_ntop(family, b"".join(parts)), int(port, 16)))
    return ends


def connect(wanted: list[list[Any]]) -> list[str]:
    """Try ``[protocol, address, port]`` each, twice at most; empty where it works, else why not."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(_twice, wanted))


def _twice(wanted: list[Any]) -> str:
    problem = _once(*wanted)
    # For a neighbour the kernel itself asks three times.
    return problem if not problem or wanted[0] == "neighbour" else _once(*wanted)


def _once(protocol: str, address: str, port: int) -> str:
    try:
        if protocol == "udp-dns":
            return _ask_udp(address, port)
        if protocol == "neighbour":
            return _discover(address)
        with socket.create_connection((address, port), timeout=SECONDS):
            return ""
    except OSError as error:
        return str(error) or type(error).__name__


def _ask_udp(address: str, port: int) -> str:
    query = struct.pack(">HHHHHH", os.getpid() & 0xFFFF, 0x0100, 1, 0, 0, 0)
    query += b"\x0akubernetes\x07default\x03svc\x00" + struct.pack(">HH", 1, 1)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(SECONDS)
        client.connect((address, port))
        client.send(query)
        return "" if client.recv(512) else "empty answer"


def _discover(neighbour: str) -> str:
    """Whether a neighbour is found once it is forgotten: what is cached goes on for minutes when discovery is
    denied.
    """
    address, _percent, device = neighbour.partition("%")
    _run(["ip", "-6", "neigh", "del", address, "dev", device])
    # The kernel asks for it at once. A packet would be subject to policy, and only asks where that allows it.
    _run(["ip", "-6", "neigh", "add", address, "dev", device, "nud", "none", "use"])
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client, contextlib.suppress(OSError):
        client.sendto(b"", (address, 9, 0, socket.if_nametoindex(device)))
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        words = _run(["ip", "-6", "neigh", "show", address, "dev", device]).split()
        if "REACHABLE" in words:
            return ""
        if "STALE" in words or "DELAY" in words:
            # It asked for this node meanwhile, which does not show that its answers get through: ask it now.
            _run(["ip", "-6", "neigh", "change", address, "dev", device, "nud", "probe"])
        time.sleep(0.1)
    return "does not answer neighbour discovery"


# -- all -------------------------------------------------------------------------------------------


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def report(parameters: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"ssh": os.environ.get("SSH_CONNECTION", "")}
    if "guards" in parameters:
        found["kernel"] = kernel(parameters["guards"])
    if parameters.get("targets"):
        found["targets"] = targets()
        found["nft"] = bool(shutil.which("nft"))
    if "connect" in parameters:
        found["connect"] = connect(parameters["connect"])
    return found


PARAMETERS: Optional[dict[str, Any]] = globals().get("PARAMETERS")
if PARAMETERS is not None:
    sys.stdout.write(json.dumps(report(PARAMETERS)))
