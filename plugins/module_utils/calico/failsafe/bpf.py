# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calico's eBPF data plane: failsafe maps, attached programs, and what is left to iptables.

Keys of the maps, each an LPM trie (felix/bpf/failsafes/failsafes_map.go, v3.32.1): prefix length over the
whole key, port, protocol, a flag for outbound, address. There is no order and no hash; the set is all there
is.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..felix.configuration import FailsafePort, Failsafes
from ..finding import ERROR, WARNING, Finding
from ..version import IPV6_IN_EBPF_BY_DEFAULT, version_of
from .check import verify_beside_bpf
from .expectation import ANY_INTERFACE, Expectation
from .ruleset import Ruleset

PROGRAM = "cali"
MAP_NAMES = {4: "cali_v4_fsafes2", 6: "cali_v6_fsafes2"}

_HEAD = struct.Struct("<IHBB")
_HEAD_BITS = 32
_ADDRESS_BYTES = {4: 4, 6: 16}
_OUTBOUND = 1
_PROTOCOLS = {6: "tcp", 17: "udp"}
_REMEDY = "restart calico-node on this node; Felix writes the whole map when it starts"
_REMEDY_PROGRAMS = "see calico-node's log on this node for why it cannot attach them"


@dataclass(frozen=True)
class Key:
    """One entry of the map: what passes, and to or from where."""

    outbound: bool
    protocol: str
    port: int
    net: str

    def __str__(self) -> str:
        return f"{'outbound' if self.outbound else 'inbound'} {self.protocol}/{self.port} ({self.net})"


@dataclass(frozen=True)
class Kernel:
    """What a node's kernel holds of the eBPF data plane.

    :ivar maps: document of each failsafe map, by family
    :ivar attached: directions (ingress, egress) in which Calico's programs see an interface's packets; None
        where it was not read
    :ivar masters: outermost bond or bridge above an interface; None where it is not known
    """

    maps: Mapping[int, Any]
    attached: Optional[Mapping[str, frozenset[str]]] = None
    masters: Optional[Mapping[str, str]] = None


def verify(expectation: Expectation, kernel: Kernel, rulesets: Sequence[Ruleset]) -> list[Finding]:
    """Everything that is wrong with a node's failsafes in eBPF mode.

    :param rulesets: what iptables and nftables hold: untracked egress policy stays there
    """
    findings = []
    for family in (4, 6) if expectation.ipv6 else (4,):
        if family in kernel.maps:
            findings.extend(verify_map(expectation, kernel.maps[family], family))
        elif expectation.active and not (family == 6 and _before_ipv6(expectation.calico_version)):
            findings.append(
                Finding(
                    "family.missing",
                    ERROR,
                    f"there is no failsafe map for IPv{family}",
                    "see that calico-node runs on this node, in eBPF mode",
                    family,
                    "bpf",
                )
            )
    findings.extend(_attached(expectation, kernel))
    findings.extend(verify_beside_bpf(expectation, rulesets))
    return findings


def _before_ipv6(calico_version: str) -> bool:
    """Before 3.27 eBPF mode had IPv6 on request only."""
    return version_of(calico_version) < IPV6_IN_EBPF_BY_DEFAULT


def read_attached(document: object) -> dict[str, frozenset[str]]:
    """Interfaces that Calico's programs are attached to, from ``bpftool -j net show``.

    An element ``{"pins": [...]}`` may follow it: names of the links that Felix pinned, which say the
    same where bpftool is too old to know them.

    :raises ValueError: not such a document
    """
    found: dict[str, set[str]] = {}
    if not isinstance(document, list):
        raise ValueError("not the output of bpftool -j net show: not a list")
    for part in document:
        if not isinstance(part, Mapping) or not ("tc" in part or "pins" in part):
            raise ValueError("not the output of bpftool -j net show: no list of tc programs")
        for entry in part.get("tc") or []:
            name, _slash, direction = str(entry.get("kind", "")).rpartition("/")
            if name and str(entry.get("name", "")).startswith(PROGRAM):
                found.setdefault(str(entry.get("devname", "")), set()).add(direction)
        for pin in part.get("pins") or []:
            interface, _underscore, direction = str(pin).rpartition("_")
            found.setdefault(interface, set()).add(direction)
    return {interface: frozenset(directions) for interface, directions in found.items()}


def _attached(expectation: Expectation, kernel: Kernel) -> Iterator[Finding]:
    if not expectation.active:
        return
    if kernel.attached is None:
        yield Finding(
            "bpf.unknown",
            WARNING,
            "whether Calico's programs are attached to the interfaces was not read",
            "give the output of bpftool -j net show (bpf_net)",
            table="bpf",
        )
        return
    for interface, named in _policed(expectation):
        overlay = interface in expectation.bpf_overlays
        if not overlay and not re.search(expectation.bpf_interfaces, interface):
            if named:
                yield Finding(
                    "bpf.ignored",
                    WARNING,
                    f"{interface} has a host endpoint, and Felix attaches nothing to it "
                    "(bpfDataIfacePattern): policy is not in force there",
                    "extend bpfDataIfacePattern",
                    table="bpf",
                    chain=interface,
                )
            continue
        master = (kernel.masters or {}).get(interface, "")
        if master and re.search(expectation.bpf_interfaces, master):
            continue  # the programs sit on the bond
        # Felix leaves dots out of the names of its pins.
        seen = (
            kernel.attached.get(interface) or kernel.attached.get(interface.replace(".", "")) or frozenset()
        )
        lacking = sorted({"ingress", "egress"} - seen)
        if lacking:
            known = kernel.masters is not None or named or overlay
            yield Finding(
                "bpf.detached",
                ERROR if known else WARNING,
                f"no program of Calico's sees {' and '.join(lacking)} of {interface}: it is not policed",
                _REMEDY_PROGRAMS,
                table="bpf",
                chain=interface,
            )


def _policed(expectation: Expectation) -> list[tuple[str, bool]]:
    """Interfaces of host endpoints, and whether one names them."""
    named = [item.interface for item in expectation.endpoints if item.interface != ANY_INTERFACE]
    found = [(interface, True) for interface in named]
    if any(item.interface == ANY_INTERFACE for item in expectation.endpoints):
        found += [(name, False) for name in expectation.interfaces if name not in named and name != "lo"]
    return found


def read_map(document: object, family: int) -> list[Key]:
    """The keys of ``bpftool -j map dump``.

    :raises ValueError: not such a document, or a key that is not of this map's form
    """
    if not isinstance(document, list):
        raise ValueError("not the output of bpftool -j map dump: not a list")
    return [_read_key(_bytes_of(entry), family) for entry in document]


def _bytes_of(entry: object) -> bytes:
    key = entry.get("key") if isinstance(entry, Mapping) else None
    if not isinstance(key, list):
        raise ValueError("not the output of bpftool -j map dump: an entry without key")
    try:
        return bytes(int(part, 0) if isinstance(part, str) else int(part) for part in key)
    except (TypeError, ValueError):
        raise ValueError("a key that is not a list of bytes")


def _read_key(raw: bytes, family: int) -> Key:
    if len(raw) != _HEAD.size + _ADDRESS_BYTES[family]:
        raise ValueError(f"a key of {len(raw)} bytes: not Calico's failsafe map of IPv{family}")
    length, port, protocol, flags = _HEAD.unpack_from(raw)
    bits = length - _HEAD_BITS
    if not 0 <= bits <= 8 * _ADDRESS_BYTES[family]:
        raise ValueError(f"a key with prefix length {length}")
    net = ipaddress.ip_network((raw[_HEAD.size :], bits), strict=False)
    return Key(bool(flags & _OUTBOUND), _PROTOCOLS.get(protocol, str(protocol)), port, str(net))


def expected_keys(failsafes: Failsafes, family: int) -> list[Key]:
    """The keys that Felix writes for a family."""
    return [
        *_keys(failsafes.inbound, False, family),
        *_keys(failsafes.outbound, True, family),
    ]


def _keys(ports: Iterable[FailsafePort], outbound: bool, family: int) -> Iterator[Key]:
    everybody = "0.0.0.0/0" if family == 4 else "::/0"
    for entry in ports:
        if entry.family in (None, family):
            net = str(ipaddress.ip_network(entry.net, strict=False)) if entry.net else everybody
            yield Key(outbound, entry.protocol, entry.port, net)


def verify_map(expectation: Expectation, document: Any, family: int) -> list[Finding]:
    """Compare one family's map with what is configured."""
    name = MAP_NAMES[family]
    try:
        held = set(read_map(document, family))
    except ValueError as error:
        return [
            Finding("dump.unreadable", ERROR, f"{name}: {error}", "take the dump again", family, "bpf", name)
        ]
    wanted = set(expected_keys(expectation.failsafes, family))
    return [
        *_report("failsafe.missing", "missing", wanted - held, family),
        *_report("failsafe.extra", "not configured", held - wanted, family),
    ]


def _report(id_: str, what: str, keys: set[Key], family: int) -> Sequence[Finding]:
    if not keys:
        return []
    listed = ", ".join(sorted(map(str, keys))[:12])
    return [Finding(id_, ERROR, f"{what}: {listed}", _REMEDY, family, "bpf", MAP_NAMES[family])]
