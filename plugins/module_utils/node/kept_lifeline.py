# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lifeline that is kept for good: a table that sets Calico's own accept mark, before Calico's chains see
them, on packets that no failsafe of Calico's covers.

What it lets pass is as with failsafes: neither preDNAT nor normal policy is asked. doNotTrack policy is, as
its chains come first; and so is every policy of eBPF, whose programs see packets before any table does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..calico.address import parse_net
from ..calico.bad_input import BadInput
from . import switch_probe

TABLE = "hostfence-lifeline-kept"
DIRECTORY = "/etc/hostfence"
FILE = f"{DIRECTORY}/lifeline.nft"
UNIT = "hostfence-lifeline.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
# Neighbour discovery (ICMPv6 types 133 to 136), by the names that nft has for them.
_NEIGHBOURS = ("nd-router-solicit", "nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert")
_UNIT = """[Unit]
Description=Ways of this node that stay open whatever Calico's policy says (Hostfence)
DefaultDependencies=no
Before=network-pre.target
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=nft -f {file}

[Install]
WantedBy=sysinit.target
"""

Way = tuple[str, int]


@dataclass(frozen=True)
class Lifeline:
    """What it lets pass, over TCP.

    :ivar outbound: (network or address, port) that the node reaches
    :ivar inbound: (network or address, port): from where, and to which port of the node
    :ivar neighbours: IPv6 neighbour discovery, in both directions
    :ivar mark: Calico's accept mark
    """

    outbound: frozenset[Way]
    inbound: frozenset[Way]
    neighbours: bool
    mark: int

    def as_dict(self) -> dict[str, Any]:
        return {
            "outbound": [[net, port] for net, port in sorted(self.outbound)],
            "inbound": [[net, port] for net, port in sorted(self.inbound)],
            "neighbours": self.neighbours,
            "mark": f"{self.mark:#x}",
        }


def wanted(outbound: Iterable[Way], inbound: Iterable[Way], *, neighbours: bool, mark: int) -> Lifeline:
    """:raises BadInput: a network that cannot be read or is everything, or a port that is none"""
    api, sources = _ways(outbound, "api"), _ways(inbound, "kubelet_sources")
    return Lifeline(api, sources, neighbours, mark)


def _ways(given: Iterable[Way], field: str) -> frozenset[Way]:
    found = set()
    for index, (network, port) in enumerate(given):
        net = parse_net(network)
        if net is None or not net.prefix:
            raise BadInput(f"{field}[{index}]", network, "an address or a network, and not everything")
        if not 0 < port < 65536:
            raise BadInput(f"{field}[{index}]", port, "a port from 1 to 65535")
        found.add((_plain(str(net)), port))
    return frozenset(found)


def _plain(net: str) -> str:
    """As nft shows it: an address without a length."""
    address, _slash, length = net.partition("/")
    return address if length in ("", "32" if ":" not in address else "128") else net


def text(lifeline: Lifeline) -> str:
    """The table, as nft reads it: it takes the place of one that is there."""
    to_mark = f"meta mark set meta mark | {lifeline.mark:#x}"
    neighbours = [f"icmpv6 type {{ {', '.join(_NEIGHBOURS)} }} {to_mark}"] if lifeline.neighbours else []
    lines = [
        f"table inet {TABLE} {{}}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        # After Calico's raw chains (-300), which clear marks, and before its mangle chains (-150).
        "  chain out { type filter hook output priority -200; policy accept;",
        *(f"    {_family(n)} daddr {n} tcp dport {p} {to_mark}" for n, p in sorted(lifeline.outbound)),
        *(f"    {line}" for line in neighbours),
        "  }",
        "  chain in { type filter hook prerouting priority -199; policy accept;",
        *(f"    {_family(n)} saddr {n} tcp dport {p} {to_mark}" for n, p in sorted(lifeline.inbound)),
        *(f"    {line}" for line in neighbours),
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _family(net: str) -> str:
    return "ip6" if ":" in net else "ip"


def read(document: Mapping[str, Any]) -> Optional[Lifeline]:
    """The table as ``nft -j list table`` shows it, or None where it is not Hostfence's."""
    ways: dict[str, set[Way]] = {"out": set(), "in": set()}
    marks, neighbours = set(), 0
    for entry in document.get("nftables") or ():
        rule = entry.get("rule")
        if not rule:
            continue
        found = _rule(rule.get("expr") or ())
        if found is None:
            return None
        marks.add(found.mark)
        if found.is_neighbours:
            neighbours += 1
        else:
            ways.get(str(rule.get("chain")), set()).add((found.net, found.port))
    if len(marks) != 1:
        return None
    return Lifeline(frozenset(ways["out"]), frozenset(ways["in"]), neighbours == 2, marks.pop())


@dataclass(frozen=True)
class _Rule:
    """What one rule of the table lets pass, and the mark that it sets."""

    net: str
    port: int
    is_neighbours: bool
    mark: int


def _rule(expressions: Sequence[Mapping[str, Any]]) -> Optional[_Rule]:
    net, port, is_neighbours, mark = "", 0, False, 0
    for expression in expressions:
        match, mangle = expression.get("match"), expression.get("mangle")
        if mangle:
            mark = int(mangle["value"]["|"][1])
        elif match:
            payload = match["left"].get("payload")
            field, right = (payload or {}).get("field"), match["right"]
            if field in ("saddr", "daddr"):
                prefix = right.get("prefix") if isinstance(right, dict) else None
                net = f"{prefix['addr']}/{prefix['len']}" if prefix else str(right)
            elif field == "dport":
                port = int(right)
            elif field == "type":
                is_neighbours = set(right.get("set", ())) == set(_NEIGHBOURS)
    if not mark or not (is_neighbours or (net and port)):
        return None
    return _Rule(net, port, is_neighbours, mark)


# -- this machine -------------------------------------------------------------------------------------


def live() -> Optional[Lifeline]:
    """The table in this machine's kernel, or None."""
    if not shutil.which("nft", path=os.environ["PATH"]):
        return None
    done = subprocess.run(["nft", "-j", "list", "table", "inet", TABLE], capture_output=True, check=False)
    try:
        return read(json.loads(done.stdout)) if done.returncode == 0 else None
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def accept_mark() -> int:
    """Calico's, as its rules in the kernel have it; 0 where there are none."""
    found = switch_probe.kernel([])["accept_mark"]
    return int(found, 16) if found else 0


def stored() -> dict[str, str]:
    """The files that make it outlive a reboot, as they are; empty text where they are not."""
    return {path: _content(path) for path in (FILE, UNIT_FILE)}


def files(lifeline: Optional[Lifeline]) -> dict[str, str]:
    """The same as they shall be. Without systemd there is no unit."""
    if lifeline is None:
        return {FILE: "", UNIT_FILE: ""}
    unit = _UNIT.format(file=FILE) if has_systemd() else ""
    return {FILE: text(lifeline), UNIT_FILE: unit}


def has_systemd() -> bool:
    return os.path.isdir("/run/systemd/system")


def write(lifeline: Optional[Lifeline]) -> str:
    """Bring files and table into their state; None removes them.

    :returns: what went wrong, or empty
    """
    if lifeline is None and has_systemd():
        _run("systemctl", "disable", UNIT)
    for path, content in files(lifeline).items():
        if content:
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            with open(path, "w", encoding="ascii") as file:
                file.write(content)
        elif os.path.exists(path):
            os.unlink(path)
    if lifeline is None:
        return _run("nft", "-f", "-", given=f"table inet {TABLE} {{}}\ndelete table inet {TABLE}\n")
    problem = _run("nft", "-f", FILE)
    if not problem and has_systemd():
        problem = _run("systemctl", "daemon-reload") or _run("systemctl", "enable", UNIT)
    return problem


def _content(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except (OSError, ValueError):
        return ""


def _run(*command: str, given: str = "") -> str:
    done = subprocess.run(command, input=given.encode(), capture_output=True, check=False)
    return "" if done.returncode == 0 else f"{command[0]}: {done.stderr.decode(errors='replace').strip()}"


def told(found: Lifeline) -> Iterator[str]:
    """What it lets pass, for people."""
    yield from (f"to {net} tcp/{port}" for net, port in sorted(found.outbound))
    yield from (f"from {net} to tcp/{port}" for net, port in sorted(found.inbound))
    if found.neighbours:
        yield "IPv6 neighbour discovery"
