# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Netlink as the kernel speaks it: messages, attributes, dumps. No tool of the node is needed."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

ROUTE, SOCK_DIAG, NETFILTER = 0, 4, 12
REQUEST, ACK, DUMP, DUMP_INTERRUPTED = 0x1, 0x4, 0x300, 0x10
NESTED = 0x8000
_ERROR, _DONE = 2, 3
_TYPE_MASK = 0x3FFF
_FAMILY = getattr(socket, "AF_NETLINK", 16)
_SO_RCVBUFFORCE = 33
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
HEADER_BYTES = _HEADER.size
_RECEIVE_BYTES = 1 << 17
_SECONDS = 10.0


def attribute(kind: int, *parts: bytes) -> bytes:
    """One attribute, padded to four bytes; several parts make a nest."""
    value = b"".join(parts)
    return _ATTRIBUTE.pack(len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """One message with its header."""
    return _HEADER.pack(HEADER_BYTES + len(body), kind, flags, sequence, 0) + body


def attributes(data: bytes, start: int, end: int) -> dict[int, tuple[int, int]]:
    """The attributes in ``data[start:end]``: kind -> (start, end) of the value; the last of a kind wins."""
    found: dict[int, tuple[int, int]] = {}
    for kind, first, last in each_attribute(data, start, end):
        found[kind] = (first, last)
    return found


def each_attribute(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(kind, start, end) of each attribute's value, for nests that repeat a kind."""
    while start + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < 4 or start + length > end:
            return
        yield kind & _TYPE_MASK, start + 4, start + length
        start += (length + 3) & ~3


class Netlink:
    """One socket to the kernel; use as a context manager.

    :raises OSError: what the kernel answered, with its number
    """

    def __init__(self, protocol: int, receive_bytes: int = 1 << 21) -> None:
        self._socket = socket.socket(_FAMILY, socket.SOCK_RAW, protocol)
        self._sequence = 0
        try:
            self._socket.bind((0, 0))
            self._socket.settimeout(_SECONDS)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_bytes)
        except PermissionError:
            pass  # Only root may ask for more than the node's limit; the default buffer works, too.
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def dump(self, kind: int, body: bytes) -> Iterator[tuple[bytes, int, int]]:
        """(buffer, start, end) of each message of a dump; start is where the header begins."""
        yield from self._ask(kind, REQUEST | DUMP, body)

    def get(self, kind: int, body: bytes) -> tuple[bytes, int, int]:
        """The one message that answers a request."""
        return next(self._ask(kind, REQUEST, body))

    def _ask(self, kind: int, flags: int, body: bytes) -> Iterator[tuple[bytes, int, int]]:
        sequence = self.next_sequence()
        self.send(message(kind, flags, sequence, body))
        while True:
            data = self._socket.recv(_RECEIVE_BYTES)
            for answered, answer, start, end in messages(data):
                if answered != sequence:
                    continue
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    raise_error(data, start)
                    return
                yield data, start, end

    def commit(self, data: bytes, first: int, last: int) -> None:
        """Send a batch and wait for the answer to each message from sequence ``first`` to ``last``."""
        self.send(data)
        waiting = last - first + 1
        while waiting:
            received = self._socket.recv(_RECEIVE_BYTES)
            for answered, kind, start, _end in messages(received):
                if kind == _ERROR and first <= answered <= last:
                    raise_error(received, start)
                    waiting -= 1


class Events:
    """What the kernel tells by itself. It keeps what is not read yet in a buffer, and drops the rest.

    :param groups: numbers of the groups to hear
    :param receive_bytes: size of the buffer
    :raises OSError: not permitted
    """

    def __init__(self, protocol: int, groups: Sequence[int], receive_bytes: int) -> None:
        self._socket = socket.socket(_FAMILY, socket.SOCK_RAW, protocol)
        try:
            self._socket.bind((0, 0))
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_bytes)
            for group in groups:
                self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def drain(self) -> Iterator[tuple[int, bytes, int, int]]:
        """(type, buffer, start, end) of each message that waits."""
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue  # Said once for any number of lost messages: :meth:`lost` has their count.
            for _answered, kind, start, end in messages(data):
                yield kind, data, start, end

    def lost(self) -> int:
        """Messages that the kernel dropped because the buffer was full."""
        port = str(self._socket.getsockname()[0])
        inode = str(os.fstat(self._socket.fileno()).st_ino)
        with open("/proc/thread-self/net/netlink", encoding="ascii") as file:
            names = file.readline().split()
            for line in file:
                row = dict(zip(names, line.split()))
                if (row.get("Pid"), row.get("Inode")) == (port, inode):
                    return int(row["Drops"])
        return 0


def messages(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(sequence, type, start, end) of each message in a buffer."""
    start = 0
    while start + HEADER_BYTES <= len(data):
        length, kind, _flags, sequence, _port = _HEADER.unpack_from(data, start)
        if length < HEADER_BYTES:
            return
        yield sequence, kind, start, start + length
        start += (length + 3) & ~3


def raise_error(data: bytes, start: int) -> None:
    """Raise what an error message says; zero is an acknowledgement."""
    number = struct.unpack_from("=i", data, start + HEADER_BYTES)[0]
    if number:
        raise OSError(-number, os.strerror(-number))
