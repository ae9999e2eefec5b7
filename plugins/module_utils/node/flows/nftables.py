# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""As much of nf_tables over netlink as the flow table needs.

Numbers are those of the kernel's ``linux/netfilter/nf_tables.h``.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional

from .netlink import (
    ACK,
    HEADER_BYTES,
    NESTED,
    NETFILTER,
    REQUEST,
    Netlink,
    attribute,
    attributes,
    each_attribute,
    message,
)

INET = 1
HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
CT_STATE, CT_DESTINATION_PORT, CT_DESTINATION4, CT_DESTINATION6 = 0, 12, 20, 22
META_IN, META_OUT, META_OWNER, META_FAMILY, META_PROTOCOL = 4, 5, 10, 15, 16
EQUAL, NOT_EQUAL = 0, 1
RETURN, GOTO = -5, -4
_SUBSYSTEM = 10 << 8
_NEW_TABLE, _GET_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE, _GET_RULE = 0, 1, 2, 3, 6, 7
_NEW_SET, _GET_ELEMENTS = 9, 13
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_CREATE, _EXCLUSIVE, _APPEND = 0x400, 0x200, 0x800
_SET_DYNAMIC, _SET_CONCATENATION = 0x20, 0x80
_OWNED_BY_SOCKET = 0x2
_UPDATE = 1
_BATCH_BYTES = 128 * 1024


def _u32(value: int) -> bytes:
    return struct.pack("!I", value & 0xFFFFFFFF)


def _text(value: str) -> bytes:
    return value.encode() + b"\0"


def _nest(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NESTED, *parts)


def _expression(name: str, *parts: bytes) -> bytes:
    return _nest(1, attribute(1, _text(name)), _nest(2, *parts))


def conntrack(key: int, register: int, *, original: bool = False) -> bytes:
    """Load a field of the connection; with ``original``, of its first direction."""
    direction = [attribute(3, b"\0")] if original else []
    return _expression("ct", attribute(1, _u32(register)), attribute(2, _u32(key)), *direction)


def meta(key: int, register: int) -> bytes:
    """Load what the kernel knows of the packet besides its bytes."""
    return _expression("meta", attribute(1, _u32(register)), attribute(2, _u32(key)))


def payload(base: int, offset: int, length: int, register: int) -> bytes:
    """Load bytes of the packet's network or transport header."""
    numbers = (register, base, offset, length)
    return _expression("payload", *(attribute(at, _u32(number)) for at, number in enumerate(numbers, 1)))


def masked(register: int, mask: bytes) -> bytes:
    """Keep the bits of the mask in a register."""
    return _expression(
        "bitwise",
        attribute(1, _u32(register)),
        attribute(2, _u32(register)),
        attribute(3, _u32(len(mask))),
        _nest(4, attribute(1, mask)),
        _nest(5, attribute(1, b"\0" * len(mask))),
    )


def compare(register: int, value: bytes, operator: int = EQUAL) -> bytes:
    """Go on only if the register holds (or does not hold) the value."""
    return _expression(
        "cmp", attribute(1, _u32(register)), attribute(2, _u32(operator)), _nest(3, attribute(1, value))
    )


def socket_cgroup(register: int, level: int) -> bytes:
    """Load the control group (at a level of the hierarchy) of the socket that sends."""
    return _expression(
        "socket", attribute(1, _u32(3)), attribute(2, _u32(register)), attribute(3, _u32(level))
    )


def update_set(name: str, register: int) -> bytes:
    """Put the registers' key into a set and count; where the set is full the rule does not match."""
    return _expression(
        "dynset",
        attribute(1, _text(name)),
        attribute(3, _u32(_UPDATE)),
        attribute(4, _u32(register)),
        _nest(7, attribute(1, _text("counter"))),
    )


def counter() -> bytes:
    """Count packets and bytes."""
    return _expression("counter")


def verdict(code: int, chain: str = "") -> bytes:
    """Return from the chain, or go to another."""
    target = [attribute(2, _text(chain))] if chain else []
    return _expression(
        "immediate", attribute(1, _u32(0)), _nest(2, _nest(2, attribute(1, _u32(code)), *target))
    )


@dataclass(frozen=True)
class KernelTable:
    """A table as the kernel has it: its ``handle`` is new each time a table is made."""

    handle: int
    user_data: bytes
    owned: bool


class Element(NamedTuple):
    """An element of a set that counts: its ``key`` and the ``packets`` it counted."""

    key: bytes
    packets: int


class Nftables:
    """A batch of changes, and what is read back. Use as a context manager."""

    def __init__(self, table: str) -> None:
        self._table = attribute(1, _text(table))
        self._netlink = Netlink(NETFILTER)
        self._pending: list[bytes] = []
        self._first = 0
        self._set_id = 0

    def __enter__(self) -> Nftables:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._netlink.close()

    # -- changes ---------------------------------------------------------------------------------

    def _add(self, kind: int, flags: int, *parts: bytes) -> None:
        sequence = self._netlink.next_sequence()
        self._first = self._first or sequence
        body = struct.pack("=BBH", INET, 0, 0) + b"".join(parts)
        self._pending.append(message(_SUBSYSTEM | kind, REQUEST | ACK | flags, sequence, body))

    def commit(self) -> None:
        """Write everything pending, all or nothing.

        :raises OSError: the kernel refused
        """
        if not self._pending:
            return
        pending, first = self._pending, self._first
        self._pending, self._first = [], 0
        frame = struct.pack("=BBH", 0, 0, socket.htons(10))
        last = self._netlink.next_sequence() - 1
        data = b"".join(
            (message(_BATCH_BEGIN, REQUEST, 0, frame), *pending, message(_BATCH_END, REQUEST, 0, frame))
        )
        self._netlink.commit(data, first, last)

    def commit_if_large(self) -> None:
        """Keep a batch below what one send takes; what was written before stays if a later part fails."""
        if sum(map(len, self._pending)) > _BATCH_BYTES:
            self.commit()

    def add_table(self, user_data: bytes, *, owned: bool = False) -> None:
        """A new table; it is an error if it is there. One that is ``owned`` goes with this socket."""
        flags = _u32(_OWNED_BY_SOCKET if owned else 0)
        self._add(_NEW_TABLE, _CREATE | _EXCLUSIVE, self._table, attribute(2, flags), attribute(6, user_data))

    def delete_table(self) -> None:
        self._add(_DELETE_TABLE, 0, self._table)

    def add_base_chain(self, name: str, hook: str, priority: int) -> None:
        """A chain at a hook that accepts what it does not decide about: it can deny nothing."""
        self._add(
            _NEW_CHAIN,
            _CREATE,
            self._table,
            attribute(3, _text(name)),
            _nest(4, attribute(1, _u32(HOOKS[hook])), attribute(2, _u32(priority))),
            attribute(5, _u32(1)),
            attribute(7, _text("filter")),
        )

    def add_chain(self, name: str) -> None:
        self._add(_NEW_CHAIN, _CREATE, self._table, attribute(3, _text(name)))

    def add_rule(self, chain: str, *expressions: bytes) -> None:
        self._add(
            _NEW_RULE, _CREATE | _APPEND, self._table, attribute(2, _text(chain)), _nest(4, *expressions)
        )

    def add_set(self, name: str, widths: Sequence[int], size: int) -> None:
        """A set of concatenated keys with a counter each, filled by rules.

        :param widths: bytes of each part of the key, multiples of four
        :param size: the most elements that the kernel keeps
        """
        self._set_id += 1
        fields = _nest(2, *(_nest(1, attribute(1, _u32(width))) for width in widths))
        self._add(
            _NEW_SET,
            _CREATE,
            self._table,
            attribute(2, _text(name)),
            attribute(3, _u32(_SET_DYNAMIC | _SET_CONCATENATION)),
            attribute(4, _u32(0)),
            attribute(5, _u32(sum(widths))),
            _nest(9, attribute(1, _u32(size)), fields),
            attribute(10, _u32(self._set_id)),
            _nest(17, attribute(1, _text("counter"))),
        )

    # -- reading ---------------------------------------------------------------------------------

    def table(self) -> Optional[KernelTable]:
        """The table as it is, or None."""
        body = struct.pack("=BBH", INET, 0, 0) + self._table
        try:
            data, start, end = self._netlink.get(_SUBSYSTEM | _GET_TABLE, body)
        except FileNotFoundError:
            return None
        found = attributes(data, start + HEADER_BYTES + 4, end)
        handle = int.from_bytes(data[slice(*found[4])], "big")
        flags = int.from_bytes(data[slice(*found[2])], "big") if 2 in found else 0
        return KernelTable(
            handle, data[slice(*found[6])] if 6 in found else b"", bool(flags & _OWNED_BY_SOCKET)
        )

    def rule_packets(self) -> list[tuple[str, int]]:
        """Chain and counted packets of each rule of the table; 0 for a rule that does not count."""
        body = struct.pack("=BBH", INET, 0, 0) + self._table
        rules = []
        for data, start, end in self._netlink.dump(_SUBSYSTEM | _GET_RULE, body):
            found = attributes(data, start + HEADER_BYTES + 4, end)
            chain = data[found[2][0] : found[2][1] - 1].decode("ascii", "replace")
            rules.append((chain, _counted(data, *found[4]) if 4 in found else 0))
        return rules

    def elements(self, name: str) -> Iterator[Element]:
        """Each element of a set."""
        body = struct.pack("=BBH", INET, 0, 0) + self._table + attribute(2, _text(name))
        layout = _Layout()
        for data, start, end in self._netlink.dump(_SUBSYSTEM | _GET_ELEMENTS, body):
            for kind, first, last in each_attribute(data, start + HEADER_BYTES + 4, end):
                if kind == 3:
                    yield from layout.elements(data, first, last)


class _Layout:
    """Elements of one set all look alike: where key and counter are is found out once, then checked."""

    def __init__(self) -> None:
        self._length = 0
        self._key = (0, 0)
        self._packets = (0, 0)

    def elements(self, data: bytes, start: int, end: int) -> Iterator[Element]:
        while start + 4 <= end:
            length = data[start] | data[start + 1] << 8
            if length < 4:
                return
            if length != self._length:
                self._find(data, start, start + length)
            yield Element(
                data[start + self._key[0] : start + self._key[1]],
                int.from_bytes(data[start + self._packets[0] : start + self._packets[1]], "big"),
            )
            start += (length + 3) & ~3

    def _find(self, data: bytes, start: int, end: int) -> None:
        element = attributes(data, start + 4, end)
        key = attributes(data, *element[1])[1]
        self._length = end - start
        self._key = (key[0] - start, key[1] - start)
        expression = attributes(data, *element[7]) if 7 in element else {}
        packets = attributes(data, *expression[2])[2] if 2 in expression else (start, start)
        self._packets = (packets[0] - start, packets[1] - start)


def _counted(data: bytes, start: int, end: int) -> int:
    for _kind, first, last in each_attribute(data, start, end):
        expression = attributes(data, first, last)
        if data[slice(*expression[1])].startswith(b"counter"):
            return int.from_bytes(data[slice(*attributes(data, *expression[2])[2])], "big")
    return 0
