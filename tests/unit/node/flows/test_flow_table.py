# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The keys of the sets that a window fills, and what is read of them.

That the kernel fills them, tests/testbed/test_node_flows.py shows.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any, Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows import flow_table
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.flow_table import (
    FAMILIES,
    KINDS,
    OWN_HOOKS,
    Health,
    Observed,
    Opener,
    OpenWindow,
)
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.nftables import Element, KernelTable

PEER, OWN = socket.inet_aton("192.0.2.9"), socket.inet_aton("10.0.0.1")
SERVICE = socket.inet_aton("10.96.0.1")
Sets = dict[str, list[Element]]


class Kernel:
    """Stands for nf_tables: a table with sets, or none."""

    def __init__(self, table: Optional[KernelTable] = None, sets: Optional[Sets] = None) -> None:
        self.held, self.sets = table, sets or {}
        self.rules: list[tuple[str, int]] = []
        self.owners = True
        self.widths: dict[str, int] = {}

    def __call__(self, _name: str) -> Kernel:
        return self

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_error: object) -> None: ...

    def commit(self) -> None: ...

    commit_if_large = commit

    def table(self) -> Optional[KernelTable]:
        return self.held

    def add_table(self, user_data: bytes, *, owned: bool = False) -> None:
        self.held = KernelTable(1, user_data, owned)

    def delete_table(self) -> None:
        self.held = None

    def add_base_chain(self, _name: str, _hook: str, _priority: int) -> None: ...

    def add_chain(self, _name: str) -> None: ...

    def add_set(self, name: str, widths: list[int], _size: int) -> None:
        if name.startswith("openers") and not self.owners:
            raise OSError("this kernel cannot tell control groups")
        self.widths[name] = sum(widths)

    def add_rule(self, chain: str, *_expressions: bytes) -> None:
        self.rules.append((chain, 0))

    def rule_packets(self) -> list[tuple[str, int]]:
        return self.rules

    def elements(self, name: str) -> Iterator[Element]:
        if name.startswith("openers") and name not in self.sets:
            raise FileNotFoundError
        return iter(self.sets.get(name, ()))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel()
    monkeypatch.setattr(flow_table.nft, "Nftables", found)
    return found


def native(number: int, width: int = 4) -> bytes:
    return number.to_bytes(width, sys.byteorder)


def port(number: int) -> bytes:
    return struct.pack("!H", number) + b"\0\0"


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        (
            "input4_tcp",
            native(2) + PEER + OWN + port(443) + SERVICE + port(80),
            Observed("input", 2, 0, 6, PEER, OWN, 443, None, SERVICE, 80, 5, None),
        ),
        (
            "postrouting4_udp",
            native(3) + OWN + PEER + port(53) + PEER + port(53),
            Observed("postrouting", 0, 3, 17, OWN, PEER, 53, None, PEER, 53, 5, None),
        ),
        (
            "forward4_sctp",
            native(2) + native(3) + PEER + OWN + port(9) + OWN + port(9),
            Observed("forward", 2, 3, 132, PEER, OWN, 9, None, OWN, 9, 5, None),
        ),
        (
            "input4_icmp",
            native(2) + PEER + OWN + bytes([8, 0, 0, 0]) + OWN + native(1),
            Observed("input", 2, 0, 1, PEER, OWN, None, (8, 0), OWN, None, 5, None),
        ),
        (
            "input4_other",
            native(2) + PEER + OWN + bytes([112, 0, 0, 0]) + OWN + native(112),
            Observed("input", 2, 0, 112, PEER, OWN, None, None, OWN, None, 5, None),
        ),
        (
            "input4_tcp_nets",
            native(2) + PEER + OWN + port(443) + OWN + port(443),
            Observed("input", 2, 0, 6, PEER, OWN, 443, None, OWN, 443, 5, 16),
        ),
        (
            "input6_icmp",
            native(2) + b"\1" * 16 + b"\2" * 16 + bytes([128, 0, 0, 0]) + b"\2" * 16 + native(58),
            Observed("input", 2, 0, 58, b"\1" * 16, b"\2" * 16, None, (128, 0), b"\2" * 16, None, 5, None),
        ),
        (
            "input6_udp_nets",
            native(2) + b"\1" * 16 + b"\2" * 16 + port(53) + b"\2" * 16 + port(53),
            Observed("input", 2, 0, 17, b"\1" * 16, b"\2" * 16, 53, None, b"\2" * 16, 53, 5, 48),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_key_tells_hook_interfaces_addresses_and_ports(
    kernel: Kernel, name: str, key: bytes, expected: Observed
) -> None:
    kernel.sets = {name: [Element(key, 5)]}
    assert list(flow_table.flows()) == [expected]
    # It is as long as the set that a window makes.
    flow_table.start(0.0)
    assert kernel.widths[name] == len(key)


def test_a_window_has_a_set_for_each_hook_family_and_kind_and_one_of_nets(kernel: Kernel) -> None:
    flow_table.start(0.0)
    names = {
        f"{hook}{family.version}_{kind}{suffix}"
        for hook in OWN_HOOKS
        for family in FAMILIES
        for kind in KINDS
        for suffix in ("", "_nets")
    }
    assert names <= kernel.widths.keys()
    assert kernel.widths.keys() - names == {"openers4", "openers6"}


def test_who_opened_connections_is_a_control_group_with_a_user(kernel: Kernel) -> None:
    key = native(77, 8) + PEER + bytes([6, 0, 0, 0]) + port(443) + native(33)
    kernel.sets = {"openers4": [Element(key, 2)], "openers6": []}
    assert list(flow_table.openers()) == [Opener(77, PEER, 6, 443, 33, 2)]


def test_a_kernel_that_cannot_tell_them_names_none(kernel: Kernel) -> None:
    kernel.owners = False
    flow_table.start(0.0)
    assert list(flow_table.openers()) == []
    assert flow_table.health() == Health(intact=True, owners=False, lost=0)


def test_a_rule_that_was_removed_shows_and_lost_packets_are_counted(kernel: Kernel) -> None:
    flow_table.start(0.0)
    assert flow_table.health() == Health(intact=True, owners=True, lost=0)
    chain, _packets = kernel.rules[0]
    kernel.rules[0] = (chain, 4)
    assert flow_table.health().lost == 4
    kernel.rules.pop(0)
    assert not flow_table.health().intact


def test_the_table_says_since_when_it_is_there(kernel: Kernel) -> None:
    assert flow_table.find() is None
    assert flow_table.start(1700000000.125) == OpenWindow(1, 1700000000.125)
    assert flow_table.find() == OpenWindow(1, 1700000000.125)
    assert flow_table.delete()
    assert not flow_table.delete()


@pytest.mark.parametrize("noted", [b"", b"hostfence: flows since x\0", b"\xff" * 8, b"another's"])
def test_a_table_that_does_not_say_it_began_at_no_known_time(kernel: Kernel, noted: bytes) -> None:
    kernel.held = KernelTable(7, noted, owned=True)
    assert flow_table.find() == OpenWindow(7, 0.0, owned=True)


def test_what_the_kernel_refuses_leaves_no_table(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_asked: Any) -> None:
        raise OSError("no nf_tables")

    monkeypatch.setattr(kernel, "add_base_chain", refuses)
    with pytest.raises(OSError, match="no nf_tables"):
        flow_table.start(0.0)
    assert kernel.held is None
