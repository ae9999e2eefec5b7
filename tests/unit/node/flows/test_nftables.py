# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is said to nf_tables, byte by byte, and what is read of its answers.

That the kernel takes it, tests/testbed/test_node_flows.py shows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows import nftables as nft
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.netlink import (
    HEADER_BYTES,
    Netlink,
    attribute,
    attributes,
    messages,
)
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.nftables import (
    Element,
    KernelTable,
    Nftables,
)

FRAME = b"\1\0\0\0"


def numbered(value: int) -> bytes:
    return struct.pack("!I", value & 0xFFFFFFFF)


def expression(data: bytes) -> tuple[str, dict[int, bytes]]:
    """Name and attributes of an expression."""
    outer = data[slice(*attributes(data, 0, len(data))[1])]
    parts = attributes(outer, 0, len(outer))
    inner = outer[slice(*parts[2])] if 2 in parts else b""
    found = {kind: inner[slice(*place)] for kind, place in attributes(inner, 0, len(inner)).items()}
    return outer[slice(*parts[1])].rstrip(b"\0").decode(), found


@pytest.mark.parametrize(
    ("made", "name", "expected"),
    [
        (nft.meta(nft.META_IN, 8), "meta", {1: 8, 2: 4}),
        (nft.payload(nft.TRANSPORT_HEADER, 2, 2, 9), "payload", {1: 9, 2: 2, 3: 2, 4: 2}),
        (nft.conntrack(nft.CT_STATE, 1), "ct", {1: 1, 2: 0}),
        (nft.socket_cgroup(8, 2), "socket", {1: 3, 2: 8, 3: 2}),
        (nft.counter(), "counter", {}),
    ],
)
def test_an_expression_has_the_kernels_numbers(made: bytes, name: str, expected: dict[int, int]) -> None:
    assert expression(made) == (name, {kind: numbered(value) for kind, value in expected.items()})


def test_of_a_connection_its_first_direction_is_asked_for_where_that_is_wanted() -> None:
    _name, given = expression(nft.conntrack(nft.CT_DESTINATION4, 9, original=True))
    assert given[3] == b"\0"
    assert 3 not in expression(nft.conntrack(nft.CT_STATE, 1))[1]


def test_a_mask_keeps_its_bits_and_sets_none() -> None:
    name, given = expression(nft.masked(8, b"\xff\xff\0\0"))
    mask, xor = (given[kind][4:] for kind in (4, 5))
    assert (name, given[3], mask, xor) == ("bitwise", numbered(4), b"\xff\xff\0\0", b"\0\0\0\0")


def test_a_verdict_returns_or_names_its_chain() -> None:
    for made, code, chain in (
        (nft.verdict(nft.RETURN), -5, b""),
        (nft.verdict(nft.GOTO, "next"), -4, b"next\0"),
    ):
        name, given = expression(made)
        verdict = given[2][4:]
        found = attributes(verdict, 0, len(verdict))
        assert name == "immediate"
        assert verdict[slice(*found[1])] == numbered(code)
        assert (verdict[slice(*found[2])] if 2 in found else b"") == chain


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, int, int]]:
    """Batches, each with the first and last number that is to be answered."""
    found: list[tuple[bytes, int, int]] = []
    monkeypatch.setattr(Netlink, "commit", lambda _self, *given: found.append(given))
    return found


def test_a_batch_is_one_frame_and_each_change_in_it_is_answered(sent: list[tuple[bytes, int, int]]) -> None:
    with Nftables("t") as batch:
        batch.add_table(b"\0\2x\0")
        batch.add_base_chain("in", "input", 50)
        batch.add_set("s", [4, 4], 16)
        batch.add_rule("in", nft.counter())
        batch.commit()
        batch.commit()
    [(data, first, last)] = sent
    numbers = [number for number, _kind, _start, _end in messages(data)]
    kinds = [kind for _number, kind, _start, _end in messages(data)]
    assert numbers == [0, first, first + 1, first + 2, last, 0]
    assert kinds == [0x10, 0xA00, 0xA03, 0xA09, 0xA06, 0x11]


def test_what_is_pending_is_written_before_it_is_too_much_for_one_send(
    sent: list[tuple[bytes, int, int]],
) -> None:
    with Nftables("t") as batch:
        for _rule in range(3000):
            batch.add_rule("in", nft.counter())
            batch.commit_if_large()
        batch.commit()
    assert len(sent) > 1
    assert all(len(data) < 200 * 1024 for data, _first, _last in sent)
    assert sum(last - first + 1 for _data, first, last in sent) == 3000


def answers(monkeypatch: pytest.MonkeyPatch, *bodies: bytes) -> None:
    """The kernel answers with these."""
    data = [b"\0" * HEADER_BYTES + FRAME + body for body in bodies]

    def dump(*_asked: Any) -> Iterator[tuple[bytes, int, int]]:
        return ((one, 0, len(one)) for one in data)

    monkeypatch.setattr(Netlink, "dump", dump)
    monkeypatch.setattr(Netlink, "get", lambda *_asked: next(dump()))


@pytest.mark.parametrize(("flags", "owned"), [(0, False), (2, True), (1, False)])
def test_a_table_is_known_by_its_handle_and_whose_it_is(
    monkeypatch: pytest.MonkeyPatch, flags: int, owned: bool
) -> None:
    answers(
        monkeypatch, attribute(2, numbered(flags)) + attribute(4, b"\0" * 7 + b"\5") + attribute(6, b"noted")
    )
    with Nftables("t") as reader:
        assert reader.table() == KernelTable(5, b"noted", owned)


def test_a_table_that_is_not_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_asked: object) -> NoReturn:
        raise FileNotFoundError

    monkeypatch.setattr(Netlink, "get", absent)
    with Nftables("t") as reader:
        assert reader.table() is None


def rule(chain: str, *expressions: bytes) -> bytes:
    return attribute(2, chain.encode() + b"\0") + attribute(4, *expressions)


def counted(packets: int) -> bytes:
    """A counter as the kernel gives it out: bytes, then packets."""
    values = attribute(1, struct.pack("!Q", 999)) + attribute(2, struct.pack("!Q", packets))
    return attribute(1, attribute(1, b"counter\0"), attribute(2, values))


def test_packets_of_a_rule_are_those_of_its_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, rule("a", nft.meta(4, 8), counted(7)), rule("b", nft.meta(4, 8)), rule("c"))
    with Nftables("t") as reader:
        assert reader.rule_packets() == [("a", 7), ("b", 0), ("c", 0)]


def element(key: bytes, packets: int, flags: bytes = b"") -> bytes:
    values = attribute(1, struct.pack("!Q", 1)) + attribute(2, struct.pack("!Q", packets))
    inner = attribute(7, attribute(1, b"counter\0"), attribute(2, values))
    return attribute(1, attribute(1, attribute(1, key)), inner, flags)


def test_elements_of_a_set_are_found_where_the_first_has_them_and_others_by_their_own_layout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = [(b"aaaa", 1, b""), (b"bbbb", 2, b""), (b"cccc", 3, attribute(3, numbered(0))), (b"dddd", 4, b"")]
    answers(monkeypatch, attribute(3, *(element(*one) for one in held[:3])), attribute(3, element(*held[3])))
    with Nftables("t") as reader:
        assert list(reader.elements("s")) == [Element(key, packets) for key, packets, _flags in held]
