# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The nftables table in which the kernel keeps the distinct flows of a window.

Three hooks late on the packet's way (what a firewall dropped before is not seen) put the first packet of
each connection into a set: interface, source, destination, port, and what the destination was before DNAT.
The table accepts everything, so it changes no verdict; no process runs while it collects. A set that is full
hands over to one that keeps nets in place of addresses, and what finds no place there either is counted.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Optional

from . import nftables as nft

NAME = "hostfence_flows"
OWN_HOOKS = ("input", "forward", "postrouting")
KINDS = ("tcp", "udp", "sctp", "icmp", "other")
WITH_PORTS = ("tcp", "udp", "sctp")
PRIORITY = 50
DEFAULT_SIZE = 65536
_SMALLER = 16  # Sets of rare protocols, and of nets, are this many times smaller.
_CGROUP_LEVELS = (4, 3, 2, 1)
_OWNERS_SIZE = 4096
TUNNEL_PORTS = (4789, 8472, 51820, 51821)
_NEW_OR_UNTRACKED = struct.pack("=I", 8 | 64)
_UNTRACKED = struct.pack("=I", 64)
_ZERO = struct.pack("=I", 0)
_FIRST_REGISTER = 8
_OWNERS_CHAIN = "owners"
_COMMENT = "hostfence: flows since "


@dataclass(frozen=True)
class _Family:
    version: int
    number: int
    width: int
    source_at: int
    icmp: int
    kept_bits: int
    """Prefix length of the nets that a full set falls back to."""

    @property
    def mask(self) -> bytes:
        kept = self.kept_bits // 8
        return b"\xff" * kept + b"\0" * (self.width - kept)


FAMILIES = (_Family(4, socket.AF_INET, 4, 12, 1, 16), _Family(6, socket.AF_INET6, 16, 8, 58, 48))
_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}


class Observed(NamedTuple):
    """A distinct flow that the kernel noted; addresses are packed, a port is None where there is none.

    ``hook`` tells the direction. ``kept_bits`` is None for whole addresses; else the prefix length of the
    source at input, of the destinations at postrouting, of both at forward.
    """

    hook: str
    interface_in: int
    interface_out: int
    protocol: int
    source: bytes
    destination: bytes
    port: Optional[int]
    icmp: Optional[tuple[int, int]]
    original_destination: bytes
    original_port: Optional[int]
    packets: int
    kept_bits: Optional[int]


@dataclass(frozen=True)
class Opener:
    """Which control group opened connections to where."""

    cgroup: int
    destination: bytes
    protocol: int
    port: int
    uid: int
    packets: int


@dataclass(frozen=True)
class OpenWindow:
    """An open window as its table says it; ``start`` is 0 where the table does not say.

    :ivar owned: the table goes with the process that made it, and nobody else can change it
    """

    handle: int
    start: float
    owned: bool = False


@dataclass(frozen=True)
class Health:
    """``intact``: every rule that was written is there. ``lost``: packets that found no place in a set."""

    intact: bool
    owners: bool
    lost: int


_Rule = tuple[str, tuple[bytes, ...]]


# -- making it -----------------------------------------------------------------------------------


def start(now: float, size: int = DEFAULT_SIZE) -> OpenWindow:
    """Make the table.

    :param now: seconds since 1970, kept as the table's comment
    :param size: distinct flows of TCP and of UDP for each hook and family
    :raises OSError: the kernel refuses; FileExistsError where a window is open already
    """
    with nft.Nftables(NAME) as batch:
        batch.add_table(_comment(now))
        batch.commit()
        try:
            _fill(batch, size)
        except OSError:
            delete()
            raise
        table = batch.table()
    return OpenWindow(table.handle if table else 0, now)


class HeldTable:
    """A table that goes when this is closed, or its process ends: nobody else can delete or flush it.

    :param now: as for :func:`start`
    :param size: as for :func:`start`
    :raises OSError: the kernel refuses; FileExistsError where a window is open already
    """

    def __init__(self, now: float, size: int) -> None:
        self._batch = nft.Nftables(NAME)
        try:
            self._batch.add_table(_comment(now), owned=True)
            self._batch.commit()
            _fill(self._batch, size)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        self._batch.close()


def _fill(batch: nft.Nftables, size: int) -> None:
    _write(batch, size)
    with contextlib.suppress(OSError):
        # Before Linux 5.13, or without its module, the kernel cannot tell control groups.
        _write_owners(batch)


def _comment(now: float) -> bytes:
    text = f"{_COMMENT}{now:.3f}".encode() + b"\0"
    return bytes([0, len(text)]) + text


def _write(batch: nft.Nftables, size: int) -> None:
    for hook in OWN_HOOKS:
        for family in FAMILIES:
            for kind in KINDS:
                name = _name(hook, family, kind)
                kept = size if kind in ("tcp", "udp") else max(size // _SMALLER, 16)
                batch.add_set(name, _widths(hook, family), kept)
                batch.add_set(name + "_nets", _widths(hook, family), max(kept // _SMALLER, 16))
                batch.add_chain(name)
    for chain, expressions in _noting_rules():
        batch.add_rule(chain, *expressions)
        batch.commit_if_large()
    batch.commit()
    for hook in OWN_HOOKS:
        # Last, and with its rules in one transaction, so that no packet meets half of it.
        batch.add_base_chain(hook, hook, PRIORITY)
    for chain, expressions in _dispatching_rules():
        batch.add_rule(chain, *expressions)
    batch.commit()


def _dispatching_rules() -> Iterator[_Rule]:
    """From the hooks to the chain of family and protocol, with the fewest steps for established packets."""
    for hook in OWN_HOOKS:
        state = (nft.conntrack(nft.CT_STATE, 1), nft.masked(1, _NEW_OR_UNTRACKED))
        yield hook, (*state, nft.compare(1, _ZERO), nft.verdict(nft.RETURN))
        if hook == "postrouting":
            forwarded = (nft.meta(nft.META_IN, 1), nft.compare(1, _ZERO, nft.NOT_EQUAL))
            yield hook, (*forwarded, nft.verdict(nft.RETURN))
        for family in FAMILIES:
            of_family = (nft.meta(nft.META_FAMILY, 1), nft.compare(1, bytes([family.number])))
            for kind in KINDS:
                number = _protocol(kind, family)
                of_kind = (nft.meta(nft.META_PROTOCOL, 1), nft.compare(1, bytes([number])))
                go_on = nft.verdict(nft.GOTO, _name(hook, family, kind))
                yield hook, (*of_family, *(of_kind if number else ()), go_on)


def _noting_rules() -> Iterator[_Rule]:
    """For each family and protocol: into its set, else into the set of nets, else count it as lost."""
    for hook in OWN_HOOKS:
        for family in FAMILIES:
            for kind in KINDS:
                chain = _name(hook, family, kind)
                yield from ((chain, expressions) for expressions in _passed_over(kind))
                for wide in (False, True):
                    into = nft.update_set(chain + "_nets" if wide else chain, _FIRST_REGISTER)
                    for tracked in (True, False):
                        key = _key(hook, family, kind, tracked=tracked, wide=wide)
                        yield chain, (*key, into, nft.verdict(nft.RETURN))
                yield chain, (nft.counter(),)


def _passed_over(kind: str) -> Iterator[tuple[bytes, ...]]:
    """What opens no connection, and tunnels without a connection: each of their packets would pay."""
    if kind == "tcp":
        flags = (nft.payload(nft.TRANSPORT_HEADER, 13, 1, 1), nft.masked(1, b"\x12"))
        yield (*flags, nft.compare(1, b"\x02", nft.NOT_EQUAL), nft.verdict(nft.RETURN))
    if kind == "udp":
        untracked = (
            nft.conntrack(nft.CT_STATE, 1),
            nft.masked(1, _UNTRACKED),
            nft.compare(1, _ZERO, nft.NOT_EQUAL),
        )
        for port in TUNNEL_PORTS:
            to_port = nft.payload(nft.TRANSPORT_HEADER, 2, 2, 1), nft.compare(1, struct.pack("!H", port))
            yield (*to_port, *untracked, nft.verdict(nft.RETURN))


def _key(hook: str, family: _Family, kind: str, *, tracked: bool, wide: bool) -> Iterator[bytes]:
    """Load the key of a set into consecutive registers."""
    register, words, ports = _FIRST_REGISTER, family.width // 4, kind in WITH_PORTS
    destination_at = family.source_at + family.width
    if hook != "postrouting":
        yield nft.meta(nft.META_IN, register)
        register += 1
    if hook != "input":
        yield nft.meta(nft.META_OUT, register)
        register += 1
    yield nft.payload(nft.NETWORK_HEADER, family.source_at, family.width, register)
    if wide and hook != "postrouting":
        yield nft.masked(register, family.mask)
    register += words
    yield nft.payload(nft.NETWORK_HEADER, destination_at, family.width, register)
    if wide and hook != "input":
        yield nft.masked(register, family.mask)
    register += words
    if ports:
        yield nft.payload(nft.TRANSPORT_HEADER, 2, 2, register)
    elif kind == "icmp":
        yield nft.payload(nft.TRANSPORT_HEADER, 0, 2, register)
    else:
        yield nft.meta(nft.META_PROTOCOL, register)
    register += 1
    if tracked:
        field = nft.CT_DESTINATION4 if family.version == 4 else nft.CT_DESTINATION6
        yield nft.conntrack(field, register, original=True)
    else:
        # A packet without a connection has no other destination than its own.
        yield nft.payload(nft.NETWORK_HEADER, destination_at, family.width, register)
    if wide and hook != "input":
        yield nft.masked(register, family.mask)
    register += words
    if ports and tracked:
        yield nft.conntrack(nft.CT_DESTINATION_PORT, register, original=True)
    elif ports:
        yield nft.payload(nft.TRANSPORT_HEADER, 2, 2, register)
    else:
        yield nft.meta(nft.META_PROTOCOL, register)


def _write_owners(batch: nft.Nftables) -> None:
    for family in FAMILIES:
        batch.add_set(_owners(family), [8, family.width, 4, 4, 4], _OWNERS_SIZE)
    batch.add_base_chain(_OWNERS_CHAIN, "output", PRIORITY)
    for chain, expressions in _owner_rules():
        batch.add_rule(chain, *expressions)
    batch.commit()


def _owner_rules() -> Iterator[_Rule]:
    """The control group of what sends; a level that its path does not have makes the rule not match."""
    first = _FIRST_REGISTER
    for family in FAMILIES:
        after = first + 2 + family.width // 4
        for level in _CGROUP_LEVELS:
            yield (
                _OWNERS_CHAIN,
                (
                    nft.conntrack(nft.CT_STATE, 1),
                    nft.masked(1, _NEW_OR_UNTRACKED),
                    nft.compare(1, _ZERO, nft.NOT_EQUAL),
                    nft.meta(nft.META_FAMILY, 1),
                    nft.compare(1, bytes([family.number])),
                    nft.socket_cgroup(first, level),
                    nft.payload(nft.NETWORK_HEADER, family.source_at + family.width, family.width, first + 2),
                    nft.meta(nft.META_PROTOCOL, after),
                    nft.payload(nft.TRANSPORT_HEADER, 2, 2, after + 1),
                    nft.meta(nft.META_OWNER, after + 2),
                    nft.update_set(_owners(family), first),
                    nft.verdict(nft.RETURN),
                ),
            )


# -- reading it ----------------------------------------------------------------------------------


def delete() -> bool:
    """Remove the table; whether it was there."""
    with nft.Nftables(NAME) as batch:
        if batch.table() is None:
            return False
        batch.delete_table()
        batch.commit()
    return True


def find() -> Optional[OpenWindow]:
    """The open window, or None."""
    with nft.Nftables(NAME) as reader:
        table = reader.table()
    if table is None:
        return None
    _before, found, since = table.user_data.partition(_COMMENT.encode())
    try:
        began = float(since.rstrip(b"\0").decode("ascii")) if found else 0.0
    except ValueError:
        began = 0.0
    return OpenWindow(table.handle, began, table.owned)


def health() -> Health:
    """Whether the table still does what it was made for."""
    with nft.Nftables(NAME) as reader:
        found = reader.rule_packets()
    written = sum(1 for _rule in (*_dispatching_rules(), *_noting_rules()))
    owners = sum(1 for chain, _packets in found if chain == _OWNERS_CHAIN)
    return Health(len(found) - owners == written, owners > 0, sum(packets for _chain, packets in found))


def flows() -> Iterator[Observed]:
    """Every distinct flow that the kernel noted, set by set, each in the order of its keys."""
    with nft.Nftables(NAME) as reader:
        for hook in OWN_HOOKS:
            for family in FAMILIES:
                for kind in KINDS:
                    name = _name(hook, family, kind)
                    for suffix, kept in (("", None), ("_nets", family.kept_bits)):
                        for element in sorted(reader.elements(name + suffix)):
                            yield _observed(hook, family, kind, element, kept)


def openers() -> Iterator[Opener]:
    """Who opened connections; nothing where the kernel could not tell."""
    with nft.Nftables(NAME) as reader:
        for family in FAMILIES:
            try:
                for element in reader.elements(_owners(family)):
                    yield _opener(family, element)
            except FileNotFoundError:
                return


def _observed(hook: str, family: _Family, kind: str, element: nft.Element, kept: Optional[int]) -> Observed:
    key, at, width = element.key, 0, family.width
    interface_in = interface_out = 0
    if hook != "postrouting":
        interface_in, at = _native(key[at : at + 4]), at + 4
    if hook != "input":
        interface_out, at = _native(key[at : at + 4]), at + 4
    source, destination = key[at : at + width], key[at + width : at + 2 * width]
    at += 2 * width
    ports = kind in WITH_PORTS
    original_at = at + 4
    return Observed(
        hook,
        interface_in,
        interface_out,
        _protocol(kind, family) or key[at],
        source,
        destination,
        key[at] << 8 | key[at + 1] if ports else None,
        (key[at], key[at + 1]) if kind == "icmp" else None,
        key[original_at : original_at + width],
        key[original_at + width] << 8 | key[original_at + width + 1] if ports else None,
        element.packets,
        kept,
    )


def _native(data: bytes) -> int:
    return int.from_bytes(data, sys.byteorder)


def _opener(family: _Family, element: nft.Element) -> Opener:
    key, at = element.key, 8 + family.width
    return Opener(
        _native(key[:8]),
        key[8:at],
        key[at],
        key[at + 4] << 8 | key[at + 5],
        _native(key[at + 8 : at + 12]),
        element.packets,
    )


def _name(hook: str, family: _Family, kind: str) -> str:
    return f"{hook}{family.version}_{kind}"


def _owners(family: _Family) -> str:
    return f"openers{family.version}"


def _protocol(kind: str, family: _Family) -> int:
    return family.icmp if kind == "icmp" else _NUMBERS.get(kind, 0)


def _widths(hook: str, family: _Family) -> list[int]:
    interfaces = [4, 4] if hook == "forward" else [4]
    return [*interfaces, family.width, family.width, 4, family.width, 4]
