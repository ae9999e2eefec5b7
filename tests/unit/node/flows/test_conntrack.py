# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Distinct flows of a recorded table of connections."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows import conntrack
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.conntrack import FlowKey, Known

TABLE = Path(__file__).parents[2] / "recordings" / "conntrack" / "table.txt"
MESSAGES = [bytes.fromhex(line) for line in TABLE.read_text().split()]
UDP_TO_DNS, ECHO, TCP6, TRANSLATED = MESSAGES
# Where both directions stand in TCP6, and its number, with the attributes' headers.
DIRECTIONS = ((20, 0x4C), (20 + 0x4C, 0x4C))
NUMBER = TCP6[(at := TCP6.index(b"\x08\0\x0c\0")) : at + 8]
# With this flag the kernel saw the first direction in its middle.
LATE_FLAG = (b"\x06\0\x04\0\x23", b"\x06\0\x04\0\x2b")
NOBODY: frozenset[tuple[int, int]] = frozenset()

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="recorded on a little-endian machine")


class Recorded:
    """The kernel's answers, from a recording."""

    table: list[bytes] = []

    def __init__(self, *_arguments: object) -> None:
        pass

    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def dump(self, _kind: int, _body: bytes) -> Iterator[tuple[bytes, int, int]]:
        for data in self.table:
            yield data, 0, len(data)


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conntrack, "Netlink", Recorded)
    monkeypatch.setattr(conntrack, "_ephemeral_ports", lambda: range(32768, 61000))
    monkeypatch.setattr(Recorded, "table", MESSAGES)


def packed(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def key(source: str, destination: str, protocol: int, port: Any = None, **more: Any) -> FlowKey:
    original = packed(more.pop("original", destination))
    return FlowKey(
        packed(source),
        packed(destination),
        original,
        protocol,
        port,
        more.pop("original_port", port),
        more.pop("icmp", None),
        **more,
    )


def read(*table: bytes, limit: int = 100, listening: frozenset[tuple[int, int]] = NOBODY) -> Any:
    Recorded.table = list(table)
    return conntrack.read(limit, listening)


def from_source(message: bytes, source: str) -> bytes:
    """The same entry of another client, in both directions."""
    return message.replace(packed("127.0.0.1"), packed(source))


def test_who_opened_what_to_where_before_and_after_its_translation() -> None:
    found = read(*MESSAGES)
    assert found.flows == {
        key("127.0.0.1", "127.0.0.3", 17, 53): Known(1),
        key("127.0.0.1", "127.0.0.4", 1, icmp=(8, 0)): Known(1, replied=True),
        key("::1", "::1", 6, 80): Known(1, replied=True),
        key("127.0.0.1", "127.0.0.2", 6, 80, original="127.0.0.1", original_port=8080): Known(
            1, replied=True
        ),
    }
    assert (found.entries, found.lost) == (4, 0)


def test_connections_of_one_flow_are_counted() -> None:
    found = read(TCP6, TCP6, TCP6)
    assert found.flows == {key("::1", "::1", 6, 80): Known(3, replied=True)}


def turned(message: bytes) -> bytes:
    """The entry that an answer made: both directions the other way round."""
    first, second = (message[start : start + size] for start, size in DIRECTIONS)
    (at, size), (at2, size2) = DIRECTIONS
    assert at + size == at2
    both = second[:2] + b"\x01\x80" + second[4:] + first[:2] + b"\x02\x80" + first[4:]
    return message[:at] + both + message[at2 + size2 :]


def test_an_answer_that_made_the_entry_is_turned_where_its_server_listens() -> None:
    expected = key("::1", "::1", 6, 80)
    [(flow, known)] = read(turned(TCP6), listening=frozenset({(6, 80)})).flows.items()
    assert (flow, known.certain) == (expected, False)
    (flow,) = read(turned(TCP6)).flows
    assert flow != expected


def test_what_the_kernel_saw_first_in_its_middle_is_turned_and_not_certain() -> None:
    [(flow, known)] = read(turned(TCP6.replace(*LATE_FLAG, 1))).flows.items()
    assert (flow, known.certain) == (key("::1", "::1", 6, 80), False)
    for table, certain in ((TCP6, True), (TCP6.replace(*LATE_FLAG, 1), False)):
        [(flow, known)] = read(table).flows.items()
        assert (flow, known.certain) == (key("::1", "::1", 6, 80), certain)


def test_beyond_the_limit_sources_are_kept_as_nets_and_beyond_a_quarter_more_they_are_lost() -> None:
    single = [f"10.1.0.{number}" for number in range(1, 9)]
    sources = [*single, "10.2.0.1", "10.2.0.2", "10.3.0.1", "10.4.0.1"]
    found = read(*(from_source(UDP_TO_DNS, source) for source in sources), limit=8)
    assert {
        (socket.inet_ntoa(flow.source), flow.kept_bits): known.count for flow, known in found.flows.items()
    } == {
        **{(source, None): 1 for source in single},
        ("10.2.0.0", 16): 2,
        ("10.3.0.0", 16): 1,
    }
    assert (found.entries, found.lost) == (12, 1)


def test_a_connection_is_counted_once_however_often_it_is_looked_at() -> None:
    looks = conntrack.Looks(100, NOBODY)
    Recorded.table = [TCP6]
    looks.look()
    other = TCP6.replace(NUMBER, b"\x08\0\x0c\0\0\0\0\x07")
    Recorded.table = [TCP6, other]
    looks.look()
    looks.look()
    (known,) = looks.found.flows.values()
    assert (known.count, looks.found.entries) == (2, 2)
    looks.close()


def test_what_was_there_at_the_first_look_alone_is_older() -> None:
    looks = conntrack.Looks(100, NOBODY)
    Recorded.table = [TCP6]
    looks.look()
    Recorded.table = [TCP6, UDP_TO_DNS]
    looks.look()
    assert {flow.protocol: known.older for flow, known in looks.found.flows.items()} == {6: True, 17: False}
    assert looks.lost_events == 0
