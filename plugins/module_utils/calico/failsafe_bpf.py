# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The failsafe maps of Calico's eBPF data plane.

Keys of an LPM trie (felix/bpf/failsafes/failsafes_map.go, v3.32.1): prefix length over the whole key,
port, protocol, a flag for outbound, address. There is no order and no hash; the set is all there is.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .failsafe import ERROR, Finding
from .failsafe_expect import Expectation
from .felix import FailsafePort, Failsafes

MAP_NAMES = {4: "cali_v4_fsafes2", 6: "cali_v6_fsafes2"}

_HEAD = struct.Struct("<IHBB")
_HEAD_BITS = 32
_ADDRESS_BYTES = {4: 4, 6: 16}
_OUTBOUND = 1
_PROTOCOLS = {6: "tcp", 17: "udp"}
_REMEDY = "restart calico-node on this node; Felix writes the whole map when it starts"


@dataclass(frozen=True)
class Key:
    """One entry of the map: what passes, and to or from where."""

    outbound: bool
    protocol: str
    port: int
    net: str

    def __str__(self) -> str:
        return f"{'outbound' if self.outbound else 'inbound'} {self.protocol}/{self.port} ({self.net})"


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
