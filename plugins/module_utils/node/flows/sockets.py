# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who listens on this node, and whose a control group is."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from dataclasses import dataclass
from typing import Optional

from .netlink import HEADER_BYTES, SOCK_DIAG, Netlink, attributes

_BY_FAMILY = 20
_LISTEN, _UNCONNECTED = 1 << 10, 1 << 7
_CGROUP_ID, _V6_ONLY = 21, 11
_MESSAGE = 72
_MAPPED = b"\0" * 10 + b"\xff\xff"
_POD = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})")
_HIERARCHIES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_MAX_GROUPS = 100_000
_NAME_LENGTH = 128
_UNPRINTABLE = re.compile(r"[^ -~]")


@dataclass(frozen=True)
class Owner:
    """Who has a socket. Names come from the node's processes: printable ASCII, cut short, never trusted."""

    unit: str
    pod: str
    process: str
    uid: int

    def as_dict(self) -> dict[str, object]:
        return {key: value for key, value in vars(self).items() if value != ""}


@dataclass(frozen=True)
class _Socket:
    uid: int
    inode: int
    cgroup: int


class SocketOwners:
    """The listeners of this network namespace, read when made, and control groups by their number."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[int, bytes, int], _Socket] = {}
        self._groups = _control_groups()
        self._processes: Optional[dict[int, int]] = None
        for family in (socket.AF_INET, socket.AF_INET6):
            for protocol, states in ((6, _LISTEN), (17, _UNCONNECTED)):
                with contextlib.suppress(OSError):  # A kernel without this diagnosis: no owners.
                    self._read(family, protocol, states)

    def _read(self, family: int, protocol: int, states: int) -> None:
        width = 4 if family == socket.AF_INET else 16
        body = struct.pack("=BBBBI", family, protocol, 0, 0, states) + b"\0" * 48
        with Netlink(SOCK_DIAG) as kernel:
            for data, start, end in kernel.dump(_BY_FAMILY, body):
                at = start + HEADER_BYTES
                port = data[at + 4] << 8 | data[at + 5]
                address = data[at + 8 : at + 8 + width]
                uid, inode = struct.unpack_from("=II", data, at + 64)
                found = attributes(data, at + _MESSAGE, end)
                group = struct.unpack_from("=Q", data, found[_CGROUP_ID][0])[0] if _CGROUP_ID in found else 0
                owner = _Socket(uid, inode, group)
                if address.startswith(_MAPPED):
                    address = address[12:]
                self._listeners[protocol, address, port] = owner
                both = (
                    width == 16 and not any(address) and not (_V6_ONLY in found and data[found[_V6_ONLY][0]])
                )
                if both:
                    self._listeners.setdefault((protocol, b"\0" * 4, port), owner)

    def listening(self) -> frozenset[tuple[int, int]]:
        """(protocol, port) of every listener."""
        return frozenset((protocol, port) for protocol, _address, port in self._listeners)

    def of_listener(self, protocol: int, address: bytes, port: int) -> Optional[Owner]:
        """Who listens there, or None."""
        found = self._listener(protocol, address, port)
        return self._owner(found) if found else None

    def of_group(self, group: int, uid: int) -> Optional[Owner]:
        """Whose a control group is, or None where it is gone."""
        path = self._groups.get(group, "")
        return _of_path(path, "", uid) if path else None

    def _listener(self, protocol: int, address: bytes, port: int) -> Optional[_Socket]:
        exact = self._listeners.get((protocol, address, port))
        return exact or self._listeners.get((protocol, b"\0" * len(address), port))

    def _owner(self, found: _Socket) -> Owner:
        path = self._groups.get(found.cgroup, "")
        process = self._process_of(found.inode)
        name = ""
        if process:
            name = _first_line(f"/proc/{process}/comm")
            path = path or _group_of_process(process)
        return _of_path(path, name, found.uid)

    def _process_of(self, inode: int) -> int:
        if self._processes is None:
            self._processes = _processes_by_socket()
        return self._processes.get(inode, 0)


def _of_path(path: str, process: str, uid: int) -> Owner:
    pod = _POD.search(path)
    return Owner(
        _printable(path.rstrip("/").rsplit("/", 1)[-1]),
        pod.group(1).replace("_", "-") if pod else "",
        _printable(process),
        uid,
    )


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)[:_NAME_LENGTH]


def _control_groups() -> dict[int, str]:
    """Paths of the unified hierarchy by number, which is the directory's inode."""
    groups: dict[int, str] = {}
    for root in _HIERARCHIES:
        if not os.path.exists(f"{root}/cgroup.controllers"):
            continue
        for directory, _below, _files in os.walk(root):
            if len(groups) >= _MAX_GROUPS:
                break
            with contextlib.suppress(OSError):
                groups[os.stat(directory).st_ino] = directory[len(root) :]
        break
    return groups


def _processes_by_socket() -> dict[int, int]:
    """Process by inode of a socket, of the processes in this network namespace."""
    found: dict[int, int] = {}
    try:
        own = os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return found
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # Ended meanwhile, or not permitted.
            if os.stat(f"/proc/{process}/ns/net").st_ino != own:
                continue
            for descriptor in os.listdir(f"/proc/{process}/fd"):
                target = os.readlink(f"/proc/{process}/fd/{descriptor}")
                if target.startswith("socket:["):
                    found.setdefault(int(target[8:-1]), int(process))
    return found


def _group_of_process(process: int) -> str:
    try:
        with open(f"/proc/{process}/cgroup", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    for mark in ("0::", ":name=systemd:"):
        for line in lines:
            if mark in line:
                return line.rsplit(":", 1)[1]
    return ""


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().rstrip("\n")
    except OSError:
        return ""
